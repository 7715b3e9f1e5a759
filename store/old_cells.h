/*
 * Cells as log files of version 1 have them (sections 4 to 7 of docs/format/wal.md): read, and
 * never written any more. As the decoders of cell_code.h.
 */
#ifndef STORE_OLD_CELLS_H
#define STORE_OLD_CELLS_H

#include <stdint.h>

#include "base/bytes.h"
#include "store/transaction.h"

void old_cells_decode_adds(struct reader *r, struct transaction *t, uint64_t n);
void old_cells_decode_gauges(struct reader *r, struct transaction *t, uint64_t n);
void old_cells_decode_hists(struct reader *r, struct transaction *t, uint64_t n);
void old_cells_decode_samples(struct reader *r, struct transaction *t, uint64_t n);

#endif
