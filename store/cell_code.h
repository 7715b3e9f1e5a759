/*
 * How a transaction's cells become bytes; docs/format/wal.md, "Cells", has the layout.
 *
 * Each cell begins with one byte that says how its series, its time and its value relate to the
 * cell before it: a batch of one time over neighbouring series, or of one series over regular
 * times, costs that byte and the value. Nothing is kept from one transaction to the next: any frame
 * of the log is read without those before it.
 */
#ifndef STORE_CELL_CODE_H
#define STORE_CELL_CODE_H

#include <stdint.h>

#include "base/bytes.h"
#include "store/transaction.h"

void cells_encode_adds(const struct transaction *t, struct buf *out);
void cells_encode_gauges(const struct transaction *t, struct buf *out);
void cells_encode_hists(const struct transaction *t, struct buf *out);
void cells_encode_samples(const struct transaction *t, struct buf *out);

/* Append n cells to the transaction. What cannot be sets reader->failed. */
void cells_decode_adds(struct reader *r, struct transaction *t, uint64_t n);
void cells_decode_gauges(struct reader *r, struct transaction *t, uint64_t n);
void cells_decode_hists(struct reader *r, struct transaction *t, uint64_t n);
void cells_decode_samples(struct reader *r, struct transaction *t, uint64_t n);

#endif
