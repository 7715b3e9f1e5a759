#include "store/seal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_priv.h"

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

bool seal_block(struct store *store, int64_t block, struct err *err)
{
    struct segment_info info;
    if (!write_segment(store, block, &info, err))
        return false;
    struct manifest_segment add = {.lsn = store->frozen->lsn};
    struct manifest_edit edit = {.adds = &add,
        .n_adds = info.series ? 1 : 0,
        .seal = true,
        .sealed = {store->frozen->block, add.lsn}};
    snprintf(add.name, sizeof add.name, "%s", info.name);
    if (!segments_change(store, &edit, err))
        return false;
    if (info.series)
        log_info("sealed %s: %" PRIu64 " series, %" PRIu64 " cells, %" PRIu64 " bytes", info.name,
            info.series, info.cells, info.bytes);
    return true;
}
