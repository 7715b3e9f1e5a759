/*
 * What the tests of segments share: a folder of their own, series made by hand, and the comparison
 * of a segment with the series that it was written from.
 */
#ifndef TESTS_STORE_SEGMENT_FIXTURE_H
#define TESTS_STORE_SEGMENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/files.h"
#include "store/segment.h"
#include "tests/store/support/folder.h"

struct fixture {
    char dir[256];
    struct arena arena;
    struct segment_series *series;
    size_t n, cap, at;
    int64_t t0, t1, resolution_ms;
    struct segment_source sources[4];
    size_t n_sources;
};

static inline void fixture_init(struct fixture *f, int64_t t0, int64_t t1)
{
    *f = (struct fixture){.t0 = t0, .t1 = t1};
    folder_new("segment", f->dir, sizeof f->dir);
    arena_init(&f->arena, 0);
}

static inline void fixture_fini(struct fixture *f)
{
    folder_remove(f->dir);
    arena_fini(&f->arena);
    free(f->series);
}

/* "name=value" pairs separated by commas; __name__ is the def's. */
static inline struct labels fixture_labels(
    struct fixture *f, const struct metric_def *def, const char *text)
{
    struct label *items = arena_array(&f->arena, LABELS_MAX, sizeof *items);
    size_t n = 0;
    items[n++] = (struct label){SLICE(LABEL_METRIC_NAME), arena_slice(&f->arena, def->name)};
    while (*text) {
        size_t len = strcspn(text, ","), name = strcspn(text, "=");
        items[n++] = (struct label){arena_slice(&f->arena, slice_of(text, name)),
            arena_slice(&f->arena, slice_of(text + name + 1, len - name - 1))};
        text += len + (text[len] == ',');
    }
    ensure(labels_sort(items, &n));
    return (struct labels){items, n};
}

/* A series of n cells, to be filled in by the caller. The columns move when another is added. */
static inline struct columns *fixture_add(
    struct fixture *f, const struct metric_def *def, const char *labels, size_t n, size_t n_buckets)
{
    GROW(f->series, f->cap, f->n + 1);
    struct segment_series *s = &f->series[f->n++];
    s->def = def;
    s->labels = fixture_labels(f, def, labels);
    s->id = SEGMENT_NO_ID;
    ensure(columns_alloc(&f->arena, def->kind, n, n_buckets, false, &s->columns));
    return &s->columns;
}

/* A counter whose cells are amount, amount + 1, ... at first, first + step, ... */
static inline struct columns *fixture_counter(struct fixture *f, const struct metric_def *def,
    const char *labels, size_t n, int64_t first, int64_t step, int64_t amount)
{
    struct columns *c = fixture_add(f, def, labels, n, 0);
    for (size_t i = 0; i < n; i++) {
        c->t[i] = first + (int64_t)i * step;
        c->amount[i] = amount + (int64_t)i;
    }
    return c;
}

static inline int fixture_cmp(const void *a, const void *b)
{
    const struct segment_series *x = a, *y = b;
    int c = slice_cmp(x->def->name, y->def->name);
    return c ? c : labels_cmp(x->labels, y->labels);
}

static inline bool fixture_next(void *ctx, struct segment_series *out)
{
    struct fixture *f = ctx;
    if (f->at == f->n)
        return false;
    *out = f->series[f->at++];
    return true;
}

/* Writes the series as they stand. */
static inline bool fixture_write_unsorted(
    struct fixture *f, struct segment_info *info, struct err *err)
{
    struct segment_input input = {.t0 = f->t0,
        .t1 = f->t1,
        .resolution_ms = f->resolution_ms,
        .next = fixture_next,
        .ctx = f,
        .sources = f->sources,
        .n_sources = f->n_sources};
    f->at = 0;
    return segment_write(f->dir, &input, info, err);
}

static inline bool fixture_write(struct fixture *f, struct segment_info *info, struct err *err)
{
    qsort(f->series, f->n, sizeof *f->series, fixture_cmp);
    return fixture_write_unsorted(f, info, err);
}

static inline void fixture_path(
    const struct fixture *f, const struct segment_info *info, char out[PATH_BYTES])
{
    ensure(path_join(out, f->dir, info->name, NULL));
}

/* The folder's bytes by name: how many files it has. */
static inline bool fixture_count_entry(void *ctx, const char *name, struct err *err)
{
    (void)name;
    (void)err;
    ++*(size_t *)ctx;
    return true;
}

static inline size_t fixture_files(const struct fixture *f)
{
    size_t n = 0;
    ensure(dir_each(f->dir, fixture_count_entry, &n, NULL));
    return n;
}

/* ---- comparing ---- */

static inline bool double_eq(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static inline bool fbuckets_eq(
    const struct hist_fbucket *a, uint32_t n_a, const struct hist_fbucket *b, uint32_t n_b)
{
    if (n_a != n_b)
        return false;
    for (uint32_t i = 0; i < n_a; i++)
        if (a[i].index != b[i].index || !double_eq(a[i].count, b[i].count))
            return false;
    return true;
}

static inline bool hist_eq(const struct hist *a, const struct hist *b)
{
    if (!a || !b)
        return a == b;
    for (uint32_t i = 0; a->n_bounds == b->n_bounds && i < a->n_bounds; i++)
        if (!double_eq(a->bounds[i], b->bounds[i]))
            return false;
    return a->schema == b->schema && a->reset_hint == b->reset_hint && a->n_bounds == b->n_bounds &&
           double_eq(a->zero_threshold, b->zero_threshold) &&
           double_eq(a->zero_count, b->zero_count) && double_eq(a->count, b->count) &&
           double_eq(a->sum, b->sum) &&
           fbuckets_eq(a->positive, a->n_positive, b->positive, b->n_positive) &&
           fbuckets_eq(a->negative, a->n_negative, b->negative, b->n_negative);
}

static inline bool sample_eq(const struct columns *a, size_t i, const struct columns *b, size_t k)
{
    if (a->first || b->first)
        return a->first && b->first && a->count[i] == b->count[k] && a->first[i] == b->first[k] &&
               a->first_ms[i] == b->first_ms[k] && a->last[i] == b->last[k] &&
               a->last_ms[i] == b->last_ms[k] && a->min[i] == b->min[k] && a->max[i] == b->max[k] &&
               a->digits[i] == b->digits[k] && a->sum[i] == b->sum[k] &&
               a->reset_sum[i] == b->reset_sum[k] && a->resets[i] == b->resets[k];
    const struct hist *x = a->hist ? a->hist[i] : NULL, *y = b->hist ? b->hist[k] : NULL;
    return (a->start ? a->start[i] : 0) == (b->start ? b->start[k] : 0) && hist_eq(x, y) &&
           (x || a->bits[i] == b->bits[k]);
}

/* Cell i of a and cell k of b, bit for bit. */
static inline bool cell_eq(const struct columns *a, size_t i, const struct columns *b, size_t k)
{
    if (a->kind != b->kind || a->t[i] != b->t[k])
        return false;
    switch (a->kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: return a->amount[i] == b->amount[k];
    case KIND_GAUGE:
        return a->last[i] == b->last[k] && a->last_ms[i] == b->last_ms[k] &&
               a->min[i] == b->min[k] && a->max[i] == b->max[k] && a->sum[i] == b->sum[k] &&
               a->count[i] == b->count[k];
    case KIND_SAMPLE: return sample_eq(a, i, b, k);
    case KIND_HISTOGRAM: {
        uint32_t n = a->bucket_at[i + 1] - a->bucket_at[i];
        if (a->sum[i] != b->sum[k] || n != b->bucket_at[k + 1] - b->bucket_at[k])
            return false;
        for (uint32_t j = 0; j < n; j++) {
            struct hist_bucket x = a->bucket[a->bucket_at[i] + j];
            struct hist_bucket y = b->bucket[b->bucket_at[k] + j];
            if (x.key != y.key || x.count != y.count)
                return false;
        }
        return true;
    }
    }
    return false;
}

/* Reads series `ordinal` and compares it; a read error is returned, a difference too, as
 * ERR_INVALID. */
static inline bool fixture_series_eq(const struct fixture *f, const struct segment *segment,
    uint32_t ordinal, struct arena *arena, struct err *err)
{
    const struct segment_series *s = &f->series[ordinal];
    const struct metric_def *def;
    const struct segment_chunk *chunks;
    struct labels labels;
    size_t n;
    if (!segment_metric(segment, ordinal, &def, err) ||
        !segment_labels(segment, ordinal, arena, &labels, err) ||
        !segment_chunks(segment, ordinal, INT64_MIN, INT64_MAX, arena, &chunks, &n, err))
        return false;
    if (labels_cmp(labels, s->labels) != 0)
        return err_set(err, ERR_INVALID, "series %u: labels differ", ordinal);
    if (!slice_eq(def->name, s->def->name) || def->kind != s->def->kind ||
        def->digits != s->def->digits || def->schema != s->def->schema ||
        def->every_ms != s->def->every_ms || def->stale_after_ms != s->def->stale_after_ms ||
        !slice_eq(def->clock, s->def->clock) || !slice_eq(def->help, s->def->help) ||
        !slice_eq(def->unit, s->def->unit))
        return err_set(err, ERR_INVALID, "series %u: metric differs", ordinal);
    size_t at = 0;
    for (size_t k = 0; k < n; k++) {
        struct columns c;
        if (!segment_read(segment, &chunks[k], arena, &c, err))
            return false;
        bool same = c.n == chunks[k].n && c.n <= s->columns.n - at && c.t[0] == chunks[k].min_t &&
                    c.t[c.n - 1] == chunks[k].max_t;
        for (size_t i = 0; same && i < c.n; i++)
            same = cell_eq(&c, i, &s->columns, at + i);
        if (!same)
            return err_set(err, ERR_INVALID, "series %u: chunk %zu differs", ordinal, k);
        at += c.n;
    }
    if (at != s->columns.n)
        return err_set(err, ERR_INVALID, "series %u: %zu cells of %zu", ordinal, at, s->columns.n);
    return true;
}

/* The whole segment against the series, which are sorted. */
static inline bool fixture_eq(
    const struct fixture *f, const struct segment *segment, struct err *err)
{
    if (segment_info(segment)->series != f->n)
        return err_set(err, ERR_INVALID, "number of series differs");
    struct arena arena;
    bool ok = true;
    arena_init(&arena, 0);
    for (uint32_t i = 0; ok && i < f->n; i++) {
        arena_reset(&arena);
        ok = fixture_series_eq(f, segment, i, &arena, err);
    }
    arena_fini(&arena);
    return ok;
}

/* The chunks of a series, of which there are *n; in the fixture's arena. */
static inline const struct segment_chunk *fixture_chunks(
    struct fixture *f, const struct segment *segment, uint32_t ordinal, size_t *n)
{
    const struct segment_chunk *chunks = NULL;
    ensure(segment_chunks(segment, ordinal, INT64_MIN, INT64_MAX, &f->arena, &chunks, n, NULL));
    return chunks;
}

static inline struct segment_aggregate fixture_aggregate(
    struct fixture *f, const struct segment *segment, uint32_t ordinal)
{
    size_t n;
    struct segment_aggregate out;
    ensure(segment_aggregate(segment, fixture_chunks(f, segment, ordinal, &n), &out, NULL));
    return out;
}

/* Fails the test with the error's text. */
static inline void expect_ok(bool ok, const struct err *err)
{
    if (!ok)
        fail_msg("%s%s%s", err->file, err->file[0] ? ": " : "", err->text);
}

/* Writes, opens, verifies, compares; the caller puts the segment. */
static inline struct segment *fixture_round_trip(struct fixture *f, struct segment_info *info)
{
    struct err err = {0};
    struct segment *segment = NULL;
    char path[PATH_BYTES];
    expect_ok(fixture_write(f, info, &err), &err);
    fixture_path(f, info, path);
    expect_ok(segment_open(path, NULL, &segment, &err), &err);
    expect_ok(segment_verify(segment, &err), &err);
    expect_ok(fixture_eq(f, segment, &err), &err);
    assert_memory_equal(segment_info(segment), info, sizeof *info);
    return segment;
}

#endif
