/*
 * Files of frames: whatever the bytes, an error or frames that lie inside the file, whose payloads
 * unpack and whose fronts are bounded and come back when they are written. Tried as it is, and with
 * its checksums put right.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "store/frame.h"
#include "store/front.h"
#include "store/wal.h"
#include "tests/fuzz/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static void expect_clocks(const struct frame_front *a, const struct frame_front *b)
{
    ensure(a->without_clocks == b->without_clocks && a->n_clocks == b->n_clocks);
    for (size_t i = 0; i < a->n_clocks; i++) {
        ensure(slice_eq(a->clocks[i].name, b->clocks[i].name));
        ensure(a->clocks[i].frontier_ms == b->clocks[i].frontier_ms);
        ensure(a->clocks[i].watermark_ms == b->clocks[i].watermark_ms);
    }
}

/* What a front says is said again in what is written of it, and in a list that holds more. */
static void front_round_trip(const struct frame_front *front)
{
    const struct touched *touched = &front->touched;
    struct frame_front again;
    struct touched more = {.n = 0};
    struct buf bytes;
    buf_init(&bytes, 0);
    ensure(touched->n <= TOUCHED_MAX);
    front_encode(front, &bytes);
    ensure(bytes.len <= FRAME_FRONT_MAX);
    ensure(front_decode(buf_view(&bytes), &again));
    ensure(again.touched.n == touched->n && again.definitions == front->definitions);
    expect_clocks(front, &again);
    touched_add(&more, (struct block_range){-5, 5});
    touched_merge(&more, touched);
    ensure(touched_has(&more, (struct block_range){0, 0}));
    for (size_t i = 0; i < touched->n; i++) {
        ensure(again.touched.ranges[i].first == touched->ranges[i].first);
        ensure(again.touched.ranges[i].last == touched->ranges[i].last);
        ensure(touched_covers(&more, touched->ranges[i]));
    }
    for (size_t i = 1; i < more.n; i++)
        ensure(more.ranges[i].first > more.ranges[i - 1].last);
    buf_fini(&bytes);
}

static bool each(void *ctx, const struct frame *frame, struct err *err)
{
    size_t size = *(size_t *)ctx;
    struct slice payload;
    struct frame_front front;
    struct buf raw;
    ensure(frame->at >= FRAME_FILE_HEADER && frame->at < size);
    ensure(frame->front.len <= FRAME_FRONT_MAX && frame->body.len > 0);
    if (front_decode(frame->front, &front))
        front_round_trip(&front);
    buf_init(&raw, 0);
    bool ok = frame_payload(frame, &raw, &payload, err);
    if (ok)
        ensure(payload.len == frame->raw_len && payload.len <= FRAME_PAYLOAD_MAX);
    buf_fini(&raw);
    return ok;
}

static bool member(void *ctx, const struct frame *frame, struct err *err)
{
    uint64_t *next = ctx;
    (void)err;
    ensure(frame->lsn == (*next)++ && frame->body.len > 0 && frame->raw_len == frame->body.len);
    return true;
}

/* The input as the payload of a group. */
static void group_any(const uint8_t *data, size_t size)
{
    struct frame group = {.lsn = 1000000,
        .type = FRAME_GROUP,
        .body = slice_of(data, size),
        .raw_len = (uint32_t)size};
    struct buf raw;
    struct err err;
    uint64_t n = 0, next = 0;
    buf_init(&raw, 0);
    for (struct reader r = reader_of(group.body); reader_left(&r) > 0 && !r.failed; n++)
        read_lstr(&r);
    next = group.lsn - n + 1;
    if (wal_group_each(&group, &raw, member, &next, &err))
        ensure(next == group.lsn + 1);
    else
        ensure(err.code == ERR_CORRUPT);
    buf_fini(&raw);
}

static void try_file(const uint8_t *data, size_t size)
{
    struct frame_scan scan = {
        .path = "fuzz", .magic = "LWAL", .version = 3, .each = each, .ctx = &size};
    struct err err;
    size_t end = 0;
    if (frames_scan(slice_of(data, size), &scan, &end, &err))
        ensure(end >= FRAME_FILE_HEADER && end <= size);
    else
        ensure(err.code == ERR_CORRUPT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = xmalloc(size ? size : 1);
    group_any(data, size);
    try_file(data, size);
    if (size)
        memcpy(copy, data, size);
    frames_repair(copy, size);
    try_file(copy, size);
    free(copy);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return frames_mutate(data, size, max, seed);
}
