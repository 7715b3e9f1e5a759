/*
 * Sealing: how the head becomes segments.
 *
 * Sealing a block:   freeze (under the lock) -> write the segment, sync, rename -> one manifest
 * edit that adds it and says up to which LSN the block is sealed -> attach it and drop the frozen
 * block (under the lock). A crash before the edit leaves a file that no manifest names, and the WAL
 * has everything; after it, a replay skips the block's cells up to that LSN.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/checkpoint.h"
#include "store/store_priv.h"

/* A block that was sealed before gets another segment only when that many late cells have come. */
#define LATE_CELLS 100000

/* ---- attaching ---- */

static int by_series(const void *a, const void *b)
{
    const struct attached_series *x = a, *y = b;
    return (x->series > y->series) - (x->series < y->series);
}

static bool series_of(struct store *store, struct segment *segment, uint32_t ordinal,
    struct arena *scratch, uint32_t *out, struct err *err)
{
    struct catalog *c = &store->catalog;
    struct labels labels;
    const struct metric_def *def;
    arena_reset(scratch);
    if (!segment_labels(segment, ordinal, scratch, &labels, err) ||
        !segment_metric(segment, ordinal, &def, err))
        return false;
    *out = catalog_find_series(c, labels);
    if (*out == MAP_NONE) {
        uint32_t metric = catalog_find_metric(c, def->name);
        if (metric == MAP_NONE)
            metric = catalog_add_metric(c, def);
        *out = catalog_add_series(c, metric, labels);
    }
    if (c->metrics[c->series[*out].metric]->kind != def->kind)
        return err_set(err, ERR_CORRUPT, "%s holds metric %.*s as a %s, the catalogue as a %s",
            segment_info(segment)->name, SLICE_FMT(def->name), kind_name(def->kind),
            kind_name(c->metrics[c->series[*out].metric]->kind));
    return true;
}

bool store_attach(struct store *store, struct segment *segment_take, struct err *err)
{
    struct attached a = {.segment = segment_take};
    size_t n = segment_info(segment_take)->series;
    struct arena scratch;
    bool ok = true;
    arena_init(&scratch, 0);
    a.series = xcalloc(n, sizeof *a.series);
    for (; ok && a.n < n; a.n++) {
        a.series[a.n].ordinal = (uint32_t)a.n;
        ok = series_of(store, segment_take, (uint32_t)a.n, &scratch, &a.series[a.n].series, err);
    }
    arena_fini(&scratch);
    if (!ok) {
        free(a.series);
        segment_put(&segment_take);
        return false;
    }
    if (n)
        qsort(a.series, n, sizeof *a.series, by_series);
    GROW(store->segments, store->segments_cap, store->n_segments + 1);
    store->segments[store->n_segments++] = a;
    return true;
}

/* ---- sealing ---- */

struct seal_series {
    struct labels labels;
    const struct metric_def *def;
    const struct columns *columns;
};

struct seal_input {
    struct seal_series *series;
    size_t n, at;
    struct arena arena; /* of the columns that are being written */
};

static int by_name_and_labels(const void *a, const void *b)
{
    const struct seal_series *x = a, *y = b;
    int c = slice_cmp(x->def->name, y->def->name);
    return c ? c : labels_cmp(x->labels, y->labels);
}

static bool next_series(void *ctx, struct segment_series *out)
{
    struct seal_input *in = ctx;
    while (in->at < in->n) {
        const struct seal_series *s = &in->series[in->at++];
        arena_reset(&in->arena);
        ensure(columns_merge(&in->arena, s->columns, 1, INT64_MIN, INT64_MAX, &out->columns));
        if (out->columns.n == 0)
            continue;
        out->def = s->def;
        out->labels = s->labels;
        return true;
    }
    return false;
}

static bool all_zero(const struct columns *columns)
{
    for (size_t i = 0; i < columns->n; i++)
        if (!columns_is_zero(columns, i))
            return false;
    return true;
}

/* Gathers what the segment is made of, under the lock: definitions and labels are stable
 * afterwards, and the frozen columns do not change. */
static void gather(struct store *store, struct arena *arena, struct seal_input *in)
{
    const struct catalog *c = &store->catalog;
    const struct frozen *f = store->frozen;
    in->series = arena_array(arena, f->n, sizeof *in->series);
    for (size_t i = 0; i < f->n; i++) {
        uint32_t id = f->chunks[i].series;
        const struct columns *columns = &f->chunks[i].chunk->columns;
        if (!all_zero(columns))
            in->series[in->n++] = (struct seal_series){
                catalog_labels(c, id, arena), c->metrics[c->series[id].metric], columns};
    }
}

/* The lock is held for writing. Whatever fails afterwards, a further try writes the same bytes. */
static void freeze(struct store *store, int64_t block)
{
    struct frozen *f = head_freeze(&store->head, block);
    ensure(f != NULL);
    f->lsn = store->lsn;
    f->sources = xcalloc(store->n_sources, sizeof *f->sources);
    for (; f->n_sources < store->n_sources; f->n_sources++) {
        const struct source *s = &store->sources[f->n_sources];
        f->sources[f->n_sources] = (struct segment_source){s->name, s->next};
    }
    store->frozen = f;
}

/* info->series 0: nothing is left of the block, and there is no file. */
static bool write_segment(
    struct store *store, int64_t block, struct segment_info *info, struct err *err)
{
    struct arena arena;
    struct seal_input in = {0};
    char dir[PATH_BYTES];
    arena_init(&arena, 0);
    arena_init(&in.arena, 0);
    store_lock_write(store);
    if (!store->frozen)
        freeze(store, block);
    ensure(store->frozen->block == block);
    gather(store, &arena, &in);
    store_unlock(store);
    if (in.n)
        qsort(in.series, in.n, sizeof *in.series, by_name_and_labels);
    struct segment_input input = {.t0 = block * store->options.block_ms,
        .t1 = (block + 1) * store->options.block_ms,
        .next = next_series,
        .ctx = &in,
        .sources = store->frozen->sources,
        .n_sources = store->frozen->n_sources};
    *info = (struct segment_info){0};
    bool ok = in.n == 0 ||
              (path_join(dir, store->path, "seg", err) && segment_write(dir, &input, info, err));
    arena_fini(&in.arena);
    arena_fini(&arena);
    return ok;
}

static bool seal_block(struct store *store, int64_t block, struct err *err)
{
    struct segment_info info;
    struct segment *segment = NULL;
    char dir[PATH_BYTES], path[PATH_BYTES];
    if (!write_segment(store, block, &info, err))
        return false;
    if (info.series &&
        (!path_join(dir, store->path, "seg", err) || !path_join(path, dir, info.name, err) ||
            !segment_open(path, &segment, err)))
        return false;
    uint64_t lsn = store->frozen->lsn; /* only this thread takes the frozen block away */
    struct manifest_segment add = {.lsn = lsn};
    snprintf(add.name, sizeof add.name, "%s", info.name);
    struct manifest_edit edit = {
        .adds = &add, .n_adds = segment ? 1 : 0, .seal = true, .sealed = {block, lsn}};
    if (!manifest_apply(&store->manifest, &edit, err)) {
        if (segment)
            segment_put(&segment);
        if (info.series && manifest_works(&store->manifest)) /* it is not named, for sure */
            file_remove(path, NULL);
        return false;
    }
    store_lock_write(store);
    bool ok = !segment || store_attach(store, segment, err);
    struct frozen *done = store->frozen;
    store->frozen = NULL;
    store_unlock(store);
    frozen_free(&done);
    if (info.series)
        log_info("sealed %s: %" PRIu64 " series, %" PRIu64 " cells, %" PRIu64 " bytes", info.name,
            info.series, info.cells, info.bytes);
    return ok;
}

/* The next block that is due, oldest first. */
static bool due_block(struct store *store, int64_t passed_ms, int64_t *block)
{
    bool due = false;
    store_lock_read(store);
    const struct head *head = &store->head;
    bool over = head->bytes > store->options.head_bytes;
    if (store->frozen) { /* an earlier attempt did not end */
        *block = store->frozen->block;
        due = true;
    }
    for (size_t i = 0; !due && i < head->n_blocks; i++) {
        const struct head_block *b = &head->blocks[i];
        bool passed = b->block < INT64_MAX / store->options.block_ms - 1 &&
                      (b->block + 1) * store->options.block_ms <= passed_ms;
        bool late = manifest_sealed_lsn(&store->manifest, b->block) != 0;
        due = over || (passed && (!late || b->cells >= LATE_CELLS));
        *block = b->block;
    }
    store_unlock(store);
    return due;
}

/* ---- maintenance ---- */

bool store_maintain(struct store *store, int64_t passed_ms, struct err *err)
{
    if (!store->path)
        return true;
    bool ok = true;
    int64_t block;
    mutex_lock(&store->seal);
    if (!manifest_works(&store->manifest)) {
        store_lock_write(store);
        store->failed = true;
        store_unlock(store);
        ok = err_set(err, ERR_IO, "the manifest failed: nothing is sealed until the restart");
    }
    while (ok && due_block(store, passed_ms, &block))
        ok = seal_block(store, block, err);
    store_lock_read(store);
    bool due = store->wal_written - store->wal_at_checkpoint > store->options.checkpoint_bytes;
    store_unlock(store);
    if (ok && due)
        ok = checkpoint_write(store, err);
    mutex_unlock(&store->seal);
    return ok;
}
