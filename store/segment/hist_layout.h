/*
 * Layouts of the histograms of a chunk: what they have in common, and the keys of all their
 * buckets. Bounded, so that a reader's memory is.
 */
#ifndef STORE_SEGMENT_HIST_LAYOUT_H
#define STORE_SEGMENT_HIST_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "store/histogram.h"
#include "store/segment/page.h"

#define LAYOUTS_MAX       64
#define LAYOUT_BOUNDS_MAX 32768u     /* of all layouts of a chunk */
#define LAYOUT_KEYS_MAX   65535u     /* of one layout, both signs */
#define LAYOUT_COUNTS_MAX (1u << 17) /* keys times histograms, over all layouts */

/* One histogram is less than a page, whatever is in it: a stream of one count is at most 13 bytes,
 * a key 5, a bit says that the bucket is there. */
_Static_assert(LAYOUT_KEYS_MAX * 19 + LAYOUT_BOUNDS_MAX * 8 + 4096 <= PAGE_RAW_MAX, "one fits");

struct key_set {
    int32_t *key; /* ascending */
    uint32_t n;
    size_t cap;
};

struct hist_layout {
    int schema;
    uint64_t threshold; /* bits */
    double *bounds;
    uint64_t bounds_hash; /* while it is written: few are compared that are not the same */
    uint32_t n_bounds;
    struct key_set positive, negative;
    uint32_t n; /* histograms */
};

struct hist_layouts {
    struct hist_layout items[LAYOUTS_MAX];
    uint32_t n, bounds, counts;
};

void layouts_fini(struct hist_layouts *layouts);
/* Adds a histogram and says which layout it has. False when it would pass a bound; then nothing has
 * changed. */
bool layouts_add(struct hist_layouts *layouts, const struct hist *hist, uint32_t *layout);
/* The place of a key; it is there (ensured). */
uint32_t key_place(const struct key_set *keys, int32_t key);

/* In the file. */
void layouts_put(const struct hist_layouts *layouts, struct buf *out);
/* False when the bytes are no layouts within the bounds. counts are not known yet. */
bool layouts_get(struct hist_layouts *layouts, struct reader *in);

#endif
