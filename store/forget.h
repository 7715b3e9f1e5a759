/*
 * Forgetting: series that have no cell left, in no segment and not in the head, are removed from
 * the catalogue. Metrics stay, with help and unit: their names are those of the config or of the
 * code that pushes, never personal data, and a name keeps its kind for ever.
 */
#ifndef STORE_FORGET_H
#define STORE_FORGET_H

#include <stdbool.h>

#include "base/err.h"

struct store;

/* After cells went for their age. A checkpoint is written when there were such series. While a
 * segment cannot be read, nobody knows what it holds: nothing is forgotten, and the next time will
 * do. The caller holds `seal`, here and below. */
bool forget_series(struct store *store, struct err *err);
/* After cells were deleted: as above, and a checkpoint is written in any case, which forgets the
 * log with what it says of them. *done false: not now, since a segment could not be read. */
bool forget_deleted(struct store *store, bool *done, struct err *err);

#endif
