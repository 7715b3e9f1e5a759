/*
 * Opening levels: what a `level` series stands at, which is the sum of all its changes up to a
 * time.
 *
 *     day 1        day 2        day 3                         at
 *     [1d cell]    [1d cell]    [raw chunk][raw chunk][raw chu|nk] + head
 *      decoded       decoded     sum from the directory         decoded
 *
 * Of every window that ended by then the coarsest segments that hold are taken, as a rule one cell
 * per day; elsewhere raw ones, of which whole chunks count by the sum that the directory has.
 * Nothing has to be kept up to date: late cells are in segments and blocks of their own and are
 * summed with the rest, until the day is derived anew. Where retention has taken raw cells, what is
 * kept of them stays, so the sum stays right; inside such a window it is that of the last bucket
 * that ended by then, of the finest cells that are left.
 *
 * A window in which a deletion of the series waits for maintenance is summed from raw cells, less
 * what is deleted, and from the finest of those that are kept.
 *
 * A derived segment that has cells of a raw one which is set aside stands for all raw ones that it
 * was made from: those are never taken beside it.
 */
#ifndef STORE_OPENING_H
#define STORE_OPENING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/attach.h"
#include "store/cell.h"

struct deletion_list;

/* A level up to a time, over a list of segments. */
struct opening {
    const struct deletion_list *deletions;
    const struct attached *all;
    size_t n;
    uint32_t series;
    const struct metric_def *def;
    int64_t at_ms;
};

/* Whether the coarsest cells of window (t0, t1] count: it has ended, and no deletion waits in it.
 * Else the finest that are left do. */
bool opening_counts_whole(const struct opening *opening, int64_t t0, int64_t t1);
/* *takes: whether the sum takes the cells of segment i of the list that end by then. Every change
 * is in exactly one of those that it takes. It may read. */
bool opening_takes(const struct opening *opening, size_t i, bool *takes, struct err *err);

#endif
