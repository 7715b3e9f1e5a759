#include "store/cell_code.h"

#include "base/ensure.h"
#include "base/mem.h"
#include "store/bounds.h"
#include "store/cell_bytes.h"

/* Cells between two looks at the room that is left. */
#define STRIDE 256

/* Room for `bytes`; the caller writes from the pointer and ends with wrote(). */
static uint8_t *room(struct buf *out, size_t bytes)
{
    uint8_t *p = (uint8_t *)buf_reserve(out, bytes);
    ensure(p != NULL); /* encoders write to buffers without a limit */
    return p;
}

static void wrote(struct buf *out, const uint8_t *end)
{
    out->len = (size_t)((const char *)end - out->ptr);
}

/* ---- counters and levels ---- */

/* Amounts of -1 and 1..12 need no byte of their own. */
enum { ADD_SMALL = 0, ADD_WIDE = 1, ADD_SAME = 2, ADD_MINUS_ONE = 3, ADD_ONE = 4 };
#define ADD_INLINE 12

static unsigned add_form(int128 amount, int128 before)
{
    if (amount >= 1 && amount <= ADD_INLINE)
        return ADD_ONE + (unsigned)amount - 1;
    if (amount == -1)
        return ADD_MINUS_ONE;
    if (amount == before)
        return ADD_SAME;
    return amount == (int64_t)amount ? ADD_SMALL : ADD_WIDE;
}

void cells_encode_adds(const struct transaction *t, struct buf *out)
{
    struct front front = FRONT_START;
    int128 before = 0;
    for (size_t i = 0; i < t->n_adds;) {
        size_t end = t->n_adds - i < STRIDE ? t->n_adds : i + STRIDE;
        uint8_t *p = room(out, STRIDE * (FRONT_MAX + INT128_BYTES));
        for (; i < end; i++) {
            const struct add_cell *a = &t->adds[i];
            unsigned form = add_form(a->amount, before);
            p = front_at(p, &front, a->series, a->t, form);
            if (form == ADD_SMALL)
                p = svarint_at(p, (int64_t)a->amount);
            else if (form == ADD_WIDE)
                p = int128_at(p, a->amount);
            before = a->amount;
        }
        wrote(out, p);
    }
}

void cells_decode_adds(struct reader *r, struct transaction *t, uint64_t n)
{
    struct front front = FRONT_START;
    int128 amount = 0;
    GROW(t->adds, t->adds_cap, t->n_adds + n);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        unsigned form = front_of(r, &front);
        switch (form) {
        case ADD_SMALL: amount = svarint_of(r); break;
        case ADD_WIDE: amount = int128_of(r); break;
        case ADD_SAME: break;
        case ADD_MINUS_ONE: amount = -1; break;
        default: amount = (int128)form - ADD_ONE + 1; break;
        }
        if (!sum_fits(amount))
            r->failed = true;
        t->adds[t->n_adds++] = (struct add_cell){(uint32_t)front.series, front.t, amount};
    }
}

/* ---- gauges ---- */

enum { GAUGE_FULL = 0, GAUGE_ONE = 1 }; /* one: a single reading */

static bool is_single(const struct gauge_cell *c)
{
    return c->count == 1 && c->min == c->last && c->max == c->last && c->sum == c->last;
}

void cells_encode_gauges(const struct transaction *t, struct buf *out)
{
    struct front front = FRONT_START;
    for (size_t i = 0; i < t->n_gauges; i++) {
        const struct gauge_entry *g = &t->gauges[i];
        const struct gauge_cell *c = &g->cell;
        bool single = is_single(c);
        uint8_t *p = room(out, FRONT_MAX + 5 * VARINT_MAX + INT128_BYTES);
        p = front_at(p, &front, g->series, g->t, single ? GAUGE_ONE : GAUGE_FULL);
        p = svarint_at(p, c->last);
        p = svarint_at(p, wrap_sub(g->t, c->last_ms));
        if (!single) {
            p = svarint_at(p, wrap_sub(c->last, c->min));
            p = svarint_at(p, wrap_sub(c->max, c->last));
            p = varint_at(p, (uint64_t)c->count);
            p = int128_at(p, c->sum);
        }
        wrote(out, p);
    }
}

void cells_decode_gauges(struct reader *r, struct transaction *t, uint64_t n)
{
    struct front front = FRONT_START;
    GROW(t->gauges, t->gauges_cap, t->n_gauges + n);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        unsigned form = front_of(r, &front);
        struct gauge_cell c = {.count = 1};
        c.last = svarint_of(r);
        c.last_ms = wrap_sub(front.t, svarint_of(r));
        c.min = c.max = c.last;
        c.sum = c.last;
        if (form == GAUGE_FULL) {
            c.min = wrap_sub(c.last, svarint_of(r));
            c.max = wrap_add(c.last, svarint_of(r));
            c.count = (int64_t)varint_of(r);
            c.sum = int128_of(r);
        }
        if (form > GAUGE_ONE || !gauge_cell_check(&c, NULL))
            r->failed = true;
        t->gauges[t->n_gauges++] = (struct gauge_entry){(uint32_t)front.series, front.t, c};
    }
}

/* ---- histograms of windows ---- */

void cells_encode_hists(const struct transaction *t, struct buf *out)
{
    struct front front = FRONT_START;
    for (size_t i = 0; i < t->n_hists; i++) {
        const struct hist_entry *h = &t->hists[i];
        const struct hist_bucket *b = h->n ? t->buckets + h->first : NULL;
        uint8_t *p =
            room(out, FRONT_MAX + INT128_BYTES + VARINT_MAX + (size_t)h->n * 2 * VARINT_MAX);
        p = front_at(p, &front, h->series, h->t, 0);
        p = int128_at(p, h->sum);
        p = varint_at(p, h->n);
        for (uint32_t k = 0; k < h->n; k++) {
            /* Keys ascend: what lies between two of them is not negative. */
            p = k ? varint_at(p, (uint64_t)((int64_t)b[k].key - b[k - 1].key - 1))
                  : svarint_at(p, b[k].key);
            p = svarint_at(p, b[k].count);
        }
        wrote(out, p);
    }
}

static void decode_buckets(struct reader *r, struct transaction *t, uint64_t n)
{
    int64_t key = 0;
    if (n > reader_left(r) / 2 || t->n_buckets + n > UINT32_MAX) {
        r->failed = true;
        return;
    }
    GROW(t->buckets, t->buckets_cap, t->n_buckets + n);
    for (uint64_t k = 0; k < n && !r->failed; k++) {
        if (k) {
            uint64_t between = varint_of(r);
            key = between > UINT32_MAX ? INT64_MAX : key + 1 + (int64_t)between;
        } else {
            key = svarint_of(r);
        }
        int64_t count = svarint_of(r);
        if (key < INT32_MIN || key > INT32_MAX || !hist_key_fits((int32_t)key) || count == 0 ||
            !count_fits(count)) {
            r->failed = true;
            return;
        }
        t->buckets[t->n_buckets++] = (struct hist_bucket){(int32_t)key, count};
    }
}

void cells_decode_hists(struct reader *r, struct transaction *t, uint64_t n)
{
    struct front front = FRONT_START;
    GROW(t->hists, t->hists_cap, t->n_hists + n);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        struct hist_entry h = {.first = (uint32_t)t->n_buckets};
        if (front_of(r, &front) != 0)
            r->failed = true;
        h.series = (uint32_t)front.series;
        h.t = front.t;
        h.sum = int128_of(r);
        if (!sum_fits(h.sum))
            r->failed = true;
        decode_buckets(r, t, varint_of(r));
        h.n = (uint32_t)(t->n_buckets - h.first);
        t->hists[t->n_hists++] = h;
    }
}
