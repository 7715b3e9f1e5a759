/* Files of frames: whatever the bytes, an error or frames that lie inside the file. */
#include <stddef.h>
#include <stdint.h>

#include "base/ensure.h"
#include "store/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool each(void *ctx, const struct frame *frame, struct slice payload, struct err *err)
{
    size_t size = *(size_t *)ctx;
    (void)err;
    ensure(frame->at >= FRAME_FILE_HEADER && frame->at < size);
    ensure(payload.len <= FRAME_PAYLOAD_MAX);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_scan scan = {
        .path = "fuzz", .magic = "LWAL", .version = 1, .each = each, .ctx = &size};
    struct err err;
    size_t end = 0;
    if (frames_scan(slice_of(data, size), &scan, &end, &err))
        ensure(end >= FRAME_FILE_HEADER && end <= size);
    else
        ensure(err.code == ERR_CORRUPT);
    return 0;
}
