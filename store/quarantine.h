/*
 * Quarantine: a damaged segment is set aside, and the rest goes on.
 *
 * One that does not open when the store does, or that compaction cannot read, is named in the
 * manifest as quarantined: its file stays where it is, nobody reads it, and nothing else changes.
 * It is reported in the log, in the statistics and to every reader whose range it overlaps: an
 * answer without its cells would be wrong. Damage that a query meets is an error of that query
 * alone: the pages that are whole stay readable until compaction comes by.
 */
#ifndef STORE_QUARANTINE_H
#define STORE_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/segment.h"

struct store;
struct manifest;

struct quarantined {
    char name[SEGMENT_NAME_MAX];
    int64_t t0, t1;
    bool made_anew; /* from raw segments, so nobody lacks it */
};

/* The time block of a segment, from its name; false when that is none. */
bool segment_name_times(const char *name, int64_t *t0, int64_t *t1);

/* What is quarantined, for readers: a heap array of manifest->n_quarantined. */
struct quarantined *quarantine_list(const struct manifest *manifest);

/* Sets a segment aside for the reason given. The caller holds `seal`. */
bool quarantine_segment(
    struct store *store, const char *name, const struct err *why, struct err *err);

/* ERR_CORRUPT, naming it, when a segment of the list overlaps (from, to] that is not made anew: a
 * raw one, or one of coarser cells whose raw ones are gone (store/keep.h). */
bool quarantine_check(
    const struct quarantined *all, size_t n, int64_t from, int64_t to, struct err *err);

#endif
