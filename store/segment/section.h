/*
 * Sections: runs of pages. A writer collects one in memory (all but the data section, which goes to
 * the file as it comes) together with the digest of its content; a reader walks over its pages.
 *
 * The content id of a segment is a hash of what is in it, not of how it is packed: for every page
 * in file order, except those that say where pages lie, its type and the hash of its raw bytes. So
 * another release of LZ4 changes neither the id nor the file's name.
 */
#ifndef STORE_SEGMENT_SECTION_H
#define STORE_SEGMENT_SECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "base/err.h"
#include "store/segment/page.h"

/* Begins as zeros. */
struct section_buf {
    struct buf bytes;       /* pages */
    struct buf digest;      /* type u8, hash 16, of each page */
    uint64_t rows;          /* counted by whoever fills it */
    struct page_ref *pages; /* offsets count from the section's begin */
    size_t n_pages, pages_cap;
};

void section_fini(struct section_buf *section);
/* Appends a page, of which what->type, key, first and rows are set. */
void section_add(struct section_buf *section, struct page_ref what, struct slice raw);
/* Appends the pages of another one; rows are left to the caller. */
void section_append(struct section_buf *section, const struct section_buf *other);

/* Adds a page to a digest. */
void digest_page(struct buf *digest, uint8_t type, struct slice raw);
/* The content id from the digest of all pages in file order. */
struct hash128 digest_id(int64_t t0, int64_t t1, int64_t resolution_ms, const struct buf *digest);

/* Walks over the pages of a run of bytes. */
struct section_walk {
    struct slice left;
    struct place place; /* of the next page */
    struct buf scratch; /* raw bytes of the current page, when it is compressed */
};

void walk_init(struct section_walk *walk, struct slice bytes, const char *file, const char *part,
    uint64_t offset);
void walk_fini(struct section_walk *walk);
bool walk_at_end(const struct section_walk *walk);
/* The next page, checked and unpacked; raw is borrowed until the next call. There is one (ensured).
 */
bool walk_next(struct section_walk *walk, uint8_t *type, struct slice *raw, struct place *place,
    struct err *err);

#endif
