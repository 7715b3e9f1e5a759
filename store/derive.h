/*
 * Derived segments: the coarser cells of a window, stored. See resolution.h.
 *
 * For every passed window in which compaction has nothing to do, one segment per resolution is made
 * from all its raw segments, and made anew when those have changed: late cells that were merged in,
 * data that were deleted. Late segments that are still apart, and the head, do not change what was
 * derived: a reader adds them to it.
 *
 * A segment without anything coarser to it is remembered, so that it is not tried again and again.
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

struct derivation {
    int64_t t0, t1; /* the window */
    int64_t resolution_ms;
};

/* A derivation of which nothing came. */
struct derived_nothing {
    int64_t t0, resolution_ms;
    uint64_t inputs;
};

/* The digest of the raw segments that overlap (t0, t1] and whose LSN is at most lsn, quarantined
 * ones too; 0 when there are none. The caller holds `seal`. */
uint64_t derive_inputs(const struct manifest *manifest, int64_t t0, int64_t t1, uint64_t lsn);
/* Works out what holds, and what covers what, for a whole list. */
void derive_refresh(struct attached *all, size_t n, const struct manifest *manifest);

/* Who asks what serves a series: the list of segments as he sees it, and whether he has cells of
 * that series in the head, or pending, in a block that overlaps (t0, t1]. */
struct derive_reader {
    const struct store *store; /* whose deletions do not change meanwhile; NULL: it has none */
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

/* Before retention takes the raw segments of a window: makes its derived segments whole, what came
 * later merged in, one per call. *did false: they are. The caller holds `seal`. */
bool derive_complete(struct store *store, int64_t t0, int64_t t1, bool *did, struct err *err);

/*
 * Retention takes raw cells away, and the coarser ones are to outlive them. As segments_change, for
 * an edit that only leaves cells out whose age has come: derived segments that held before it hold
 * after it. It drops all raw segments of a window, or rewrites them with the same LSN. Not for
 * deletion: what is deleted must go from the derived segments too.
 */
bool derive_change_kept(struct store *store, const struct manifest_edit *edit, struct err *err);

/* Writes the coarser cells of the inputs as one segment; takes: as in merge.h, called with no
 * context; may be NULL. out->series 0: nothing came of it, and there is no file. *bad: after
 * ERR_CORRUPT, the name of the input that is damaged, NULL: none. */
bool derive_write(struct store *store, const struct derivation *derivation,
    struct segment *const *inputs, size_t n, merge_takes *takes, struct segment_info *out,
    const char **bad, struct err *err);

/* The next that is due, false when none is. The caller holds `seal`. */
bool derive_due(struct store *store, int64_t passed_ms, struct derivation *out);
bool derive_run(struct store *store, const struct derivation *derivation, struct err *err);

#endif
