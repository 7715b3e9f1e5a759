#include "store/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "store/files.h"
#include "store/frame.h"
#include "store/manifest_edit.h"

#define MANIFEST_MAGIC   "LMAN"
#define MANIFEST_VERSION 1
#define NAME_BYTES       32

static bool manifest_path(
    const struct manifest *m, uint32_t number, char out[PATH_BYTES], struct err *err)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "manifest-%06u", number);
    return path_join(out, m->dir, name, err);
}

bool manifest_is(const struct manifest *manifest, const char *name)
{
    char own[NAME_BYTES];
    snprintf(own, sizeof own, "manifest-%06u", manifest->number);
    return strcmp(name, own) == 0;
}

static bool apply_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct manifest *m = ctx;
    struct slice edit;
    struct buf raw;
    if (frame->lsn != m->edits + 1 || frame->type != FRAME_EDIT)
        return err_set(err, ERR_CORRUPT, "edit %" PRIu64 " is out of order", frame->lsn);
    buf_init(&raw, 0);
    bool ok = frame_payload(frame, &raw, &edit, err) && manifest_edit_read(m, edit, err);
    buf_fini(&raw);
    m->edits = frame->lsn;
    return ok;
}

/* A folder with data in it and no CURRENT has lost it: starting anew would lose the rest. */
static bool refuse_leftover(void *ctx, const char *name, struct err *err)
{
    const struct manifest *m = ctx;
    if (strcmp(name, "wal") == 0 || strcmp(name, "seg") == 0 || strcmp(name, "state") == 0 ||
        strncmp(name, "checkpoint-", 11) == 0 || strncmp(name, "catalog-", 8) == 0)
        return err_set(
            err, ERR_CORRUPT, "%s has no file CURRENT, but %s: the manifest is lost", m->dir, name);
    return true;
}

static bool read_current(struct manifest *m, bool *found, struct err *err)
{
    char path[PATH_BYTES], extra;
    struct buf name, content;
    if (!path_join(path, m->dir, "CURRENT", err))
        return false;
    *found = access(path, F_OK) == 0;
    if (!*found && errno != ENOENT)
        return err_sys(err, "cannot open %s", path);
    if (!*found)
        return dir_each(m->dir, refuse_leftover, m, err);
    buf_init(&name, 0);
    buf_init(&content, 0);
    bool ok = file_read(path, 64, &name, err);
    if (ok && sscanf(buf_cstr(&name), "manifest-%6u\n%c", &m->number, &extra) != 1)
        ok = err_set(err, ERR_CORRUPT, "%s does not name a manifest at byte 0", path);
    ok = ok && manifest_path(m, m->number, path, err) &&
         file_read(path, SIZE_MAX / 2, &content, err);
    size_t end = 0;
    struct frame_scan scan = {.path = path,
        .magic = MANIFEST_MAGIC,
        .version = MANIFEST_VERSION,
        .each = apply_frame,
        .ctx = m};
    ok = ok && frames_scan(buf_view(&content), &scan, &end, err);
    m->bytes = end;
    if (ok && end < content.len)
        log_warn("%s: a torn edit at byte %zu was dropped", path, end);
    if (ok && m->edits == 0)
        ok = err_set(err, ERR_CORRUPT, "%s holds no edit at byte %zu", path, end);
    if (ok && m->block_ms == 0)
        ok = err_set(err, ERR_CORRUPT, "%s does not say how long a time block is", path);
    buf_fini(&name);
    buf_fini(&content);
    return ok;
}

static bool current_is(const struct manifest *m, const char *content)
{
    char path[PATH_BYTES];
    struct buf now;
    buf_init(&now, 0);
    bool same = !path_join(path, m->dir, "CURRENT", NULL) || !file_read(path, 64, &now, NULL) ||
                slice_is(buf_view(&now), content);
    buf_fini(&now);
    return same;
}

/* A fresh file with the whole state as one edit; then CURRENT names it. */
static bool rewrite(struct manifest *m, struct err *err)
{
    char name[NAME_BYTES], current[NAME_BYTES + 1], path[PATH_BYTES], old[PATH_BYTES];
    struct buf state, file;
    uint32_t number = m->number + 1;
    if (!manifest_path(m, m->number, old, err) || !manifest_path(m, number, path, err))
        return false;
    snprintf(name, sizeof name, "manifest-%06u", number);
    snprintf(current, sizeof current, "%s\n", name);
    buf_init(&state, 0);
    buf_init(&file, 0);
    manifest_state_put(&state, m);
    frame_header(&file, MANIFEST_MAGIC, MANIFEST_VERSION, 1);
    frame_encode(&file, 1, FRAME_EDIT, slice_of("", 0), buf_view(&state));
    bool ok = file_replace(m->dir, name, buf_view(&file), err) &&
              file_replace(m->dir, "CURRENT", slice_from(current), err);
    /* CURRENT may name the new file already, on disk or not: an edit of the old one could be lost.
     */
    if (!ok && m->fd >= 0 && current_is(m, current)) {
        close(m->fd);
        m->fd = -1;
        m->failed = true;
    }
    int fd = ok ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (ok && fd < 0)
        ok = err_sys(err, "cannot open %s", path);
    if (ok) {
        if (m->fd >= 0)
            close(m->fd);
        m->fd = fd;
        m->bytes = file.len;
        m->edits = 1;
        if (m->number)
            unlink(old);
        m->number = number;
    }
    buf_fini(&state);
    buf_fini(&file);
    return ok;
}

bool manifest_open(const char *dir, int64_t block_ms, struct manifest *out, struct err *err)
{
    bool found;
    *out = (struct manifest){.fd = -1};
    snprintf(out->dir, sizeof out->dir, "%s", dir);
    bool ok = read_current(out, &found, err);
    if (ok && !found)
        out->block_ms = block_ms;
    if (ok && block_ms && out->block_ms != block_ms)
        ok = err_set(err, ERR_INVALID,
            "%s was made with time blocks of %" PRId64 " ms, and %" PRId64 " ms are asked for", dir,
            out->block_ms, block_ms);
    if (!ok)
        manifest_close(out);
    return ok;
}

static bool not_now(const struct manifest *m, struct err *err)
{
    if (!m->failed)
        return err_set(err, ERR_IO, "the manifest in %s was not begun anew yet", m->dir);
    return err_set(
        err, ERR_IO, "the manifest in %s failed earlier: no more changes until restart", m->dir);
}

bool manifest_begin(struct manifest *manifest, struct err *err)
{
    if (manifest->failed)
        return not_now(manifest, err);
    return rewrite(manifest, err);
}

bool manifest_failed(const struct manifest *manifest)
{
    return manifest->failed;
}

bool manifest_works(const struct manifest *manifest)
{
    return manifest->fd >= 0;
}

void manifest_close(struct manifest *manifest)
{
    if (manifest->fd >= 0)
        close(manifest->fd);
    free(manifest->segments);
    free(manifest->quarantined);
    free(manifest->sealed);
    late_marks_fini(&manifest->late);
    nothing_list_fini(&manifest->nothing);
    manifest_runs_fini(&manifest->runs);
    *manifest = (struct manifest){.fd = -1};
}

/* What is on disk is not known any more. */
static void give_up(struct manifest *m)
{
    close(m->fd);
    m->fd = -1;
    m->failed = true;
}

static bool append_frame(struct manifest *m, struct slice payload, struct err *err)
{
    char path[PATH_BYTES];
    struct buf frame;
    if (!manifest_path(m, m->number, path, err))
        return false;
    buf_init(&frame, 0);
    frame_encode(&frame, m->edits + 1, FRAME_EDIT, slice_of("", 0), payload);
    bool ok = file_write_at(m->fd, path, m->bytes, frame.ptr, frame.len, err);
    if (!ok && ftruncate(m->fd, (off_t)m->bytes) != 0)
        give_up(m);
    if (ok && fdatasync(m->fd) != 0) {
        ok = err_sys(err, "cannot sync %s: no more changes until restart", path);
        give_up(m);
    }
    if (ok) {
        m->bytes += frame.len;
        m->edits++;
    }
    buf_fini(&frame);
    return ok;
}

static bool confirm(struct manifest *m, struct err *err)
{
    struct buf nothing;
    buf_init(&nothing, 0);
    manifest_nothing_put(&nothing, m);
    bool ok = append_frame(m, buf_view(&nothing), err);
    buf_fini(&nothing);
    return ok;
}

/* The edit, and an empty one behind it, each synced: files may be gone because of an edit that
 * counts, so damage to it must not look like an edit that was never acknowledged. */
static bool append_edit(struct manifest *m, struct slice payload, struct err *err)
{
    uint64_t bytes = m->bytes, edits = m->edits;
    if (!append_frame(m, payload, err))
        return false;
    if (confirm(m, err))
        return true;
    if (m->failed)
        return false;
    m->bytes = bytes;
    m->edits = edits;
    if (ftruncate(m->fd, (off_t)bytes) != 0 || fdatasync(m->fd) != 0)
        give_up(m);
    return false;
}

bool manifest_apply(struct manifest *manifest, const struct manifest_edit *edit, struct err *err)
{
    if (manifest->fd < 0)
        return not_now(manifest, err);
    if (manifest->bytes > MANIFEST_BYTES_MAX && !rewrite(manifest, err))
        return false;
    struct buf payload;
    buf_init(&payload, 0);
    manifest_edit_put(&payload, edit);
    bool ok = payload.len == 0 || append_edit(manifest, buf_view(&payload), err);
    buf_fini(&payload);
    if (!ok)
        return false;
    manifest_edit_take(manifest, edit);
    return true;
}
