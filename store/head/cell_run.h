/*
 * Cell runs: cells of one series, in the order of their commits, as bytes; what the tail of a
 * series in the head consists of. A cell is written once, in one to three bytes as a rule, as the
 * difference to the one before; any order of times is valid.
 *
 *     cell    := head uvarint, rest
 *     head    := v << 1             the cell comes when it was expected, and v is all there is to
 *                                   say: the amount, or the difference to the last value, zigzag
 *              | d << 3 | op << 1 | 1   it comes d windows (samples: ms) later, zigzag
 *
 *     counter, level   op 0  amount 1
 *                      op 1  amount svarint
 *                      op 2  amount wide
 *                      op 3  exact
 *
 *     gauge            v     one reading, then its age
 *                      op 0  one reading svarint, age
 *                      op 1  last svarint, age svarint, min and max svarint, count uvarint,
 *                            sum wide
 *                      op 3  exact, as 1
 *
 *     histogram        op 0  sum svarint
 *                      op 1  sum wide
 *                      op 3  exact, as 1
 *                      then the number of buckets uvarint, and of each its key svarint, as a
 *                      difference to the one before, and its count svarint
 *
 *     sample           v     the difference of decimals
 *                      op 0  the same, svarint
 *                      op 1  the bits, 8 bytes
 *                      op 2  flags u8: 1 the new number of digits u8 and the decimal svarint,
 *                            2 the bits, 4 start svarint, ms before the sample,
 *                            8 a native histogram
 *
 *     age     := t - last_ms, uvarint        wide := zigzag of 128 bits, LEB128
 *     exact   := d counts ms, where times are not whole windows
 *
 * Expected is the last cell's time and the step from its predecessor. A decimal is a double that is
 * exactly k / 10^digits with |k| < 2^53, as Prometheus' exposition has them; others, -0 and NaN
 * among them, are kept as their bits. A run begins at the block's start with state 0, so it is read
 * without knowing anything but kind, unit and number of cells.
 */
#ifndef STORE_HEAD_CELL_RUN_H
#define STORE_HEAD_CELL_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/columns.h"

/* The ops of a head, and the flags of a sample. */
enum { RUN_FIRST = 0, RUN_SECOND = 1, RUN_THIRD = 2, RUN_EXACT = 3 };
enum { RUN_DECIMAL = 0, RUN_BITS = 1, RUN_FLAGS = 2 };
enum { RUN_FLAG_DIGITS = 1, RUN_FLAG_BITS = 2, RUN_FLAG_START = 4, RUN_FLAG_HISTOGRAM = 8 };
#define RUN_DIGITS_MAX 9 /* of decimals */

/* What the next cell is a difference to. Times are ms since the block's start. */
struct run_state {
    int64_t value;  /* last reading; last decimal */
    uint32_t t;     /* of the last cell */
    int32_t step;   /* ms to it from the one before */
    uint8_t digits; /* of decimals */
    uint8_t opaque; /* doubles in a row that were no decimals */
};

/* How the cells of a series are written. */
struct run_shape {
    enum kind kind;
    uint32_t unit_ms; /* length of a window; samples: 1 */
};

/* Bytes that a cell without buckets and histogram may need. */
#define RUN_CELL_MAX 96

/* Write one cell at `out`, which has RUN_CELL_MAX bytes, and return how many it took. */
size_t run_put_amount(struct run_state *state, const struct run_shape *shape, uint32_t t,
    int128 amount, uint8_t *out);
size_t run_put_gauge(struct run_state *state, const struct run_shape *shape, uint32_t t,
    int64_t block_start, const struct gauge_cell *cell, uint8_t *out);
/* start: how many ms before the sample its counter began. */
#define RUN_NO_START INT64_MIN
size_t run_put_sample(
    struct run_state *state, uint32_t t, uint64_t bits, int64_t start, uint8_t *out);
/* Append one cell. */
void run_put_histogram(struct run_state *state, const struct run_shape *shape, uint32_t t,
    const struct hist_cell *cell, struct buf *out);
void run_put_sample_histogram(struct run_state *state, uint32_t t, const struct hist *histogram,
    int64_t start, struct buf *out);

/* The n cells of a run as columns in the arena, in the order of the run. *end, which may be NULL,
 * is the state after them. False: the arena is full (ERR_LIMIT), or these are no such bytes
 * (ERR_CORRUPT). */
bool run_decode(struct slice run, const struct run_shape *shape, size_t n, int64_t block_start,
    struct arena *arena, struct columns *out, struct run_state *end, struct err *err);

#endif
