#include "api/exposition.h"

#include "base/number.h"

static void escaped(struct buf *out, struct slice text, bool quotes)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\\' || (c == '"' && quotes)) {
            buf_char(out, '\\');
            buf_char(out, c);
        } else if (c == '\n') {
            buf_str(out, "\\n");
        } else {
            buf_char(out, c);
        }
    }
}

void exposition_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s ", name);
    escaped(out, slice_from(help), false);
    buf_printf(out, "\n# TYPE %s %s\n", name, type);
}

void exposition_sample(struct buf *out, const char *name, const char *suffix,
    const struct exposition_label *labels, size_t n, double v)
{
    char number[NUMBER_MAX];
    buf_str(out, name);
    buf_str(out, suffix);
    for (size_t i = 0; i < n; i++) {
        buf_char(out, i ? ',' : '{');
        buf_str(out, labels[i].name);
        buf_str(out, "=\"");
        escaped(out, labels[i].value, true);
        buf_char(out, '"');
    }
    buf_str(out, n ? "} " : " ");
    buf_add(out, number, number_format_g(v, number));
    buf_char(out, '\n');
}

void exposition_one(struct buf *out, const char *name, const char *type, const char *help, double v)
{
    exposition_family(out, name, type, help);
    exposition_sample(out, name, "", NULL, 0, v);
}
