#include "store/cell_bytes.h"

const double decimal_powers[DECIMALS_MAX + 1] = {1, 10, 100, 1e3, 1e4, 1e5, 1e6};

int128 int128_of(struct reader *r)
{
    uint128 u = 0;
    for (unsigned shift = 0; shift < 128 && !r->failed; shift += 7) {
        uint8_t b = read_u8(r);
        if (shift == 126 && b > 3)
            break;
        u |= (uint128)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return (int128)(u >> 1) ^ -(int128)(u & 1);
    }
    r->failed = true;
    return 0;
}

int decimal_scale(double v, int hint, int64_t *m)
{
    if (decimal_of(v, hint, m))
        return hint;
    for (int scale = 0; scale <= DECIMALS_MAX; scale++)
        if (scale != hint && decimal_of(v, scale, m))
            return scale;
    return -1;
}

uint8_t *double_at(uint8_t *p, double v)
{
    int64_t m;
    int scale = decimal_scale(v, 0, &m);
    if (scale == 0)
        return varint_at(p, zigzag(m) << 1);
    if (scale > 0)
        return svarint_at(varint_at(p, (uint64_t)scale * 2 + 1), m);
    *p++ = 1;
    le64_put(p, double_bits(v));
    return p + 8;
}

double double_of(struct reader *r)
{
    uint64_t u = varint_of(r);
    if (!(u & 1))
        return (double)unzigzag(u >> 1);
    u >>= 1;
    if (u == 0)
        return bits_double(read_le64(r));
    if (u > DECIMALS_MAX) {
        r->failed = true;
        return 0;
    }
    return (double)svarint_of(r) / decimal_powers[u];
}
