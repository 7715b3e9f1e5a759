/*
 * A folder that holds everything a store can have on disk: raw, late and derived segments, one that
 * is damaged and set aside, runs of state tables, a deletion that waits, catalogue, checkpoint, and
 * a log of several files. With the model of what it must answer.
 *
 * END_KEPT has in their place what comes of retention and of a deletion in a damaged segment:
 * coarser cells that are kept, a salvaged segment and the mark of what could not be read, files of
 * writes that were cut off, and the folder `damaged`.
 */
#ifndef TESTS_STORE_SUPPORT_EVERYTHING_H
#define TESTS_STORE_SUPPORT_EVERYTHING_H

#include "base/err.h"
#include "tests/store/support/workload.h"

enum everything_end {
    END_CLEAN,  /* the store was closed */
    END_OPEN,   /* it was killed; the cells of its last transaction are in the head */
    END_SEALED, /* it was killed; they are in a segment already */
    END_KEPT,   /* as END_SEALED */
};

struct everything {
    struct workload load;                 /* its model */
    int64_t hidden_from_ms, hidden_to_ms; /* the segment that is set aside */
};

/* Makes the folder, then a copy of it as the end says. The same seed gives the same. */
void everything_make(struct everything *e, uint64_t seed, enum everything_end end, const char *path,
    const char *copy);
/* The model alone, as it was before the last transaction, deletions included. */
void everything_before(struct everything *e, uint64_t seed, enum everything_end end);
void everything_fini(struct everything *e);

bool everything_open(const char *path, struct store **store, struct err *err);
/* Whether the folder has one of each, but for the log, which a clean stop takes away, and late
 * segments, which sealing everything may compact; *lacks names what it lacks. */
bool everything_is_there(const char *path, enum everything_end end, const char **lacks);

#endif
