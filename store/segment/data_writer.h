/*
 * The data section while it is written: one open page of each type, times, values and hist. What is
 * added goes behind the last in its type's page; a full page goes to the file at once, so memory is
 * bounded by three pages and a row per page. It takes those that were begun before it along, so
 * that pages lie in the order of their numbers, and a metric's times beside its values: one range
 * of the file holds both.
 */
#ifndef STORE_SEGMENT_DATA_WRITER_H
#define STORE_SEGMENT_DATA_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/segment/page_index.h"
#include "store/segment/outfile.h"

struct data_writer {
    struct outfile *file;
    struct buf raw[PAGE_HIST + 1];  /* open pages, by type */
    uint32_t number[PAGE_HIST + 1]; /* of the open pages */
    uint32_t n_begun;
    struct page_index *index; /* gets the pages, by number */
    struct buf stored;        /* the page that is being written */
    struct buf digest;
    uint32_t crc;
};

void data_writer_init(struct data_writer *writer, struct outfile *file, struct page_index *index);
void data_writer_fini(struct data_writer *writer);
/* Appends the bytes to a page of that type and says where they are. At most PAGE_RAW_MAX (ensured).
 */
bool data_writer_add(struct data_writer *writer, enum page_type type, struct slice bytes,
    uint32_t *page, uint32_t *offset, struct err *err);
/* Writes the open pages. */
bool data_writer_finish(struct data_writer *writer, struct err *err);

#endif
