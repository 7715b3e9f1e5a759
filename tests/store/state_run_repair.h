/*
 * Puts the checksums of a run file right, so that damage gets past them: what is behind must hold
 * by itself. Shared by the damage test and the fuzz target; sizes are taken from the bytes and
 * checked against the file's.
 */
#ifndef TESTS_STORE_STATE_RUN_REPAIR_H
#define TESTS_STORE_STATE_RUN_REPAIR_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "store/state/run_layout.h"

static inline void run_repair(uint8_t *bytes, size_t len)
{
    if (len < RUN_HEADER_BYTES)
        return;
    uint64_t pages = le32_get(bytes + 48), page_bytes = le32_get(bytes + 52);
    uint64_t at = RUN_HEADER_BYTES;
    for (uint64_t i = 0; i < pages && page_bytes >= 64 && page_bytes <= len - at; i++) {
        le32_put(bytes + at, crc32c(0, bytes + at + 4, page_bytes - 4));
        at += page_bytes;
        if (at > len)
            return;
    }
    if (pages * RUN_FENCE_BYTES <= len - at) {
        le32_put(bytes + 96, crc32c(0, bytes + at, pages * RUN_FENCE_BYTES));
        at += pages * RUN_FENCE_BYTES;
        le32_put(bytes + 100, crc32c(0, bytes + at, len - at));
    }
    le32_put(bytes + RUN_HEADER_BYTES - 4, crc32c(0, bytes, RUN_HEADER_BYTES - 4));
}

/* The name that the header asks for. */
static inline void run_repair_name(const uint8_t *bytes, char out[RUN_NAME_MAX])
{
    run_name((struct hash128){.hi = le64_get(bytes + 176), .lo = le64_get(bytes + 184)}, out);
}

#endif
