/*
 * The index of pages: where every page of a segment lies and what it holds. It is the only thing
 * that opening a segment reads besides header and footer; everything else is found by it and read
 * when it is asked for.
 *
 * The pages of DATA come first, so that their numbers are their places. The pages behind them are
 * in the order of the file: all of one type together, ascending by key, then by first:
 *
 *     type         key                          first, rows
 *     vectors      0                            rows of the table of timestamp vectors
 *     chunks       ordinal of the first chunk   rows of the directory
 *     aggregates   0                            rows of the directory
 *     metrics      0                            metrics
 *     column       rank of the label name       ordinals
 *     dict         dictionary                   ranks of values
 *     postings     rank of the label name       ranks of values
 *     sources      0                            sources
 *     ids          first id                     rows of the map
 *
 * Version 1 has no such index; page_index_v1.c makes one by walking over the sections.
 */
#ifndef STORE_SEGMENT_PAGE_INDEX_H
#define STORE_SEGMENT_PAGE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/segment/layout.h"
#include "store/segment/section.h"

struct page_range {
    uint32_t begin, end;
};

struct page_index {
    struct page_ref *pages;
    size_t n, cap;
    size_t n_data;
    struct page_range types[PAGE_TYPE_END]; /* where each type's pages are, those of DATA aside */
};

void page_index_fini(struct page_index *index);
/* Appends a page; DATA first. */
void page_index_add(struct page_index *index, const struct page_ref *page);
/* Notes where the types lie, and checks the order. False: pages are out of order. */
bool page_index_finish(struct page_index *index);

/* The last page of the type with this key whose first row is not behind `first`; NULL when there is
 * none. */
const struct page_ref *page_index_find(
    const struct page_index *index, enum page_type type, uint32_t key, uint32_t first);
/* The last page of the type whose key is not above this one; NULL when there is none. */
const struct page_ref *page_index_below(
    const struct page_index *index, enum page_type type, uint32_t key);
/* Rows of all pages of the type with this key. */
uint32_t page_index_rows(const struct page_index *index, enum page_type type, uint32_t key);

/* Writes the pages, which are in the order of the file, as pages of PAGE_INDEX. */
void page_index_put(const struct page_index *index, struct section_buf *out);
/* Reads the section's bytes; the pages have to tile the sections of the footer. */
bool page_index_get(struct page_index *index, struct slice section, const char *file,
    const struct footer *footer, struct err *err);

#endif
