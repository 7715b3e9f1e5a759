#include "cmd/answer_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/rfc3339.h"
#include "base/slice.h"
#include "cmd/terminal.h"

struct table {
    bool csv, times;
    const char **labels; /* names, sorted, __name__ first; borrowed from the JSON */
    size_t n_labels, labels_cap;
    char **cells; /* n_rows * columns */
    size_t n_rows, cells_n, cells_cap;
};

static size_t columns(const struct table *t)
{
    return t->n_labels + t->times + 1;
}

static void table_fini(struct table *t)
{
    for (size_t i = 0; i < t->cells_n; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t->labels);
}

static void add_cell(struct table *t, const char *text)
{
    GROW(t->cells, t->cells_cap, t->cells_n + 1);
    t->cells[t->cells_n++] = xstrdup(text);
}

/* ---- reading the answer ---- */

static int by_name(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    int named = (strcmp(y, "__name__") == 0) - (strcmp(x, "__name__") == 0);
    return named ? named : strcmp(x, y);
}

static void collect_labels(struct table *t, const json_t *result)
{
    for (size_t i = 0; i < json_array_size(result); i++) {
        const char *name;
        json_t *value;
        json_t *metric = json_object_get(json_array_get(result, i), "metric");
        json_object_foreach(metric, name, value)
        {
            size_t at = 0;
            while (at < t->n_labels && strcmp(t->labels[at], name) != 0)
                at++;
            if (at < t->n_labels)
                continue;
            GROW(t->labels, t->labels_cap, t->n_labels + 1);
            t->labels[t->n_labels++] = name;
        }
    }
    if (t->n_labels)
        qsort(t->labels, t->n_labels, sizeof *t->labels, by_name);
}

static void time_text(const struct table *t, double seconds, char out[RFC3339_MAX])
{
    if (t->csv)
        snprintf(out, RFC3339_MAX, "%.15g", seconds);
    else
        rfc3339_format((int64_t)llround(seconds * 1000), out);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "?";
}

/* One row; point is [time, "value"] or [time, {histogram}]. */
static bool add_point(struct table *t, const json_t *metric, const json_t *point, bool show_labels)
{
    const json_t *at = json_array_get(point, 0), *value = json_array_get(point, 1);
    char text[512];
    if (!json_is_number(at) || !(json_is_string(value) || json_is_object(value)))
        return false;
    for (size_t i = 0; i < t->n_labels; i++) {
        const char *label = json_string_value(json_object_get(metric, t->labels[i]));
        add_cell(t, show_labels && label ? label : "");
    }
    if (t->times) {
        time_text(t, json_number_value(at), text);
        add_cell(t, text);
    }
    if (json_is_object(value))
        snprintf(text, sizeof text, "count=%.100s sum=%.400s", text_of(value, "count"),
            text_of(value, "sum"));
    add_cell(t, json_is_object(value) ? text : json_string_value(value));
    t->n_rows++;
    return true;
}

static bool add_points(struct table *t, const json_t *metric, const json_t *points, bool *first)
{
    for (size_t i = 0; i < json_array_size(points); i++) {
        if (!add_point(t, metric, json_array_get(points, i), *first || t->csv))
            return false;
        *first = false;
    }
    return true;
}

static bool add_series(struct table *t, const json_t *series)
{
    static const char *const single[] = {"value", "histogram"}, *const many[] = {
                                                                    "values", "histograms"};
    const json_t *metric = json_object_get(series, "metric");
    bool first = true;
    if (!json_is_object(metric))
        return false;
    for (size_t i = 0; i < 2; i++) {
        const json_t *point = json_object_get(series, single[i]);
        if (point && !add_point(t, metric, point, true))
            return false;
        if (!add_points(t, metric, json_object_get(series, many[i]), &first))
            return false;
    }
    return true;
}

/* ---- writing ---- */

/* Code points, which is the width in most terminals for most scripts. */
static size_t width(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void pad(struct buf *out, size_t n)
{
    while (n-- > 0)
        buf_char(out, ' ');
}

static const char *heading(const struct table *t, size_t column)
{
    if (column < t->n_labels)
        return t->labels[column];
    if (column + 1 == columns(t))
        return t->csv ? "value" : "VALUE";
    return t->csv ? "time" : "TIME";
}

/* The last column, the value, stands to the right. */
static void put_aligned(struct buf *out, const char *text, size_t wide, bool last)
{
    size_t n = width(text);
    if (last)
        pad(out, wide > n ? wide - n : 0);
    terminal_text(out, text);
    if (!last)
        pad(out, (wide > n ? wide - n : 0) + 2);
}

static void write_aligned(const struct table *t, struct buf *out)
{
    size_t n = columns(t);
    ensure(n > 0);
    size_t *wide = xcalloc(n, sizeof *wide);
    for (size_t c = 0; c < n; c++)
        wide[c] = width(heading(t, c));
    for (size_t i = 0; i < t->cells_n; i++)
        if (width(t->cells[i]) > wide[i % n])
            wide[i % n] = width(t->cells[i]);
    for (size_t row = 0; row <= t->n_rows; row++) {
        for (size_t c = 0; c < n; c++)
            put_aligned(
                out, row ? t->cells[(row - 1) * n + c] : heading(t, c), wide[c], c + 1 == n);
        buf_char(out, '\n');
    }
    free(wide);
}

static void put_csv(struct buf *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        buf_str(out, text);
        return;
    }
    buf_char(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            buf_char(out, '"');
        buf_char(out, *text);
    }
    buf_char(out, '"');
}

static void write_csv(const struct table *t, struct buf *out)
{
    size_t n = columns(t);
    for (size_t row = 0; row <= t->n_rows; row++)
        for (size_t c = 0; c < n; c++) {
            put_csv(out, row ? t->cells[(row - 1) * n + c] : heading(t, c));
            buf_str(out, c + 1 < n ? "," : "\r\n");
        }
}

static bool write_single(const json_t *result, bool csv, struct buf *out)
{
    const char *text = json_string_value(json_array_get(result, 1));
    if (!text)
        return false;
    if (csv) {
        char at[64];
        snprintf(at, sizeof at, "%.15g", json_number_value(json_array_get(result, 0)));
        buf_printf(out, "time,value\r\n%s,", at);
        put_csv(out, text);
        buf_str(out, "\r\n");
    } else {
        terminal_text(out, text);
        buf_char(out, '\n');
    }
    return true;
}

bool answer_table(const json_t *data, bool csv, struct buf *out, struct err *err)
{
    const char *type = json_string_value(json_object_get(data, "resultType"));
    const json_t *result = json_object_get(data, "result");
    if (!type || !json_is_array(result))
        return err_set(err, ERR_INVALID, "the server's answer has no result");
    if (strcmp(type, "scalar") == 0 || strcmp(type, "string") == 0)
        return write_single(result, csv, out) ||
               err_set(err, ERR_INVALID, "the server's answer has no value");
    struct table table = {.csv = csv, .times = csv || strcmp(type, "matrix") == 0};
    bool ok = true;
    collect_labels(&table, result);
    for (size_t i = 0; ok && i < json_array_size(result); i++)
        ok = add_series(&table, json_array_get(result, i));
    if (ok && csv)
        write_csv(&table, out);
    else if (ok && table.n_rows)
        write_aligned(&table, out);
    table_fini(&table);
    return ok || err_set(err, ERR_INVALID, "the server's answer has a series of an unknown form");
}
