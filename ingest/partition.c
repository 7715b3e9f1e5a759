#include "ingest/partition.h"

#include "base/bytes.h"

void tally_encode(const struct tally *tally, struct buf *out)
{
    buf_varint(out, tally->accepted);
    buf_varint(out, tally->tombstones);
    buf_varint(out, tally->bytes);
    for (int i = 1; i < REFUSALS; i++)
        buf_varint(out, tally->refused[i]);
    buf_varint(out, tally->duplicates);
    buf_varint(out, tally->conflicts);
}

bool tally_decode(struct slice state, struct tally *out)
{
    struct reader r = reader_of(state);
    *out = (struct tally){0};
    out->accepted = read_varint(&r);
    out->tombstones = read_varint(&r);
    out->bytes = read_varint(&r);
    for (int i = 1; i < REFUSALS; i++)
        out->refused[i] = read_varint(&r);
    if (reader_left(&r) > 0) { /* what earlier versions did not count */
        out->duplicates = read_varint(&r);
        out->conflicts = read_varint(&r);
    }
    return !r.failed;
}

void tally_add(struct tally *to, const struct tally *in)
{
    to->accepted += in->accepted;
    to->tombstones += in->tombstones;
    to->bytes += in->bytes;
    to->duplicates += in->duplicates;
    to->conflicts += in->conflicts;
    for (int i = 0; i < REFUSALS; i++)
        to->refused[i] += in->refused[i];
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void partitions_clocks(const struct partition *const *partitions, size_t n, int64_t bound_ms,
    int64_t idle_ms, int64_t *frontier_ms, int64_t *watermark_ms)
{
    int64_t frontier = INT64_MAX, watermark = INT64_MAX, idle = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct partition *p = partitions[i];
        bool at_end = p->caught_up && !p->halted;
        frontier = least(frontier, at_end ? p->caught_up_ms : p->newest_ms);
        if (at_end && p->caught_up_ms - p->quiet_ms >= idle_ms)
            idle = least(idle, p->caught_up_ms - bound_ms);
        else
            watermark =
                least(watermark, p->newest_ms == INT64_MIN ? INT64_MIN : p->newest_ms - bound_ms);
    }
    *frontier_ms = n ? frontier : INT64_MIN;
    *watermark_ms = n == 0 ? INT64_MIN : watermark == INT64_MAX ? idle : watermark;
}
