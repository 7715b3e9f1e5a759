/*
 * Sealing and checkpoints: how the head becomes segments, and what bounds the WAL.
 *
 * Sealing a block:   freeze (under the lock) -> write the segment, sync, rename -> one manifest
 * edit that adds it and says up to which LSN the block is sealed -> attach it and drop the frozen
 * block (under the lock). A crash before the edit leaves a file that no manifest names, and the WAL
 * has everything; after it, a replay skips the block's cells up to that LSN.
 *
 * A checkpoint holds all state that is not in segments, at one LSN: metrics, series, sources,
 * clocks and the head's cells, as transactions. Once the manifest names it, WAL files up to that
 * LSN go.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/frame.h"
#include "store/store_priv.h"

#define CHECKPOINT_MAGIC   "LCKP"
#define CHECKPOINT_VERSION 1
/* A block that was sealed before gets another segment only when that many late cells have come. */
#define LATE_CELLS 100000

/* ---- attaching ---- */

static int by_series(const void *a, const void *b)
{
    const struct attached_series *x = a, *y = b;
    return (x->series > y->series) - (x->series < y->series);
}

static bool series_of(
    struct store *store, struct segment *segment, uint32_t ordinal, uint32_t *out, struct err *err)
{
    struct catalog *c = &store->catalog;
    struct labels labels = segment_labels(segment, ordinal);
    const struct metric_def *def = segment_metric(segment, ordinal);
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
    a.series = xcalloc(n, sizeof *a.series);
    for (; a.n < n; a.n++) {
        a.series[a.n].ordinal = (uint32_t)a.n;
        if (!series_of(store, segment_take, (uint32_t)a.n, &a.series[a.n].series, err)) {
            free(a.series);
            segment_put(&segment_take);
            return false;
        }
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
        .add = segment ? &add : NULL, .seal = true, .sealed = {block, lsn}};
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

/* ---- checkpoints ---- */

void checkpoint_name(uint64_t lsn, char out[CHECKPOINT_NAME_MAX])
{
    snprintf(out, CHECKPOINT_NAME_MAX, "checkpoint-%016" PRIx64, lsn);
}

struct checkpoint {
    struct store *store;
    uint64_t lsn;
    bool ended;
};

static bool load_frame(void *ctx, const struct frame *frame, struct slice payload, struct err *err)
{
    struct checkpoint *c = ctx;
    struct transaction t;
    if (c->ended || frame->lsn != c->lsn)
        return err_set(err, ERR_CORRUPT, "a frame that does not belong here");
    if (frame->type == FRAME_CHECKPOINT_END) {
        c->ended = true;
        return true;
    }
    transaction_init(&t);
    bool ok = transaction_decode(payload, &t, err) && store_apply(c->store, &t, c->lsn, true, err);
    transaction_fini(&t);
    return ok;
}

bool checkpoint_load(struct store *store, uint64_t lsn, struct err *err)
{
    char name[CHECKPOINT_NAME_MAX], path[PATH_BYTES];
    struct buf content;
    size_t end = 0;
    struct checkpoint c = {store, lsn, false};
    checkpoint_name(lsn, name);
    if (!path_join(path, store->path, name, err))
        return false;
    struct frame_scan scan = {.path = path,
        .magic = CHECKPOINT_MAGIC,
        .version = CHECKPOINT_VERSION,
        .each = load_frame,
        .ctx = &c};
    buf_init(&content, 0);
    bool ok = file_read(path, SIZE_MAX / 2, &content, err) &&
              frames_scan(buf_view(&content), &scan, &end, err);
    if (ok && (!c.ended || end != content.len))
        ok = err_set(err, ERR_CORRUPT, "%s: damaged frame at byte %zu", path, end);
    buf_fini(&content);
    return ok;
}

/* One part of a checkpoint ends when it has about this many bytes; one chunk or series more fits a
 * frame. */
#define PART_BYTES (16u << 20)

struct checkpoint_out {
    struct transaction part;
    struct buf payload, file;
    uint64_t lsn;
    size_t label_bytes; /* of the part's series */
};

static void flush_part(struct checkpoint_out *out, bool force)
{
    struct transaction *t = &out->part;
    size_t bytes = transaction_cells(t) * 64 + t->n_buckets * 16 + out->label_bytes;
    if (!force && bytes < PART_BYTES)
        return;
    out->label_bytes = 0;
    buf_clear(&out->payload);
    transaction_encode(t, &out->payload);
    if (out->payload.len)
        frame_encode(&out->file, out->lsn, FRAME_CHECKPOINT, buf_view(&out->payload));
    uint32_t first = t->first_series + (uint32_t)t->n_series;
    transaction_clear(t);
    t->first_series = first;
}

static void put_chunk(struct transaction *t, uint32_t series, const struct columns *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->amount) {
            GROW(t->adds, t->adds_cap, t->n_adds + 1);
            t->adds[t->n_adds++] = (struct add_cell){series, c->t[i], c->amount[i]};
        } else if (c->last) {
            struct gauge_cell g = {
                c->last[i], c->last_ms[i], c->min[i], c->max[i], c->sum[i], c->count[i]};
            GROW(t->gauges, t->gauges_cap, t->n_gauges + 1);
            t->gauges[t->n_gauges++] = (struct gauge_entry){series, c->t[i], g};
        } else if (c->bucket_at) {
            uint32_t n = c->bucket_at[i + 1] - c->bucket_at[i];
            GROW(t->hists, t->hists_cap, t->n_hists + 1);
            GROW(t->buckets, t->buckets_cap, t->n_buckets + n);
            t->hists[t->n_hists++] =
                (struct hist_entry){series, c->t[i], c->sum[i], (uint32_t)t->n_buckets, n};
            if (n)
                memcpy(
                    t->buckets + t->n_buckets, c->bucket + c->bucket_at[i], n * sizeof *t->buckets);
            t->n_buckets += n;
        } else {
            GROW(t->samples, t->samples_cap, t->n_samples + 1);
            t->samples[t->n_samples++] = (struct sample_entry){series, c->t[i], c->bits[i], NULL};
        }
    }
}

static void put_definitions(struct store *store, struct checkpoint_out *out)
{
    const struct catalog *c = &store->catalog;
    struct transaction *t = &out->part;
    for (size_t i = 0; i < c->n_metrics; i++) {
        GROW(t->metrics, t->metrics_cap, t->n_metrics + 1);
        t->metrics[t->n_metrics++] = *c->metrics[i];
    }
    for (size_t i = 0; i < c->n_series; i++) {
        GROW(t->series, t->series_cap, t->n_series + 1);
        t->series[t->n_series++] =
            (struct series_def){c->series[i].metric, catalog_labels(c, (uint32_t)i, &t->arena)};
        flush_part(out, false);
    }
    for (size_t i = 0; i < store->n_sources; i++) {
        const struct source *s = &store->sources[i];
        GROW(t->sources, t->sources_cap, t->n_sources + 1);
        t->sources[t->n_sources++] =
            (struct source_entry){s->name, s->next, s->newest_ms, slice_of(s->state, s->state_len)};
    }
    for (size_t i = 0; i < store->n_clocks; i++) {
        const struct stream_clock *k = &store->clocks[i];
        GROW(t->clocks, t->clocks_cap, t->n_clocks + 1);
        t->clocks[t->n_clocks++] = (struct clock_entry){k->name, k->frontier_ms, k->watermark_ms};
    }
    flush_part(out, true);
}

static void put_cells(struct store *store, struct checkpoint_out *out)
{
    for (size_t i = 0; i < store->head.n_series; i++) {
        const struct head_chunk *c = head_chunks(&store->head, (uint32_t)i);
        for (; c; c = c->next) {
            put_chunk(&out->part, (uint32_t)i, &c->columns);
            flush_part(out, false);
        }
    }
    flush_part(out, true);
}

bool checkpoint_write(struct store *store, struct err *err)
{
    struct checkpoint_out out = {0};
    char name[CHECKPOINT_NAME_MAX], old[CHECKPOINT_NAME_MAX], path[PATH_BYTES];
    uint64_t before = store->manifest.checkpoint_lsn;
    struct txn *none = txn_begin(store); /* the WAL is ours between two transactions */
    bool ok = wal_rotate(store->wal, err);
    if (ok) {
        transaction_init(&out.part);
        store_lock_read(store);
        ensure(store->frozen == NULL);
        out.lsn = store->lsn;
        frame_header(&out.file, CHECKPOINT_MAGIC, CHECKPOINT_VERSION, out.lsn);
        put_definitions(store, &out);
        put_cells(store, &out);
        frame_encode(&out.file, out.lsn, FRAME_CHECKPOINT_END, SLICE("end"));
        store_unlock(store);
        transaction_fini(&out.part);
    }
    txn_abort(&none);
    if (!ok || out.lsn == 0)
        return ok;
    checkpoint_name(out.lsn, name);
    struct manifest_edit edit = {.checkpoint_lsn = out.lsn};
    ok = path_join(path, store->path, name, err) &&
         file_replace(store->path, name, buf_view(&out.file), err);
    if (ok && !manifest_apply(&store->manifest, &edit, err)) {
        ok = false;
        if (manifest_works(&store->manifest) && before != out.lsn)
            file_remove(path, NULL);
    }
    if (ok) {
        none = txn_begin(store);
        ok = wal_forget(store->wal, out.lsn, err);
        store_lock_write(store);
        store->wal_at_checkpoint = store->wal_written;
        store_unlock(store);
        txn_abort(&none);
    }
    if (ok && before && before != out.lsn) {
        checkpoint_name(before, old);
        ok = path_join(path, store->path, old, err) && file_remove(path, err);
    }
    buf_fini(&out.payload);
    buf_fini(&out.file);
    return ok;
}

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
