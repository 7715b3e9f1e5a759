/*
 * Compaction: many small segments become one.
 *
 *     day D     [00-02][02-04]...[22-24]        sealed blocks, 12 of 2 hours
 *                  [late]    [late]             late cells, in segments that overlap
 *           ->  [00 ----------------- 24]       one segment, once all sources have passed the day
 *
 * A *window* is a UTC day, (00:00, 24:00], or a time block when blocks do not divide a day; nothing
 * is ever merged across its end. In a window that was compacted, late segments wait until they are
 * worth rewriting it: a quarter of its bytes, or, when there are LATE_SEGMENTS of about one size,
 * they are merged with each other. So a cell is written when it is sealed, with its day, and, when
 * it is late, once more for each doubling of what is late there. In a window that is not passed yet
 * the same holds for each block and its late segments. A window that was compacted stays passed,
 * even when the sources go back.
 *
 * The output depends on the inputs alone, and takes their place in one edit: it has the greatest
 * LSN of theirs, and all segments of the same time between their LSNs are among them, so that what
 * came later stays later. Nothing is merged over one that is set aside, since it may come back; and
 * what a derived segment was made from together with such a one stays as it is (heirs.h).
 *
 * A window that cannot be read now (store/skip.h) waits, and is no debt: slowing the writer down
 * would not help it.
 */
#ifndef STORE_COMPACT_H
#define STORE_COMPACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/manifest.h"

struct store;

#define DAY_MS INT64_C(86400000)

/* Segments that are to become one. */
struct compaction {
    size_t *inputs; /* places in store->segments, ascending */
    size_t n;
    int64_t t0, t1; /* what the output covers */
    uint64_t bytes; /* of the inputs */
};

/* Length of a window of a store with such blocks. */
int64_t window_ms(int64_t block_ms);
/* The window that ends at or after t: (start, start + window_ms]. */
int64_t window_start(int64_t t, int64_t window_ms);

/* The oldest that is due, false when there is none; *debt is the sum over all that are due. The
 * caller holds `seal`. */
struct compact_debt {
    uint64_t bytes, segments;
};
bool compact_due(
    struct store *store, int64_t passed_ms, struct compaction *out, struct compact_debt *debt);
void compaction_fini(struct compaction *compaction);
/* Does it; an input that is damaged is set aside instead, and the rest is due again; one that
 * cannot be read now keeps its window waiting. *compacted: the bytes of the inputs when it was
 * done, else 0. The caller holds `seal`. */
bool compact_run(
    struct store *store, const struct compaction *compaction, uint64_t *compacted, struct err *err);

#endif
