/*
 * What a segment knows of its metrics, in the order of their names: metric i has the name with rank
 * i in the dictionary of __name__.
 *
 *     page := first u32 | n u32 | total u32 | row*
 *     row  := kind u8 | digits u8 | schema i8 | zero u8 | every_ms i64 | stale_after_ms i64
 *             | clock | help | unit             each varint length, bytes
 *             | n_series varint                 not in version 1
 *
 * The series of a segment are sorted by metric, so n_series says of every ordinal which metric it
 * belongs to, and no column of names is needed.
 */
#ifndef STORE_SEGMENT_METRIC_TABLE_H
#define STORE_SEGMENT_METRIC_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/bounds.h"
#include "store/cell.h"
#include "store/segment/section.h"

/* Whether two definitions of one name agree in what the cells depend on. */
bool metric_def_agrees(const struct metric_def *a, const struct metric_def *b);
/* Appends the pages. The definitions were checked; n_series is the number of series of each. */
void metric_table_put(struct section_buf *section, const struct metric_def *defs,
    const uint32_t *n_series, uint32_t n);

struct metric_table {
    struct metric_def *defs; /* names are filled in by the caller */
    uint32_t *end;           /* of each metric, the ordinal behind its last series */
    uint32_t n, total;       /* read so far, in all */
    uint32_t cap;            /* room */
};

/* Adds a page's metrics, which must follow those that are there. Everything lives in the arena;
 * `counts`: rows have n_series, and end is filled in from them. */
bool metric_table_get(struct metric_table *table, struct slice raw, bool counts,
    const struct place *place, struct arena *arena, struct err *err);

#endif
