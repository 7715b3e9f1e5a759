#include "query/quote.h"

#include <stddef.h>

#define BROKEN UINT32_MAX

/* BROKEN: a bad continuation, an overlong form, a surrogate or a value past U+10FFFF. */
static uint32_t decode(const unsigned char *p, int n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t r = p[0] & (0xffu >> (n + 1));
    for (int i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return BROKEN;
        r = r << 6 | (p[i] & 0x3fu);
    }
    return r < least[n] || r > 0x10ffff || (r >= 0xd800 && r < 0xe000) ? BROKEN : r;
}

uint32_t rune_at(struct slice text, size_t at, int *width)
{
    const unsigned char *p = (const unsigned char *)text.ptr + at;
    *width = 1;
    if (p[0] < 0x80)
        return p[0];
    int n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || text.len - at < (size_t)n)
        return RUNE_ERROR;
    uint32_t r = decode(p, n);
    if (r == BROKEN)
        return RUNE_ERROR;
    *width = n;
    return r;
}

/* Appends the UTF-8 form. */
static void rune_add(uint32_t rune, struct buf *out)
{
    if (rune < 0x80) {
        buf_char(out, (char)rune);
    } else if (rune < 0x800) {
        buf_char(out, (char)(0xc0 | rune >> 6));
        buf_char(out, (char)(0x80 | (rune & 0x3f)));
    } else if (rune < 0x10000) {
        buf_char(out, (char)(0xe0 | rune >> 12));
        buf_char(out, (char)(0x80 | (rune >> 6 & 0x3f)));
        buf_char(out, (char)(0x80 | (rune & 0x3f)));
    } else {
        buf_char(out, (char)(0xf0 | rune >> 18));
        buf_char(out, (char)(0x80 | (rune >> 12 & 0x3f)));
        buf_char(out, (char)(0x80 | (rune >> 6 & 0x3f)));
        buf_char(out, (char)(0x80 | (rune & 0x3f)));
    }
}

/* Unicode's invisible ones: controls, separators, formats, private use. Not the whole table of Go's
 * unicode.IsPrint: unassigned characters are shown as they are. */
static bool is_print(uint32_t r)
{
    static const uint32_t hidden[][2] = {{0, 0x1f}, {0x7f, 0xa0}, {0xad, 0xad}, {0x61c, 0x61c},
        {0x1680, 0x1680}, {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f},
        {0x3000, 0x3000}, {0xd800, 0xf8ff}, {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xfffe, 0xffff},
        {0xe0000, 0xe0fff}, {0xf0000, 0x10ffff}};
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        if (r >= hidden[i][0] && r <= hidden[i][1])
            return false;
    return true;
}

static const char escape_letters[] = "abtnvfr"; /* of 7 to 13 */

static void escape_rune(uint32_t r, char quote, struct buf *out)
{
    if (r == (uint32_t)(unsigned char)quote || r == '\\') {
        buf_char(out, '\\');
        buf_char(out, (char)r);
    } else if (is_print(r)) {
        rune_add(r, out);
    } else if (r >= 7 && r <= 13) {
        buf_char(out, '\\');
        buf_char(out, escape_letters[r - 7]);
    } else if (r < ' ' || r == 0x7f) {
        buf_printf(out, "\\x%02x", (unsigned)r);
    } else if (r < 0x10000) {
        buf_printf(out, "\\u%04x", (unsigned)r);
    } else {
        buf_printf(out, "\\U%08x", (unsigned)r);
    }
}

void quote_text(struct slice text, struct buf *out)
{
    buf_char(out, '"');
    for (size_t at = 0; at < text.len;) {
        int width;
        uint32_t r = rune_at(text, at, &width);
        if (r == RUNE_ERROR && width == 1)
            buf_printf(out, "\\x%02x", (unsigned)(unsigned char)text.ptr[at]);
        else
            escape_rune(r, '"', out);
        at += (size_t)width;
    }
    buf_char(out, '"');
}

void quote_rune(uint32_t rune, struct buf *out)
{
    buf_char(out, '\'');
    escape_rune(rune, '\'', out);
    buf_char(out, '\'');
}

static uint32_t digits(const char **at, int n, uint32_t base)
{
    uint32_t v = 0;
    for (int i = 0; i < n; i++) {
        char c = *(*at)++;
        v = v * base + (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return v;
}

/* One escape, *at behind its backslash. \x and octal give bytes, \u and \U characters. */
static void unescape(const char **at, struct buf *out)
{
    char c = *(*at)++;
    switch (c) {
    case 'x': buf_char(out, (char)digits(at, 2, 16)); return;
    case 'u': rune_add(digits(at, 4, 16), out); return;
    case 'U': rune_add(digits(at, 8, 16), out); return;
    default: break;
    }
    if (c >= '0' && c <= '7') {
        (*at)--;
        buf_char(out, (char)digits(at, 3, 8));
        return;
    }
    for (int i = 0; escape_letters[i]; i++)
        if (escape_letters[i] == c)
            c = (char)(7 + i);
    buf_char(out, c);
}

struct slice unquote_text(struct slice literal, struct arena *arena)
{
    struct slice inner = slice_of(literal.ptr + 1, literal.len - 2);
    if (literal.ptr[0] == '`' || !memchr(inner.ptr, '\\', inner.len))
        return arena_slice(arena, inner);
    struct buf out; /* never longer than the literal */
    buf_init(&out, 0);
    for (const char *at = inner.ptr, *end = inner.ptr + inner.len; at < end;) {
        if (*at == '\\') {
            at++;
            unescape(&at, &out);
        } else {
            buf_char(&out, *at++);
        }
    }
    struct slice copy = arena_slice(arena, buf_view(&out));
    buf_fini(&out);
    return copy;
}
