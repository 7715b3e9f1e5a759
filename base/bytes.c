#include "base/bytes.h"

void buf_u8(struct buf *buf, uint8_t v)
{
    buf_add(buf, &v, 1);
}

void buf_le16(struct buf *buf, uint16_t v)
{
    uint8_t b[2];
    le16_put(b, v);
    buf_add(buf, b, sizeof b);
}

void buf_le32(struct buf *buf, uint32_t v)
{
    uint8_t b[4];
    le32_put(b, v);
    buf_add(buf, b, sizeof b);
}

void buf_le64(struct buf *buf, uint64_t v)
{
    uint8_t b[8];
    le64_put(b, v);
    buf_add(buf, b, sizeof b);
}

void buf_varint(struct buf *buf, uint64_t v)
{
    char *p = buf_reserve(buf, 10);
    if (!p)
        return;
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        p[n++] = (char)(v | 0x80);
    p[n++] = (char)v;
    buf->len += n;
}

void buf_svarint(struct buf *buf, int64_t v)
{
    buf_varint(buf, zigzag(v));
}

void buf_lstr(struct buf *buf, struct slice s)
{
    buf_varint(buf, s.len);
    buf_slice(buf, s);
}

static const uint8_t *take(struct reader *r, uint64_t n)
{
    if (r->failed || reader_left(r) < n) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += n;
    return p;
}

uint8_t read_u8(struct reader *r)
{
    const uint8_t *p = take(r, 1);
    return p ? *p : 0;
}

uint16_t read_le16(struct reader *r)
{
    const uint8_t *p = take(r, 2);
    return p ? le16_get(p) : 0;
}

uint32_t read_le32(struct reader *r)
{
    const uint8_t *p = take(r, 4);
    return p ? le32_get(p) : 0;
}

uint64_t read_le64(struct reader *r)
{
    const uint8_t *p = take(r, 8);
    return p ? le64_get(p) : 0;
}

uint64_t read_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && !r->failed; shift += 7) {
        uint8_t b = read_u8(r);
        if (shift == 63 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return r->failed ? 0 : v;
    }
    r->failed = true;
    return 0;
}

int64_t read_svarint(struct reader *r)
{
    return unzigzag(read_varint(r));
}

struct slice read_bytes(struct reader *r, uint64_t n)
{
    const uint8_t *p = take(r, n);
    return p ? slice_of(p, (size_t)n) : (struct slice){"", 0};
}

struct slice read_lstr(struct reader *r)
{
    return read_bytes(r, read_varint(r));
}
