/*
 * Inheriting: what retention does with raw cells of a window in which a raw segment is set aside,
 * and a derived one has its cells (heirs.h).
 *
 * What is kept is made from the derived segment in the place of all that it was made from, and
 * those go: the damaged ones too, so that they never count beside it. A mark (mark.h) says so of a
 * resolution that no derived segment of the window has. Since nobody knows of which metrics a
 * damaged segment has cells, such a window waits until the raw cells of all have had their age;
 * and, in a store with samples, until it is repaired, or nothing of it may stay: a derived segment
 * may lack series of samples, which cannot be merged with what it has of others.
 */
#ifndef STORE_INHERIT_H
#define STORE_INHERIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/keep.h"

struct attached;
struct quarantined;
struct store;

/* The heir of the window in a resolution; NULL: there is none. The caller holds `seal`, here and
 * below. */
const struct attached *inherit_from(const struct store *store, int64_t t0, int64_t resolution_ms);
bool inherit_any(const struct store *store, int64_t t0);
/* Whether all heirs of the window have the cells of what is set aside. */
bool inherit_has(const struct store *store, const struct keeping *keeping,
    const struct quarantined *quarantined);
/* Whether the window waits. */
bool inherit_waits(struct store *store, const struct keeping *keeping);
/* Before anything of the window goes: says what is lost in resolutions that have no heir. */
bool inherit_mark_lost(struct store *store, const struct keeping *keeping, struct err *err);

#endif
