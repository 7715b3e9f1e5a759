/*
 * Reading a checkpoint; see checkpoint.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "store/bounds.h"
#include "store/checkpoint.h"
#include "store/checkpoint_file.h"
#include "store/frame.h"
#include "store/head/head_view.h"
#include "store/store_priv.h"

void checkpoint_name(uint64_t lsn, char out[CHECKPOINT_NAME_MAX])
{
    snprintf(out, CHECKPOINT_NAME_MAX, "checkpoint-%016" PRIx64, lsn);
}

/* ---- what is in it already ---- */

void captured_fini(struct captured *captured)
{
    free(captured->runs);
    *captured = (struct captured){0};
}

static bool has(const struct captured *c, uint32_t series, uint64_t lsn)
{
    size_t lo = 0, hi = c->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c->runs[mid].end <= series)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->n && series >= c->runs[lo].first && lsn <= c->runs[lo].lsn;
}

/* Keeps the entries of an array whose series are not captured, nor removed. */
#define KEEP(array, n_entries)                                                                     \
    do {                                                                                           \
        size_t kept = 0;                                                                           \
        for (size_t i = 0; i < (n_entries); i++) {                                                 \
            uint32_t id = (array)[i].series;                                                       \
            if (!has(captured, id, lsn) && (id >= catalog->n_series || catalog_has(catalog, id)))  \
                (array)[kept++] = (array)[i];                                                      \
        }                                                                                          \
        (n_entries) = kept;                                                                        \
    } while (0)

void captured_drop(const struct captured *captured, const struct catalog *catalog, uint64_t lsn,
    struct transaction *t)
{
    if (lsn > captured->greatest && catalog->n_dead == 0)
        return;
    KEEP(t->adds, t->n_adds);
    KEEP(t->gauges, t->n_gauges);
    KEEP(t->hists, t->n_hists);
    KEEP(t->samples, t->n_samples);
}

/* ---- loading ---- */

struct load {
    struct store *store;
    struct captured *captured;
    uint64_t lsn;
    bool ended;
    size_t at; /* of the last frame */
    struct buf raw;
};

/* The run that a frame of cells belongs to: a further one, or more of the last. */
static bool read_run(struct load *l, struct slice front, uint64_t *lsn, struct err *err)
{
    struct captured *c = l->captured;
    const struct captured_run *last = c->n ? &c->runs[c->n - 1] : NULL;
    struct reader r = reader_of(front);
    uint64_t first = read_varint(&r), n = read_varint(&r), end = first + n;
    *lsn = read_varint(&r);
    bool more = last && first == last->first && end == last->end && *lsn == last->lsn;
    if (r.failed || reader_left(&r) || first > UINT32_MAX || n > UINT32_MAX || end > UINT32_MAX ||
        n == 0 || *lsn < l->lsn || (last && first < last->end && !more))
        return err_set(err, ERR_CORRUPT, "the front makes no sense");
    if (more)
        return true;
    GROW(c->runs, c->cap, c->n + 1);
    c->runs[c->n++] = (struct captured_run){(uint32_t)first, (uint32_t)end, *lsn};
    if (*lsn > c->greatest)
        c->greatest = *lsn;
    return true;
}

/* The cells of one series in one block, unless a segment has them or the series is no more. */
static bool load_piece(struct load *l, int64_t block, int64_t series, struct slice piece,
    uint64_t lsn, struct err *err)
{
    struct store *store = l->store;
    const struct captured_run *run = &l->captured->runs[l->captured->n - 1];
    if (series < run->first || series >= run->end || (uint64_t)series >= store->catalog.n_series)
        return err_set(err, ERR_CORRUPT, "cells of series %" PRId64, series);
    if (block < block_of(1 - TIME_BOUND_MS, store->options.block_ms) ||
        block > block_of(TIME_BOUND_MS - 1, store->options.block_ms))
        return err_set(err, ERR_CORRUPT, "cells of time block %" PRId64, block);
    if (lsn <= manifest_sealed_lsn(&store->manifest, block) ||
        !catalog_has(&store->catalog, (uint32_t)series))
        return true;
    return head_restore(&store->head, block, (uint32_t)series, piece, err);
}

static bool load_pieces(struct load *l, struct slice payload, uint64_t lsn, struct err *err)
{
    struct reader r = reader_of(payload);
    int64_t block = 0, series = 0;
    while (reader_left(&r) > 0) {
        block = (int64_t)((uint64_t)block + (uint64_t)read_svarint(&r));
        series = (int64_t)((uint64_t)series + (uint64_t)read_svarint(&r));
        struct slice piece = read_lstr(&r);
        if (r.failed)
            return err_set(err, ERR_CORRUPT, "bad cells before byte %zu of the payload",
                payload.len - reader_left(&r));
        if (!load_piece(l, block, series, piece, lsn, err))
            return false;
    }
    return true;
}

/* Sources, clocks and state tables; in version 1 also all the rest. */
static bool load_transaction(struct load *l, struct slice payload, struct err *err)
{
    struct transaction t;
    transaction_init(&t);
    bool ok = transaction_decode(payload, &t, err) && store_define(l->store, &t, err) &&
              store_replay(l->store, &t, l->lsn, err) &&
              state_replay(&l->store->state, &t.state, l->lsn, err);
    transaction_fini(&t);
    return ok;
}

static bool load_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct load *l = ctx;
    struct slice payload;
    uint64_t lsn;
    l->at = frame->at;
    if (l->ended || frame->lsn != l->lsn ||
        (frame->type != FRAME_CHECKPOINT && frame->type != FRAME_CHECKPOINT_END))
        return err_set(err, ERR_CORRUPT, "a frame that does not belong here");
    if (frame->type == FRAME_CHECKPOINT_END) {
        l->ended = true;
        return true;
    }
    if (!frame_payload(frame, &l->raw, &payload, err))
        return false;
    if (frame->front.len == 0)
        return load_transaction(l, payload, err);
    return read_run(l, frame->front, &lsn, err) && load_pieces(l, payload, lsn, err);
}

bool checkpoint_load(struct store *store, struct captured *captured, struct err *err)
{
    char name[CHECKPOINT_NAME_MAX], path[PATH_BYTES];
    struct load load = {
        .store = store, .captured = captured, .lsn = store->manifest.checkpoint_lsn};
    if (load.lsn == 0)
        return true;
    checkpoint_name(load.lsn, name);
    if (!path_join(path, store->path, name, err))
        return false;
    struct frame_scan scan = {.path = path,
        .magic = CHECKPOINT_MAGIC,
        .version = CHECKPOINT_VERSION,
        .each = load_frame,
        .ctx = &load};
    buf_init(&load.raw, 0);
    bool ok = frames_read(&scan, FRAMES_ALL, err);
    if (ok && !load.ended)
        ok = err_set(err, ERR_CORRUPT,
            "%s ends with the frame at byte %zu, and the last ones are missing", path, load.at);
    buf_fini(&load.raw);
    return ok;
}
