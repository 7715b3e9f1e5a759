/*
 * Forgetting: series that have no cell left, in no segment and not in the head, are removed from
 * the catalogue. Metrics stay, with help and unit: their names are those of the config or of the
 * code that pushes, never personal data, and a name keeps its kind for ever.
 *
 * What is set aside, or cannot be read now, may have cells of any series: while there is such a
 * file, series stay, and with them answers say what they lack. Only those go that are deleted in
 * all the time of every such file, since the deletion has been carried out in it (store/salvage.h).
 *
 * Segments are looked through before the writer is stopped: they do not change meanwhile.
 */
#ifndef STORE_FORGET_H
#define STORE_FORGET_H

#include <stdbool.h>

#include "base/err.h"

struct store;

/* Whether something is set aside, so that series without cells stay for now. The caller holds
 * `seal`, here and below. */
bool forget_waits(const struct store *store);
/* After cells went for their age. A checkpoint is written when there were such series. */
bool forget_series(struct store *store, struct err *err);
/* After cells were deleted, and nothing of the deletions waits: as above, and a checkpoint is
 * written in any case, which forgets the log with what it says of them. */
bool forget_deleted(struct store *store, struct err *err);

#endif
