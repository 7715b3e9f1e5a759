/*
 * The pages of DATA that were fetched last, for who reads all chunks in their order: neighbours
 * share pages, and the bases of chunks are not far. The least recently used goes first.
 */
#ifndef STORE_SEGMENT_PAGE_WINDOW_H
#define STORE_SEGMENT_PAGE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/segment.h"

/* More than one chunk needs, and few: a merge has one of these for each of its inputs. */
#define PAGE_WINDOW 12

struct page_window {
    const struct segment *segment;
    uint64_t clock; /* counts uses */
    struct fetched_page {
        struct arena arena;
        struct slice raw; /* ptr NULL: none */
        uint32_t page;
        uint64_t used;
    } pages[PAGE_WINDOW];
};

void page_window_init(struct page_window *window, const struct segment *segment);
void page_window_fini(struct page_window *window);
/* The pages that segment_decode takes for this chunk; borrowed until the next call. */
bool page_window_get(struct page_window *window, const struct segment_chunk *chunk,
    struct slice raw[CHUNK_PAGES_MAX], struct err *err);

#endif
