/*
 * Files of frames (docs/format/wal.md) as inputs of fuzz targets: their checksums are put right, so
 * that damage reaches what lies behind them, and they are changed part by part, so that a frame
 * that grows does not make rubbish of those behind it. It knows the layout by itself, and shares no
 * code with the program.
 */
#ifndef TESTS_FUZZ_FRAMES_H
#define TESTS_FUZZ_FRAMES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/mem.h"

#define FRAMES_HEADER 20 /* of a file */
#define FRAMES_FRAME  24 /* before a frame's front */
#define FRAMES_MAX    256
#define PART_GROWTH   512

/* libFuzzer's; absent where a corpus is replayed, and not called there. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) __attribute__((weak));

struct frames_part {
    size_t at, len;
};

/* The frames as their lengths say; the last one ends with the file. */
static inline size_t frames_list(
    const uint8_t *bytes, size_t len, struct frames_part out[FRAMES_MAX])
{
    size_t n = 0;
    for (size_t at = FRAMES_HEADER; n < FRAMES_MAX && len >= at + FRAMES_FRAME;) {
        size_t left = len - at - FRAMES_FRAME, size = le32_get(bytes + at);
        if (size == 0)
            break;
        out[n++] = (struct frames_part){at, FRAMES_FRAME + (size < left ? size : left)};
        at += out[n - 1].len;
    }
    return n;
}

static inline void frames_repair(uint8_t *bytes, size_t len)
{
    struct frames_part frames[FRAMES_MAX];
    size_t n = frames_list(bytes, len, frames);
    if (len >= FRAMES_HEADER)
        le32_put(bytes + 16, crc32c(0, bytes, 16));
    for (size_t i = 0; i < n; i++) {
        uint8_t *p = bytes + frames[i].at;
        uint32_t size = (uint32_t)frames[i].len - FRAMES_FRAME, front = le16_get(p + 18);
        le32_put(p, size);
        if (p[17] == 0 && front < size) /* not packed */
            le32_put(p + 20, size - front);
        le32_put(p + 4, crc32c(crc32c(0, p, 4), p + 8, frames[i].len - 8));
    }
}

/* A part becomes what libFuzzer makes of it, and what stands behind it moves. The new size. */
static inline size_t part_mutate(uint8_t *data, size_t size, size_t max, struct frames_part *part)
{
    size_t room = max - size < PART_GROWTH ? max - size : PART_GROWTH;
    uint8_t *copy = xmalloc(part->len + room + 1);
    memcpy(copy, data + part->at, part->len);
    size_t n = part->len + room ? LLVMFuzzerMutate(copy, part->len, part->len + room) : 0;
    memmove(data + part->at + n, data + part->at + part->len, size - part->at - part->len);
    memcpy(data + part->at, copy, n);
    free(copy);
    size = size - part->len + n;
    part->len = n;
    return size;
}

/* The frame a second time, behind itself, or not at all. */
static inline size_t frame_repeat(
    uint8_t *data, size_t size, size_t max, struct frames_part frame, bool again)
{
    size_t end = frame.at + frame.len;
    if (again && frame.len <= max - size) {
        memmove(data + end + frame.len, data + end, size - end);
        memcpy(data + end, data + frame.at, frame.len);
        return size + frame.len;
    }
    memmove(data + frame.at, data + end, size - end);
    return size - frame.len;
}

/* Changes a file of frames: the front, the body or a field of one frame, or which there are. */
static inline size_t frames_mutate(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct frames_part frames[FRAMES_MAX];
    size_t n = frames_list(data, size, frames);
    if (n == 0 || seed % 8 == 0)
        return LLVMFuzzerMutate(data, size, max);
    struct frames_part frame = frames[seed / 64 % n];
    uint8_t *p = data + frame.at;
    size_t inside = frame.len - FRAMES_FRAME;
    size_t front = le16_get(p + 18) < inside ? le16_get(p + 18) : inside;
    struct frames_part part = {frame.at + FRAMES_FRAME, front};
    switch (seed % 8) {
    case 1: return frame_repeat(data, size, max, frame, seed / 8 % 2 == 0);
    case 2: p[8 + seed / 8 % 10] ^= (uint8_t)(1u << seed / 80 % 8); return size; /* LSN, type */
    case 3:                                                                      /* the front */
        size = part_mutate(data, size, max, &part);
        front = part.len < UINT16_MAX ? part.len : UINT16_MAX;
        le16_put(p + 18, (uint16_t)front);
        le32_put(p, (uint32_t)(part.len + inside - le16_get(p + 18)));
        return size;
    default:
        part = (struct frames_part){part.at + front, inside - front};
        size = part_mutate(data, size, max, &part);
        le32_put(p, (uint32_t)(front + part.len));
        return size;
    }
}

#endif
