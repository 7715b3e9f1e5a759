/*
 * Cells: what is stored. A cell is one window of one series; a window is (end - every, end], and
 * the cell carries its end. Two cells of one series and end merge by the rule of the kind:
 *
 *   counter, level   add                    amount: scaled integer, 128 bits so that no sum
 *                                           overflows
 *   histogram        add bucket by bucket   counts: 64 bits, negative in inverse cells; sum: 128
 *                                           bits
 *   gauge            min, max, sum, count   last: later event time, then greater value
 *                    each its own
 *   sample           last commit wins       bits of a double or a histogram, at a millisecond
 *
 * Canonical form: a counter, level or histogram cell that merges to zero does not exist. Readers
 * and segments never show one.
 */
#ifndef STORE_CELL_H
#define STORE_CELL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/number.h"
#include "base/slice.h"

enum kind { KIND_COUNTER = 1, KIND_HISTOGRAM = 2, KIND_LEVEL = 3, KIND_GAUGE = 4, KIND_SAMPLE = 5 };

/* "counter", ... */
const char *kind_name(enum kind kind);

/* What a gauge shows of the readings of a window, where one number is asked for. Cells have all of
 * it, so it may change at any time; a number that is none of these counts as the first. */
enum gauge_reduce { REDUCE_LAST, REDUCE_AVG, REDUCE_MIN, REDUCE_MAX, REDUCE_SUM };

/* What is known of a metric. A name has one kind everywhere; every and digits are stored with it.
 */
struct metric_def {
    struct slice name;
    enum kind kind;
    int digits;       /* of amounts, readings and histogram sums: value = integer / 10^digits */
    int schema;       /* of histograms: -4..8; of gauges: enum gauge_reduce; of others 0 */
    int64_t every_ms; /* length of a window; 0 for samples */
    int64_t stale_after_ms; /* aliveness and the gauge's look-back */
    struct slice clock;     /* name of the stream whose frontier and watermark hold for it */
    struct slice help, unit;
};

/* The sum; what does not fit wraps: store/bounds.h keeps it from that, but a file may say
 * anything. */
static inline int128 sum_add(int128 a, int128 b)
{
    return (int128)((uint128)a + (uint128)b);
}

struct gauge_cell {
    int64_t last, last_ms; /* reading and its event time */
    int64_t min, max;
    int128 sum;
    int64_t count; /* >= 1 */
};

/*
 * A bucket of an exponential histogram with base b = 2^(2^-schema). The key orders all buckets of
 * one histogram by value: positive (b^(i-1), b^i] is i, zero is HIST_ZERO, negative [-b^i,
 * -b^(i-1)) is HIST_NEGATIVE(i).
 */
#define HIST_ZERO        (-(1 << 24))
#define HIST_NEGATIVE(i) (-(1 << 25) - (i))
#define HIST_INDEX_MAX   (1 << 20) /* |i| of a segment is at most that; what enters: bounds.h */

struct hist_bucket {
    int32_t key;
    int64_t count;
};

struct hist_cell {
    int128 sum;
    uint32_t n; /* buckets, by key ascending, no count 0 */
    const struct hist_bucket *buckets;
};

/* The key of the bucket that holds v / 10^digits at the schema. Follows Prometheus' native
 * histograms: upper bounds are inclusive, the zero bucket is exactly 0. */
int32_t hist_bucket_key(int64_t v, int digits, int schema);
/* The bounds of positive index i: *lower = b^(i-1), *upper = b^i. */
void hist_bucket_bounds(int32_t i, int schema, double *lower, double *upper);

/* Merges *in into *to. */
void gauge_cell_merge(struct gauge_cell *to, const struct gauge_cell *in);

#endif
