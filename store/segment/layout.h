/*
 * The frame of a segment file: header, section table, footer. docs/format/segment.md is the
 * specification.
 *
 *     0        header, 64 bytes
 *     64       sections, one behind the other, without gaps, in the order of the table
 *     ...      footer; its length is in the last 16 bytes of the file
 *
 * The version is major.minor. A change that an older program would misread bumps major, and older
 * programs refuse the file. Sections, table columns and codecs that an older program can skip, or
 * refuse by themselves, bump minor. A file has the least version that says all that is in it, so
 * that programs from before the last one read most files.
 */
#ifndef STORE_SEGMENT_LAYOUT_H
#define STORE_SEGMENT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/segment.h"
#include "store/segment/page.h"

#define SEGMENT_MAJOR       3 /* a series in several groups of chunks */
#define SEGMENT_MINOR       0
#define SEGMENT_MAJOR_WHOLE 2 /* every series in one */
#define SEGMENT_MINOR_WHOLE 1 /* chunks of differences, coarse cells in less room */
#define SEGMENT_MAJOR_MIN   1 /* that is read */

#define HEADER_BYTES      64
#define FOOTER_FIXED      64 /* before the section table */
#define FOOTER_ENTRY      32
#define FOOTER_TAIL_BYTES 16
#define SECTIONS_MAX      64
#define FOOTER_BYTES_MAX  (FOOTER_FIXED + SECTIONS_MAX * FOOTER_ENTRY + FOOTER_TAIL_BYTES)

/* Ordinals, dictionary codes and posting lists are bounded by these. */
#define SEGMENT_SERIES_MAX (1u << 23)
#define SEGMENT_CHUNKS_MAX (1u << 28)

enum section_id {
    SECTION_DATA = 1,
    SECTION_CHUNKDIR = 2,
    SECTION_SERIES = 3,
    SECTION_DICT = 4,
    SECTION_POSTINGS = 5,
    SECTION_PROVENANCE = 6,
    SECTION_IDS = 7,   /* from version 2 on, as the next */
    SECTION_INDEX = 8, /* of all pages */
    SECTION_END,       /* one past the last that is known */
};

#define SECTION_VERSION 1

/* "data", ...; "unknown" for others. */
const char *section_name(uint16_t id);

struct header {
    uint16_t major, minor;
    struct hash128 id; /* of the content */
    int64_t t0, t1;
    int64_t resolution_ms;
};

struct section {
    uint16_t id, version;
    uint32_t crc;
    uint64_t offset, bytes;
    uint64_t rows; /* pages, chunks, series, values, lists, sources, ids, pages */
};

struct footer {
    struct hash128 id; /* as in the header */
    uint64_t series, chunks, cells;
    int64_t min_t, max_t;
    size_t n_sections;
    struct section sections[SECTIONS_MAX];
};

void header_put(uint8_t out[HEADER_BYTES], const struct header *header);
/* ERR_UNSUPPORTED for another major version. */
bool header_get(
    const uint8_t in[HEADER_BYTES], const char *file, struct header *out, struct err *err);

/* Appends the footer. */
void footer_put(struct buf *out, const struct footer *footer);
/* The footer's length, from the last FOOTER_TAIL_BYTES of a file of file_bytes. */
bool footer_length(const uint8_t tail[FOOTER_TAIL_BYTES], const char *file, uint64_t file_bytes,
    uint32_t *out, struct err *err);
/* bytes is the whole footer. Checks that the sections tile the file, and that all that the version
 * has are there. */
bool footer_get(struct slice bytes, const char *file, uint16_t major, uint64_t file_bytes,
    struct footer *out, struct err *err);
/* What segment_info says, from both. */
void layout_info(struct segment_info *out, const struct header *header, const struct footer *footer,
    uint64_t file_bytes);
/* The section, or NULL. */
const struct section *footer_section(const struct footer *footer, uint16_t id);

#endif
