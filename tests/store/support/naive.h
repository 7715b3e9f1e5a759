/*
 * A naive model of the store's content, to compare with: per series one sorted array of cells,
 * merged one by one as the kinds' rules say, in code that shares nothing with the store. Slow and
 * plain on purpose.
 *
 * Series are numbered by the test ("slots"): slot -> definition and labels never change.
 */
#ifndef TESTS_STORE_SUPPORT_NAIVE_H
#define TESTS_STORE_SUPPORT_NAIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "store/cell.h"
#include "store/histogram.h"
#include "store/labels.h"
#include "store/store.h"

struct naive_cell {
    int64_t t;
    int128 amount; /* the sum of histograms and gauges */
    int64_t last, last_ms, min, max, count;
    struct hist_bucket *buckets;
    uint32_t n_buckets;
    uint64_t bits;
    struct hist *hist; /* a sample that is a histogram */
    int64_t start;     /* of the counter that a sample belongs to; 0: unknown */
};

struct naive_series {
    struct metric_def def;
    struct label labels[8];
    size_t n_labels; /* 0: the slot was never used */
    struct naive_cell *cells;
    size_t n, cap;
};

struct naive_position {
    char name[24];
    bool known;
    int64_t a, b; /* next and newest of a source; frontier and watermark of a clock */
};

#define NAIVE_POSITIONS 4

/* State tables: every key that can be, of a small world. */
#define NAIVE_TABLES      2
#define NAIVE_GENERATIONS 5
#define NAIVE_KEYS        24

struct naive_state {
    bool known[NAIVE_TABLES]; /* the table was defined */
    bool there[NAIVE_TABLES][NAIVE_GENERATIONS][NAIVE_KEYS];
    uint64_t record[NAIVE_TABLES][NAIVE_GENERATIONS][NAIVE_KEYS];
};

struct naive {
    struct naive_series *series;
    size_t n_series;
    struct naive_position sources[NAIVE_POSITIONS], clocks[NAIVE_POSITIONS];
    struct naive_state state;
};

struct naive *naive_new(size_t n_series);
void naive_free(struct naive **naive);

/* Remembers what a slot is; labels are borrowed for good. */
void naive_define(
    struct naive *naive, size_t slot, const struct metric_def *def, struct labels labels);
/* NULL: there is none. */
const struct naive_cell *naive_find(const struct naive *naive, size_t slot, int64_t t);
size_t naive_cells(const struct naive *naive);

void naive_add(struct naive *naive, size_t slot, int64_t t, int128 amount);
void naive_gauge(struct naive *naive, size_t slot, int64_t t, const struct gauge_cell *cell);
void naive_histogram(struct naive *naive, size_t slot, int64_t t, const struct hist_cell *cell);
void naive_sample(struct naive *naive, size_t slot, int64_t t, uint64_t bits);
void naive_sample_histogram(
    struct naive *naive, size_t slot, int64_t t, const struct hist *histogram);
/* Of the sample at t, which is there. */
void naive_start(struct naive *naive, size_t slot, int64_t t, int64_t start);
/* Cells with t in (from, to]. */
void naive_delete(struct naive *naive, size_t slot, int64_t from, int64_t to);
/* Table 0 is a set, table 1 has records of 8 bytes; their names and keys. */
struct slice naive_table_name(size_t table);
struct hash128 naive_key(size_t key);
void naive_source(struct naive *naive, size_t i, const char *name, int64_t next, int64_t newest);
void naive_clock(
    struct naive *naive, size_t i, const char *name, int64_t frontier, int64_t watermark);

/* The cells with t in (from, to] of every series, sources and clocks, and state tables. False:
 * `why` says the first difference, or "error: " and the store's error. */
bool naive_compare(const struct naive *naive, struct store *store, int64_t from, int64_t to,
    char *why, size_t why_size);

#endif
