/*
 * The bits of a double and back. Cells hold doubles as integers, so that each comes out as it went
 * in: both zeros, every NaN, and the one that marks a series as ended.
 */
#ifndef BASE_DOUBLE_BITS_H
#define BASE_DOUBLE_BITS_H

#include <stdint.h>
#include <string.h>

#define NAN_BITS   UINT64_C(0x7ff8000000000001) /* Prometheus' ordinary NaN */
#define STALE_BITS UINT64_C(0x7ff0000000000002) /* Prometheus' staleness marker, a NaN too */

static inline uint64_t double_bits(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline double bits_double(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

#endif
