#include "cmd/event_file.h"

#include <string.h>

#include "base/ensure.h"
#include "ingest/contract.h"

/* In hexadecimal, and with a key, an event that is just too long must still be seen to be. */
#define LINE_BYTES_MAX (2 * (EVENT_BYTES_MAX + 1) + 65536)

bool event_file_open(struct event_file *file, struct err *err)
{
    bool input = strcmp(file->name, "-") == 0;
    file->number = 0;
    file->file = input ? stdin : fopen(file->name, "re");
    if (!file->file)
        return err_sys(err, "cannot read %s", file->name);
    buf_init(&file->line, LINE_BYTES_MAX);
    return true;
}

void event_file_close(struct event_file *file)
{
    if (file->file && file->file != stdin)
        fclose(file->file);
    file->file = NULL;
    buf_fini(&file->line);
}

/* False: there is no further line. */
static bool read_line(struct event_file *f)
{
    int c = getc_unlocked(f->file);
    buf_clear(&f->line);
    if (c == EOF)
        return false;
    f->number++;
    for (; c != EOF && c != '\n'; c = getc_unlocked(f->file))
        if (f->line.len < LINE_BYTES_MAX)
            buf_char(&f->line, (char)c);
    if (f->line.len && f->line.ptr[f->line.len - 1] == '\r')
        f->line.len--;
    return true;
}

static bool wrong(const struct event_file *f, const char *what, struct err *err)
{
    err_set(err, ERR_INVALID, "%s", what);
    return err_at(err, f->name, (int)f->number, 0);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. */
static bool unhex(struct event_file *f, struct err *err)
{
    char *text = f->line.ptr + f->value_column - 1;
    size_t n = f->value.len / 2;
    bool cut = f->line.len == LINE_BYTES_MAX, ok = cut || f->value.len % 2 == 0;
    for (size_t i = 0; ok && i < n; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        ok = high >= 0 && low >= 0;
        text[i] = (char)(high * 16 + low);
    }
    f->value = slice_of(text, n);
    return ok || wrong(f, "the message is not written in hexadecimal", err);
}

static bool split(struct event_file *f, struct err *err)
{
    struct slice line = buf_view(&f->line);
    f->key = (struct slice){NULL, 0};
    f->value = line;
    f->value_column = 1;
    if (f->separator) {
        size_t n = strlen(f->separator);
        const char *at = memmem(line.ptr, line.len, f->separator, n);
        if (!at)
            return wrong(f, "there is no key separator in the line", err);
        f->key = slice_of(line.ptr, (size_t)(at - line.ptr));
        f->value = slice_of(at + n, line.len - f->key.len - n);
        f->value_column = f->key.len + n + 1;
    }
    return !f->hex || unhex(f, err);
}

bool event_file_next(struct event_file *file, bool *end, struct err *err)
{
    do
        *end = !read_line(file);
    while (!*end && file->line.len == 0);
    if (*end)
        return !ferror(file->file) || err_sys(err, "cannot read %s", file->name);
    return split(file, err);
}
