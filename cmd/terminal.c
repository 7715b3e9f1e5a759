#include "cmd/terminal.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <unistd.h>

/* The code points with the property Bidi_Control (UAX 9), and the control characters. */
static bool steers(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* The code point at text and its length: of what is no UTF-8, the byte itself, which in the range
 * of C1 a terminal may obey. */
static uint32_t decode(const unsigned char *text, size_t *len)
{
    size_t n = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : text[0] >= 0xc2 ? 2 : 1;
    uint32_t c = n == 1 ? text[0] : text[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            *len = 1;
            return text[0];
        }
        c = c << 6 | (text[i] & 0x3fu);
    }
    *len = n;
    return c;
}

void terminal_text(struct buf *out, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t len;
        if (steers(decode(at, &len)))
            buf_char(out, '?');
        else
            buf_add(out, at, len);
        at += len;
    }
}

bool terminal_print(const char *command, const struct buf *text)
{
    for (size_t at = 0; at < text->len;) {
        ssize_t n = write(STDOUT_FILENO, text->ptr + at, text->len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EPIPE)
            return true;
        if (n < 0) {
            fprintf(stderr, "%s: cannot write the answer: %s\n", command, strerror(errno));
            return false;
        }
        at += (size_t)n;
    }
    return true;
}
