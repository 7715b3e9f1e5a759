/*
 * A growing byte buffer with a limit. Past the limit nothing more is added and `failed` is set: the
 * writer need not check every call, only the flag at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct buf {
    char *ptr;
    size_t len, cap;
    size_t limit; /* 0: none, only for sizes that do not come from input */
    bool failed;  /* the limit was reached; contents are cut */
};

void buf_init(struct buf *buf, size_t limit);
void buf_fini(struct buf *buf);
void buf_clear(struct buf *buf);
/* Room for n more bytes; a pointer to write them at, or NULL at the limit. Then add n to len. */
char *buf_reserve(struct buf *buf, size_t n);
void buf_add(struct buf *buf, const void *ptr, size_t len);
void buf_slice(struct buf *buf, struct slice s);
void buf_str(struct buf *buf, const char *text);
void buf_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The contents, borrowed until the next call. */
struct slice buf_view(const struct buf *buf);
/* Puts a NUL behind the contents (not counted) and returns them. */
const char *buf_cstr(struct buf *buf);

#endif
