#include "store/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/files.h"
#include "store/frame.h"

/* edit := op*. An op that is not known stops the start: it says something that must not be
 * overlooked. */
enum op {
    OP_BLOCK_MS = 1,
    OP_ADD = 2,
    OP_DROP = 3,
    OP_SEALED = 4,
    OP_CHECKPOINT = 5,
    OP_ADD_DERIVED = 6,
    OP_QUARANTINE = 7,
    OP_CATALOG = 8,
    OP_LATE = 9,
    OP_NOTHING = 10,
    OP_COMMITTED = 11,
};

#define MANIFEST_MAGIC   "LMAN"
#define MANIFEST_VERSION 1
#define NAME_BYTES       32

static void put_add(struct buf *out, const struct manifest_segment *s)
{
    buf_u8(out, s->derived ? OP_ADD_DERIVED : OP_ADD);
    buf_lstr(out, slice_from(s->name));
    buf_varint(out, s->lsn);
    if (s->derived)
        buf_le64(out, s->inputs);
}

static void put_name(struct buf *out, enum op op, const char *name)
{
    buf_u8(out, (uint8_t)op);
    buf_lstr(out, slice_from(name));
}

static void put_sealed(struct buf *out, const struct manifest_sealed *s)
{
    buf_u8(out, OP_SEALED);
    buf_svarint(out, s->block);
    buf_varint(out, s->lsn);
}

static void put_late(struct buf *out, const struct late_mark *l)
{
    buf_u8(out, OP_LATE);
    buf_svarint(out, l->block);
    buf_svarint(out, l->since_ms);
}

static void put_catalog(struct buf *out, const struct manifest_catalog *c)
{
    buf_u8(out, OP_CATALOG);
    buf_varint(out, c->number);
    buf_varint(out, c->bytes);
    buf_varint(out, c->metrics);
    buf_varint(out, c->series);
}

static void put_nothing(struct buf *out, const struct nothing *nothing)
{
    buf_u8(out, OP_NOTHING);
    nothing_put(out, nothing);
}

static void put_lsn(struct buf *out, enum op op, uint64_t lsn)
{
    buf_u8(out, (uint8_t)op);
    buf_varint(out, lsn);
}

static void put_edit(struct buf *out, const struct manifest_edit *e)
{
    for (size_t i = 0; i < e->n_drops; i++)
        put_name(out, OP_DROP, e->drops[i]);
    for (size_t i = 0; i < e->n_adds; i++)
        put_add(out, &e->adds[i]);
    for (size_t i = 0; i < e->n_nothing; i++)
        put_nothing(out, &e->nothing[i]);
    if (e->quarantine)
        put_name(out, OP_QUARANTINE, e->quarantine);
    if (e->runs)
        manifest_runs_put_edit(e->runs, out);
    if (e->seal)
        put_sealed(out, &e->sealed);
    for (size_t i = 0; i < e->n_late; i++)
        put_late(out, &e->late[i]);
    if (e->catalog)
        put_catalog(out, e->catalog);
    if (e->committed_lsn)
        put_lsn(out, OP_COMMITTED, e->committed_lsn);
    if (e->checkpoint_lsn)
        put_lsn(out, OP_CHECKPOINT, e->checkpoint_lsn);
}

static void put_state(struct buf *out, const struct manifest *m)
{
    buf_u8(out, OP_BLOCK_MS);
    buf_varint(out, (uint64_t)m->block_ms);
    for (size_t i = 0; i < m->n_segments; i++)
        put_add(out, &m->segments[i]);
    for (size_t i = 0; i < m->n_quarantined; i++) {
        put_add(out, &m->quarantined[i]);
        put_name(out, OP_QUARANTINE, m->quarantined[i].name);
    }
    for (size_t i = 0; i < m->nothing.n; i++)
        put_nothing(out, &m->nothing.items[i]);
    for (size_t i = 0; i < m->n_sealed; i++)
        put_sealed(out, &m->sealed[i]);
    for (size_t i = 0; i < m->late.n; i++)
        put_late(out, &m->late.items[i]);
    manifest_runs_put(&m->runs, out);
    if (m->catalog.number)
        put_catalog(out, &m->catalog);
    if (m->committed_lsn)
        put_lsn(out, OP_COMMITTED, m->committed_lsn);
    put_lsn(out, OP_CHECKPOINT, m->checkpoint_lsn);
}

/* ---- the state in memory ---- */

/* Behind those with the same lsn. */
static void state_add(struct manifest *m, const struct manifest_segment *s)
{
    size_t i = m->n_segments;
    GROW(m->segments, m->segments_cap, m->n_segments + 1);
    for (; i > 0 && m->segments[i - 1].lsn > s->lsn; i--)
        m->segments[i] = m->segments[i - 1];
    m->segments[i] = *s;
    m->n_segments++;
}

static bool take_out(
    struct manifest_segment *all, size_t *n, struct slice name, struct manifest_segment *out)
{
    for (size_t i = 0; i < *n; i++)
        if (slice_is(name, all[i].name)) {
            *out = all[i];
            memmove(&all[i], &all[i + 1], (*n - i - 1) * sizeof *all);
            (*n)--;
            return true;
        }
    return false;
}

static bool state_drop(struct manifest *m, struct slice name)
{
    struct manifest_segment s;
    return take_out(m->segments, &m->n_segments, name, &s) ||
           take_out(m->quarantined, &m->n_quarantined, name, &s);
}

static bool state_quarantine(struct manifest *m, struct slice name)
{
    struct manifest_segment s;
    if (!take_out(m->segments, &m->n_segments, name, &s))
        return false;
    s.unread = false;
    GROW(m->quarantined, m->quarantined_cap, m->n_quarantined + 1);
    m->quarantined[m->n_quarantined++] = s;
    return true;
}

bool manifest_edit_drops(const struct manifest_edit *edit, const char *name)
{
    for (size_t i = 0; i < edit->n_drops; i++)
        if (strcmp(edit->drops[i], name) == 0)
            return true;
    return edit->quarantine && strcmp(edit->quarantine, name) == 0;
}

bool manifest_names(const struct manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->n_segments; i++)
        if (strcmp(manifest->segments[i].name, name) == 0)
            return true;
    for (size_t i = 0; i < manifest->n_quarantined; i++)
        if (strcmp(manifest->quarantined[i].name, name) == 0)
            return true;
    return false;
}

static size_t sealed_place(const struct manifest *m, int64_t block)
{
    size_t lo = 0, hi = m->n_sealed;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (m->sealed[mid].block < block)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void state_seal(struct manifest *m, struct manifest_sealed s)
{
    size_t i = sealed_place(m, s.block);
    late_marks_remove(&m->late, s.block);
    if (i < m->n_sealed && m->sealed[i].block == s.block) {
        if (s.lsn > m->sealed[i].lsn)
            m->sealed[i].lsn = s.lsn;
        return;
    }
    GROW(m->sealed, m->sealed_cap, m->n_sealed + 1);
    memmove(&m->sealed[i + 1], &m->sealed[i], (m->n_sealed - i) * sizeof *m->sealed);
    m->sealed[i] = s;
    m->n_sealed++;
}

uint64_t manifest_sealed_lsn(const struct manifest *manifest, int64_t block)
{
    size_t i = sealed_place(manifest, block);
    return i < manifest->n_sealed && manifest->sealed[i].block == block ? manifest->sealed[i].lsn
                                                                        : 0;
}

static bool read_add(struct manifest *m, struct reader *r, bool derived)
{
    struct manifest_segment s = {.derived = derived};
    struct slice name = read_lstr(r);
    s.lsn = read_varint(r);
    if (derived)
        s.inputs = read_le64(r);
    if (r->failed || name.len == 0 || name.len >= sizeof s.name ||
        memchr(name.ptr, '/', name.len) || memchr(name.ptr, 0, name.len))
        return false;
    memcpy(s.name, name.ptr, name.len);
    if (manifest_names(m, s.name)) /* two of one name could not be told apart */
        return false;
    state_add(m, &s);
    return true;
}

static bool read_catalog(struct manifest *m, struct reader *r)
{
    uint64_t number = read_varint(r);
    m->catalog = (struct manifest_catalog){.number = (uint32_t)number};
    m->catalog.bytes = read_varint(r);
    m->catalog.metrics = read_varint(r);
    m->catalog.series = read_varint(r);
    return number > 0 && number <= UINT32_MAX;
}

static bool read_op(struct manifest *m, struct reader *r)
{
    uint8_t op = read_u8(r);
    switch (op) {
    case OP_BLOCK_MS: m->block_ms = (int64_t)read_varint(r); return m->block_ms > 0;
    case OP_ADD: return read_add(m, r, false);
    case OP_ADD_DERIVED: return read_add(m, r, true);
    case OP_DROP: return state_drop(m, read_lstr(r));
    case OP_QUARANTINE: return state_quarantine(m, read_lstr(r));
    case OP_SEALED: {
        struct manifest_sealed s;
        s.block = read_svarint(r);
        s.lsn = read_varint(r);
        state_seal(m, s);
        return true;
    }
    case OP_LATE: {
        struct late_mark late;
        late.block = read_svarint(r);
        late.since_ms = read_svarint(r);
        return late_marks_add(&m->late, late);
    }
    case OP_CATALOG: return read_catalog(m, r);
    case OP_NOTHING: return nothing_read(&m->nothing, r);
    case OP_COMMITTED: m->committed_lsn = read_varint(r); return true;
    case OP_CHECKPOINT: m->checkpoint_lsn = read_varint(r); return true;
    default: return manifest_runs_read(&m->runs, op, r);
    }
}

static bool apply_edit(struct manifest *m, struct slice edit, struct err *err)
{
    struct reader r = reader_of(edit);
    while (reader_left(&r) > 0)
        if (!read_op(m, &r) || r.failed)
            return err_set(
                err, ERR_CORRUPT, "bad entry before byte %zu", edit.len - reader_left(&r));
    return true;
}

static bool apply_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct manifest *m = ctx;
    struct slice edit;
    struct buf raw;
    if (frame->lsn != m->edits + 1 || frame->type != FRAME_EDIT)
        return err_set(err, ERR_CORRUPT, "edit %" PRIu64 " is out of order", frame->lsn);
    buf_init(&raw, 0);
    bool ok = frame_payload(frame, &raw, &edit, err) && apply_edit(m, edit, err);
    buf_fini(&raw);
    m->edits = frame->lsn;
    return ok;
}

/* ---- files ---- */

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
    put_state(&state, m);
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

void manifest_set_aside(struct manifest *manifest, size_t i)
{
    char name[SEGMENT_NAME_MAX];
    memcpy(name, manifest->segments[i].name, sizeof name);
    state_quarantine(manifest, slice_from(name));
}

static bool failed_earlier(const struct manifest *m, struct err *err)
{
    return err_set(
        err, ERR_IO, "the manifest in %s failed earlier: no more changes until restart", m->dir);
}

bool manifest_begin(struct manifest *manifest, struct err *err)
{
    if (manifest->failed)
        return failed_earlier(manifest, err);
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

static bool append_edit(struct manifest *m, struct slice payload, struct err *err)
{
    char path[PATH_BYTES];
    struct buf frame;
    if (!manifest_path(m, m->number, path, err))
        return false;
    buf_init(&frame, 0);
    frame_encode(&frame, m->edits + 1, FRAME_EDIT, slice_of("", 0), payload);
    bool ok = file_write_at(m->fd, path, m->bytes, frame.ptr, frame.len, err);
    if (!ok && ftruncate(m->fd, (off_t)m->bytes) != 0) {
        close(m->fd);
        m->fd = -1;
        m->failed = true;
    }
    if (ok && fdatasync(m->fd) != 0) {
        ok = err_sys(err, "cannot sync %s: no more changes until restart", path);
        close(m->fd);
        m->fd = -1;
        m->failed = true;
    }
    if (ok) {
        m->bytes += frame.len;
        m->edits++;
    }
    buf_fini(&frame);
    return ok;
}

bool manifest_apply(struct manifest *manifest, const struct manifest_edit *edit, struct err *err)
{
    if (manifest->fd < 0)
        return failed_earlier(manifest, err);
    if (manifest->bytes > MANIFEST_BYTES_MAX && !rewrite(manifest, err))
        return false;
    struct buf payload;
    buf_init(&payload, 0);
    put_edit(&payload, edit);
    bool ok = payload.len == 0 || append_edit(manifest, buf_view(&payload), err);
    buf_fini(&payload);
    if (!ok)
        return false;
    for (size_t i = 0; i < edit->n_drops; i++)
        state_drop(manifest, slice_from(edit->drops[i]));
    for (size_t i = 0; i < edit->n_adds; i++)
        state_add(manifest, &edit->adds[i]);
    for (size_t i = 0; i < edit->n_nothing; i++)
        nothing_set(&manifest->nothing, &edit->nothing[i]);
    if (edit->quarantine)
        state_quarantine(manifest, slice_from(edit->quarantine));
    if (edit->runs)
        manifest_runs_apply(&manifest->runs, edit->runs);
    if (edit->seal)
        state_seal(manifest, edit->sealed);
    for (size_t i = 0; i < edit->n_late; i++)
        late_marks_add(&manifest->late, edit->late[i]);
    if (edit->catalog)
        manifest->catalog = *edit->catalog;
    if (edit->committed_lsn)
        manifest->committed_lsn = edit->committed_lsn;
    if (edit->checkpoint_lsn)
        manifest->checkpoint_lsn = edit->checkpoint_lsn;
    return true;
}
