/*
 * Series and cells as text, for the commands that look into files. A cell is one line: series, its
 * time in milliseconds, its parts. Amounts are written as decimals, exactly; a sample that is NaN
 * with its bits.
 *
 *     orders_total{market="oslo"} 1700000005000 12.50
 *     fridge_celsius{fridge="f1"} 1700000005000 last=3.5 last_ms=1700000004100 min=3 max=4 ...
 *     delivery_seconds{} 1700000005000 sum=730.2 count=2 [310:1 311:1]       bucket key : count
 *     up{job="a"} 1700000005000 NaN(0x7ff0000000000002)
 */
#ifndef CMD_CELL_TEXT_H
#define CMD_CELL_TEXT_H

#include "base/buf.h"
#include "store/segment.h"

/* Appends the name and the labels in braces. */
void cell_text_series(struct buf *out, const struct metric_def *def, struct labels labels);
/* Appends what follows the series in the line of cell i, and the line's end. */
void cell_text_add(
    struct buf *out, const struct metric_def *def, const struct columns *c, size_t i);
/* Appends a line about what a repair has lost: `lost: SERIES from T to T, N cells: WHY`. */
void cell_text_loss(
    struct buf *out, const struct segment *segment, const struct segment_loss *loss);

#endif
