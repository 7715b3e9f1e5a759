#include "store/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/frame.h"
#include "store/store_priv.h"

#define CHECKPOINT_MAGIC   "LCKP"
#define CHECKPOINT_VERSION 1

void checkpoint_name(uint64_t lsn, char out[CHECKPOINT_NAME_MAX])
{
    snprintf(out, CHECKPOINT_NAME_MAX, "checkpoint-%016" PRIx64, lsn);
}

struct checkpoint {
    struct store *store;
    uint64_t lsn;
    bool ended;
    struct buf raw;
};

static bool load_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct checkpoint *c = ctx;
    struct transaction t;
    if (c->ended || frame->lsn != c->lsn)
        return err_set(err, ERR_CORRUPT, "a frame that does not belong here");
    if (frame->type == FRAME_CHECKPOINT_END) {
        c->ended = true;
        return true;
    }
    struct slice payload;
    transaction_init(&t);
    bool ok = frame_payload(frame, &c->raw, &payload, err) &&
              transaction_decode(payload, &t, err) && store_define(c->store, &t, err) &&
              store_apply(c->store, &t, c->lsn, true, err) &&
              state_replay(&c->store->state, &t.state, c->lsn, err);
    transaction_fini(&t);
    return ok;
}

bool checkpoint_load(struct store *store, uint64_t lsn, struct err *err)
{
    char name[CHECKPOINT_NAME_MAX], path[PATH_BYTES];
    struct buf content;
    size_t end = 0;
    struct checkpoint c = {store, lsn, false, {0}};
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
    buf_fini(&c.raw);
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
        frame_encode(
            &out->file, out->lsn, FRAME_CHECKPOINT, slice_of("", 0), buf_view(&out->payload));
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
            t->samples[t->n_samples++] = (struct sample_entry){series, c->t[i],
                c->start ? c->start[i] : 0, c->bits[i], c->hist ? c->hist[i] : NULL};
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
            catalog_has(c, (uint32_t)i) /* else one without labels, which stands for a dead id */
                ? (struct series_def){catalog_metric_of(c, (uint32_t)i),
                      catalog_labels(c, (uint32_t)i, &t->arena)}
                : (struct series_def){0};
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
    struct arena arena;
    arena_init(&arena, 0);
    for (size_t b = 0; b < store->head.n_blocks; b++) {
        const struct head_block *block = store->head.blocks[b];
        for (uint32_t i = 0; i < block->n_records; i++) {
            uint32_t series = head_block_record(block, i)->series;
            struct columns columns;
            arena_reset(&arena);
            ensure(head_block_columns(block, series, &arena, &columns, NULL));
            put_chunk(&out->part, series, &columns);
            flush_part(out, false);
        }
    }
    arena_fini(&arena);
    flush_part(out, true);
}

/* What no run holds. */
static void put_state(struct store *store, struct checkpoint_out *out)
{
    struct state_cursor at = {0};
    while (state_carry(&store->state, &at, PART_BYTES, &out->part.state))
        flush_part(out, true);
}

bool checkpoint_write(struct store *store, struct err *err)
{
    struct checkpoint_out out = {0};
    char name[CHECKPOINT_NAME_MAX], old[CHECKPOINT_NAME_MAX], path[PATH_BYTES];
    uint64_t before = store->manifest.checkpoint_lsn;
    if (!state_flush(&store->state, &store->manifest, STATE_CARRY_BYTES, err))
        return false;
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
        put_state(store, &out);
        frame_encode(&out.file, out.lsn, FRAME_CHECKPOINT_END, slice_of("", 0), SLICE("end"));
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
