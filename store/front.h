/*
 * The front of a transaction's frame in the log, or of a group's: what a start wants to know of
 * each before it unpacks any. From the fronts alone it knows which time blocks the log holds cells
 * of, and where the clocks stand at the log's end.
 *
 *     front := flags u8 (1: defines metrics or series; 2: clocks follow), touched
 * (store/touched.h), { clocks varint, { name string, frontier ms svarint, watermark ms svarint }* }
 *
 * Without flag 2 nothing is said of clocks: older programs did not, and clocks with long names do
 * not fit. Then the payload says it.
 */
#ifndef STORE_FRONT_H
#define STORE_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "store/touched.h"
#include "store/transaction.h"

/* More are not said. */
#define FRONT_CLOCKS_MAX 32

struct frame_front {
    struct touched touched;
    bool definitions;                            /* there are some */
    bool without_clocks;                         /* nothing is said of them */
    struct clock_entry clocks[FRONT_CLOCKS_MAX]; /* names borrowed: transactions', or the bytes' */
    size_t n_clocks;
};

/* Adds a transaction to what a front says. An empty front is all zeros. */
void front_add(struct frame_front *front, const struct transaction *t, int64_t block_ms);
/* At most FRAME_FRONT_MAX bytes. */
void front_encode(const struct frame_front *front, struct buf *out);
/* False when it makes no sense. Empty, as frames of version 1 have it: anything may be in there. */
bool front_decode(struct slice bytes, struct frame_front *out);

#endif
