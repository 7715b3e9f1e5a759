/*
 * The labels of many series of a segment, in the order of their ordinals. segment_labels looks for
 * a series in the columns of all names; whoever reads all series, in a segment with many names of
 * which each series has a few, goes by groups instead: the columns of a group of series are read
 * once, and what its series have is noted by series.
 *
 *     columns of a group   city  [1 1 0 2]      ->   series 0   city 1   sku 7
 *                          sku   [7 0 0 8]           series 1   city 1 ...
 *
 * One thread uses a walk; the segment outlives it.
 */
#ifndef STORE_SEGMENT_LABEL_WALK_H
#define STORE_SEGMENT_LABEL_WALK_H

#include "store/segment.h"

struct label_walk;

struct label_walk *label_walk_new(const struct segment *segment);
void label_walk_free(struct label_walk **walk);
/* As segment_labels. Any order will do; ascending ordinals are what is fast. */
bool label_walk_labels(struct label_walk *walk, uint32_t ordinal, struct arena *arena,
    struct labels *out, struct err *err);

#endif
