/*
 * What a reader lacks: cells in segments that are set aside (store/quarantine.h). An answer without
 * them would be wrong, so it is an error, or a warning where a partial answer is asked for; but
 * only for who would have read them:
 *
 *   a raw segment       not when a derived one that was made from it serves the reader: it has the
 *                       cells
 *   a derived segment   only when it is kept (store/keep.h), and no other of the window serves as
 *                       well: others are made anew from raw cells
 */
#ifndef STORE_MISSING_H
#define STORE_MISSING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/attach.h"
#include "store/quarantine.h"

/* A reader of one series. */
struct missing_reader {
    const struct quarantined *all;
    size_t n;
    const struct attached *segments;
    size_t n_segments;
    const struct metric_def *def;
    int64_t resolution_ms; /* of the cells that it wants; 0: raw */
    bool opening;          /* it wants a level's sum */
    /* Whether it takes cells of segment i. */
    bool (*serves)(void *ctx, uint32_t i, bool *serves, struct err *err);
    void *ctx;
};

/* ERR_CORRUPT, naming it, when cells in (from, to] are in a segment that is set aside. */
bool missing_check(const struct missing_reader *reader, int64_t from, int64_t to, struct err *err);

#endif
