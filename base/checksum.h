/*
 * CRC32C (Castagnoli, reflected, as in iSCSI and Prometheus' files) with the processor's
 * instruction where it has one, and 128-bit hashes (XXH3 of libxxhash) for keys whose bytes are not
 * kept.
 */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* crc of the bytes before, 0 at the start. */
uint32_t crc32c(uint32_t crc, const void *ptr, size_t len);

struct hash128 {
    uint64_t lo, hi;
};

struct hash128 hash128(const void *ptr, size_t len);
uint64_t hash64(const void *ptr, size_t len);
/* XXH64 with seed 0, where others compute the same: Prometheus hashes label sets with it. */
uint64_t xxh64(const void *ptr, size_t len);

static inline bool hash128_eq(struct hash128 a, struct hash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

#endif
