/*
 * Columns: the cells of one series, in time order, one array per part of a cell. The head keeps
 * them growing, segments store them, cursors hand them out. Times are strictly increasing.
 *
 *   counter, level   t, amount
 *   gauge            t, last, last_ms, min, max, count, sum
 *   histogram        t, sum, bucket, bucket_at (n + 1 entries: the buckets of cell i are
 *                    [bucket_at[i], bucket_at[i + 1]))
 *   sample           t, bits, hist (NULL when there is no histogram among them), start (NULL when
 *                    no sample has a start timestamp)
 *   sample, derived  t, count, first, first_ms, last, last_ms, min, max, digits, sum, reset_sum,
 *                    resets
 *
 * Derived cells are a coarser resolution of float samples: cell t stands for the samples in
 * (t - resolution, t]. first, last, min and max are bits of doubles. Where the samples of a cell
 * are decimals (segment/scaled.h), digits says with how many, and sum and reset_sum are exact
 * integers over 10^digits. Elsewhere digits is DIGITS_INEXACT, sum is a Neumaier sum, its low word
 * the bits of the sum, its high word those of the compensation, and reset_sum the bits of a double:
 * they are near, and who wants what raw cells give takes those. `first` is not NULL exactly then.
 * Coarser cells of the other kinds are cells of the same kind.
 *
 * Unused arrays are NULL. The arrays belong to whoever made the struct (heap in the head, an arena
 * in a reader).
 */
#ifndef STORE_COLUMNS_H
#define STORE_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "store/cell.h"
#include "store/histogram.h"

struct columns {
    enum kind kind;
    size_t n;
    int64_t *t; /* window end, or sample time, ms */
    int128 *amount;
    int64_t *last, *last_ms, *min, *max, *count;
    int128 *sum;
    uint32_t *bucket_at;
    struct hist_bucket *bucket;
    uint64_t *bits;           /* of doubles */
    const struct hist **hist; /* hist[i] not NULL: sample i is a histogram, bits[i] means nothing */
    int64_t *start;           /* when the counter that sample i belongs to began, ms; 0: unknown */
    int64_t *first, *first_ms, *digits, *reset_sum, *resets;
};
#define DIGITS_INEXACT (-1)

/* Arrays for n cells (and n_buckets buckets) from the arena, n set; false at its limit. Samples get
 * a hist array (all NULL) only when `histograms`. */
bool columns_alloc(struct arena *arena, enum kind kind, size_t n, size_t n_buckets, bool histograms,
    struct columns *out);

/* Adds a start array, all 0, to columns of samples; false at the arena's limit. */
bool columns_alloc_start(struct arena *arena, struct columns *columns);
/* Arrays for n derived cells, n set. */
bool columns_alloc_derived(struct arena *arena, size_t n, struct columns *out);

/* The sums over derived cells, exact: integers over 10^*digits. False when a cell's are inexact. */
bool columns_exact_sums(const struct columns *columns, int *digits, int128 *sum, int128 *reset_sum);

/* A view of the cells with t in (from, to]: shares all arrays. */
struct columns columns_slice(const struct columns *columns, int64_t from, int64_t to);

/*
 * Merges k columns of one series, oldest commit first, into *out by the kind's rule, keeping cells
 * with t in (from, to], in canonical form. *out shares nothing with the inputs but histogram
 * samples. Derived cells of one time do not add up: the later commit's stands. False at the arena's
 * limit.
 */
bool columns_merge(struct arena *arena, const struct columns *in, size_t k, int64_t from,
    int64_t to, struct columns *out);

/* Cells in the order of their commits, with times in any order, become columns: sorted by time,
 * cells of one time merged by the kind's rule. Cells that merge to zero stay. *out shares the
 * arrays of in when there is nothing to do. False at the arena's limit. */
bool columns_sort(struct arena *arena, const struct columns *in, struct columns *out);

/* First index with t > at (n when there is none). */
size_t columns_after(const struct columns *columns, int64_t at);
/* Buckets of all cells of a histogram column. */
size_t columns_buckets(const struct columns *columns);
/* Adds the buckets a and b (sorted by key) into out, dropping counts of zero; returns how many. */
uint32_t buckets_add(const struct hist_bucket *a, uint32_t n_a, const struct hist_bucket *b,
    uint32_t n_b, struct hist_bucket *out);
/* True when the cell at i merged to zero and so does not exist. */
bool columns_is_zero(const struct columns *columns, size_t i);

#endif
