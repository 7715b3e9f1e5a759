#include "store/wal_file.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "store/wal_priv.h"

bool wal_is_zeros(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i])
            return false;
    return true;
}

void wal_group_encode(const struct slice *payloads, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++)
        buf_lstr(out, payloads[i]);
}

/* How many transactions the payload of a group holds; 0: it is none. */
static uint64_t group_size(struct slice payload)
{
    struct reader r = reader_of(payload);
    uint64_t n = 0;
    for (; reader_left(&r) > 0; n++)
        if (read_lstr(&r).len == 0 || r.failed)
            return 0;
    return n;
}

bool wal_group_each(
    const struct frame *group, struct buf *raw, frame_f *each, void *ctx, struct err *err)
{
    struct slice payload;
    if (!frame_payload(group, raw, &payload, err))
        return false;
    uint64_t n = group_size(payload);
    if (n == 0 || n > group->lsn)
        return err_set(err, ERR_CORRUPT, "a group of transactions that makes no sense");
    struct reader r = reader_of(payload);
    bool ok = true;
    for (uint64_t i = 0; ok && i < n; i++) {
        struct slice body = read_lstr(&r);
        struct frame one = {.lsn = group->lsn - n + 1 + i,
            .type = FRAME_TRANSACTION,
            .at = group->at,
            .body = body,
            .raw_len = (uint32_t)body.len};
        ok = each(ctx, &one, err);
    }
    return ok;
}

/* A transaction of an expanded group: it is the next one, and the last is the frame's. */
static bool take_member(void *ctx, const struct frame *frame, struct err *err)
{
    struct wal_scan *s = ctx;
    if (frame->lsn != s->last_lsn + 1)
        return err_set(err, ERR_CORRUPT, "a group with lsn %" PRIu64 ", %" PRIu64 " was expected",
            frame->lsn, s->last_lsn + 1);
    s->last_lsn++;
    s->transactions++;
    return s->each(s->ctx, frame, err);
}

static bool take_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct wal_scan *s = ctx;
    if (frame->type == FRAME_DEFINITIONS && s->transactions == 0) {
        if (frame->lsn != s->last_lsn)
            return err_set(
                err, ERR_CORRUPT, "definitions as of lsn %" PRIu64 " were expected", s->last_lsn);
        return s->each(s->ctx, frame, err);
    }
    bool group = frame->type == FRAME_GROUP && frame->lsn > s->last_lsn &&
                 frame->lsn - s->last_lsn <= WAL_GROUP_MAX;
    if (!group && (frame->type != FRAME_TRANSACTION || frame->lsn != s->last_lsn + 1))
        return err_set(
            err, ERR_CORRUPT, "out of order, lsn %" PRIu64 " was expected", s->last_lsn + 1);
    if (group && s->expand)
        return wal_group_each(frame, &s->raw, take_member, s, err);
    s->transactions += frame->lsn - s->last_lsn;
    s->last_lsn = frame->lsn;
    return s->each(s->ctx, frame, err);
}

bool wal_scan(struct slice bytes, struct wal_scan *scan, struct err *err)
{
    struct frame_scan frames = {.path = scan->path,
        .magic = WAL_MAGIC,
        .version = WAL_VERSION,
        .each = take_frame,
        .ctx = scan};
    if (!frame_file_first(bytes, &frames, &scan->first_lsn, err))
        return false;
    if (scan->first_lsn == 0)
        return err_set(err, ERR_CORRUPT, "%s begins with lsn 0", scan->path);
    scan->transactions = 0;
    scan->last_lsn = scan->first_lsn - 1;
    buf_init(&scan->raw, 0);
    bool ok = frames_scan(bytes, &frames, &scan->end, err);
    buf_fini(&scan->raw);
    scan->clean = ok && wal_is_zeros(slice_of(bytes.ptr + scan->end, bytes.len - scan->end));
    return ok;
}
