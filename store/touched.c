#include "store/touched.h"

#include <string.h>

/* Takes the two ranges with the fewest blocks between them together. */
static void join_nearest(struct touched *t)
{
    size_t best = 1;
    uint64_t least = UINT64_MAX;
    for (size_t i = 1; i < t->n; i++) {
        uint64_t gap = (uint64_t)t->ranges[i].first - (uint64_t)t->ranges[i - 1].last;
        if (gap < least) {
            least = gap;
            best = i;
        }
    }
    t->ranges[best - 1].last = t->ranges[best].last;
    memmove(&t->ranges[best], &t->ranges[best + 1], (t->n - best - 1) * sizeof *t->ranges);
    t->n--;
}

/* Whether a range that ends at `last` reaches one that begins at `first`, or the block before. */
static bool reaches(int64_t last, int64_t first)
{
    return last >= first || (uint64_t)first - (uint64_t)last == 1;
}

void touched_add(struct touched *touched, struct block_range range)
{
    struct touched *t = touched;
    size_t at = 0, end;
    while (at < t->n && !reaches(t->ranges[at].last, range.first))
        at++;
    for (end = at; end < t->n && reaches(range.last, t->ranges[end].first); end++) {
        if (t->ranges[end].first < range.first)
            range.first = t->ranges[end].first;
        if (t->ranges[end].last > range.last)
            range.last = t->ranges[end].last;
    }
    memmove(&t->ranges[at + 1], &t->ranges[end], (t->n - end) * sizeof *t->ranges);
    t->n = t->n - (end - at) + 1;
    t->ranges[at] = range;
    if (t->n > TOUCHED_MAX)
        join_nearest(t);
}

/* Remembers the block that was seen last: cells come in runs. */
struct scan {
    struct touched *touched;
    int64_t block_ms, after, until;
    bool any;
};

static void see(struct scan *s, int64_t t)
{
    if (s->any && t > s->after && t <= s->until)
        return;
    int64_t block = block_of(t, s->block_ms);
    touched_add(s->touched, (struct block_range){block, block});
    /* At the ends of time the bounds do not fit; then every cell is looked at. */
    s->any = !__builtin_mul_overflow(block, s->block_ms, &s->after) &&
             !__builtin_add_overflow(s->after, s->block_ms, &s->until);
}

void touched_of(struct touched *touched, const struct transaction *t, int64_t block_ms)
{
    struct scan s = {.touched = touched, .block_ms = block_ms};
    touched->n = 0;
    for (size_t i = 0; i < t->n_adds; i++)
        see(&s, t->adds[i].t);
    for (size_t i = 0; i < t->n_gauges; i++)
        see(&s, t->gauges[i].t);
    for (size_t i = 0; i < t->n_hists; i++)
        see(&s, t->hists[i].t);
    for (size_t i = 0; i < t->n_samples; i++)
        see(&s, t->samples[i].t);
}

void touched_encode(const struct touched *touched, struct buf *out)
{
    int64_t last = 0;
    buf_varint(out, touched->n);
    for (size_t i = 0; i < touched->n; i++) {
        const struct block_range *r = &touched->ranges[i];
        buf_svarint(out, (int64_t)((uint64_t)r->first - (uint64_t)last));
        buf_varint(out, (uint64_t)r->last - (uint64_t)r->first);
        last = r->last;
    }
}

bool touched_decode(struct reader *r, struct touched *out)
{
    *out = (struct touched){.n = 0};
    int64_t last = 0;
    uint64_t n = read_varint(r);
    if (n > TOUCHED_MAX)
        return false;
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        struct block_range b;
        b.first = (int64_t)((uint64_t)last + (uint64_t)read_svarint(r));
        b.last = (int64_t)((uint64_t)b.first + read_varint(r));
        if (b.last < b.first || (i && b.first <= last))
            return false;
        last = b.last;
        out->ranges[out->n++] = b;
    }
    return !r->failed;
}

void touched_merge(struct touched *touched, const struct touched *other)
{
    for (size_t i = 0; i < other->n; i++)
        touched_add(touched, other->ranges[i]);
}

bool touched_has(const struct touched *touched, struct block_range range)
{
    for (size_t i = 0; i < touched->n; i++)
        if (touched->ranges[i].first <= range.last && touched->ranges[i].last >= range.first)
            return true;
    return false;
}

bool touched_covers(const struct touched *touched, struct block_range range)
{
    for (size_t i = 0; i < touched->n; i++)
        if (touched->ranges[i].first <= range.first && touched->ranges[i].last >= range.last)
            return true;
    return false;
}
