#include "store/seal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_priv.h"

/* Series that are looked up under the lock at a time. */
#define GATHER_AT_ONCE 1000

struct seal_series {
    uint32_t id;
    struct labels labels;
    const struct metric_def *def;
};

struct seal_input {
    const struct head_block *block;
    struct seal_series *series;
    size_t n, at;
    struct arena arena;   /* of the columns that are being written */
    struct columns first; /* those of series at - 1, when they were looked at already */
    bool failed;
    struct err err;
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
    while (in->first.n == 0 && in->at < in->n) {
        arena_reset(&in->arena);
        in->failed = !head_block_columns(
            in->block, in->series[in->at++].id, &in->arena, &in->first, &in->err);
        if (in->failed)
            return false;
    }
    if (in->first.n == 0)
        return false;
    out->columns = in->first;
    out->def = in->series[in->at - 1].def;
    out->labels = in->series[in->at - 1].labels;
    out->id = in->series[in->at - 1].id;
    in->first.n = 0;
    return true;
}

static bool series_failed(void *ctx, struct err *err)
{
    struct seal_input *in = ctx;
    if (in->failed && err)
        *err = in->err;
    return in->failed;
}

/* Whether there is a cell at all. */
static bool find_first(struct seal_input *in)
{
    struct segment_series series;
    if (!next_series(in, &series))
        return false;
    in->first = series.columns;
    return true;
}

/* Gathers what the segment is made of. The frozen block does not change, definitions and labels are
 * stable; the lock is for finding them. */
static void gather(struct store *store, struct arena *arena, struct seal_input *in)
{
    struct catalog *c = &store->catalog;
    size_t n;
    uint32_t *ids = head_block_series(in->block, &n);
    in->series = arena_array(arena, n, sizeof *in->series);
    for (size_t i = 0; i < n;) {
        catalog_lock_read(c);
        for (size_t end = i + GATHER_AT_ONCE; i < n && i < end; i++)
            if (catalog_has(c, ids[i]))
                in->series[in->n++] = (struct seal_series){
                    ids[i], catalog_labels(c, ids[i], arena), catalog_def(c, ids[i])};
        catalog_unlock(c);
    }
    free(ids);
}

/* The lock is held for writing. Whatever fails afterwards, a further try writes the same bytes. */
static void freeze(struct store *store, int64_t block)
{
    struct frozen *f = head_freeze(&store->head, block);
    ensure(f != NULL);
    f->lsn = store->lsn;
    f->sources = xcalloc(store->n_sources + 1, sizeof *f->sources);
    /* Two segments of a block differ at least by this: their names are never the same. */
    f->sources[f->n_sources++] = (struct segment_source){SLICE(SEAL_LSN), (int64_t)f->lsn};
    for (size_t i = 0; i < store->n_sources; i++)
        f->sources[f->n_sources++] =
            (struct segment_source){store->sources[i].name, store->sources[i].next};
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
    ensure(store->frozen->block->number == block);
    store_unlock(store);
    in.block = store->frozen->block; /* only this thread takes it away */
    gather(store, &arena, &in);
    if (in.n)
        qsort(in.series, in.n, sizeof *in.series, by_name_and_labels);
    struct segment_input input = {.t0 = block * store->options.block_ms,
        .t1 = (block + 1) * store->options.block_ms,
        .next = next_series,
        .failed = series_failed,
        .ctx = &in,
        .sources = store->frozen->sources,
        .n_sources = store->frozen->n_sources};
    *info = (struct segment_info){0};
    bool ok = !find_first(&in) ? !series_failed(&in, err)
                               : path_join(dir, store->path, "seg", err) &&
                                     segment_write(dir, &input, info, err);
    arena_fini(&in.arena);
    arena_fini(&arena);
    return ok;
}

bool seal_block(struct store *store, int64_t block, struct err *err)
{
    struct segment_info info;
    if (!write_segment(store, block, &info, err))
        return false;
    struct manifest_segment add = {.lsn = store->frozen->lsn};
    struct manifest_edit edit = {
        .adds = &add, .n_adds = info.series ? 1 : 0, .seal = true, .sealed = {block, add.lsn}};
    snprintf(add.name, sizeof add.name, "%s", info.name);
    if (!segments_change(store, &edit, err))
        return false;
    if (info.series)
        log_info("sealed %s: %" PRIu64 " series, %" PRIu64 " cells, %" PRIu64 " bytes", info.name,
            info.series, info.cells, info.bytes);
    return true;
}
