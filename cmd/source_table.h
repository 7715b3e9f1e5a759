/*
 * The partitions that a server told of, as a table for people:
 *
 *     PARTITION  STREAM  STATE      POSITION   END  LAG  LOST  NEWEST EVENT
 *     orders/0   orders  caught_up      1200  1200    0     0  2026-11-20T18:00:00Z
 *     orders/1   orders  halted          800    40    -     0  2026-11-20T17:10:04Z
 *                its log ends at 40, before its position: ...
 *                seek --to earliest reads ...
 */
#ifndef CMD_SOURCE_TABLE_H
#define CMD_SOURCE_TABLE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

/* data: of the answer. *halted: how many partitions are. False: it does not have that form. */
bool source_table(const json_t *data, struct buf *out, size_t *halted);

#endif
