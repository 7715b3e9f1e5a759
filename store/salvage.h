/*
 * Salvage: a deletion reaches what is set aside, too.
 *
 *     file that is damaged   ->  a new segment of what can be read of it, less what is deleted
 *                                a mark (mark.h): quarantined as before, for its time, and without
 *                                a file
 *
 * Only when the segment has something of a deletion, or may have it, since its labels cannot be
 * read. What cannot be read is gone with the file, and how much that was is in the log. Readers are
 * told as before that cells of its time are missing, until those would have gone for their age, or
 * until somebody says that he knows, by `larder verify --repair`; when nothing was lost, there is
 * no mark.
 *
 * A derived segment that can be made anew goes as a whole. Derived segments that have cells of the
 * raw one which are lost (heirs.h) stay, less what is deleted.
 */
#ifndef STORE_SALVAGE_H
#define STORE_SALVAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct segment;
struct store;

/* Sees to the next segment that is set aside. *did: it changed something; *waits: one cannot be
 * read now. The caller holds `seal`. */
bool salvage_step(struct store *store, bool *did, bool *waits, struct err *err);

/* Whether a segment of that time block, which no transaction is later than, has something of the
 * deletions that wait, or nobody can say that it has not. segment NULL: it cannot be opened. */
bool salvage_may_have(struct store *store, struct segment *segment, int64_t t0, int64_t t1);

#endif
