/*
 * Aggregates of a chunk, kept in the directory so that a chunk that lies inside a range need not be
 * read at all. In the kind's own integers; of samples the bits of doubles.
 *
 *     kind            count         sum              min, max     first, last    resets
 *     counter, level  cells         of amounts       of amounts   amounts        -
 *     gauge           readings      of readings      of readings  last readings  -
 *     histogram       observations  of observations  -            -              -
 *     sample          (1)           (2)              of numbers   (1)            of a counter
 *
 *     1   of all but stale markers
 *     2   of doubles: the low word the sum, the high one its compensation
 *
 * Numbers are samples but NaN. Resets are Prometheus' resets of counters. Chunks with histogram
 * samples and chunks of derived cells have none.
 *
 * What does not fit its field, or has no values to be taken from, is marked absent in `has` and is
 * 0. Samples that are all decimals of at most DECIMAL_DIGITS digits behind the point have
 * SEGMENT_DECIMAL: sum and reset_sum are integers over 10^digits, exact, and cost little. Of the
 * others, sums follow Neumaier's compensated summation in time order; a NaN among the results is
 * always NAN_BITS (base/double_bits.h), so that a file does not depend on the processor's choice of
 * NaN. reset_sum is the sum of the values before each reset; where more than an eighth of the
 * samples are resets, this is no counter, and resets are absent.
 */
#ifndef STORE_SEGMENT_AGGREGATE_H
#define STORE_SEGMENT_AGGREGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/columns.h"
#include "store/segment.h"

/* Of cells [from, from + n), n > 0. */
void aggregate_of(
    const struct columns *columns, size_t from, size_t n, struct segment_aggregate *out);
/* The same as version 1 had it: sums of samples are doubles always, and resets are never absent. */
void aggregate_of_v1(
    const struct columns *columns, size_t from, size_t n, struct segment_aggregate *out);
bool aggregate_eq(const struct segment_aggregate *a, const struct segment_aggregate *b);

#endif
