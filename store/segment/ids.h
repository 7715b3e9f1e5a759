/*
 * The map from the store's series ids to ordinals, ascending by id: the store finds its series in a
 * segment without looking at labels.
 *
 *     page := group of a table (table.h): 1 id, 2 ordinal
 */
#ifndef STORE_SEGMENT_IDS_H
#define STORE_SEGMENT_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/segment/section.h"

/* Appends the pages. ids are by ordinal; SEGMENT_NO_ID ones are left out. ERR_INVALID: two series
 * have one id. */
bool ids_put(struct section_buf *section, const uint32_t *ids, uint32_t n, struct err *err);

/* Rows to a page, at most; columns of the table. */
#define IDS_GROUP 8192
enum { ID, ORDINAL, IDS_COLUMNS };

struct ids_table {
    uint32_t n;
    uint32_t *id, *ordinal;
};

/* The rows of a page, n > 0, in the arena; ordinals are below n_series. */
bool ids_get(struct ids_table *out, struct slice raw, uint32_t n_series, const struct place *place,
    struct arena *arena, struct err *err);

#endif
