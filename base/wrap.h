/*
 * Sums and differences of 64-bit integers that wrap around: of differences that are stored, any one
 * comes out as it went in, however far apart its two ends are.
 */
#ifndef BASE_WRAP_H
#define BASE_WRAP_H

#include <stdint.h>

static inline int64_t wrap_sub(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

static inline int64_t wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

#endif
