/*
 * Cutting coarse cells: what is left of the cells of a derived segment when part of their time is
 * deleted, and the raw cells are not there any more.
 *
 *     1h   [    10:00    ][    11:00    ]         deleted: 10:20 to 10:30
 *     1m   . . . . . . . . . . . . . . . .        10:00 is made anew from its minutes but those
 *
 * A touched cell is made anew from the finest cells that have all of it: that it comes out of them
 * is tried first, cell by cell, since a finer segment may have been repaired with losses. Where
 * none has, and of samples, the whole cell goes: nobody can say what part of it was deleted. Finer
 * cells are those that the deletion has not reached yet, so the coarsest segment is cut first; one
 * that was cut before, and is again after a crash, stays as it is.
 */
#ifndef STORE_COARSE_CUT_H
#define STORE_COARSE_CUT_H

#include "store/attach.h"
#include "store/merge.h"

struct store;

struct coarse_cut {
    struct store *store;
    const struct attached *segment;
    const struct attached *finer[RESOLUTIONS]; /* the finest first */
    size_t n;
    const struct attached *bad; /* a finer one that could not be read */
};

/* The finer segments are those that stand, as this one does, for raw cells of the window that are
 * not attached. The caller holds `seal`. */
void coarse_cut_init(struct coarse_cut *cut, struct store *store, const struct attached *segment);
/* A merge_map; ctx is the cut. */
bool coarse_cut_cells(void *ctx, const struct metric_def *def, struct labels labels,
    struct arena *arena, struct columns *columns, struct err *err);

#endif
