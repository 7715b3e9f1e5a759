/*
 * Tables: rows of 64-bit integers, kept and stored by column, a group of rows to a page.
 *
 *     group  := n_rows u32 | n_columns u16 | zero u16 | column*
 *     column := id u16 | codec u8 | zero u8 | bytes u32 | stream of n_rows values
 *
 * A table's columns have the ids 1, 2, ... . A reader skips ids that it does not know and misses
 * none of those it knows, so that a later version may add columns.
 */
#ifndef STORE_SEGMENT_TABLE_H
#define STORE_SEGMENT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/segment/page.h"

struct table {
    size_t n_columns, n_rows, max_rows; /* of one group */
    int64_t *values;                    /* [column][row] */
};

void table_init(struct table *table, size_t n_columns, size_t max_rows);
void table_fini(struct table *table);
static inline int64_t table_at(const struct table *table, size_t column, size_t row)
{
    return table->values[column * table->max_rows + row];
}
/* There is room (ensured). row has n_columns values. */
void table_add(struct table *table, const int64_t *row);
bool table_is_full(const struct table *table);
/* Appends the group to out and empties the table. */
void table_put(struct table *table, struct buf *out);
/* Replaces the rows by those of the group. */
bool table_get(struct table *table, struct slice raw, const struct place *place, struct err *err);

#endif
