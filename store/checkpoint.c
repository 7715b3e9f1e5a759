#include "store/checkpoint.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/catalog_file.h"
#include "store/checkpoint_file.h"
#include "store/frame.h"
#include "store/head/head_view.h"
#include "store/segment/outfile.h"
#include "store/store_priv.h"

/* A run of series that is copied under one hold of the lock: well under a millisecond. */
#define SERIES_AT_ONCE 1024
/* Bytes that are gathered for one frame, and for one write. */
#define FRAME_BYTES (1u << 20)
#define WRITE_BYTES (1u << 20)
/* What stands before a piece: block, series and length. */
#define PIECE_FRONT_MAX 30

/* ---- copying the head ---- */

/* Copies the next run of series, and moves *series to its end. *lsn is what was seen. False: there
 * are no more. */
static bool capture(struct store *store, uint32_t *series, struct head_view **view, uint64_t *lsn)
{
    const struct head *head = &store->head;
    uint32_t first = *series;
    *series += SERIES_AT_ONCE;
    *view = head_view_new();
    store_lock_settled(store);
    if (store->frozen) /* its cells are older than those of a block of its time */
        head_view_add_series(*view, store->frozen->block, first, *series);
    for (size_t i = 0; i < head->n_blocks; i++)
        head_view_add_series(*view, head->blocks[i], first, *series);
    *lsn = store->lsn;
    catalog_lock_read(&store->catalog);
    bool more = *series < store->catalog.n_series;
    catalog_unlock(&store->catalog);
    store_unlock(store);
    return more;
}

/* ---- the file ---- */

struct out {
    struct outfile file;
    struct buf front, payload, bytes;
    uint64_t lsn;               /* of the checkpoint */
    struct transaction carried; /* of state tables */
    size_t tables;              /* how many there are */
    int64_t block;              /* of the piece before in the frame, as is series */
    uint32_t series;
};

static bool flush(struct out *out, size_t at_least, struct err *err)
{
    if (out->bytes.len < at_least || out->bytes.len == 0)
        return true;
    bool ok = outfile_add(&out->file, buf_view(&out->bytes), err);
    buf_clear(&out->bytes);
    return ok;
}

static bool end_frame(struct out *out, struct err *err)
{
    if (out->payload.len)
        frame_encode(&out->bytes, out->lsn, FRAME_CHECKPOINT, buf_view(&out->front),
            buf_view(&out->payload));
    buf_clear(&out->payload);
    out->block = 0;
    out->series = 0;
    return flush(out, WRITE_BYTES, err);
}

static bool add_piece(
    void *ctx, int64_t block, uint32_t series, struct slice piece, struct err *err)
{
    struct out *out = ctx;
    /* The log keeps it until its block is sealed, and the next checkpoint goes without. */
    if (piece.len > FRAME_PAYLOAD_MAX - PIECE_FRONT_MAX)
        return err_set(err, ERR_LIMIT,
            "series %" PRIu32 " has %zu bytes in one time block, more than a checkpoint can hold",
            series, piece.len);
    if (out->payload.len + piece.len > FRAME_BYTES && !end_frame(out, err))
        return false;
    buf_svarint(&out->payload, (int64_t)((uint64_t)block - (uint64_t)out->block));
    buf_svarint(&out->payload, (int64_t)series - (int64_t)out->series);
    buf_lstr(&out->payload, piece);
    out->block = block;
    out->series = series;
    return true;
}

static bool write_head(struct store *store, struct out *out, struct err *err)
{
    bool ok = true, more = true;
    uint32_t series = 0;
    while (ok && more) {
        struct head_view *view;
        uint32_t first = series;
        uint64_t lsn;
        more = capture(store, &series, &view, &lsn);
        buf_clear(&out->front);
        buf_varint(&out->front, first);
        buf_varint(&out->front, series - first);
        buf_varint(&out->front, lsn);
        ok = head_view_each(view, add_piece, out, err) && end_frame(out, err);
        head_view_free(&view);
    }
    return ok;
}

/* Sources, clocks, and which metrics fold, as of the checkpoint's LSN. */
static void put_positions(struct store *store, struct buf *payload)
{
    struct transaction t;
    transaction_init(&t);
    for (size_t i = 0; i < store->n_sources; i++) {
        const struct source *s = &store->sources[i];
        GROW(t.sources, t.sources_cap, t.n_sources + 1);
        t.sources[t.n_sources++] =
            (struct source_entry){s->name, s->next, s->newest_ms, slice_of(s->state, s->state_len)};
    }
    for (size_t i = 0; i < store->n_clocks; i++) {
        const struct stream_clock *k = &store->clocks[i];
        GROW(t.clocks, t.clocks_cap, t.n_clocks + 1);
        t.clocks[t.n_clocks++] = (struct clock_entry){k->name, k->frontier_ms, k->watermark_ms};
    }
    overflow_put(store, &t);
    transaction_encode(&t, payload);
    transaction_fini(&t);
}

/* What state tables have in memory alone: little, they were flushed before. */
static void carry_state(struct store *store, struct state_changes *changes)
{
    struct state_cursor at = {0};
    while (state_carry(&store->state, &at, STATE_CARRY_BYTES, changes))
        ;
}

/* Between two transactions: where the log is cut, and what stands there. */
static bool begin(struct store *store, struct out *out, struct err *err)
{
    struct txn *none = txn_begin_alone(store); /* the WAL is ours */
    bool ok = wal_rotate(store->wal, err);
    mutex_lock(&store->lock);
    out->lsn = store->lsn;
    put_positions(store, &out->payload);
    mutex_unlock(&store->lock);
    carry_state(store, &out->carried.state);
    out->tables = store->state.n_tables;
    txn_abort(&none);
    return ok;
}

static bool write_file(struct store *store, struct out *out, struct err *err)
{
    char name[CHECKPOINT_NAME_MAX];
    struct buf header;
    buf_init(&header, 0);
    frame_header(&header, CHECKPOINT_MAGIC, CHECKPOINT_VERSION, out->lsn);
    buf_slice(&out->bytes, buf_view(&header));
    if (out->payload.len)
        frame_encode(
            &out->bytes, out->lsn, FRAME_CHECKPOINT, slice_of("", 0), buf_view(&out->payload));
    buf_clear(&out->payload);
    transaction_encode(&out->carried, &out->payload);
    if (out->payload.len)
        frame_encode(
            &out->bytes, out->lsn, FRAME_CHECKPOINT, slice_of("", 0), buf_view(&out->payload));
    buf_clear(&out->payload);
    bool ok = outfile_open(&out->file, store->path, err) && write_head(store, out, err);
    frame_encode(&out->bytes, out->lsn, FRAME_CHECKPOINT_END, slice_of("", 0), SLICE("end"));
    checkpoint_name(out->lsn, name);
    ok = ok && flush(out, 0, err) && outfile_finish(&out->file, buf_view(&header), name, err);
    outfile_discard(&out->file);
    buf_fini(&header);
    return ok;
}

bool checkpoint_forget_log(struct store *store, struct err *err)
{
    struct txn *none = txn_begin_alone(store);
    bool ok = wal_forget(store->wal, store->manifest.checkpoint_lsn, err);
    txn_abort(&none);
    return ok;
}

/* What the checkpoint has made superfluous. */
static bool clean_up(struct store *store, uint64_t before, struct err *err)
{
    char old[CHECKPOINT_NAME_MAX], path[PATH_BYTES];
    bool ok = checkpoint_forget_log(store, err);
    if (before == 0 || before == store->manifest.checkpoint_lsn)
        return ok;
    checkpoint_name(before, old);
    return path_join(path, store->path, old, err) && file_remove(path, err) && ok;
}

static bool write_checkpoint(struct store *store, struct err *err)
{
    struct out out = {.file = {.fd = -1}};
    uint64_t before = store->manifest.checkpoint_lsn;
    mutex_lock(&store->lock);
    uint64_t written = store->wal_written;
    mutex_unlock(&store->lock);
    transaction_init(&out.carried);
    /* State tables last: what comes to them afterwards is carried, and the writer waits for that.
     * What was defined since the catalogue was written stands in the log that is cut off. */
    bool ok = catalog_file_write(store, err) &&
              state_flush(&store->state, &store->manifest, STATE_CARRY_BYTES, err) &&
              begin(store, &out, err) && catalog_file_write(store, err);
    if (ok && out.lsn) {
        struct manifest_edit edit = {.checkpoint_lsn = out.lsn};
        ok = write_file(store, &out, err) && manifest_apply(&store->manifest, &edit, err);
        if (ok) {
            mutex_lock(&store->lock);
            store->wal_at_checkpoint = written;
            store->tables_checkpointed = out.tables;
            mutex_unlock(&store->lock);
            ok = clean_up(store, before, err);
        }
    }
    transaction_fini(&out.carried);
    buf_fini(&out.front);
    buf_fini(&out.payload);
    buf_fini(&out.bytes);
    return ok;
}

bool checkpoint_write(struct store *store, struct err *err)
{
    return setback_note(&store->checkpoint_setback, write_checkpoint(store, err));
}

bool checkpoint_due(struct store *store)
{
    mutex_lock(&store->lock);
    bool due = store->wal_written - store->wal_at_checkpoint > store->options.checkpoint_bytes;
    mutex_unlock(&store->lock);
    return due && setback_is_over(&store->checkpoint_setback);
}
