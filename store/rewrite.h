/*
 * Rewriting: how maintenance carries out the deletions, one segment at a time.
 *
 *     raw                      written anew without the cells, under the same LSN
 *     derived, with raw cells  dropped when those have changed: what is left makes it anew
 *     derived, all there is    written anew, the coarsest first, without the cells whose windows
 * the deletion touches; those are made from finer cells that are left (coarse_cut.h)
 *
 * So a deleted minute takes a minute from every resolution, as long as there are cells of 1m. Where
 * only coarser ones are left, and of samples, the whole coarse cell goes.
 *
 * A derived segment is all there is, too, when it has cells of a raw one that is set aside, or
 * gone: it is told of the raw ones that are written anew (heirs.h), and goes on holding.
 *
 * A segment that is damaged is set aside (store/quarantine.h); one that cannot be read now keeps
 * its window, and the deletion, waiting.
 */
#ifndef STORE_REWRITE_H
#define STORE_REWRITE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "store/merge.h"

struct store;
struct attached;
struct deletion;

/* What the options leave of segments of one window and, as the first, of its resolution, as a file.
 * out->series 0: nothing is left, and there is no file. *bad: after a failure, the name of the
 * input that could not be read; NULL: it was something else. */
bool segment_write_kept(struct store *store, struct segment *const *inputs, size_t n,
    const struct merge_options *options, struct segment_info *out, const char **bad,
    struct err *err);

/* Writes segment number `at` of the store anew, as the options leave it; name[0] 0: nothing is left
 * of it. One that cannot be read is set aside, or its window is left alone, and `name` is its own.
 * The caller holds `seal`. */
bool segment_rewrite(struct store *store, size_t at, const struct merge_options *options,
    char name[SEGMENT_NAME_MAX], struct err *err);

/* One bounded step of carrying out what was deleted; *did false: nothing waits, or nothing can be
 * done now. The caller holds `seal`, and no block is frozen. */
bool deletions_step(struct store *store, bool *did, struct err *err);

/* Whether the segment may have cells that the deletion covers, by their times. */
bool deletion_overlaps(const struct deletion *deletion, const struct attached *segment);

#endif
