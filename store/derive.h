/*
 * Derived segments: the coarser cells of a window, stored. See resolution.h.
 *
 *     raw segments of a day  --derive.c-->  1m, 1h, 1d, of each one segment that names them
 *                            --keep.c--->   1m, 1h, 1d that are kept, when the raw cells go
 *
 * For every passed window in which compaction has nothing to do, one segment per resolution is made
 * from all its raw segments, and made anew when those have changed: late cells that were merged in,
 * data that were deleted. Late segments that are still apart, and the head, do not change what was
 * derived: a reader adds them to it. Such a segment may lack series: who does not find one there
 * computes its coarser cells from raw ones. Two sorts are left out: cells whose age has come in
 * this resolution (retention.h), and samples of which there are fewer than DERIVE_PAYS raw cells to
 * a coarser one, which take less room as they are.
 *
 * What is kept (keep.h) has all series whose raw cells went, and nothing behind it: it stands
 * beside whatever else there is of its window.
 *
 * Derivations of which nothing comes are remembered in the manifest (nothing.h).
 *
 * covered.c says what holds and what serves a reader.
 */
#ifndef STORE_DERIVE_H
#define STORE_DERIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/cell.h"
#include "store/manifest.h"
#include "store/merge.h"

struct store;
struct attached;
struct deletion_list;

/* Raw samples for each coarser one, on average over a window, from which on those are stored: a
 * coarser cell has eleven numbers, and so it takes about as much room as ten raw ones. */
#define DERIVE_PAYS 16

struct derivation {
    int64_t t0, t1; /* the window */
    int64_t resolution_ms;
    int64_t newest_ms; /* from which ages count: retention_newest */
};

/* ---- what holds ---- */

/* Works out what holds, and what covers what, for a whole list. */
void derive_refresh(struct attached *all, size_t n, const struct manifest *manifest);

/* Who asks what serves a series: the list of segments as he sees it, and whether he has cells of
 * that series in the head, or pending, in a block that overlaps (t0, t1]. */
struct derive_reader {
    const struct deletion_list *deletions;
    const struct attached *all;
    size_t n;
    bool (*in_head)(const void *ctx, int64_t t0, int64_t t1);
    const void *ctx;
};

/*
 * *serves: whether a reader of the series takes the cells of segment i, when it wants them in the
 * resolution (0: raw). The raw segments that a derived one covers are left out where that is read.
 * What came later, in segments or in the head, is read beside it and added; samples do not add up,
 * so a series of samples for which something came later is read from raw cells in that window.
 */
bool derive_serves(const struct derive_reader *reader, size_t i, uint32_t series, enum kind kind,
    int64_t resolution_ms, bool *serves, struct err *err);

/* ---- making them ---- */

/* What is derived of the inputs. */
struct derive_choice {
    /* Of which metrics, of those that have the resolution. */
    bool (*wants)(void *ctx, const struct metric_def *def);
    merge_takes *takes; /* as in merge.h; NULL: from all inputs */
    void *ctx;          /* of both */
    bool kept;          /* nothing raw stays: samples too that do not pay, and cells that are as
                         * long as the resolution */
};

/* Writes the coarser cells of the inputs as one segment. out->series 0: nothing came of it, and
 * there is no file. *bad: after a failure, the name of the input that cannot be read, NULL: none.
 */
bool derive_write(struct store *store, const struct derivation *derivation,
    struct segment *const *inputs, size_t n, const struct derive_choice *choice,
    struct segment_info *out, const char **bad, struct err *err);

/* Whether windows of (t0, t1] have cells of the resolution. */
bool derive_fits(int64_t t0, int64_t t1, int64_t resolution_ms);

/* The next that is due, false when none is. The caller holds `seal`. */
bool derive_due(struct store *store, int64_t passed_ms, struct derivation *out);
bool derive_run(struct store *store, const struct derivation *derivation, struct err *err);

#endif
