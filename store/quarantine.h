/*
 * Quarantine: a damaged segment is set aside, and the rest goes on.
 *
 * One that is not there or not whole when the store is opened, or that maintenance finds damaged,
 * is named in the manifest as quarantined: its file stays where it is, nobody reads it, and nothing
 * else changes. It is reported in the log, in the statistics and to readers who would need its
 * cells (store/missing.h). It goes with its age (store/retention.h), and when something is deleted
 * in it. Damage that a query meets is an error of that query alone: the pages that are whole stay
 * readable until maintenance comes by.
 *
 * One that the disk or a peer does not give at the start is set aside in memory alone, until it can
 * be read (store/unread.h).
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
    uint64_t lsn;
    bool derived;
    bool unread;           /* in memory alone */
    bool kept;             /* derived, and the raw cells that it was made from are gone */
    bool mark, gone;       /* it has no file (store/mark.h); and nobody is told */
    int64_t resolution_ms; /* of a mark of kept cells, or MARK_ANY_RESOLUTION */
    uint64_t clean;        /* the deletions with a number up to this are carried out in it */
};

/* The time block of a segment, from its name; false when that is none. */
bool segment_name_times(const char *name, int64_t *t0, int64_t *t1);

/* What is set aside, as a heap array of *n; marks are as in the list before. */
struct quarantined *quarantine_list(
    const struct manifest *manifest, const struct quarantined *before, size_t n_before, size_t *n);

/* Sets a segment aside for the reason given. The caller holds `seal`. */
bool quarantine_segment(
    struct store *store, const char *name, const struct err *why, struct err *err);

/* What maintenance does with an input that it could not read: a damaged one, or one of a sort that
 * is not known, is set aside, another keeps its window (t0, t1] waiting (store/skip.h). False for
 * errors that are not the input's. The caller holds `seal`. */
bool input_set_aside(struct store *store, const char *name, int64_t t0, int64_t t1,
    const struct err *why, struct err *err);

/* How many are set aside, of which readers are told. */
size_t quarantine_count(const struct store *store);
/* Whether a kept segment of the window is set aside, whose file is there: late cells cannot be
 * merged into it now, and nothing may take its place. */
bool quarantine_has_kept(const struct store *store, int64_t t0, int64_t t1);
/* Whether it says for good that cells of a day are lost, or nobody knows of what time it is. */
bool quarantine_stays(const struct quarantined *quarantined);
/* Removes it for its age, the file too. Cells of a day have none: where levels may have lost some,
 * a mark says so from now on. The caller holds `seal`. */
bool quarantine_expire(struct store *store, const struct quarantined *quarantined, struct err *err);

#endif
