/* Files of frames: whatever the bytes, an error or frames that lie inside the file, whose payloads
 * unpack and whose fronts are bounded. */
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "store/frame.h"
#include "store/touched.h"
#include "store/wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool each(void *ctx, const struct frame *frame, struct err *err)
{
    size_t size = *(size_t *)ctx;
    struct slice payload;
    struct touched touched;
    struct buf raw;
    ensure(frame->at >= FRAME_FILE_HEADER && frame->at < size);
    ensure(frame->front.len <= FRAME_FRONT_MAX && frame->body.len > 0);
    if (touched_decode(frame->front, &touched))
        ensure(touched.n <= TOUCHED_MAX);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_scan scan = {
        .path = "fuzz", .magic = "LWAL", .version = 3, .each = each, .ctx = &size};
    struct err err;
    size_t end = 0;
    group_any(data, size);
    if (frames_scan(slice_of(data, size), &scan, &end, &err))
        ensure(end >= FRAME_FILE_HEADER && end <= size);
    else
        ensure(err.code == ERR_CORRUPT);
    return 0;
}
