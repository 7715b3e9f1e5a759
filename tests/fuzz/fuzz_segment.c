/*
 * A segment of any bytes: opening, verifying and reading it ends in an answer or an error that
 * names the file. Checksums would stop nearly every input at the door, so each is tried twice: as
 * it is, and with its checksums put right. One that does not open is mended, where it can be.
 * Inputs are changed by segment_mutate.h.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment.h"
#include "tests/fuzz/segment_mutate.h"
#include "tests/store/segment_checksums.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

#define ARENA_BYTES (64u << 20)

static void expect_place(const struct err *err)
{
    ensure(err->code == ERR_CORRUPT || err->code == ERR_UNSUPPORTED || err->code == ERR_LIMIT);
    ensure(err->text[0]);
}

static void read_chunk(const struct segment *segment, const struct segment_chunk *chunk)
{
    struct arena arena;
    struct columns columns;
    struct segment_aggregate aggregate;
    struct err err;
    arena_init(&arena, ARENA_BYTES);
    if (!segment_aggregate(segment, chunk, &aggregate, &err))
        expect_place(&err);
    if (!segment_read(segment, chunk, &arena, &columns, &err)) {
        expect_place(&err);
    } else {
        ensure(columns.n == chunk->n && columns.t[0] == chunk->min_t);
        for (size_t i = 1; i < columns.n; i++)
            ensure(columns.t[i] > columns.t[i - 1]);
    }
    arena_fini(&arena);
}

static void read_series(const struct segment *segment, uint32_t ordinal)
{
    struct arena arena;
    struct labels labels;
    const struct metric_def *def;
    const struct segment_chunk *chunks;
    struct err err;
    size_t n;
    arena_init(&arena, ARENA_BYTES);
    if (!segment_labels(segment, ordinal, &arena, &labels, &err))
        expect_place(&err);
    else
        ensure(labels.n > 0);
    if (!segment_metric(segment, ordinal, &def, &err))
        expect_place(&err);
    else
        ensure(def->name.len > 0);
    if (!segment_chunks(segment, ordinal, INT64_MIN, INT64_MAX, &arena, &chunks, &n, &err)) {
        expect_place(&err);
        n = 0;
    }
    for (size_t k = 0; k < n; k++)
        read_chunk(segment, &chunks[k]);
    arena_fini(&arena);
}

static void read_list(const struct segment *segment, size_t name, size_t value, uint32_t *ordinals)
{
    struct arena arena;
    struct slice text;
    struct err err;
    uint32_t series = (uint32_t)segment_info(segment)->series;
    size_t n = series;
    arena_init(&arena, ARENA_BYTES);
    if (!segment_label_value(segment, name, value, &arena, &text, &err) ||
        !segment_postings(segment, segment_label_name(segment, name), text, ordinals, &n, &err)) {
        expect_place(&err);
        n = 0;
    }
    ensure(n <= series);
    for (size_t k = 0; k < n; k++)
        ensure(ordinals[k] < series && (k == 0 || ordinals[k] > ordinals[k - 1]));
    arena_fini(&arena);
}

static void read_postings(const struct segment *segment)
{
    uint32_t *ordinals = xreallocarray(NULL, segment_info(segment)->series, sizeof *ordinals);
    for (size_t i = 0; i < segment_label_names(segment); i++)
        for (size_t v = 0; v < segment_label_values(segment, i) && v < 100; v++)
            read_list(segment, i, v, ordinals);
    free(ordinals);
}

static void try_bytes(const uint8_t *data, size_t size)
{
    static int fd = -1;
    char path[64];
    struct segment *segment = NULL;
    struct err err;
    if (fd < 0)
        fd = memfd_create("segment", MFD_CLOEXEC);
    ensure(fd >= 0 && ftruncate(fd, 0) == 0);
    ensure(pwrite(fd, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (!segment_open(path, NULL, &segment, &err)) {
        expect_place(&err);
        ensure(strcmp(err.file, path) == 0 || err.code == ERR_LIMIT);
        struct err why;
        if (!segment_open_damaged(path, 0, &segment, &why, &err)) {
            expect_place(&err);
            return;
        }
    }
    if (!segment_verify(segment, &err))
        expect_place(&err);
    for (uint32_t i = 0; i < segment_info(segment)->series && i < 1000; i++)
        read_series(segment, i);
    read_postings(segment);
    segment_put(&segment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_bytes(data, size);
    uint8_t *copy = xmalloc(size ? size : 1);
    if (size)
        memcpy(copy, data, size);
    segment_checksums(copy, size);
    try_bytes(copy, size);
    free(copy);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return segment_mutate(data, size, max, seed);
}
