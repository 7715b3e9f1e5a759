#include "store/segment/chunk_hist.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/double_bits.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment.h"
#include "store/segment/hist_layout.h"
#include "store/segment/stream.h"

enum { HAS_STARTS = 1 };

/* How the histograms of a layout are stored. Buckets that a histogram does not have count 0 in
 * their stream; which of the zeros are buckets is said by EVERY, by PRESENCE, or is none of them. A
 * NaN is never left out: which one a sum of other things is depends on the processor. */
enum {
    WHOLE = 1,    /* counts of buckets and zero buckets are integers, else bits of doubles */
    SUMMED = 2,   /* the count is the sum of zero bucket and buckets, and is left out */
    EVERY = 4,    /* every histogram has every bucket */
    PRESENCE = 8, /* a bit per histogram and bucket says which it has */
    HOW_END = 16,
};

#define WHOLE_MAX 9007199254740992.0 /* 2^53 */

static bool is_whole(double v)
{
    return fabs(v) < WHOLE_MAX && v == (double)(int64_t)v && (v != 0 || !signbit(v));
}

/* Adds in the order in which both sides do. */
static double count_of(const struct hist *h)
{
    double sum = h->zero_count;
    for (uint32_t i = 0; i < h->n_positive; i++)
        sum += h->positive[i].count;
    for (uint32_t i = 0; i < h->n_negative; i++)
        sum += h->negative[i].count;
    return sum;
}

/* ---- encoding ---- */

/* *of: the layout of each histogram; NULL: nobody asks. */
static size_t add_cells(
    struct hist_layouts *layouts, const struct columns *c, size_t from, size_t max, uint32_t *of)
{
    uint32_t layout = 0;
    size_t n = 0;
    for (; n < max; n++) {
        const struct hist *h = c->hist[from + n];
        if (h && !layouts_add(layouts, h, &layout))
            break;
        if (of)
            of[n] = layout;
    }
    return n;
}

size_t chunk_hist_cells(const struct columns *columns, size_t from, size_t max)
{
    struct hist_layouts layouts = {0};
    size_t n = add_cells(&layouts, columns, from, max, NULL);
    layouts_fini(&layouts);
    return n;
}

/* The histograms of one layout, and their counts by column: positive keys, then negative ones. */
struct gathered {
    const struct hist_layout *layout;
    const struct hist **hist;
    uint32_t n, n_keys;
    int64_t *counts;   /* [key][histogram] */
    uint8_t *presence; /* a bit for each of counts */
    unsigned how;
};

static unsigned how_of(const struct gathered *g)
{
    unsigned how = WHOLE | SUMMED | EVERY;
    bool zeros = false;
    for (uint32_t i = 0; i < g->n; i++) {
        const struct hist *h = g->hist[i];
        if (isnan(h->count) || double_bits(count_of(h)) != double_bits(h->count))
            how &= ~(unsigned)SUMMED;
        if (h->n_positive + h->n_negative != g->n_keys)
            how &= ~(unsigned)EVERY;
        bool whole = is_whole(h->zero_count);
        for (uint32_t k = 0; k < h->n_positive; k++) {
            whole = whole && is_whole(h->positive[k].count);
            zeros |= double_bits(h->positive[k].count) == 0;
        }
        for (uint32_t k = 0; k < h->n_negative; k++) {
            whole = whole && is_whole(h->negative[k].count);
            zeros |= double_bits(h->negative[k].count) == 0;
        }
        if (!whole)
            how &= ~(unsigned)WHOLE;
    }
    return zeros && !(how & EVERY) ? how | PRESENCE : how;
}

static int64_t word_of(const struct gathered *g, double count)
{
    return g->how & WHOLE ? (int64_t)count : (int64_t)double_bits(count);
}

static void fill_counts(struct gathered *g, uint32_t i, const struct key_set *keys, uint32_t first,
    const struct hist_fbucket *b, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        size_t at = (size_t)(first + key_place(keys, b[k].index)) * g->n + i;
        g->counts[at] = word_of(g, b[k].count);
        g->presence[at / 8] |= (uint8_t)(1 << at % 8);
    }
}

typedef int64_t part_f(const struct gathered *g, const struct hist *h);

static int64_t hint_part(const struct gathered *g, const struct hist *h)
{
    (void)g;
    return h->reset_hint;
}

static int64_t count_part(const struct gathered *g, const struct hist *h)
{
    (void)g;
    return (int64_t)double_bits(h->count);
}

static int64_t sum_part(const struct gathered *g, const struct hist *h)
{
    (void)g;
    return (int64_t)double_bits(h->sum);
}

static int64_t zero_part(const struct gathered *g, const struct hist *h)
{
    return word_of(g, h->zero_count);
}

static void put_part(const struct gathered *g, part_f *part, bool doubles, struct buf *out)
{
    int64_t words[CHUNK_CELLS_MAX];
    for (uint32_t i = 0; i < g->n; i++)
        words[i] = part(g, g->hist[i]);
    stream_put(out, words, g->n, doubles);
}

static void put_gathered(struct gathered *g, struct buf *out)
{
    const struct hist_layout *l = g->layout;
    size_t total = (size_t)g->n_keys * g->n;
    g->counts = xcalloc(total + 1, sizeof *g->counts);
    g->presence = xcalloc(total / 8 + 1, 1);
    g->how = how_of(g);
    for (uint32_t i = 0; i < g->n; i++) {
        const struct hist *h = g->hist[i];
        fill_counts(g, i, &l->positive, 0, h->positive, h->n_positive);
        fill_counts(g, i, &l->negative, l->positive.n, h->negative, h->n_negative);
    }
    buf_u8(out, (uint8_t)g->how);
    put_part(g, hint_part, false, out);
    if (!(g->how & SUMMED))
        put_part(g, count_part, true, out);
    put_part(g, sum_part, true, out);
    put_part(g, zero_part, !(g->how & WHOLE), out);
    for (uint32_t k = 0; k < g->n_keys; k++)
        stream_put(out, g->counts + (size_t)k * g->n, g->n, !(g->how & WHOLE));
    if (g->how & PRESENCE)
        buf_add(out, g->presence, (total + 7) / 8);
    free(g->counts);
    free(g->presence);
}

/* Which layout each sample has, and the floats among them. */
static void put_kinds(
    const struct columns *c, size_t from, size_t n, const uint32_t *of, struct buf *out)
{
    int64_t kinds[CHUNK_CELLS_MAX], bits[CHUNK_CELLS_MAX];
    size_t floats = 0;
    for (size_t i = 0; i < n; i++) {
        const struct hist *h = c->hist[from + i];
        kinds[i] = h ? of[i] + INT64_C(1) : 0;
        if (!h)
            bits[floats++] = (int64_t)c->bits[from + i];
    }
    stream_put(out, kinds, n, false);
    if (floats)
        stream_put(out, bits, floats, true);
}

static bool has_starts(const struct columns *c, size_t from, size_t n)
{
    for (size_t i = 0; c->start && i < n; i++)
        if (c->start[from + i])
            return true;
    return false;
}

void chunk_hist_encode(const struct columns *columns, size_t from, size_t n, struct buf *out)
{
    const struct columns *c = columns;
    struct hist_layouts layouts = {0};
    const struct hist *hist[CHUNK_CELLS_MAX];
    uint32_t of[CHUNK_CELLS_MAX];
    bool starts = has_starts(c, from, n);
    ensure(n <= CHUNK_CELLS_MAX && add_cells(&layouts, c, from, n, of) == n);
    buf_u8(out, starts ? HAS_STARTS : 0);
    layouts_put(&layouts, out);
    put_kinds(c, from, n, of, out);
    if (starts)
        stream_put(out, c->start + from, n, false);
    for (uint32_t l = 0; l < layouts.n; l++) {
        struct gathered g = {.layout = &layouts.items[l], .hist = hist};
        for (size_t i = 0; i < n; i++)
            if (c->hist[from + i] && of[i] == l)
                hist[g.n++] = c->hist[from + i];
        g.n_keys = g.layout->positive.n + g.layout->negative.n;
        put_gathered(&g, out);
    }
    layouts_fini(&layouts);
}

/* ---- decoding ---- */

struct decoder {
    struct reader *in;
    size_t n;
    const struct place *place;
    struct arena *arena;
    struct columns *out;
    struct err *err;
    int64_t kinds[CHUNK_CELLS_MAX];
};

static bool bad(const struct decoder *d, const char *what)
{
    return place_corrupt(d->place, d->err, "%s of a chunk with histograms", what);
}

static bool no_memory(const struct decoder *d)
{
    return err_set(d->err, ERR_LIMIT, "memory of the query is used up while reading a chunk");
}

static bool get_kinds(struct decoder *d, struct hist_layouts *layouts)
{
    int64_t bits[CHUNK_CELLS_MAX];
    size_t floats = 0;
    uint64_t counts = 0;
    if (!stream_get(d->in, d->n, d->kinds, d->place, d->err))
        return false;
    for (size_t i = 0; i < d->n; i++) {
        if (d->kinds[i] < 0 || d->kinds[i] > layouts->n)
            return bad(d, "a layout");
        if (d->kinds[i])
            layouts->items[d->kinds[i] - 1].n++;
        else
            floats++;
    }
    for (uint32_t l = 0; l < layouts->n; l++) {
        const struct hist_layout *layout = &layouts->items[l];
        counts += (uint64_t)layout->n * (layout->positive.n + layout->negative.n);
        if (layout->n == 0 || counts > LAYOUT_COUNTS_MAX)
            return bad(d, "the size");
    }
    if (floats && !stream_get(d->in, floats, bits, d->place, d->err))
        return false;
    for (size_t i = 0, f = 0; i < d->n; i++)
        d->out->bits[i] = d->kinds[i] ? 0 : (uint64_t)bits[f++];
    return true;
}

/* What the streams of one layout hold. */
struct parts {
    unsigned how;
    int64_t *hints, *counts, *sums, *zeros, *buckets;
    const uint8_t *presence;
};

static bool get_parts(struct decoder *d, const struct hist_layout *l, struct parts *p)
{
    size_t n_keys = l->positive.n + l->negative.n, total = n_keys * l->n;
    p->how = read_u8(d->in);
    if (d->in->failed || p->how >= HOW_END)
        return bad(d, "the form");
    p->hints = xreallocarray(NULL, 4 * (size_t)l->n + total, sizeof *p->hints);
    p->counts = p->hints + l->n;
    p->sums = p->counts + l->n;
    p->zeros = p->sums + l->n;
    p->buckets = p->zeros + l->n;
    if (!stream_get(d->in, l->n, p->hints, d->place, d->err) ||
        (!(p->how & SUMMED) && !stream_get(d->in, l->n, p->counts, d->place, d->err)) ||
        !stream_get(d->in, l->n, p->sums, d->place, d->err) ||
        !stream_get(d->in, l->n, p->zeros, d->place, d->err))
        return false;
    for (size_t k = 0; k < n_keys; k++)
        if (!stream_get(d->in, l->n, p->buckets + k * l->n, d->place, d->err))
            return false;
    if (p->how & PRESENCE)
        p->presence = (const uint8_t *)read_bytes(d->in, (total + 7) / 8).ptr;
    for (uint32_t i = 0; i < l->n; i++)
        if (p->hints[i] < HIST_RESET_UNKNOWN || p->hints[i] > HIST_GAUGE)
            return bad(d, "a reset hint");
    return !d->in->failed || bad(d, "the presence of buckets");
}

static double count_at(const struct parts *p, int64_t word)
{
    return p->how & WHOLE ? (double)word : bits_double((uint64_t)word);
}

/* The buckets of histogram i of its layout with keys from `first` on, those that it has. */
static bool make_buckets(struct decoder *d, const struct hist_layout *l, const struct parts *p,
    const struct key_set *keys, uint32_t first, uint32_t i, const struct hist_fbucket **out,
    uint32_t *n)
{
    struct hist_fbucket *b = arena_array(d->arena, keys->n, sizeof *b);
    *out = b;
    *n = 0;
    for (uint32_t k = 0; b && k < keys->n; k++) {
        size_t at = (size_t)(first + k) * l->n + i;
        bool has = p->how & EVERY      ? true
                   : p->how & PRESENCE ? p->presence[at / 8] >> at % 8 & 1
                                       : p->buckets[at] != 0;
        if (has)
            b[(*n)++] = (struct hist_fbucket){keys->key[k], count_at(p, p->buckets[at])};
    }
    return b != NULL;
}

static bool make_hist(struct decoder *d, const struct hist_layout *l, const struct parts *p,
    const double *bounds, uint32_t i, const struct hist **out)
{
    struct hist *h = arena_alloc(d->arena, sizeof *h);
    if (!h)
        return no_memory(d);
    *h = (struct hist){.schema = l->schema,
        .reset_hint = (enum hist_reset_hint)p->hints[i],
        .zero_threshold = bits_double(l->threshold),
        .zero_count = count_at(p, p->zeros[i]),
        .sum = bits_double((uint64_t)p->sums[i]),
        .n_bounds = l->n_bounds,
        .bounds = l->n_bounds ? bounds : NULL};
    if (!make_buckets(d, l, p, &l->positive, 0, i, &h->positive, &h->n_positive) ||
        !make_buckets(d, l, p, &l->negative, l->positive.n, i, &h->negative, &h->n_negative))
        return no_memory(d);
    h->count = p->how & SUMMED ? count_of(h) : bits_double((uint64_t)p->counts[i]);
    *out = h;
    return true;
}

static bool get_layout(struct decoder *d, const struct hist_layout *l, int64_t number)
{
    struct parts parts = {0};
    double *bounds = arena_array(d->arena, l->n_bounds, sizeof *bounds);
    uint32_t at = 0;
    if (!bounds)
        return no_memory(d);
    if (l->n_bounds)
        memcpy(bounds, l->bounds, l->n_bounds * sizeof *bounds);
    bool ok = get_parts(d, l, &parts);
    for (size_t i = 0; ok && i < d->n; i++)
        if (d->kinds[i] == number)
            ok = make_hist(d, l, &parts, bounds, at++, &d->out->hist[i]);
    free(parts.hints);
    return ok;
}

bool chunk_hist_decode(struct reader *in, size_t n, const struct place *place, struct arena *arena,
    struct columns *out, struct err *err)
{
    struct decoder d = {.in = in, .n = n, .place = place, .arena = arena, .out = out, .err = err};
    struct hist_layouts layouts = {0};
    unsigned flags = read_u8(in);
    ensure(n <= CHUNK_CELLS_MAX);
    bool ok = columns_alloc(arena, KIND_SAMPLE, n, 0, true, out) &&
              (!(flags & HAS_STARTS) || columns_alloc_start(arena, out));
    if (!ok)
        return no_memory(&d);
    ok = (flags <= HAS_STARTS && layouts_get(&layouts, in)) || bad(&d, "layouts");
    ok = ok && get_kinds(&d, &layouts) &&
         (!(flags & HAS_STARTS) || stream_get(in, n, out->start, place, err));
    for (uint32_t l = 0; ok && l < layouts.n; l++)
        ok = get_layout(&d, &layouts.items[l], (int64_t)l + 1);
    layouts_fini(&layouts);
    return ok;
}
