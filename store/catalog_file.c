#include "store/catalog_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/definitions.h"
#include "store/frame.h"
#include "store/store_priv.h"

/* Older files are read; see docs/format/wal.md for when a version changes. */
#define CATALOG_MAGIC   "LCAT"
#define CATALOG_VERSION 1
/* Series that are encoded under one hold of the lock: well under a millisecond. */
#define SERIES_AT_ONCE 1000
/* Bytes that are gathered for one write. */
#define WRITE_BYTES (1u << 20)

void catalog_file_name(uint32_t number, char out[CATALOG_NAME_MAX])
{
    snprintf(out, CATALOG_NAME_MAX, "catalog-%06" PRIu32, number);
}

static bool file_path(
    const struct store *store, uint32_t number, char out[PATH_BYTES], struct err *err)
{
    char name[CATALOG_NAME_MAX];
    catalog_file_name(number, name);
    return path_join(out, store->path, name, err);
}

/* ---- reading ---- */

struct load {
    struct store *store;
    struct buf raw;
    uint64_t frames, repeated;
};

static bool load_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct load *l = ctx;
    struct transaction t;
    struct slice payload;
    if (frame->type != FRAME_CATALOG || frame->lsn != ++l->frames)
        return err_set(err, ERR_CORRUPT, "a frame that does not belong here");
    transaction_init(&t);
    bool ok = frame_payload(frame, &l->raw, &payload, err) &&
              transaction_decode_definitions(payload, &t, err) && store_define(l->store, &t, err);
    if (t.n_updates)
        l->repeated += FRAME_HEADER + frame->body.len;
    transaction_fini(&t);
    return ok;
}

bool catalog_file_load(struct store *store, struct err *err)
{
    const struct manifest_catalog *named = &store->manifest.catalog;
    const struct catalog *c = &store->catalog;
    char path[PATH_BYTES];
    struct load load = {.store = store};
    if (named->number == 0)
        return true;
    if (!file_path(store, named->number, path, err))
        return false;
    struct frame_scan scan = {.path = path,
        .magic = CATALOG_MAGIC,
        .version = CATALOG_VERSION,
        .each = load_frame,
        .ctx = &load};
    buf_init(&load.raw, 0);
    bool ok = frames_read(&scan, named->bytes, err);
    if (ok && (c->n_metrics != named->metrics || c->n_series != named->series))
        ok = err_set(err, ERR_CORRUPT,
            "%s defines %zu metrics and %zu series, and the manifest says %" PRIu64 " and %" PRIu64,
            path, c->n_metrics, c->n_series, named->metrics, named->series);
    store->defined = *named;
    store->described_written = c->descriptions;
    store->removals_written = c->removals;
    store->catalog_frames = load.frames;
    store->catalog_repeated = load.repeated;
    buf_fini(&load.raw);
    return ok;
}

/* ---- writing ---- */

struct out {
    struct store *store;
    int fd;
    char path[PATH_BYTES];
    uint64_t at, frames, repeated;
    struct buf bytes, payload;
};

static bool flush(struct out *out, size_t at_least, struct err *err)
{
    if (out->bytes.len < at_least || out->bytes.len == 0)
        return true;
    if (!file_write_at(out->fd, out->path, out->at, out->bytes.ptr, out->bytes.len, err))
        return false;
    out->at += out->bytes.len;
    buf_clear(&out->bytes);
    return true;
}

static bool write_definitions(struct out *out, struct definitions *left, struct err *err)
{
    bool ok = true, more = true;
    while (ok && more) {
        size_t updates = left->updates_end, before = out->bytes.len;
        buf_clear(&out->payload);
        catalog_lock_read(&out->store->catalog);
        more = definitions_next(out->store, left, SERIES_AT_ONCE, &out->payload);
        catalog_unlock(&out->store->catalog);
        if (more)
            frame_encode(&out->bytes, ++out->frames, FRAME_CATALOG, slice_of("", 0),
                buf_view(&out->payload));
        if (updates != left->updates_end)
            out->repeated += out->bytes.len - before;
        ok = flush(out, more ? WRITE_BYTES : 0, err);
    }
    return ok;
}

static bool open_out(struct out *out, const struct manifest_catalog *named, struct err *err)
{
    if (!file_path(out->store, named->number, out->path, err))
        return false;
    /* A file that is begun is a new one, whatever lies there. */
    if (named->bytes == 0 && !file_remove(out->path, err))
        return false;
    out->fd = open(out->path, O_WRONLY | O_CLOEXEC | (named->bytes ? 0 : O_CREAT | O_EXCL), 0666);
    if (out->fd < 0)
        return err_sys(err, "cannot open %s", out->path);
    if (ftruncate(out->fd, (off_t)named->bytes) != 0)
        return err_sys(err, "cannot cut %s", out->path);
    out->at = named->bytes;
    out->frames = named->bytes ? out->store->catalog_frames : 0;
    if (named->bytes)
        return true;
    frame_header(&out->bytes, CATALOG_MAGIC, CATALOG_VERSION, 1);
    return true;
}

static bool sync_out(struct out *out, bool fresh, struct err *err)
{
    struct store *store = out->store;
    if (fdatasync(out->fd) != 0) {
        /* Nothing is appended to this file again. */
        store->catalog_broken = true;
        return err_sys(err, "cannot sync %s", out->path);
    }
    return !fresh || dir_sync(store->path, err);
}

bool catalog_file_write(struct store *store, struct err *err)
{
    struct manifest_catalog next = store->defined;
    struct out out = {.store = store, .fd = -1};
    catalog_lock_read(&store->catalog);
    uint64_t removals = store->catalog.removals;
    catalog_unlock(&store->catalog);
    /* Series are removed rarely, and many at once: what is left is written anew; so is everything
     * when half of the file repeats metrics. */
    bool fresh = next.number == 0 || store->catalog_broken || removals != store->removals_written ||
                 store->catalog_repeated > next.bytes / 2;
    if (fresh)
        next = (struct manifest_catalog){.number = next.number + 1};
    mutex_lock(&store->lock);
    catalog_lock_read(&store->catalog);
    struct definitions left = {.metric = next.metrics,
        .metrics_end = store->catalog.n_metrics,
        .series = next.series,
        .series_end = store->catalog.n_series,
        .updates_end = store->catalog.descriptions != store->described_written ? next.metrics : 0,
        .described = store->described_written};
    uint64_t described = store->catalog.descriptions;
    uint32_t old = store->defined.number;
    catalog_unlock(&store->catalog);
    mutex_unlock(&store->lock);
    if (left.metric == left.metrics_end && left.series == left.series_end && left.updates_end == 0)
        return true;
    buf_init(&out.bytes, 0);
    buf_init(&out.payload, 0);
    next.metrics = left.metrics_end;
    next.series = left.series_end;
    bool ok = open_out(&out, &next, err) && write_definitions(&out, &left, err) &&
              sync_out(&out, fresh, err);
    next.bytes = out.at;
    struct manifest_edit edit = {.catalog = &next};
    ok = ok && manifest_apply(&store->manifest, &edit, err);
    if (ok) {
        mutex_lock(&store->lock);
        store->defined = next;
        store->described_written = described;
        mutex_unlock(&store->lock);
        store->catalog_frames = out.frames;
        store->catalog_broken = false;
        store->catalog_repeated = (fresh ? 0 : store->catalog_repeated) + out.repeated;
        if (fresh)
            store->removals_written = removals;
        if (fresh && old && file_path(store, old, out.path, err))
            unlink(out.path); /* nobody needs it; the next start tries again */
    }
    if (out.fd >= 0)
        close(out.fd);
    buf_fini(&out.bytes);
    buf_fini(&out.payload);
    return ok;
}
