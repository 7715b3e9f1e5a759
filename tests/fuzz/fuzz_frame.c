/* Files of frames: whatever the bytes, an error or frames that lie inside the file, whose payloads
 * unpack and whose fronts are bounded. */
#include <stddef.h>
#include <stdint.h>

#include "base/ensure.h"
#include "store/frame.h"
#include "store/touched.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_scan scan = {
        .path = "fuzz", .magic = "LWAL", .version = 2, .each = each, .ctx = &size};
    struct err err;
    size_t end = 0;
    if (frames_scan(slice_of(data, size), &scan, &end, &err))
        ensure(end >= FRAME_FILE_HEADER && end <= size);
    else
        ensure(err.code == ERR_CORRUPT);
    return 0;
}
