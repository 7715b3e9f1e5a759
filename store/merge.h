/*
 * Merging segments: several become the input of one, series by series, with bounded memory.
 *
 *     segment 0   orders{a}  orders{b}             stock{x}
 *     segment 1   orders{a}             orders{c}  stock{x}
 *     merged      orders{a}  orders{b}  orders{c}  stock{x}
 *
 * All inputs are in order of metric name, then labels, so the smallest series at their heads is the
 * next one; its cells are merged by the kind's rule, the oldest commit first, and are canonical: a
 * series of which nothing is left does not appear. What comes out depends on the inputs alone.
 *
 * A series has the id by which the catalogue knows its labels. Those of the inputs are not looked
 * at: a segment that was repaired may have none, and one that was put there by hand others.
 *
 * A filter leaves series or ranges of time out: that is how deletion and retention rewrite a
 * segment. The memory in use is that of one series, and of a few pages of each input.
 *
 *     merge_new(segments, n, &options, &merge);
 *     merge_input(merge, &input);         t0, t1, sources; the caller may change t0, t1
 *     segment_write(dir, &input, &info, &err);
 *     merge_free(&merge);
 *
 * One thread uses a merge at a time.
 */
#ifndef STORE_MERGE_H
#define STORE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/segment.h"

struct catalog;
struct merge;

/* Cells with t in (from, to]. */
struct merge_range {
    int64_t from, to;
};

/* Asked once for every series, in their order. False: the series is left out. Otherwise *n ranges,
 * ascending and apart, are what is left out of it; borrowed until the next call. */
typedef bool merge_filter(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n);

/* Changes the cells of a series on their way: *columns are the merged ones, and what it leaves
 * there must be canonical; the arena is theirs. Columns of no cells leave the series out. */
typedef bool merge_map(void *ctx, const struct metric_def *def, struct labels labels,
    struct arena *arena, struct columns *columns, struct err *err);

/* Whether the metric's series are taken from that input, counted from 0. */
typedef bool merge_takes(void *ctx, size_t input, const struct metric_def *def);

struct merge_options {
    merge_filter *filter; /* NULL: all is kept */
    merge_takes *takes;   /* NULL: from all inputs */
    merge_map *map;       /* NULL: cells stay as they are */
    void *ctx;            /* of all three */
    /* Gives the series their ids, one that it does not know is ERR_CORRUPT; NULL: they have none */
    struct catalog *catalog;
};

/* n > 0 segments, oldest commit first; the array and the segments outlive the merge. */
void merge_new(struct segment *const *segments, size_t n, const struct merge_options *options,
    struct merge **out);
void merge_free(struct merge **merge);

/*
 * What segment_write takes, once. The time block is the smallest that holds those of the inputs;
 * resolution is the first input's; a source's position is the greatest of the inputs. A metric is
 * defined as the newest segment has it; that two segments know it with another kind, every, digits
 * or schema is ERR_CORRUPT.
 */
bool merge_input(struct merge *merge, struct segment_input *out, struct err *err);

/* Whether it came to its end and no series came out: segment_write refuses such an input. */
bool merge_is_empty(const struct merge *merge);
/* After a failure: the input that could not be read, as an index; false when it was another thing.
 */
bool merge_bad_segment(const struct merge *merge, size_t *out);

#endif
