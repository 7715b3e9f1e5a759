/*
 * A naive model of the store's content, to compare with: per series one sorted array of cells,
 * merged one by one as the kinds' rules say, in code that shares nothing with the store. Slow and
 * plain on purpose. naive.c keeps it; naive_read.c, naive_coarse.c and naive_select.c compare.
 *
 * Series are numbered by the test ("slots"): slot -> labels never changes.
 *
 * Nothing that retention takes is taken from the model: it only remembers how far each resolution
 * may be gone (naive_retention.c), and compares what lies behind. Coarser cells are those of all
 * raw cells that ever were, whatever has become of them.
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
#include "store/read.h"
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
    bool vague; /* a sample that came where older ones may be gone: they do not add up any more */
};

/* What retention knows apart. */
enum naive_age { NAIVE_RAW, NAIVE_MINUTE, NAIVE_HOUR, NAIVE_AGES };

struct naive_series {
    struct metric_def def;
    struct label labels[8];
    size_t n_labels; /* 0: the slot was never used */
    struct naive_cell *cells;
    size_t n, cap;
    bool histograms;          /* some samples were histograms: they have no coarser cells */
    int64_t gone[NAIVE_AGES]; /* cells with t up to it may be gone */
};

struct naive_position {
    char name[24];
    bool known;
    int64_t a, b; /* next and newest of a source; frontier and watermark of a clock */
    uint8_t state[256];
    size_t state_len;
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
    uint64_t forgotten; /* a record that was deleted or put over; 0: there was none */
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
/* First cell of the series with a time of t or later. */
size_t naive_place(const struct naive_series *series, int64_t t);
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
/* Retention may have taken cells of the age with t up to it. */
void naive_retain(struct naive *naive, size_t slot, enum naive_age age, int64_t to);
/* Up to when cells of the age may be lacking: coarser ones are made of raw ones while those are. */
int64_t naive_gone(const struct naive_series *series, enum naive_age age);
/* Retention by age may have taken what the rule of store/retention.h says, of a series of that
 * metric, counted from newest_ms. */
void naive_retain_by_age(struct naive *naive, size_t slot, struct slice metric,
    const struct retention *retention, int64_t newest_ms);
/* How long such cells are kept; 0: for ever. */
int64_t naive_kept_ms(const struct retention *retention, struct slice metric, enum naive_age age);
/* Adds the bucket to a cell's, which stay in order and never count nothing. */
void naive_add_bucket(struct naive_cell *cell, struct hist_bucket bucket);

/* Table 0 is a set, table 1 has records of 8 bytes; their names and keys. */
struct slice naive_table_name(size_t table);
struct hash128 naive_key(size_t key);
void naive_source(struct naive *naive, size_t i, const char *name, int64_t next, int64_t newest,
    struct slice state);
void naive_clock(
    struct naive *naive, size_t i, const char *name, int64_t frontier, int64_t watermark);

/* ---- comparing; false: `why` says the first difference, or "error: " and the store's ---- */

struct difference {
    char *why;
    size_t size;
};
__attribute__((format(printf, 2, 3))) bool naive_differs(
    struct difference *difference, const char *fmt, ...);
/* The store's error, with its file; tests tell it from a wrong answer by its first word. */
bool naive_fails(struct difference *difference, const char *what, const struct err *err);

/* Some series: those that all matchers match, of which the first ones are a scope. */
#define NAIVE_MATCHERS 4
struct naive_selection {
    struct matcher matchers[NAIVE_MATCHERS];
    size_t n, n_scope;
};
bool naive_selects(
    const struct naive_selection *selection, const struct label *labels, size_t n_labels);
/* The series with cells or without that are selected, in order of labels; the caller frees. */
const struct naive_series **naive_select(
    const struct naive *naive, const struct naive_selection *selection, size_t *n);
/* A plan of the selection; false: the store's error is in *difference. */
bool naive_plan(struct snapshot *snapshot, const struct naive_selection *selection,
    struct scope *scope, struct plan **plan, struct difference *difference);
/* The series with the labels among the n; NULL: there is none. */
const struct naive_series *naive_among(
    const struct naive_series *const *all, size_t n, struct labels labels);
void naive_name(const struct naive_series *series, char *out, size_t size);

/* Everything: the cells with t in (from, to] of every series, sources, clocks and state tables. */
bool naive_compare(const struct naive *naive, struct store *store, int64_t from, int64_t to,
    char *why, size_t why_size);
/* Sources, clocks and state tables. */
bool naive_compare_positions(const struct naive *naive, struct store *store, struct difference *d);
/* The cells as they were written. */
bool naive_compare_raw(const struct naive *naive, struct store *store,
    const struct naive_selection *selection, int64_t from, int64_t to, struct difference *d);
/* Coarser cells; from and to are ends of days. */
bool naive_compare_coarse(const struct naive *naive, struct store *store,
    const struct naive_selection *selection, int64_t resolution_ms, int64_t from, int64_t to,
    struct difference *d);
/* What levels stand at; where raw cells may be gone, at the hour or the day that ended before. */
bool naive_compare_openings(const struct naive *naive, struct store *store,
    const struct naive_selection *selection, int64_t at_ms, struct difference *d);
/* That nothing is left of what retention may have taken behind `from`. */
bool naive_compare_gone(
    const struct naive *naive, struct store *store, int64_t from, struct difference *d);
/*
 * What retention by bytes has taken, by the order of store/retention.h: windows that ended by
 * passed_ms, the oldest first, in each raw cells, then 1m, then 1h. From the first that the store
 * still has anything of all must be there; what is before it is marked as gone. *taken: how many of
 * these (window, resolution) were found gone now. Windows begin behind `from`, a midnight; path is
 * the store's folder.
 */
bool naive_see_gone(struct naive *naive, struct store *store, const char *path, int64_t from,
    int64_t passed_ms, uint32_t *taken, struct difference *d);
/* Whether the series has such coarser cells that are compared; whether any with t in (from, to]. */
bool naive_is_coarse(const struct naive_series *series, int64_t resolution_ms);
bool naive_has_coarse(
    const struct naive_series *series, int64_t resolution_ms, int64_t from, int64_t to);
/* The bytes that a bound counts: those of all files of the store's folder, but for its lock
 * and what a repair has put away. */
uint64_t naive_bytes(const char *path);
/* Whether there is a segment that a bound may take. */
bool naive_may_go(const struct store *store, const char *path, int64_t passed_ms);
/* The series that have a cell in (from, to]. */
bool naive_compare_listing(const struct naive *naive, struct store *store,
    const struct naive_selection *selection, int64_t from, int64_t to, struct difference *d);

#endif
