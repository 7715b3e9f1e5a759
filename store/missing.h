/*
 * What a reader lacks: cells in segments that are set aside (store/quarantine.h), or that a mark
 * stands for (store/mark.h). An answer without them would be wrong, so it is an error, or a warning
 * where a partial answer is asked for; but only for who would have read them. Nothing is lacking
 * where the reader finds the same cells elsewhere, all of them, or where they would have gone for
 * their age:
 *
 *   a raw segment        of who wants raw cells, once the age of its metric has come and no raw
 * ones are left of the window; of who wants coarser ones, when a derived segment that was made from
 * it serves him; of a level's sum inside the window, when that is at the end of one of its cells a
 * derived segment    unless it is kept (store/keep.h): others are made anew from raw cells a kept
 * segment       of who wants another resolution, or raw cells. Which one it is cannot be read any
 * more, but there is one of each at most: so not either where the one of the resolution that is
 * wanted is there a mark of kept ones  of who wants another resolution than it names: one of the
 * same is but the rest of what was there
 *
 * A level's sum needs some kept segment of a window that has ended. Inside a window it needs the
 * finest one that the level has: the sum is that of the last cell that ended by then, and of
 * coarser cells that would be an older one.
 */
#ifndef STORE_MISSING_H
#define STORE_MISSING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/attach.h"
#include "store/opening.h"
#include "store/quarantine.h"
#include "store/retention.h"

/* A reader of one series. */
struct missing_reader {
    const struct quarantined *all;
    size_t n;
    const struct attached *segments;
    size_t n_segments;
    const struct metric_def *def;
    int64_t resolution_ms;         /* of the cells that it wants; 0: raw */
    const struct opening *opening; /* it wants a level's sum; NULL: it does not */
    const struct retention *retention;
    int64_t newest_ms, window_ms; /* from which ages count, and of what they are */
    /* Whether it takes cells of segment i. */
    bool (*serves)(void *ctx, uint32_t i, bool *serves, struct err *err);
    void *ctx;
};

/* ERR_CORRUPT, naming it, when cells in (from, to] are in a segment that is set aside. */
bool missing_check(const struct missing_reader *reader, int64_t from, int64_t to, struct err *err);

#endif
