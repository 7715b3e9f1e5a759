/*
 * Provenance: how far each source had been read when the segment was made. Sorted by name.
 *
 *     page := first u32 | n u32 | total u32 | row*
 *     row  := name (varint length, bytes) | next i64
 *
 * A segment without sources has one page with n and total 0.
 */
#ifndef STORE_SEGMENT_PROVENANCE_H
#define STORE_SEGMENT_PROVENANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/segment.h"
#include "store/segment/section.h"

#define SOURCE_NAME_MAX 65536
#define SOURCES_MAX     (1u << 20)

/* Appends the pages. ERR_INVALID: a name occurs twice, is too long, or there are too many. */
bool provenance_put(
    struct section_buf *section, const struct segment_source *sources, size_t n, struct err *err);

struct provenance {
    struct segment_source *sources;
    uint32_t n, total;
};

/* Adds a page's sources, which must follow those that are there. Names live in the arena. */
bool provenance_get(struct provenance *provenance, struct slice raw, const struct place *place,
    struct arena *arena, struct err *err);

#endif
