#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void buf_init(struct buf *buf, size_t limit)
{
    *buf = (struct buf){.limit = limit};
}

void buf_fini(struct buf *buf)
{
    free(buf->ptr);
    *buf = (struct buf){.limit = buf->limit};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

char *buf_reserve(struct buf *buf, size_t n)
{
    if (buf->failed || n > SIZE_MAX - buf->len - 1 || (buf->limit && n > buf->limit - buf->len)) {
        buf->failed = true;
        return NULL;
    }
    GROW(buf->ptr, buf->cap, buf->len + n + 1);
    return buf->ptr + buf->len;
}

void buf_add(struct buf *buf, const void *ptr, size_t len)
{
    char *p = buf_reserve(buf, len);
    if (!p)
        return;
    if (len)
        memcpy(p, ptr, len);
    buf->len += len;
}

void buf_slice(struct buf *buf, struct slice s)
{
    buf_add(buf, s.ptr, s.len);
}

void buf_str(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : buf_reserve(buf, (size_t)n);
    if (!p)
        return;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    buf->len += (size_t)n;
}

struct slice buf_view(const struct buf *buf)
{
    return (struct slice){buf->ptr ? buf->ptr : "", buf->len};
}

const char *buf_cstr(struct buf *buf)
{
    GROW(buf->ptr, buf->cap, buf->len + 1);
    buf->ptr[buf->len] = 0;
    return buf->ptr;
}
