/*
 * Tables: rows of 64-bit integers, kept and stored by column, a group of rows to a page.
 *
 *     group  := n_rows u32 | n_columns u16 | zero u16 | column*
 *     column := id u16 | codec u8 | zero u8 | bytes u32 | stream of n_rows values
 *
 * A column that is 0 in every row of a group is left out of it. A reader skips ids that it does not
 * know, so that a later version may add columns. (Version 1 of segments leaves none out.)
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

#define TABLE_COLUMNS_MAX 24

struct table {
    size_t n_columns, n_rows, cap;
    int64_t *values[TABLE_COLUMNS_MAX]; /* by column; the ids of the file begin with 1 */
};

void table_init(struct table *table, size_t n_columns);
void table_fini(struct table *table);
static inline int64_t table_at(const struct table *table, size_t column, size_t row)
{
    return table->values[column][row];
}
/* row has n_columns values. */
void table_add(struct table *table, const int64_t *row);
/* Appends the group to out and empties the table. */
void table_put(struct table *table, struct buf *out);
/* Replaces the rows by those of the group, at most max_rows. `all`: no column may be missing. */
bool table_get(struct table *table, struct slice raw, size_t max_rows, bool all,
    const struct place *place, struct err *err);

#endif
