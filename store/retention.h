/*
 * Retention: how long cells are kept, by resolution and by metric, and how many bytes all of them
 * may take.
 *
 * Age is counted from the newest sealed data that time has passed, as the caller of maintenance
 * says (passed_ms): a store that nobody writes to loses nothing. Cells that lie behind passed_ms
 * make nothing old, sealed or not; so whoever calls never says more than his own clock does,
 * whatever the data claim (cmd/service.h). Windows (days) go as a whole, when their end is that
 * old. When raw cells go, their coarser ones are made first, of all that ever came, and stay
 * (keep.h); cells that come for such a window later are merged into those. Cells of a day, which
 * levels have, stay for ever: they are what a level starts from.
 *
 * A metric may have ages of its own, longer or shorter than those of the others: then its cells
 * alone go, or stay, and the segments are written anew. What a window has of each resolution is
 * all there is: coarser cells may go before the raw ones, and are then computed from those.
 *
 * Over max_bytes the oldest window goes, its raw cells first, then 1m, then 1h, then what was set
 * aside there as damaged; then the next. A window that is not passed stays: nothing is derived from
 * it yet. The bytes are those of the files in the folder, wal/, seg/ and state/, whoever put them
 * there: the log, the checkpoint, the catalogue and state tables count too, and take their part of
 * the bound. Not counted are the lock, runs that are merged already, and what a repair has put
 * away. What lies elsewhere (struct segment_remote) takes none, and stays: of a window that has raw
 * cells there, nothing goes by bytes but what was kept earlier. A file that nobody needs any more
 * and that cannot be removed fails the step: no cells go in its place.
 *
 * Damaged segments go by age when nothing else of their window is left to be kept, and so do those
 * that a repair has put away (put_away.h); a mark (mark.h) says from then
 * on what levels may lack. Raw cells wait while a kept segment of their window is set aside, and
 * for derived segments that have more than they (keep.h).
 *
 * Series that have no cell left are removed from the catalogue.
 */
#ifndef STORE_RETENTION_H
#define STORE_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct store;

/* Where a metric's own age says for ever, whatever that of the others is. */
#define RETENTION_FOR_EVER INT64_MAX

struct metric_retention {
    struct slice metric;
    int64_t raw_ms, minute_ms, hour_ms; /* 0: as the others */
};

/* 0: for ever, and no bound. The metrics, each of them once, and their names are borrowed for as
 * long as the store is open. */
struct retention {
    int64_t raw_ms, minute_ms, hour_ms;
    uint64_t max_bytes;
    const struct metric_retention *metrics;
    size_t n_metrics;
};

/* What the files weighed when the folder was last walked through. Guarded by `seal`. */
struct retention_weight {
    uint64_t bytes, log; /* log: by how much it had grown */
    uint64_t edits;      /* of the manifest with that number */
    uint32_t number;
    unsigned rounds; /* for which it is good */
};

/* The end of the newest segment that all sources have passed; INT64_MIN when there is none. The
 * caller holds `seal`. */
int64_t retention_newest(const struct store *store, int64_t passed_ms);
/* Whether the metric's cells of the resolution, of a window with that end, are to go. */
bool retention_takes(const struct retention *retention, struct slice metric, int64_t resolution_ms,
    int64_t window_end_ms, int64_t newest_ms);
/* Whether those of every metric are. */
bool retention_takes_all(const struct retention *retention, int64_t resolution_ms,
    int64_t window_end_ms, int64_t newest_ms);

/*
 * Steps, in this order: by age and by bytes what goes of one window in one resolution, put_away
 * what a repair has put away and has its age, forget the series that have no cell any more. *did:
 * cells or series went. The caller holds `seal`, and nothing waits to be derived. One that fails is
 * no reason not to take the next (maintain.h).
 */
bool retention_by_age(struct store *store, int64_t passed_ms, bool *did, struct err *err);
bool retention_by_bytes(struct store *store, int64_t passed_ms, bool *did, struct err *err);
bool retention_put_away(struct store *store, int64_t passed_ms, bool *did, struct err *err);
bool retention_forget(struct store *store, int64_t passed_ms, bool *did, struct err *err);

#endif
