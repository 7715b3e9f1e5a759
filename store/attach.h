/*
 * Attaching: a segment becomes readable when its series are known by the catalogue's ids. As a rule
 * the segment has them itself, and attaching costs the same however many series it has; where one
 * of its series has none, all are looked up by their labels. The list of attached segments is in
 * the order of their LSNs, as the manifest's is.
 */
#ifndef STORE_ATTACH_H
#define STORE_ATTACH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/manifest.h"
#include "store/resolution.h"
#include "store/segment.h"

struct store;

/* A series of a segment in the catalogue. */
struct attached_series {
    uint32_t series, ordinal;
};

struct attached {
    struct segment *segment;
    struct attached_series *series; /* by series id; NULL: the segment has the ids */
    atomic_uint *refs;              /* of series; the segment counts its own */
    size_t n;
    uint64_t lsn; /* as the manifest has it; and so the next two */
    uint64_t inputs;
    bool derived;
    /* What follows from the others (store/derive.h). Derived: whether it holds, whether raw
     * segments of its time came later, and whether what it was made from is gone; whether it has
     * the cells of those, too, that were set aside since; whether all that it was made from is
     * attached; and the resolutions that hold in its window, a bit for each, of those that are
     * kept as it is. Raw: the place of the segment that holds its cells in each resolution,
     * NOT_COVERED when there is none. */
    bool holds, later, kept, whole, backed;
    unsigned siblings;
    uint32_t cover[RESOLUTIONS];
    uint64_t clean;    /* the deletions with a number up to this are carried out in it */
    int64_t leaves_ms; /* retention: when the first of its metrics goes; 0: not looked up yet */
};
#define NOT_COVERED UINT32_MAX

/* Opens a segment's file, here or where it lies far away, and no more. */
bool attach_open(struct store *store, const char *name, struct segment **out, struct err *err);
/* Whether the store's folder has a file of that name. */
bool attach_is_here(const struct store *store, const char *name);
/* Opens a segment while the store is opened; series and metrics that the catalogue does not know
 * enter it. */
bool attach_recover(struct store *store, const struct manifest_segment *entry, struct err *err);
/* Opens a segment that could not be read when the store was opened, and publishes it. The caller
 * holds `seal`. */
bool attach_again(struct store *store, struct manifest_segment *entry, struct err *err);
/* Another reference to the same. */
struct attached attached_get(const struct attached *attached);
void attached_fini(struct attached *attached);
/* The ordinal of a series in the segment; SEGMENT_NO_ID when it is not there. It may read. */
bool attached_find(
    const struct attached *attached, uint32_t series, uint32_t *ordinal, struct err *err);
/* Whether it has series of the metric. It may read. */
bool attached_has_metric(
    const struct attached *attached, struct slice metric, bool *has, struct err *err);
/* The catalogue's ids of all series of the segment, an array of *n on the heap, in no order. It may
 * read. */
bool attached_ids(const struct attached *attached, uint32_t **out, size_t *n, struct err *err);

/*
 * Changes which segments there are, in one step: on disk by one edit of the manifest, then for
 * readers. The files of what is added are in the folder, and the catalogue knows their series. An
 * edit that seals a block ends the frozen one. Files that nobody names any more are unlinked;
 * snapshots that read them keep them open. On failure nothing has changed, and the files that were
 * to be added are gone unless the manifest may name them.
 *
 * The caller holds `seal`; the lock is taken for moments.
 */
bool segments_change(struct store *store, const struct manifest_edit *edit, struct err *err);

#endif
