/*
 * A page of a run: up to 512 keys in ascending order, whether each is deleted, and their records.
 * All integers little-endian.
 *
 *     crc32c u32 | number u32 | n u16 | width u8 | flags u8 | 0 u32 | hi of the first key u64
 *     | (n - 1) differences of hi to the key before, width bits each, low bits first
 *     | lo u64 * n | a bit per key: deleted (flag 1) | record * n | zeros to the page's end
 *
 * Sorted hashes share their first bits, and the differences store none of them: of 4 M keys in a
 * run a key takes 13.7 bytes of its 16. The CRC covers what stands behind it, to the page's end. A
 * key with an equal hi has the difference 0 and is ordered by lo.
 */
#ifndef STORE_STATE_RUN_PAGE_H
#define STORE_STATE_RUN_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"

#define RUN_PAGE_HEADER      24
#define RUN_PAGE_ENTRIES_MAX 512
#define RUN_PAGE_BYTES_MAX   (64u << 10)

/* A view of a page's bytes. */
struct run_page {
    uint32_t n, record_bytes;
    unsigned width;
    uint64_t first_hi;
    const uint8_t *deltas, *lo, *deleted /* NULL: none */, *records;
};

/* Keys that are collected for one page. Records are kept in `records`, record_bytes each. */
struct run_page_builder {
    uint32_t page_bytes, record_bytes;
    uint32_t n;
    uint64_t widest; /* difference so far */
    bool any_deleted;
    struct hash128 keys[RUN_PAGE_ENTRIES_MAX];
    bool deleted[RUN_PAGE_ENTRIES_MAX];
    uint8_t *records; /* page_bytes */
};

/* 4 KiB, or what eight entries need. */
uint32_t run_page_bytes(uint32_t record_bytes);

void run_page_builder_init(struct run_page_builder *builder, uint32_t record_bytes);
void run_page_builder_fini(struct run_page_builder *builder);
/* False: the page is full, and nothing was added. Keys ascend. record may be NULL when deleted. */
bool run_page_add(
    struct run_page_builder *builder, struct hash128 key, bool deleted, const uint8_t *record);
/* Writes the page's bytes, returns their CRC, and empties the builder. */
uint32_t run_page_finish(struct run_page_builder *builder, uint32_t number, uint8_t *out);

/* Checks CRC, number and bounds; fills the view. ERR_CORRUPT with a text that begins with what is
 * wrong: the caller puts file and place in front. */
bool run_page_check(const uint8_t *bytes, uint32_t page_bytes, uint32_t record_bytes,
    uint32_t number, struct run_page *out, struct err *err);
/* The view of a page that was checked before. */
void run_page_view(const uint8_t *bytes, uint32_t record_bytes, struct run_page *out);
/* The key's place in the page; n: it is not there. */
uint32_t run_page_find(const struct run_page *page, struct hash128 key);
/* All hi's, in order. */
void run_page_unpack(const struct run_page *page, uint64_t hi[RUN_PAGE_ENTRIES_MAX]);
uint64_t run_page_lo(const struct run_page *page, uint32_t i);
bool run_page_deleted(const struct run_page *page, uint32_t i);

static inline const uint8_t *run_page_record(const struct run_page *page, uint32_t i)
{
    return page->records + (size_t)i * page->record_bytes;
}

#endif
