#include "ingest/partition.h"

#include <string.h>

#include "base/bytes.h"

/*
 * Stored: the tally's numbers, each a varint, then sections, each a varint that says what it is and
 * a text with its length. Sections that are not known are passed over.
 */
#define SECTION_MARKS  1
#define SECTION_STREAM 2

static void tally_encode(const struct tally *tally, struct buf *out)
{
    buf_varint(out, tally->accepted);
    buf_varint(out, tally->tombstones);
    buf_varint(out, tally->bytes);
    for (int i = 1; i < REFUSALS; i++)
        buf_varint(out, tally->refused[i]);
    buf_varint(out, tally->duplicates);
    buf_varint(out, tally->conflicts);
}

void partition_encode(const struct partition *partition, struct slice stream, struct buf *out)
{
    struct buf marks;
    tally_encode(&partition->tally, out);
    buf_init(&marks, 0);
    marks_encode(&partition->marks, &marks);
    buf_varint(out, SECTION_MARKS);
    buf_lstr(out, buf_view(&marks));
    buf_fini(&marks);
    buf_varint(out, SECTION_STREAM);
    buf_lstr(out, stream);
}

static void tally_decode(struct reader *r, struct tally *out)
{
    *out = (struct tally){0};
    out->accepted = read_varint(r);
    out->tombstones = read_varint(r);
    out->bytes = read_varint(r);
    for (int i = 1; i < REFUSALS; i++)
        out->refused[i] = read_varint(r);
    if (reader_left(r) > 0) { /* what earlier versions did not count */
        out->duplicates = read_varint(r);
        out->conflicts = read_varint(r);
    }
}

bool partition_decode(struct slice state, struct partition *out)
{
    struct reader r = reader_of(state);
    bool sound = true;
    tally_decode(&r, &out->tally);
    marks_init(&out->marks);
    while (!r.failed && reader_left(&r) > 0) {
        uint64_t section = read_varint(&r);
        struct slice text = read_lstr(&r);
        if (section == SECTION_MARKS && !r.failed)
            sound &= marks_decode(text, &out->marks);
    }
    return sound && !r.failed;
}

struct slice partition_stream(struct slice state)
{
    struct reader r = reader_of(state);
    struct tally tally;
    tally_decode(&r, &tally);
    while (!r.failed && reader_left(&r) > 0) {
        uint64_t section = read_varint(&r);
        struct slice text = read_lstr(&r);
        if (section == SECTION_STREAM && !r.failed)
            return text;
    }
    return SLICE("");
}

/* More digits are no number of a partition. */
#define NUMBER_DIGITS 6

bool partition_name_split(struct slice name, struct slice *topic, int32_t *id)
{
    const char *slash = name.len ? memchr(name.ptr, '/', name.len) : NULL;
    size_t digits = slash ? name.len - (size_t)(slash - name.ptr) - 1 : 0;
    if (digits == 0 || digits > NUMBER_DIGITS || slash == name.ptr)
        return false;
    *id = 0;
    for (size_t i = 1; i <= digits; i++) {
        if (slash[i] < '0' || slash[i] > '9')
            return false;
        *id = 10 * *id + (slash[i] - '0');
    }
    *topic = slice_of(name.ptr, (size_t)(slash - name.ptr));
    return true;
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
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const struct partition *p = partitions[i];
        bool at_end = p->caught_up && !p->halted;
        if (p->marks.given_up)
            continue;
        any = true;
        frontier = least(frontier, at_end ? p->caught_up_ms : p->newest_ms);
        if (at_end && p->caught_up_ms - p->quiet_ms >= idle_ms)
            idle = least(idle, p->caught_up_ms - bound_ms);
        else
            watermark =
                least(watermark, p->newest_ms == INT64_MIN ? INT64_MIN : p->newest_ms - bound_ms);
    }
    *frontier_ms = any ? frontier : INT64_MIN;
    *watermark_ms = !any ? INT64_MIN : watermark == INT64_MAX ? idle : watermark;
}
