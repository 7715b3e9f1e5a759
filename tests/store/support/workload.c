#include "tests/store/support/workload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "store/delete.h"
#include "store/state/state.h"

/* Schema 3 and three digits, one metric with windows of a minute, one that is a `le` family. */
static const struct metric_def defs[WORKLOAD_METRICS] = {
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
    {.name = {"x_bucket", 8}, .kind = KIND_SAMPLE, .stale_after_ms = 300000},
};

static const char *const bounds[] = {"0.1", "1", "10", "+Inf"};

void workload_init(struct workload *w, uint64_t seed, uint32_t series, int64_t history)
{
    *w = (struct workload){.rng = seed | 1, .series = series, .history = history, .newest = 8};
    w->naive = naive_new((size_t)WORKLOAD_METRICS * series);
}

void workload_fini(struct workload *w)
{
    naive_free(&w->naive);
}

static uint64_t random_bits(struct workload *w)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return w->rng * 2685821657736338717ull;
}

uint32_t workload_below(struct workload *w, uint32_t n)
{
    return (uint32_t)((random_bits(w) >> 32) * n >> 32);
}

int64_t workload_end(int64_t window)
{
    return WORKLOAD_T0 + (window + 1) * WORKLOAD_EVERY;
}

/* The texts of labels live for good: models keep them. */
static struct slice number_text(uint32_t i)
{
    static char texts[4096][8];
    ensure(i < 4096);
    if (!texts[i][0])
        snprintf(texts[i], sizeof texts[i], "n%u", i);
    return slice_from(texts[i]);
}

static struct labels labels_of(size_t metric, uint32_t i, struct label out[8])
{
    static const char *const cities[] = {"berlin", "paris", "rome"};
    size_t n = 0;
    out[n++] = (struct label){SLICE("__name__"), defs[metric].name};
    if (i % 4 != 3)
        out[n++] = (struct label){SLICE("city"), slice_from(cities[i % 3])};
    if (metric == 6) {
        out[n++] = (struct label){SLICE("le"), slice_from(bounds[i % 4])};
        i /= 4;
    }
    out[n++] = (struct label){SLICE("series"), number_text(i)};
    return (struct labels){out, n};
}

/* The series' id in the transaction; only the model's slot is defined without one. */
static uint32_t define(struct workload *w, struct txn *txn, size_t metric, uint32_t i)
{
    struct label items[8];
    struct labels labels = labels_of(metric, i, items);
    uint32_t id, series = 0;
    struct err err;
    naive_define(w->naive, metric * w->series + i, &defs[metric], labels);
    if (txn)
        ensure(txn_metric(txn, &defs[metric], &id, &err) &&
               txn_series(txn, id, labels, &series, &err));
    return series;
}

/* Mostly small; sometimes so large that sums need more than 64 bits. */
static int128 random_amount(struct workload *w)
{
    switch (workload_below(w, 40)) {
    case 0: return INT64_MAX;
    case 1: return (int128)INT64_MAX * (int64_t)workload_below(w, 1000);
    case 2: return INT64_MIN;
    default: return (int64_t)workload_below(w, 200) - 20;
    }
}

static void put_amount(
    struct workload *w, struct txn *txn, size_t metric, uint32_t i, int64_t window)
{
    int64_t every = defs[metric].every_ms;
    int64_t t = (workload_end(window) + every - 1) / every * every;
    size_t slot = metric * w->series + i;
    const struct naive_cell *old = naive_find(w->naive, slot, t);
    uint32_t id = define(w, txn, metric, i);
    /* Now and then the inverse of all that is there: the cell must vanish. */
    int128 v = old && workload_below(w, 5) == 0 ? -old->amount : random_amount(w);
    naive_add(w->naive, slot, t, v);
    if (txn)
        txn_add(txn, id, t, v);
}

static void put_histogram(
    struct workload *w, struct txn *txn, size_t metric, uint32_t i, int64_t window)
{
    int64_t t = workload_end(window);
    size_t slot = metric * w->series + i;
    const struct naive_cell *old = naive_find(w->naive, slot, t);
    struct hist_bucket buckets[64];
    struct hist_cell cell = {0, 0, buckets};
    uint32_t id = define(w, txn, metric, i);
    if (old && old->n_buckets <= 64 && workload_below(w, 6) == 0) {
        cell.sum = -old->amount;
        for (uint32_t k = 0; k < old->n_buckets; k++)
            buckets[cell.n++] = (struct hist_bucket){old->buckets[k].key, -old->buckets[k].count};
    } else {
        static const int32_t keys[] = {
            HIST_NEGATIVE(40), HIST_NEGATIVE(2), HIST_ZERO, -3, 0, 1, 2, 3, 4, 5, 900};
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            if (workload_below(w, 3) == 0)
                buckets[cell.n++] =
                    (struct hist_bucket){keys[k], (int64_t)workload_below(w, 9) + 1};
        cell.sum = random_amount(w);
    }
    naive_histogram(w->naive, slot, t, &cell);
    if (txn)
        txn_histogram(txn, id, t, &cell);
}

static void put_gauge(
    struct workload *w, struct txn *txn, size_t metric, uint32_t i, int64_t window)
{
    int64_t t = workload_end(window), count = (int64_t)workload_below(w, 3) + 1;
    int64_t a = (int64_t)workload_below(w, 600) - 300, b = (int64_t)workload_below(w, 600) - 300;
    struct gauge_cell cell = {.last = a,
        .last_ms = t - (int64_t)workload_below(w, 4) * 1000,
        .min = a < b ? a : b,
        .max = a < b ? b : a,
        .sum = (int128)a * count,
        .count = count};
    if (workload_below(w, 50) == 0)
        cell.max = INT64_MAX;
    uint32_t id = define(w, txn, metric, i);
    naive_gauge(w->naive, metric * w->series + i, t, &cell);
    if (txn)
        txn_gauge(txn, id, t, &cell);
}

static double random_double(struct workload *w, size_t metric)
{
    static const uint64_t odd[] = {0x7ff0000000000002, 0x7ff8000000000001, 0xfff8000000000000,
        0x8000000000000000, 0x7ff0000000000000, 0xfff0000000000000, 1, 0x7fefffffffffffff};
    double v = metric == 6 ? workload_below(w, 1000) : workload_below(w, 4000) / 100.0 - 10;
    uint32_t kind = workload_below(w, 30);
    uint64_t bits = kind == 1 ? random_bits(w) : odd[workload_below(w, 8)];
    if (kind <= 1)
        memcpy(&v, &bits, sizeof v);
    return v;
}

static void put_sample_histogram(
    struct workload *w, struct txn *txn, size_t slot, uint32_t id, int64_t t)
{
    static const double edges[] = {0.25, 1, 2.5};
    struct hist_fbucket positive[6], negative[2];
    struct hist h = {.schema = 3, .positive = positive, .negative = negative};
    if (workload_below(w, 4) == 0) {
        h.schema = HIST_SCHEMA_CUSTOM;
        h.bounds = edges;
        h.n_bounds = 3;
    }
    int32_t at = 0;
    for (uint32_t n = workload_below(w, 4); n > 0; n--, at += 1 + (int32_t)workload_below(w, 2))
        if (h.schema != HIST_SCHEMA_CUSTOM || at <= 3)
            positive[h.n_positive++] = (struct hist_fbucket){at, workload_below(w, 20) + 1};
    if (h.schema != HIST_SCHEMA_CUSTOM) {
        h.zero_threshold = 0.001;
        h.zero_count = workload_below(w, 3);
        if (workload_below(w, 3) == 0)
            negative[h.n_negative++] = (struct hist_fbucket){-2, 0.5};
    }
    h.reset_hint = (enum hist_reset_hint)workload_below(w, 4);
    h.count = h.zero_count;
    for (uint32_t k = 0; k < h.n_positive; k++)
        h.count += positive[k].count;
    for (uint32_t k = 0; k < h.n_negative; k++)
        h.count += negative[k].count;
    h.sum = workload_below(w, 1000) / 8.0;
    naive_sample_histogram(w->naive, slot, t, &h);
    if (txn)
        txn_sample_histogram(txn, id, t, &h);
}

static void put_sample(
    struct workload *w, struct txn *txn, size_t metric, uint32_t i, int64_t window)
{
    int64_t t = workload_end(window);
    double v = random_double(w, metric);
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (workload_below(w, 4) == 0)
        t -= workload_below(w, (uint32_t)WORKLOAD_EVERY);
    uint32_t id = define(w, txn, metric, i);
    size_t slot = metric * w->series + i;
    int64_t start = workload_below(w, 6) == 0 ? t - 1 - workload_below(w, 100000) : 0;
    if (w->histograms && metric == 5 && workload_below(w, 5) == 0) {
        put_sample_histogram(w, txn, slot, id, t);
    } else {
        naive_sample(w->naive, slot, t, bits);
        if (txn)
            txn_sample(txn, id, t, v);
    }
    naive_start(w->naive, slot, t, start);
    if (txn && start)
        txn_sample_start(txn, start);
}

static void put_cell(struct workload *w, struct txn *txn)
{
    size_t metric = workload_below(w, WORKLOAD_METRICS);
    uint32_t i = workload_below(w, w->series);
    uint32_t reach = workload_below(w, 12) == 0 ? (uint32_t)w->history : 6;
    int64_t window = w->newest - workload_below(w, reach + 1);
    if (window < 0)
        window = 0;
    switch (defs[metric].kind) {
    case KIND_HISTOGRAM: put_histogram(w, txn, metric, i, window); break;
    case KIND_GAUGE: put_gauge(w, txn, metric, i, window); break;
    case KIND_SAMPLE: put_sample(w, txn, metric, i, window); break;
    default: put_amount(w, txn, metric, i, window);
    }
    w->ops++;
}

static void put_state(struct workload *w, struct txn *txn)
{
    uint32_t tables[NAIVE_TABLES] = {0};
    struct naive_state *state = &w->naive->state;
    struct err err;
    size_t t = workload_below(w, NAIVE_TABLES), g = workload_below(w, NAIVE_GENERATIONS);
    state->known[t] = true;
    if (txn)
        ensure(txn_state_table(txn, naive_table_name(t), t ? 8 : 0, &tables[t], &err));
    if (workload_below(w, 10) == 0) {
        memset(state->there[t][g], 0, sizeof state->there[t][g]);
        if (txn)
            txn_state_drop(txn, tables[t], (int64_t)g);
    }
    for (uint32_t n = workload_below(w, 8); n > 0; n--) {
        size_t k = workload_below(w, NAIVE_KEYS);
        uint64_t record = random_bits(w);
        bool put = workload_below(w, 3) != 0;
        state->there[t][g][k] = put;
        state->record[t][g][k] = record;
        if (txn && put)
            txn_state_put(txn, tables[t], (int64_t)g, naive_key(k), t ? &record : NULL);
        else if (txn)
            txn_state_delete(txn, tables[t], (int64_t)g, naive_key(k));
    }
}

static void put_positions(struct workload *w, struct txn *txn)
{
    static const char *const names[2] = {"orders", "fridges"};
    size_t i = workload_below(w, 2);
    int64_t frontier = workload_end(w->newest), watermark = frontier - 3 * WORKLOAD_EVERY;
    w->commits++;
    /* The first source counts the transactions; the second one comes and goes. */
    naive_source(w->naive, 0, "commits", w->commits, frontier);
    naive_source(w->naive, 1 + i, names[i], w->commits * 10, frontier - 1);
    naive_clock(w->naive, i, names[i], frontier, watermark);
    if (!txn)
        return;
    txn_source(txn, SLICE("commits"), w->commits, frontier, SLICE("state"));
    txn_source(txn, slice_from(names[i]), w->commits * 10, frontier - 1, SLICE(""));
    txn_clock(txn, slice_from(names[i]), frontier, watermark);
}

void workload_fill(struct workload *w, struct txn *txn, uint32_t max)
{
    for (uint32_t n = workload_below(w, max) + 1; n > 0; n--)
        put_cell(w, txn);
    if (workload_below(w, 2) == 0)
        put_state(w, txn);
    put_positions(w, txn);
}

bool workload_delete(struct workload *w, struct store *store, struct err *err)
{
    size_t metric = workload_below(w, WORKLOAD_METRICS);
    uint32_t number = workload_below(w, w->series);
    bool one = workload_below(w, 2) == 0;
    uint64_t series;
    int64_t from = workload_end((int64_t)workload_below(w, (uint32_t)w->newest)) -
                   (int64_t)workload_below(w, 2);
    int64_t to = from + workload_below(w, 100) * WORKLOAD_EVERY;
    if (workload_below(w, 8) == 0) {
        from = INT64_MIN;
        to = INT64_MAX;
    }
    struct matcher matchers[2] = {{MATCH_EQUAL, SLICE("__name__"), defs[metric].name, NULL},
        {MATCH_EQUAL, SLICE("series"), number_text(number), NULL}};
    for (uint32_t i = 0; i < w->series; i++) {
        uint32_t named = metric == 6 ? i / 4 : i;
        if (!one || named == number)
            naive_delete(w->naive, metric * w->series + i, from, to);
    }
    return !store || store_delete(store, matchers, one ? 2 : 1, from, to, &series, err);
}
