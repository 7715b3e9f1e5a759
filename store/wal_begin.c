/*
 * From what another process has left to a log that can be appended to: whether its last frame is on
 * disk, and writing its last file anew.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "store/wal_priv.h"

/* ---- the last frame: is it on disk? ---- */

struct tail {
    const struct wal_scan *scan;
    uint64_t first_lsn, last_lsn, at; /* of the last frame; at 0: there is none */
};

static bool note_tail(void *ctx, const struct frame *frame, struct err *err)
{
    struct tail *tail = ctx;
    (void)err;
    if (frame->type == FRAME_DEFINITIONS)
        return true;
    tail->first_lsn = tail->at ? tail->last_lsn + 1 : tail->scan->first_lsn;
    tail->last_lsn = frame->lsn;
    tail->at = frame->at;
    return true;
}

/* Writes the bytes again where they are, which takes no room, and syncs them. */
static bool prove(const char *path, struct slice bytes, uint64_t at, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "cannot open %s", path);
    bool ok = file_write_at(fd, path, at, bytes.ptr, bytes.len, err);
    if (ok && fdatasync(fd) != 0)
        ok = err_sys(err, "cannot sync %s", path);
    close(fd);
    return ok;
}

void wal_check_tail(struct wal *wal, const char *path, struct buf *content)
{
    struct tail tail = {0};
    struct wal_scan scan = {.path = path, .each = note_tail, .ctx = &tail};
    tail.scan = &scan;
    struct err err;
    if (!wal_scan(buf_view(content), &scan, &err) || !scan.clean || !tail.at ||
        tail.first_lsn <= wal->options.proven_lsn)
        return;
    struct slice bytes = slice_of(content->ptr + tail.at, scan.end - tail.at);
    if (prove(path, bytes, tail.at, &err))
        return;
    log_warn("the transaction with lsn %" PRIu64 " may not be on disk, and is not shown until it "
             "is: %s",
        tail.first_lsn, err.text);
    wal->tail_at = tail.at;
    wal->tail_end = scan.end;
    content->len = tail.at;
}

/* ---- getting ready ---- */

/* The valid part of the last file under a temporary name, synced, and over its own. */
static bool rewrite(struct wal *wal, const struct wal_file *file, uint64_t bytes, struct err *err)
{
    char path[PATH_BYTES], name[32];
    struct buf content;
    snprintf(name, sizeof name, "%08u.wal", file->number);
    buf_init(&content, 0);
    bool ok =
        wal_path(wal, file->number, path, err) && file_read(path, SIZE_MAX / 2, &content, err);
    if (ok && content.len < bytes)
        ok = err_set(err, ERR_CORRUPT, "%s has become shorter", path);
    ok = ok && file_replace(wal->dir, name, slice_of(content.ptr, bytes), err);
    buf_fini(&content);
    return ok;
}

/* The file has no transactions: nothing was committed to it. */
static bool drop_last(struct wal *wal, struct err *err)
{
    char path[PATH_BYTES];
    if (!wal_path(wal, wal->files[wal->n_files - 1].number, path, err) || !file_remove(path, err) ||
        !dir_sync(wal->dir, err))
        return false;
    wal->n_files--;
    return true;
}

bool wal_begin(struct wal *wal, struct err *err)
{
    if (wal->begun)
        return true;
    ensure(!wal_holds(wal));
    if (!wal_remove_leftovers(wal, err))
        return false;
    if (wal->n_files) {
        const struct wal_file *last = &wal->files[wal->n_files - 1];
        if (!(last->transactions ? rewrite(wal, last, last->bytes, err) : drop_last(wal, err)))
            return false;
    }
    wal->begun = true;
    return true;
}

bool wal_holds(const struct wal *wal)
{
    return wal->tail_end > 0;
}

struct release {
    struct wal *wal;
    struct wal_file *file;
    frame_f *each;
    void *ctx;
};

static bool release_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct release *r = ctx;
    if (frame->type != FRAME_TRANSACTION || frame->lsn <= r->wal->last_lsn)
        return true;
    r->wal->last_lsn = frame->lsn;
    r->file->transactions++;
    return r->each(r->ctx, frame, err);
}

/* The file is written anew with the frame, which proves it. */
bool wal_release(struct wal *wal, frame_f *each, void *ctx, struct err *err)
{
    char path[PATH_BYTES];
    if (!wal_holds(wal))
        return true;
    struct wal_file *last = &wal->files[wal->n_files - 1];
    struct release release = {wal, last, each, ctx};
    struct wal_scan scan = {.each = release_frame, .ctx = &release};
    if (!wal_remove_leftovers(wal, err) || !rewrite(wal, last, wal->tail_end, err))
        return false;
    wal->begun = true;
    last->bytes = wal->tail_end;
    wal->tail_at = wal->tail_end = 0;
    return wal_path(wal, last->number, path, err) && wal_scan_file(path, UINT64_MAX, &scan, err);
}
