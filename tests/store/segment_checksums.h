/*
 * Puts right checksums over damaged bytes of a segment, as far as its frame can be followed, so
 * that damage reaches the checks that lie behind them. It knows the layout by itself, from
 * docs/format/segment.md, and shares no code with the program.
 */
#ifndef TESTS_STORE_SEGMENT_CHECKSUMS_H
#define TESTS_STORE_SEGMENT_CHECKSUMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/checksum.h"

static inline void repair_pages(uint8_t *bytes, uint64_t at, uint64_t end)
{
    while (end - at >= 16) {
        uint64_t stored = le32_get(bytes + at + 12);
        if (stored > end - at - 16)
            return;
        le32_put(bytes + at, crc32c(0, bytes + at + 4, 12 + stored));
        at += 16 + stored;
    }
}

static inline void segment_checksums(uint8_t *bytes, size_t len)
{
    if (len < 64 + 64 + 16)
        return;
    le32_put(bytes + 60, crc32c(0, bytes, 60));
    uint8_t *tail = bytes + len - 16;
    uint64_t footer = le32_get(tail);
    if (footer < 80 || footer > len - 64)
        return;
    uint8_t *start = bytes + len - footer;
    for (uint64_t i = 0; i < le32_get(start + 56) && 64 + 32 * (i + 1) + 16 <= footer; i++) {
        uint8_t *entry = start + 64 + 32 * i;
        uint64_t offset = le64_get(entry + 8), size = le64_get(entry + 16);
        if (offset > len - footer || size > len - footer - offset)
            continue;
        repair_pages(bytes, offset, offset + size);
        le32_put(entry + 4, crc32c(0, bytes + offset, size));
    }
    le32_put(tail + 4, crc32c(0, start, footer - 12));
}

#endif
