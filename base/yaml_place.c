/*
 * From a byte of a scalar's text back to its place in the file. The text and its source differ in
 * quotes, escapes, indentation and line breaks only, so the bytes that are no space stand in both
 * in the same order: as many of them are passed in the source as stand before the byte in the text.
 */
#include "base/yaml.h"

struct walk {
    const char *p; /* in the source, which ends in NUL */
    int line, col;
    char style;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void step(struct walk *w)
{
    if (*w->p == '\n') {
        w->line++;
        w->col = 1;
    } else if (((unsigned char)w->p[1] & 0xc0) != 0x80) {
        w->col++; /* at the last byte of a character */
    }
    w->p++;
}

/* Escaped spaces and line breaks too: they are none of the bytes that are counted. */
static void skip_space(struct walk *w)
{
    for (;;) {
        bool escaped = w->style == '"' && *w->p == '\\' && w->p[1] &&
                       (is_space(w->p[1]) || strchr("ntr", w->p[1]));
        if (escaped)
            step(w);
        if (!escaped && !is_space(*w->p))
            return;
        step(w);
    }
}

/* Passes what one byte of the text that is no space came from. */
static void pass(struct walk *w)
{
    skip_space(w);
    if (!*w->p)
        return;
    bool escape = w->style == '"' && *w->p == '\\';
    bool quote = w->style == '\'' && *w->p == '\'';
    step(w);
    if ((!escape && !quote) || !*w->p)
        return;
    char c = *w->p;
    step(w);
    for (int digits = c == 'x'   ? 2
                      : c == 'u' ? 4
                      : c == 'U' ? 8
                                 : 0;
         escape && digits && *w->p; digits--)
        step(w);
}

void yaml_place(const struct yaml_node *scalar, size_t offset, int *line, int *col)
{
    struct walk w = {scalar->source, scalar->line, scalar->col, scalar->style};
    size_t passed = 0;
    *line = scalar->line;
    *col = scalar->col;
    if (!scalar->source || scalar->line == 0)
        return;
    for (size_t i = 0; i < offset && i < scalar->text.len; i++)
        passed += !is_space(scalar->text.ptr[i]);
    if (w.style == '"' || w.style == '\'')
        step(&w);
    while ((w.style == '|' || w.style == '>') && *w.p && *w.p != '\n')
        step(&w);
    for (; passed; passed--)
        pass(&w);
    if (offset < scalar->text.len && !is_space(scalar->text.ptr[offset]))
        skip_space(&w);
    *line = w.line;
    *col = w.col;
}
