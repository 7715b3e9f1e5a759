/*
 * Maintenance: what is to be done beside writing and reading, one bounded step at a time, the most
 * urgent first:
 *
 *     1  a block whose sealing did not end; the oldest block while the head is over its memory
 *     2  blocks that all sources have passed
 *     3  a checkpoint, when the log has grown
 *     4  late cells that have gathered for sealed blocks
 *     5  state tables: writing, purging and merging their files
 *     6  segments that could not be read at the start (store/unread.h)
 *     7  deletions: segments are rewritten (store/delete.h)
 *     8  compaction
 *     9  coarser cells (store/derive.h), where compaction has nothing left to do
 *    10  retention (store/retention.h)
 *
 * Late cells make a segment of their own when there are LATE_CELLS of them or LATE_BYTES, or when
 * the sources have moved on by a whole block since they came: never by a wall clock. Where the
 * sources stood then is in the manifest, so that the same transactions and the same calls give the
 * same segments, however often the store is closed or killed between them. Memory is the exception:
 * how much a head takes, and so LATE_BYTES and the head's bound, is another after a restart.
 *
 * A damaged input is set aside (store/quarantine.h), and a window that cannot be read now waits
 * (store/skip.h): neither stops the rest. Nor does a step that fails, on a full disk say, or for a
 * file that cannot be removed: it fails the call, and the next calls leave it alone
 * (store/setback.h). So space is freed though nothing can be sealed.
 *
 * Debt is what compaction has not done yet. When more waits than the options allow,
 * store_throttle_ms asks the writer to slow down, and never to stop.
 */
#ifndef STORE_MAINTAIN_H
#define STORE_MAINTAIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/retention.h"
#include "store/setback.h"
#include "store/skip.h"

/* When derivations were looked for and none was due: another look would find the same. */
struct derive_look {
    uint64_t edits;            /* of the manifest with that number */
    int64_t window, newest_ms; /* the one that is not passed; from which ages count */
    uint32_t number;
    bool nothing_due;
};

/* What is left alone for a while when it has failed. */
enum work {
    WORK_SEAL,
    WORK_STATE,
    WORK_PURGE,
    WORK_UNREAD,
    WORK_DELETE,
    WORK_COMPACT,
    WORK_DERIVE,
    WORK_AGE,
    WORK_BYTES,
    WORK_PUT_AWAY,
    WORK_FORGET,
    WORKS
};

/* Guarded by `seal`; the atomics may be read without it. */
struct maintenance {
    struct derive_look looked;
    struct skips skips;
    struct retention_weight weight;
    struct setback setbacks[WORKS];
    atomic_uint_fast64_t debt_bytes, debt_segments;
    atomic_uint_fast64_t unreadable; /* windows that wait, of skips */
    atomic_uint_fast64_t compactions, compacted_bytes;
    bool series_left; /* retention took segments: some series may have no cell any more */
};

#endif
