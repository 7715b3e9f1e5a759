/*
 * Segments that the disk or a peer did not give when the store was opened. They count, and their
 * cells are missing from answers, which readers are told; maintenance leaves their windows alone
 * (store/skip.h) and asks for them again, after longer and longer pauses, until they are there.
 *
 * Where a peer is away it is asked once a pause, not once for every segment that it has, and while
 * the store is opened only a few times.
 *
 * Meanwhile no series is forgotten that may have its cells there (store/forget.h).
 */
#ifndef STORE_UNREAD_H
#define STORE_UNREAD_H

#include <stdbool.h>

#include "base/err.h"
#include "store/manifest.h"

struct store;

/* What errors say of a segment: it is damaged or not there; or it may be there another time, of a
 * peer or of this disk. */
bool unread_is_lost(const struct err *why);
bool unread_is_away(const struct err *why);
bool unread_may_pass(const struct err *why);

/* While the store is opened: it counts, and its window waits. */
void unread_leave(struct store *store, struct manifest_segment *segment, const struct err *why);
/* Asks for those whose pause is over, up to one that is there. *did: it is there now, or is set
 * aside as damaged. The caller holds `seal`. */
bool unread_step(struct store *store, bool *did, struct err *err);

#endif
