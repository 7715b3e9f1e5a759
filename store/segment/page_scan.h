/*
 * Finding the pages of a segment without its index: they lie one behind the other from the header
 * on, each says how long it is and what it is, and most say in their first bytes what they hold.
 *
 * A damaged page of DATA, or of aggregates, has its place when its header leads to a whole page;
 * any other damage ends the scan. What lies before it counts when the labels are among it, whole:
 * posting lists and ids can be done without.
 */
#ifndef STORE_SEGMENT_PAGE_SCAN_H
#define STORE_SEGMENT_PAGE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/segment.h"
#include "store/segment/page_index.h"

struct page_scan {
    struct page_index index; /* not finished; without the pages of the index itself */
    uint64_t end;            /* of the pages that count */
    uint32_t series, n_data;
    uint64_t chunks, cells;
    bool complete; /* up to the pages of the index, and none of them damaged: */
    struct buf digest;
};

/* Scans the bytes of a segment of version 2. False: what counts is not there, or cannot be read. */
bool page_scan(
    const struct segment_file *file, const char *path, struct page_scan *out, struct err *err);
void page_scan_fini(struct page_scan *scan);

#endif
