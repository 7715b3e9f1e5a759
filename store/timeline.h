/*
 * Timelines: the raw segments of a store in order of time, those that are set aside too, so that
 * what concerns one window is found without looking at all the others. A segment never reaches over
 * the end of a window (compact.h).
 */
#ifndef STORE_TIMELINE_H
#define STORE_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/attach.h"
#include "store/manifest.h"

struct timeline_entry {
    int64_t t0, t1;
    uint64_t lsn;
    const char *name;
    size_t at; /* in the list of attached segments; NOT_ATTACHED: it is set aside, or unread */
};
#define NOT_ATTACHED SIZE_MAX

struct timeline {
    struct timeline_entry *entries; /* by t0 */
    size_t n;
};

/* Borrows names from both; quarantined segments are the manifest's. */
void timeline_init(struct timeline *timeline, const struct attached *all, size_t n,
    const struct manifest *manifest);
void timeline_fini(struct timeline *timeline);
/* The entries of window (t0, t1]; *n of them. */
const struct timeline_entry *timeline_window(
    const struct timeline *timeline, int64_t t0, int64_t t1, size_t *n);
/* The digest of those of the window whose LSN is at most lsn; 0 when there are none. What is not
 * attached is among them when `all`: so a segment that was derived before is told from one that
 * was derived after it, and lacks its cells. */
uint64_t timeline_digest(
    const struct timeline *timeline, int64_t t0, int64_t t1, uint64_t lsn, bool all);

#endif
