#include "cmd/source_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rfc3339.h"
#include "cmd/terminal.h"

#define COLUMNS  8
#define CELL_MAX 300

static const char *const titles[COLUMNS] = {
    "PARTITION", "STREAM", "STATE", "POSITION", "END", "LAG", "LOST", "NEWEST EVENT"};
/* Of numbers, which stand to the right. */
static const bool right[COLUMNS] = {[3] = true, [4] = true, [5] = true, [6] = true};

struct row {
    char cells[COLUMNS][CELL_MAX];
};

static void set_text(char *cell, const json_t *value)
{
    const char *text = json_string_value(value);
    struct buf plain;
    buf_init(&plain, 0);
    terminal_text(&plain, text ? text : "?");
    snprintf(cell, CELL_MAX, "%s", buf_cstr(&plain));
    buf_fini(&plain);
}

static void set_number(char *cell, const json_t *value)
{
    if (json_is_integer(value))
        snprintf(cell, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        snprintf(cell, CELL_MAX, "-");
}

static void set_time(char *cell, const json_t *value)
{
    char text[RFC3339_MAX];
    double seconds = json_number_value(value);
    snprintf(cell, CELL_MAX, "-");
    if (!json_is_number(value) || !(fabs(seconds) < 1e12))
        return;
    rfc3339_format(llround(seconds * 1000), text);
    snprintf(cell, CELL_MAX, "%s", text);
}

static void set_row(const json_t *partition, struct row *row)
{
    static const char *const numbers[] = {"position", "end", "lag", "lost"};
    set_text(row->cells[0], json_object_get(partition, "partition"));
    set_text(row->cells[1], json_object_get(partition, "stream"));
    set_text(row->cells[2], json_object_get(partition, "state"));
    for (int i = 0; i < 4; i++)
        set_number(row->cells[3 + i], json_object_get(partition, numbers[i]));
    set_time(row->cells[7], json_object_get(partition, "newest"));
}

static void widen(const struct row *row, int *widths)
{
    for (int i = 0; i < COLUMNS; i++) {
        int n = (int)strlen(row->cells[i]);
        widths[i] = n > widths[i] ? n : widths[i];
    }
}

static void write_line(const struct row *row, const int *widths, struct buf *out)
{
    for (int i = 0; i < COLUMNS; i++) {
        int width = i + 1 < COLUMNS || right[i] ? widths[i] : 0;
        buf_printf(out, right[i] ? "%s%*s" : "%s%-*s", i ? "  " : "", width, row->cells[i]);
    }
    buf_char(out, '\n');
}

static void write_below(const json_t *partition, const char *key, int indent, struct buf *out)
{
    const char *text = json_string_value(json_object_get(partition, key));
    if (!text || !*text)
        return;
    buf_printf(out, "%*s  ", indent, "");
    terminal_text(out, text);
    buf_char(out, '\n');
}

bool source_table(const json_t *data, struct buf *out, size_t *halted)
{
    const json_t *partitions = json_object_get(data, "partitions");
    int widths[COLUMNS] = {0};
    struct row row, head;
    *halted = 0;
    if (!json_is_array(partitions))
        return false;
    for (int i = 0; i < COLUMNS; i++)
        snprintf(head.cells[i], CELL_MAX, "%s", titles[i]);
    widen(&head, widths);
    for (size_t i = 0; i < json_array_size(partitions); i++) {
        set_row(json_array_get(partitions, i), &row);
        widen(&row, widths);
    }
    write_line(&head, widths, out);
    for (size_t i = 0; i < json_array_size(partitions); i++) {
        set_row(json_array_get(partitions, i), &row);
        *halted += strcmp(row.cells[2], "halted") == 0;
        write_line(&row, widths, out);
        write_below(json_array_get(partitions, i), "cause", widths[0], out);
        write_below(json_array_get(partitions, i), "advice", widths[0], out);
    }
    return true;
}
