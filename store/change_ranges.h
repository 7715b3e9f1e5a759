/* Ranges of changes: order, and taking those together that overlap or are near. */
#ifndef STORE_CHANGE_RANGES_H
#define STORE_CHANGE_RANGES_H

#include "store/changes.h"

#define CHANGE_NEAR_MS INT64_C(3600000)

/* By metric, then series (those of all series first), then time. */
int change_compare(const struct change *a, const struct change *b);
/* Widens `into` by b, which does not begin before it, when they are of the same series and at most
 * near_ms apart; else false. */
bool change_join(struct change *into, const struct change *b, int64_t near_ms);
/* Sorts; takes together what overlaps, and leaves out what a whole metric's or everything's range
 * says already. Returns how many are left. */
size_t changes_join(struct change *changes, size_t n);

#endif
