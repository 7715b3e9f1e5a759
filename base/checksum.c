#include "base/checksum.h"

#include <pthread.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define POLY 0x82f63b78u

static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t (*impl)(uint32_t crc, const uint8_t *p, size_t len);

/* Slicing by 8: Kounavis and Berry, "A Systematic Approach to Building High Performance
 * Software-Based CRC Generators", 2005. */
static uint32_t crc_table(uint32_t crc, const uint8_t *p, size_t len)
{
    for (; len >= 8; p += 8, len -= 8) {
        uint32_t a = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                               (uint32_t)p[3] << 24);
        crc = table[7][a & 0xff] ^ table[6][a >> 8 & 0xff] ^ table[5][a >> 16 & 0xff] ^
              table[4][a >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; len; p++, len--)
        crc = table[0][(crc ^ *p) & 0xff] ^ crc >> 8;
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(
    uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t c = crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t v;
        memcpy(&v, p, sizeof v);
        c = __builtin_ia32_crc32di(c, v);
    }
    uint32_t out = (uint32_t)c;
    for (; len; p++, len--)
        out = __builtin_ia32_crc32qi(out, *p);
    return out;
}
#endif

static void init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ POLY : c >> 1;
        table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            table[k][i] = table[0][table[k - 1][i] & 0xff] ^ table[k - 1][i] >> 8;
    impl = crc_table;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        impl = crc_sse42;
#endif
}

uint32_t crc32c(uint32_t crc, const void *ptr, size_t len)
{
    pthread_once(&once, init);
    return ~impl(~crc, ptr, len);
}

/* An empty slice may have no address, and the library wants one. */
static const void *bytes_of(const void *ptr)
{
    return ptr ? ptr : "";
}

struct hash128 hash128(const void *ptr, size_t len)
{
    XXH128_hash_t h = XXH3_128bits(bytes_of(ptr), len);
    return (struct hash128){h.low64, h.high64};
}

uint64_t hash64(const void *ptr, size_t len)
{
    return XXH3_64bits(bytes_of(ptr), len);
}

uint64_t xxh64(const void *ptr, size_t len)
{
    return XXH64(bytes_of(ptr), len, 0);
}
