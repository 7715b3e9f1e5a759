/*
 * Little-endian bytes. Writers append to a struct buf; readers move along a bounded run and never
 * pass its end: a read that does not fit returns 0 and sets `failed`, so that a decoder checks once
 * per record.
 *
 * Varints are LEB128 (7 bits a byte, low bits first, at most 10 bytes); signed ones are zigzag.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

static inline void le16_put(void *at, uint16_t v)
{
    uint8_t *p = at;
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void le32_put(void *at, uint32_t v)
{
    uint8_t *p = at;
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline void le64_put(void *at, uint64_t v)
{
    uint8_t *p = at;
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint16_t le16_get(const void *at)
{
    const uint8_t *p = at;
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t le32_get(const void *at)
{
    const uint8_t *p = at;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t le64_get(const void *at)
{
    const uint8_t *p = at;
    return (uint64_t)le32_get(p) | (uint64_t)le32_get(p + 4) << 32;
}

static inline uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

void buf_u8(struct buf *buf, uint8_t v);
void buf_le16(struct buf *buf, uint16_t v);
void buf_le32(struct buf *buf, uint32_t v);
void buf_le64(struct buf *buf, uint64_t v);
void buf_varint(struct buf *buf, uint64_t v);
void buf_svarint(struct buf *buf, int64_t v);
/* varint length, then the bytes. */
void buf_lstr(struct buf *buf, struct slice s);

struct reader {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct reader reader_of(struct slice s)
{
    return (struct reader){(const uint8_t *)s.ptr, (const uint8_t *)s.ptr + s.len, false};
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

uint8_t read_u8(struct reader *r);
uint16_t read_le16(struct reader *r);
uint32_t read_le32(struct reader *r);
uint64_t read_le64(struct reader *r);
uint64_t read_varint(struct reader *r);
int64_t read_svarint(struct reader *r);
/* n bytes, borrowed. */
struct slice read_bytes(struct reader *r, uint64_t n);
struct slice read_lstr(struct reader *r);

#endif
