/*
 * Marks: what the manifest names as quarantined, and what has no file. A mark stands for cells that
 * were in a damaged segment, and are gone with it.
 *
 *     0-86400000.lost-0123456789abcdef.seg        raw cells are gone
 *     0-86400000.lost-1h-0123456789abcdef.seg     kept cells of that resolution (store/keep.h)
 *     0-86400000.lost-0123456789abcdef.seg        kept ones, of whatever resolution, if derived
 *     0-86400000.gone-0123456789abcdef.seg        raw cells are gone, and somebody knows
 *
 * Of what is lost readers are told (store/missing.h). What is gone was told to whoever repaired the
 * store; it is remembered only because derived cells still have it (store/heirs.h).
 */
#ifndef STORE_MARK_H
#define STORE_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "store/segment.h"

#define MARK_ANY_RESOLUTION INT64_C(-1)

bool mark_is(const char *name);
/* Whether readers are told. */
bool mark_is_lost(const char *name);
/* Of a mark of kept cells. */
int64_t mark_resolution(const char *name);

/* The name of the mark that takes the place of the segment, or of the mark, of that name.
 * resolution_ms 0: raw. */
void mark_lost(const char *name, int64_t resolution_ms, char out[SEGMENT_NAME_MAX]);
void mark_gone(const char *name, char out[SEGMENT_NAME_MAX]);

#endif
