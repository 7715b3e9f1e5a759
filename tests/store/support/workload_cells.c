/* The cells of a workload, of every kind. See workload.h. */
#include <stdio.h>

#include "base/double_bits.h"
#include "base/ensure.h"
#include "tests/store/support/workload.h"

/* Schema 3 and three digits, one metric with windows of 20 minutes, two that have cells of a
 * minute, one that is a `le` family. */
const struct metric_def workload_defs[WORKLOAD_METRICS] = {
    {.name = {"orders_total", 12},
        .kind = KIND_COUNTER,
        .every_ms = WORKLOAD_EVERY,
        .stale_after_ms = 3600000,
        .clock = {"orders", 6},
        .help = {"Orders.", 7}},
    {.name = {"money_total", 11},
        .kind = KIND_COUNTER,
        .digits = 2,
        .every_ms = 4 * WORKLOAD_EVERY,
        .stale_after_ms = 3600000,
        .clock = {"orders", 6},
        .unit = {"euros", 5}},
    {.name = {"orders_open", 11},
        .kind = KIND_LEVEL,
        .every_ms = WORKLOAD_EVERY,
        .stale_after_ms = 3600000,
        .clock = {"orders", 6}},
    {.name = {"seconds", 7},
        .kind = KIND_HISTOGRAM,
        .digits = 3,
        .schema = 3,
        .every_ms = WORKLOAD_EVERY,
        .stale_after_ms = 3600000,
        .clock = {"orders", 6}},
    {.name = {"celsius", 7},
        .kind = KIND_GAUGE,
        .digits = 1,
        .every_ms = WORKLOAD_EVERY,
        .stale_after_ms = 3600000,
        .clock = {"fridges", 7}},
    {.name = {"up", 2}, .kind = KIND_SAMPLE, .stale_after_ms = 300000},
    {.name = {WORKLOAD_BUCKETS, 8}, .kind = KIND_SAMPLE, .stale_after_ms = 300000},
    {.name = {"ticks_total", 11}, .kind = KIND_COUNTER, .every_ms = 20000},
    {.name = {"ticks_open", 10}, .kind = KIND_LEVEL, .every_ms = 20000},
};

static const char *const bounds[] = {"0.1", "1", "10", "+Inf"};

/* A cell that is to be written. */
struct place {
    size_t metric, slot;
    uint32_t number; /* of the series in its metric */
    uint32_t id;     /* in the transaction */
    int64_t t;
    const struct naive_cell *old;
};

/* The texts of labels live for good: models keep them. */
static struct slice number_text(uint32_t i)
{
    static char texts[WORKLOAD_WORDS][8];
    ensure(i < WORKLOAD_WORDS);
    if (!texts[i][0])
        snprintf(texts[i], sizeof texts[i], "n%u", i);
    return slice_from(texts[i]);
}

static struct labels labels_of(size_t metric, uint32_t i, struct label out[8])
{
    static const char *const cities[] = {"berlin", "paris", "rome"};
    size_t n = 0;
    out[n++] = (struct label){SLICE("__name__"), workload_defs[metric].name};
    if (i % 4 != 3)
        out[n++] = (struct label){SLICE("city"), slice_from(cities[i % 3])};
    if (slice_is(workload_defs[metric].name, WORKLOAD_BUCKETS)) {
        out[n++] = (struct label){SLICE("le"), slice_from(bounds[i % 4])};
        i /= 4;
    }
    out[n++] = (struct label){SLICE("series"), number_text(i)};
    return (struct labels){out, n};
}

/* The series' id in the transaction; only the model's slot is defined without one. */
static uint32_t define(struct workload *w, struct txn *txn, size_t metric, uint32_t i)
{
    struct metric_def def = workload_defs[metric];
    struct label items[8];
    struct labels labels = labels_of(metric, i, items);
    uint32_t id, series = 0;
    struct err err;
    if (w->new_help)
        def.help = SLICE("Described anew.");
    naive_define(w->naive, metric * w->series + i, &def, labels);
    if (txn)
        ensure(txn_metric(txn, &def, &id, &err) && txn_series(txn, id, labels, &series, &err));
    return series;
}

/* Mostly small; sometimes so large that sums need more than 64 bits. */
static int128 random_amount(struct workload *w)
{
    switch (workload_below(w, 80)) {
    case 0:
    case 1: return INT64_MAX;
    case 2: return (int128)INT64_MAX * (int64_t)workload_below(w, 1000);
    case 3: return INT64_MIN;
    case 4: return (int128)(int64_t)workload_bits(w) * (1 + workload_below(w, UINT32_MAX));
    default: return (int64_t)workload_below(w, 200) - 20;
    }
}

static void put_amount(struct workload *w, struct txn *txn, const struct place *p)
{
    /* Now and then the inverse of all that is there: the cell must vanish. */
    bool inverse = p->old && workload_below(w, 5) == 0;
    int128 v = inverse ? -p->old->amount : random_amount(w);
    w->wrote[WROTE_INVERSE] += inverse;
    naive_add(w->naive, p->slot, p->t, v);
    if (txn)
        txn_add(txn, p->id, p->t, v);
}

/* ---- histograms of windows ---- */

#define WINDOW_BUCKETS 64

static void random_window(struct workload *w, struct hist_cell *cell, struct hist_bucket *buckets)
{
    static const int32_t keys[] = {HIST_NEGATIVE(16383), HIST_NEGATIVE(40), HIST_NEGATIVE(2),
        HIST_NEGATIVE(-16383), HIST_ZERO, -16383, -3, 0, 1, 2, 3, 4, 5, 900, 16383};
    bool large = w->wide && workload_below(w, 40) == 0;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        bool extreme = k == 0 || k == 3 || k == 5 || k == 14;
        int64_t count = (int64_t)workload_below(w, 9) + 1;
        if (large)
            count = (int64_t)(workload_bits(w) >> 24) - (1 << 20);
        if (workload_below(w, extreme ? 60 : 3) == 0 && count)
            buckets[cell->n++] = (struct hist_bucket){keys[k], count};
    }
    cell->sum = random_amount(w);
}

static void put_histogram(struct workload *w, struct txn *txn, const struct place *p)
{
    struct hist_bucket buckets[WINDOW_BUCKETS];
    struct hist_cell cell = {0, 0, buckets};
    if (p->old && p->old->n_buckets <= WINDOW_BUCKETS && workload_below(w, 6) == 0) {
        cell.sum = -p->old->amount;
        for (; cell.n < p->old->n_buckets; cell.n++)
            buckets[cell.n] =
                (struct hist_bucket){p->old->buckets[cell.n].key, -p->old->buckets[cell.n].count};
        w->wrote[WROTE_INVERSE]++;
    } else {
        random_window(w, &cell, buckets);
    }
    naive_histogram(w->naive, p->slot, p->t, &cell);
    if (txn)
        txn_histogram(txn, p->id, p->t, &cell);
}

static void put_gauge(struct workload *w, struct txn *txn, const struct place *p)
{
    int64_t count = (int64_t)workload_below(w, 3) + 1;
    int64_t a = (int64_t)workload_below(w, 600) - 300, b = (int64_t)workload_below(w, 600) - 300;
    struct gauge_cell cell = {.last = a,
        .last_ms = p->t - (int64_t)workload_below(w, 4) * 1000,
        .min = a < b ? a : b,
        .max = a < b ? b : a,
        .sum = (int128)a * count,
        .count = count};
    if (workload_below(w, 50) == 0)
        cell.max = INT64_MAX;
    if (workload_below(w, 50) == 0) {
        cell.last = (int64_t)workload_bits(w);
        cell.min = INT64_MIN;
        cell.sum = random_amount(w) * 1000;
        cell.count = 1 + workload_below(w, 1000000);
    }
    naive_gauge(w->naive, p->slot, p->t, &cell);
    if (txn)
        txn_gauge(txn, p->id, p->t, &cell);
}

/* ---- samples ---- */

/* Both zeros, infinities, NaNs with payloads, the marker, the smallest and the largest. */
static double odd_double(struct workload *w)
{
    static const uint64_t odd[] = {STALE_BITS, 0x7ff8000000000001, 0xfff8000000000000,
        0x7ff0000000000001, 0xffffffffffffffff, 0xfff8000000abcdef, 0x8000000000000000, 0,
        0x7ff0000000000000, 0xfff0000000000000, 1, 0x7fefffffffffffff, 0x433fffffffffffff,
        0xc340000000000000};
    uint64_t bits =
        workload_below(w, 3) ? odd[workload_below(w, sizeof odd / sizeof *odd)] : workload_bits(w);
    return bits_double(bits);
}

static double random_count(struct workload *w)
{
    switch (workload_below(w, 40)) {
    case 0: return odd_double(w);
    case 1: return -(double)workload_below(w, 100);
    case 2: return (double)(int64_t)workload_bits(w);
    case 3: return workload_below(w, 1000) / 8.0;
    default: return workload_below(w, 20);
    }
}

#define SAMPLE_BUCKETS 200
#define SAMPLE_BOUNDS  8

struct random_hist {
    struct hist hist;
    struct hist_fbucket positive[SAMPLE_BUCKETS], negative[SAMPLE_BUCKETS];
    double bounds[SAMPLE_BOUNDS];
};

static uint32_t random_buckets(struct workload *w, int32_t at, uint32_t max, uint32_t gap,
    struct hist_fbucket *out, double *count)
{
    uint32_t n = workload_below(w, max + 1);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (struct hist_fbucket){at, random_count(w)};
        *count += out[i].count;
        at += 1 + (int32_t)(gap ? workload_below(w, gap) : 0);
    }
    return n;
}

/* Of custom bounds, or of any schema, as a rule near to each other. */
static void random_hist(struct workload *w, struct random_hist *r)
{
    struct hist *h = &r->hist;
    uint32_t max = w->wide && workload_below(w, 30) == 0 ? SAMPLE_BUCKETS : 5;
    uint32_t gap = workload_below(w, 4) == 0 ? 50 : 2;
    double count = 0;
    *h = (struct hist){.positive = r->positive, .negative = r->negative};
    h->schema = workload_below(w, 3) ? 3 : (int)workload_below(w, 13) - 4;
    if (workload_below(w, 4) == 0) {
        h->schema = HIST_SCHEMA_CUSTOM;
        h->bounds = r->bounds;
        h->n_bounds = workload_below(w, SAMPLE_BOUNDS + 1);
        for (uint32_t i = 0; i < h->n_bounds; i++)
            r->bounds[i] = i ? r->bounds[i - 1] + 0.25 * (1 + workload_below(w, 4)) : 0.25;
        h->n_positive = random_buckets(w, 0, h->n_bounds + 1, 0, r->positive, &count);
    } else {
        int32_t at = (int32_t)workload_below(w, 40) - 20;
        if (workload_below(w, 20) == 0)
            at = workload_below(w, 2) ? INT32_MAX - 20000 : INT32_MIN;
        h->n_positive = random_buckets(w, at, max, gap, r->positive, &count);
        if (workload_below(w, 3) == 0)
            h->n_negative = random_buckets(w, at / 2, max, gap, r->negative, &count);
        h->zero_threshold = workload_below(w, 4) ? 0.001 : odd_double(w);
        h->zero_count = workload_below(w, 2) ? 0 : random_count(w);
    }
    h->reset_hint = (enum hist_reset_hint)workload_below(w, 4);
    h->count = workload_below(w, 8) ? count + h->zero_count : odd_double(w);
    h->sum = workload_below(w, 4) ? workload_below(w, 1000) / 8.0 : odd_double(w);
}

static double random_double(struct workload *w, bool le)
{
    double v = le ? workload_below(w, 1000) : workload_below(w, 4000) / 100.0 - 10;
    return workload_below(w, 15) == 0 ? odd_double(w) : v;
}

/* Every other series of the metric `up` is now and then a histogram. */
static void put_sample(struct workload *w, struct txn *txn, const struct place *p)
{
    bool le = slice_is(workload_defs[p->metric].name, WORKLOAD_BUCKETS);
    double v = random_double(w, le);
    int64_t start = workload_below(w, 6) == 0 ? p->t - 1 - workload_below(w, 100000) : 0;
    if (w->histograms && !le && p->number % 2 == 1 && workload_below(w, 3) == 0) {
        struct random_hist r;
        random_hist(w, &r);
        naive_sample_histogram(w->naive, p->slot, p->t, &r.hist);
        w->wrote[WROTE_HISTOGRAM]++;
        if (txn)
            txn_sample_histogram(txn, p->id, p->t, &r.hist);
    } else {
        naive_sample(w->naive, p->slot, p->t, double_bits(v));
        if (txn)
            txn_sample(txn, p->id, p->t, v);
    }
    naive_start(w->naive, p->slot, p->t, start);
    if (txn && start)
        txn_sample_start(txn, start);
}

/* ---- any cell ---- */

/* Mostly of the present, now and then late, seldom from all the time there was. */
static int64_t random_window_number(struct workload *w)
{
    uint32_t reach = workload_below(w, 12) == 0 ? (uint32_t)w->history : 6;
    if (w->wide && workload_below(w, 150) == 0)
        reach = (uint32_t)w->newest;
    int64_t window = w->newest - workload_below(w, reach + 1);
    return window < 0 ? 0 : window;
}

static int64_t random_time(struct workload *w, const struct metric_def *def, int64_t window)
{
    int64_t t = workload_end(window);
    if (def->kind == KIND_SAMPLE)
        return workload_below(w, 4) ? t : t - workload_below(w, (uint32_t)WORKLOAD_EVERY);
    if (def->every_ms < WORKLOAD_EVERY)
        return t - workload_below(w, (uint32_t)(WORKLOAD_EVERY / def->every_ms)) * def->every_ms;
    return (t + def->every_ms - 1) / def->every_ms * def->every_ms;
}

void workload_put_cell(struct workload *w, struct txn *txn)
{
    struct place p = {.metric = workload_below(w, WORKLOAD_METRICS)};
    p.number = workload_below(w, w->series);
    p.slot = p.metric * w->series + p.number;
    int64_t window = random_window_number(w);
    p.t = random_time(w, &workload_defs[p.metric], window);
    p.old = naive_find(w->naive, p.slot, p.t);
    p.id = define(w, txn, p.metric, p.number);
    w->ops++;
    w->wrote[WROTE_LATE] += window < w->newest - WORKLOAD_BLOCK / WORKLOAD_EVERY;
    w->wrote[WROTE_DUPLICATE] += p.old != NULL;
    switch (workload_defs[p.metric].kind) {
    case KIND_HISTOGRAM: put_histogram(w, txn, &p); break;
    case KIND_GAUGE: put_gauge(w, txn, &p); break;
    case KIND_SAMPLE: put_sample(w, txn, &p); break;
    default: put_amount(w, txn, &p);
    }
}
