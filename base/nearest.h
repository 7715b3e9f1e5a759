/*
 * "Did you mean": the known word that is closest to a mistyped one, by the number of letters
 * changed, added, left out or swapped with their neighbour (Damerau's distance, adjacent swaps
 * once).
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

#include "base/slice.h"

/* The index of the closest choice, the first of several; -1 when none is close: at most a third of
 * the longer word, and at least one letter, may differ. Words longer than 63 bytes are never close.
 */
int nearest_find(struct slice word, const struct slice *choices, size_t n);

#endif
