#include "store/segment/postings.h"

#include "base/bytes.h"
#include "base/ensure.h"

/* ---- bits ---- */

/* Bits that hold v; 0 for 0. */
static unsigned width_of(uint32_t v)
{
    return v ? 32 - (unsigned)__builtin_clz(v) : 0;
}

static size_t packed_bytes(size_t n, unsigned width)
{
    return (n * width + 7) / 8;
}

static uint32_t bits_at(const uint8_t *p, size_t bit, unsigned width)
{
    uint64_t v = 0;
    size_t last = (bit + width + 7) / 8;
    for (size_t i = bit / 8, shift = 0; i < last; i++, shift += 8)
        v |= (uint64_t)p[i] << shift;
    return (uint32_t)(v >> (bit % 8) & ((UINT64_C(1) << width) - 1));
}

/* ---- writing ---- */

static size_t blocks_of(size_t n)
{
    return (n + POSTINGS_BLOCK - 1) / POSTINGS_BLOCK;
}

/* Ordinals in block b of a list of n. */
static size_t block_n(size_t n, size_t b)
{
    size_t left = n - b * POSTINGS_BLOCK;
    return left < POSTINGS_BLOCK ? left : POSTINGS_BLOCK;
}

static unsigned block_width(const uint32_t *block, size_t n)
{
    uint32_t most = 0;
    for (size_t i = 1; i < n; i++)
        if (block[i] - block[i - 1] - 1 > most)
            most = block[i] - block[i - 1] - 1;
    return width_of(most);
}

static size_t delta_bytes(const uint32_t *ordinals, size_t n)
{
    size_t bytes = 4;
    for (size_t b = 0; b < blocks_of(n); b++) {
        const uint32_t *block = ordinals + b * POSTINGS_BLOCK;
        size_t m = block_n(n, b);
        bytes += 8 + 1 + packed_bytes(m - 1, block_width(block, m));
    }
    return bytes;
}

static void put_block(struct buf *out, const uint32_t *block, size_t n)
{
    unsigned width = block_width(block, n), held = 0;
    uint64_t bits = 0;
    buf_u8(out, (uint8_t)width);
    for (size_t i = 1; i < n; i++) {
        bits |= (uint64_t)(block[i] - block[i - 1] - 1) << held;
        held += width;
        for (; held >= 8; held -= 8, bits >>= 8)
            buf_u8(out, (uint8_t)bits);
    }
    if (held)
        buf_u8(out, (uint8_t)bits);
}

static void put_delta(struct buf *out, const uint32_t *ordinals, size_t n)
{
    buf_le32(out, (uint32_t)n);
    size_t skips = out->len, n_blocks = blocks_of(n);
    for (size_t b = 0; b < n_blocks; b++) {
        buf_le32(out, ordinals[b * POSTINGS_BLOCK]);
        buf_le32(out, 0);
    }
    size_t start = out->len;
    for (size_t b = 0; b < n_blocks; b++) {
        le32_put(out->ptr + skips + 8 * b + 4, (uint32_t)(out->len - start));
        put_block(out, ordinals + b * POSTINGS_BLOCK, block_n(n, b));
    }
}

static void put_bitmap(struct buf *out, const uint32_t *ordinals, size_t n)
{
    uint32_t first = ordinals[0], n_bits = ordinals[n - 1] - first + 1;
    buf_le32(out, first);
    buf_le32(out, n_bits);
    buf_le32(out, (uint32_t)n);
    size_t bytes = packed_bytes(n_bits, 1);
    char *p = buf_reserve(out, bytes);
    if (!p)
        return;
    memset(p, 0, bytes);
    for (size_t i = 0; i < n; i++) {
        uint32_t bit = ordinals[i] - first;
        p[bit / 8] = (char)(p[bit / 8] | 1 << bit % 8);
    }
    out->len += bytes;
}

void postings_put(struct buf *out, const uint32_t *ordinals, size_t n)
{
    ensure(n > 0 && n <= UINT32_MAX);
    for (size_t i = 1; i < n; i++)
        ensure(ordinals[i] > ordinals[i - 1]);
    size_t span = (size_t)(ordinals[n - 1] - ordinals[0]) + 1;
    ensure(span <= UINT32_MAX);
    if (span == n) {
        buf_u8(out, POSTINGS_RANGE);
        buf_le32(out, ordinals[0]);
        buf_le32(out, (uint32_t)n);
    } else if (delta_bytes(ordinals, n) <= 12 + packed_bytes(span, 1)) {
        buf_u8(out, POSTINGS_DELTA);
        put_delta(out, ordinals, n);
    } else {
        buf_u8(out, POSTINGS_BITMAP);
        put_bitmap(out, ordinals, n);
    }
}

/* ---- reading ---- */

static bool get_range(struct reader *r, uint32_t end, struct ordinals *to)
{
    uint32_t first = read_le32(r), n = read_le32(r);
    if (r->failed || n == 0 || first >= end || n > end - first)
        return false;
    for (uint32_t i = 0; i < n && i < to->max; i++)
        to->out[i] = first + i;
    to->n = n;
    return true;
}

/* One block: its ordinals begin at first and stay below end. */
static bool get_block(
    struct reader *r, uint32_t first, size_t n, uint32_t end, uint32_t *last, struct ordinals *to)
{
    unsigned width = read_u8(r);
    if (width > 32 || first >= end)
        return false;
    const uint8_t *p = (const uint8_t *)read_bytes(r, packed_bytes(n - 1, width)).ptr;
    if (r->failed)
        return false;
    uint64_t at = first;
    ordinals_add(to, first);
    for (size_t i = 0; i + 1 < n; i++) {
        at += (uint64_t)bits_at(p, i * width, width) + 1;
        if (at >= end)
            return false;
        ordinals_add(to, (uint32_t)at);
    }
    *last = (uint32_t)at;
    return true;
}

static bool get_delta(struct reader *r, uint32_t end, struct ordinals *to)
{
    size_t n = read_le32(r);
    if (r->failed || n == 0 || n > end)
        return false;
    struct slice skips = read_bytes(r, 8 * (uint64_t)blocks_of(n));
    if (r->failed)
        return false;
    const uint8_t *start = r->at;
    uint32_t last = 0;
    for (size_t b = 0; b < blocks_of(n); b++) {
        uint32_t first = le32_get(skips.ptr + 8 * b), at = le32_get(skips.ptr + 8 * b + 4);
        if ((b > 0 && first <= last) || at != (size_t)(r->at - start) ||
            !get_block(r, first, block_n(n, b), end, &last, to))
            return false;
    }
    return true;
}

static bool get_bitmap(struct reader *r, uint32_t end, struct ordinals *to)
{
    uint32_t first = read_le32(r), n_bits = read_le32(r), n = read_le32(r);
    if (r->failed || n_bits == 0 || first >= end || n_bits > end - first)
        return false;
    struct slice bits = read_bytes(r, packed_bytes(n_bits, 1));
    if (r->failed)
        return false;
    for (uint32_t i = 0; i < bits.len; i++)
        for (unsigned byte = (uint8_t)bits.ptr[i]; byte; byte &= byte - 1) {
            uint32_t bit = 8 * i + (uint32_t)__builtin_ctz(byte);
            if (bit >= n_bits)
                return false;
            ordinals_add(to, first + bit);
        }
    return to->n == n;
}

static bool get_list(struct slice bytes, uint32_t end, struct ordinals *to)
{
    struct reader r = reader_of(bytes);
    bool ok = false;
    switch (read_u8(&r)) {
    case POSTINGS_RANGE: ok = get_range(&r, end, to); break;
    case POSTINGS_DELTA: ok = get_delta(&r, end, to); break;
    case POSTINGS_BITMAP: ok = get_bitmap(&r, end, to); break;
    default: break;
    }
    return ok && reader_left(&r) == 0;
}

bool postings_check(struct slice bytes, uint32_t end, size_t *n)
{
    struct ordinals to = {NULL, 0, 0};
    bool ok = get_list(bytes, end, &to);
    *n = ok ? to.n : 0;
    return ok;
}

size_t postings_get(struct slice bytes, uint32_t *out, size_t max)
{
    struct ordinals to = {out, 0, max};
    ensure(get_list(bytes, UINT32_MAX, &to));
    return to.n;
}
