/*
 * Cells as log files of version 1 have them: read, and never written any more. See cell_code.h for
 * today's.
 */
#include "store/old_cells.h"

#include "base/mem.h"
#include "store/bounds.h"
#include "store/cell_bytes.h"

/* Series and time are differences to the cell before. */
struct at {
    uint32_t series;
    int64_t t;
};

static void read_at(struct reader *r, struct at *last)
{
    int64_t series = wrap_add(last->series, read_svarint(r));
    if (series < 0 || series > UINT32_MAX)
        r->failed = true;
    last->series = (uint32_t)series;
    last->t = (int64_t)((uint64_t)last->t + (uint64_t)read_svarint(r));
    if (!time_fits(last->t))
        r->failed = true;
}

void old_cells_decode_adds(struct reader *r, struct transaction *t, uint64_t n)
{
    struct at at = {0, 0};
    GROW(t->adds, t->adds_cap, t->n_adds + n);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        read_at(r, &at);
        int128 amount = int128_of(r);
        if (!sum_fits(amount))
            r->failed = true;
        t->adds[t->n_adds++] = (struct add_cell){at.series, at.t, amount};
    }
}

void old_cells_decode_gauges(struct reader *r, struct transaction *t, uint64_t n)
{
    struct at at = {0, 0};
    GROW(t->gauges, t->gauges_cap, t->n_gauges + n);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        struct gauge_cell c;
        read_at(r, &at);
        c.last = read_svarint(r);
        c.last_ms = read_svarint(r);
        c.min = read_svarint(r);
        c.max = read_svarint(r);
        c.count = read_svarint(r);
        c.sum = int128_of(r);
        if (!gauge_cell_check(&c, NULL))
            r->failed = true;
        t->gauges[t->n_gauges++] = (struct gauge_entry){at.series, at.t, c};
    }
}

static void read_buckets(struct reader *r, struct transaction *t, uint64_t n)
{
    if (n > reader_left(r) / 2 || t->n_buckets + n > UINT32_MAX) {
        r->failed = true;
        return;
    }
    GROW(t->buckets, t->buckets_cap, t->n_buckets + n);
    int64_t last = INT64_MIN;
    for (uint64_t k = 0; k < n && !r->failed; k++) {
        int64_t key = read_svarint(r);
        int64_t count = read_svarint(r);
        if (key <= last || key < INT32_MIN || key > INT32_MAX || !hist_key_fits((int32_t)key) ||
            count == 0 || !count_fits(count))
            r->failed = true;
        last = key;
        t->buckets[t->n_buckets++] = (struct hist_bucket){(int32_t)key, count};
    }
}

void old_cells_decode_hists(struct reader *r, struct transaction *t, uint64_t n)
{
    struct at at = {0, 0};
    GROW(t->hists, t->hists_cap, t->n_hists + n);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        struct hist_entry h;
        read_at(r, &at);
        h.series = at.series;
        h.t = at.t;
        h.sum = int128_of(r);
        if (!sum_fits(h.sum))
            r->failed = true;
        h.first = (uint32_t)t->n_buckets;
        uint64_t n_buckets = read_varint(r);
        read_buckets(r, t, n_buckets);
        h.n = (uint32_t)(t->n_buckets - h.first);
        t->hists[t->n_hists++] = h;
    }
}

void old_cells_decode_samples(struct reader *r, struct transaction *t, uint64_t n)
{
    struct at at = {0, 0};
    GROW(t->samples, t->samples_cap, t->n_samples + n);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        read_at(r, &at);
        t->samples[t->n_samples++] = (struct sample_entry){at.series, at.t, 0, read_le64(r), NULL};
    }
}
