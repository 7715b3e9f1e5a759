/*
 * A metric of each kind, and random cells for them.
 */
#ifndef TESTS_STORE_SEGMENT_KINDS_H
#define TESTS_STORE_SEGMENT_KINDS_H

#include "tests/store/segment_fixture.h"

#define T0 INT64_C(1700000000000)
#define T1 (T0 + 7200000)

static const struct metric_def counter = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .digits = 2,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6},
    .help = {"Orders, by stage.", 17},
    .unit = {"orders", 6}};
static const struct metric_def level = {
    .name = {"orders_open", 11}, .kind = KIND_LEVEL, .every_ms = 5000};
static const struct metric_def gauge = {
    .name = {"fridge_temperature_celsius", 26}, .kind = KIND_GAUGE, .digits = 6, .every_ms = 5000};
static const struct metric_def histogram = {.name = {"delivery_seconds", 16},
    .kind = KIND_HISTOGRAM,
    .digits = 3,
    .schema = 5,
    .every_ms = 5000};
static const struct metric_def sample = {.name = {"up", 2}, .kind = KIND_SAMPLE};

static uint64_t seed;

static inline uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static inline int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    fixture_init(f, T0, T1);
    seed = 42;
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    fixture_fini(*state);
    free(*state);
    return 0;
}

/* Cells with random buckets out of `keys` keys from `least` on. */
static inline void fill_histogram(
    struct columns *c, size_t n, int32_t least, uint32_t keys, uint32_t per_cell)
{
    uint32_t at = 0;
    c->n = n;
    for (size_t i = 0; i < n; i++) {
        uint32_t key = 0;
        c->t[i] = T0 + 5000 * (int64_t)(i + 1);
        c->sum[i] = (int128)(int64_t)next_random() * 3;
        c->bucket_at[i] = at;
        for (uint32_t k = 0; k < per_cell && key < keys; k++) {
            key += (uint32_t)(next_random() % (keys / per_cell + 1));
            if (key >= keys)
                break;
            int64_t count = 1 + (int64_t)(next_random() % 9);
            c->bucket[at++] = (struct hist_bucket){least + (int32_t)key++, count};
        }
    }
    c->bucket_at[n] = at;
}

#endif
