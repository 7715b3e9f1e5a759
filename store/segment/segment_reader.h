/*
 * An open segment. Everything but the data pages is unpacked into memory once, when it is opened,
 * and checked there, so that what answers from memory cannot fail later; data pages are read with
 * pread and checked on every read. Nothing changes after segment_open but the count of references.
 *
 * What is unpacked is bounded by a multiple of the file's size, for a small file can claim a lot.
 */
#ifndef STORE_SEGMENT_SEGMENT_READER_H
#define STORE_SEGMENT_SEGMENT_READER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "store/segment.h"
#include "store/segment/dictionary.h"
#include "store/segment/directory.h"
#include "store/segment/layout.h"
#include "store/segment/metric_table.h"
#include "store/segment/provenance.h"

/* Posting lists as they are stored: list i of the page is that of the value with rank first + i. */
struct postings_page {
    uint32_t first, n;
    struct slice raw;
};

struct label_name {
    struct dict values;
    struct postings_page *pages;
    size_t n_pages, pages_cap;
};

struct segment {
    atomic_uint references;
    int fd;
    char *path;
    struct segment_info info;
    struct header header;
    struct footer footer;
    struct arena arena; /* all below but the directory and the postings' arrays */
    struct directory directory;
    struct dict names;
    struct label_name *labels; /* by rank of the name */
    uint32_t metric_name;      /* rank of __name__ */
    struct metric_table metrics;
    uint32_t *metric_of; /* by ordinal */
    uint32_t *label_end; /* by ordinal: where its labels end in label */
    struct label *label;
    struct provenance provenance;
};

/* Reads bytes of the file, all of them or an error. */
bool segment_pread(const struct segment *segment, uint64_t offset, void *to, size_t n,
    const char *part, struct err *err);
/* Reads the sections that stay in memory. Header and footer are there. */
bool segment_load(struct segment *segment, struct err *err);
struct labels labels_of(const struct segment *segment, uint32_t ordinal);
const struct metric_def *metric_of(const struct segment *segment, uint32_t ordinal);
/* The list of a value. */
struct slice segment_list(const struct segment *segment, uint32_t name, uint32_t value);

#endif
