#include "base/regex_shape.h"

#include <stdlib.h>

#include "base/mem.h"

#define ESCAPABLE "\\.+*?()|[]{}^$-/:,;=!@#%&~"
#define SPECIAL   "+*?()[]{}^$"

/* Takes `(?:...)` or `(...)` off when it spans the whole: no parenthesis may close in between. */
static struct slice without_group(struct slice p)
{
    if (p.len < 2 || p.ptr[0] != '(' || p.ptr[p.len - 1] != ')')
        return p;
    size_t from = p.len > 3 && p.ptr[1] == '?' && p.ptr[2] == ':' ? 3 : 1;
    for (size_t i = from; i < p.len - 1; i++) {
        if (p.ptr[i] == '(' || p.ptr[i] == ')' || (i == from && p.ptr[i] == '?'))
            return p;
        if (p.ptr[i] == '\\' && ++i == p.len - 1)
            return p;
    }
    return (struct slice){p.ptr + from, p.len - from - 1};
}

/* Reads a plain word from *at on, up to a `|`, a `.` or the end, into the shape's text. */
static bool read_word(struct slice p, size_t *at, char **to)
{
    while (*at < p.len && p.ptr[*at] != '|' && p.ptr[*at] != '.') {
        char c = p.ptr[*at];
        if (c == '\\') {
            if (++*at == p.len)
                return false;
            c = p.ptr[*at];
            if (!memchr(ESCAPABLE, c, sizeof ESCAPABLE - 1))
                return false;
        } else if (memchr(SPECIAL, c, sizeof SPECIAL - 1)) {
            return false;
        }
        /* Matched as code points by the automaton; bytes are the same, but for what is no UTF-8. */
        if ((unsigned char)c >= 0x80 || c == 0)
            return false;
        *(*to)++ = c;
        ++*at;
    }
    return true;
}

static int by_text(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static bool read_words(struct regex_shape *s, struct slice p)
{
    char *to = s->text;
    size_t cap = 0, kept = 0;
    for (size_t at = 0;; at++) {
        char *from = to;
        if (s->n == SHAPE_WORDS_MAX || !read_word(p, &at, &to) || (at < p.len && p.ptr[at] == '.'))
            return false;
        GROW(s->words, cap, s->n + 1);
        s->words[s->n++] = slice_of(from, (size_t)(to - from));
        if (at == p.len)
            break;
    }
    qsort(s->words, s->n, sizeof *s->words, by_text);
    for (size_t i = 0; i < s->n; i++)
        if (i == 0 || !slice_eq(s->words[i], s->words[kept - 1]))
            s->words[kept++] = s->words[i];
    s->n = kept;
    s->kind = SHAPE_WORDS;
    return true;
}

/* `.*` or `.+` at *at. A question mark behind it changes what is captured, not what matches. */
static bool read_any(struct slice p, size_t *at, size_t *least, bool *more)
{
    if (p.len - *at < 2 || p.ptr[*at] != '.' || (p.ptr[*at + 1] != '*' && p.ptr[*at + 1] != '+'))
        return false;
    *least = p.ptr[*at + 1] == '+';
    *more = true;
    *at += 2;
    if (*at < p.len && p.ptr[*at] == '?')
        ++*at;
    return true;
}

static bool read_around(struct regex_shape *s, struct slice p)
{
    size_t at = 0;
    char *to = s->text;
    bool before = read_any(p, &at, &s->least_before, &s->more_before);
    if (!read_word(p, &at, &to))
        return false;
    bool behind = read_any(p, &at, &s->least_behind, &s->more_behind);
    if (at < p.len || (!before && !behind))
        return false;
    s->words = xcalloc(1, sizeof *s->words);
    s->words[0] = slice_of(s->text, (size_t)(to - s->text));
    s->n = 1;
    s->kind = SHAPE_AROUND;
    return true;
}

void regex_shape_init(struct regex_shape *shape, struct slice pattern)
{
    *shape = (struct regex_shape){0};
    if (pattern.len == 0 || memchr(pattern.ptr, 0, pattern.len))
        return;
    struct slice p = without_group(pattern);
    shape->text = xmalloc(p.len + 1);
    if (read_words(shape, p))
        return;
    free(shape->words);
    shape->words = NULL;
    shape->n = 0;
    if (!read_around(shape, p)) {
        free(shape->text);
        *shape = (struct regex_shape){0};
    }
}

void regex_shape_fini(struct regex_shape *shape)
{
    free(shape->words);
    free(shape->text);
    *shape = (struct regex_shape){0};
}

static bool match_words(const struct regex_shape *s, struct slice text)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = slice_cmp(s->words[mid], text);
        if (c == 0)
            return true;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

bool regex_shape_match(const struct regex_shape *shape, struct slice text)
{
    struct slice word = shape->words[0];
    size_t before = shape->least_before, behind = shape->least_behind;
    if (shape->kind == SHAPE_WORDS)
        return match_words(shape, text);
    if (text.len < before + word.len + behind)
        return false;
    if (!shape->more_before)
        return slice_starts(text, word);
    if (!shape->more_behind)
        return word.len == 0 || memcmp(text.ptr + text.len - word.len, word.ptr, word.len) == 0;
    return word.len == 0 ||
           memmem(text.ptr + before, text.len - before - behind, word.ptr, word.len);
}
