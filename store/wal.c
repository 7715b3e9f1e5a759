#include "store/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/wal_priv.h"

#define ALLOC_STEP (4u << 20)
/* Definitions that are gathered for one write. */
#define DEFINE_BYTES (1u << 20)

void wal_close(struct wal **wal)
{
    struct wal *w = *wal;
    *wal = NULL;
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    free(w->files);
    free(w->leftovers);
    buf_fini(&w->frame);
    free(w);
}

/* Room for n more bytes, so that the disk is full here and not in the middle of a write. */
static bool allocate(struct wal *wal, size_t n, struct err *err)
{
    if (wal->at + n <= wal->allocated)
        return true;
    uint64_t file = wal->options.file_bytes;
    uint64_t step = file < ALLOC_STEP ? file : ALLOC_STEP;
    uint64_t more = (wal->at + n - wal->allocated + step - 1) / step * step;
    int rc;
    do {
        rc = posix_fallocate(wal->fd, (off_t)wal->allocated, (off_t)more);
        if (rc == ENOSPC && more > wal->at + n - wal->allocated) {
            more = wal->at + n - wal->allocated; /* what there is may just do */
            rc = EINTR;
        }
    } while (rc == EINTR);
    if (rc == EINVAL || rc == EOPNOTSUPP)
        return true; /* the file system cannot: writes will tell */
    if (rc != 0) {
        errno = rc;
        return err_sys(err, "cannot get %llu bytes for the write-ahead log in %s",
            (unsigned long long)more, wal->dir);
    }
    wal->allocated += more;
    return true;
}

/* Writes wal->frame behind the last one, and empties it. */
static bool write_frame(struct wal *wal, const char *path, struct err *err)
{
    if (wal->unclean) {
        if (ftruncate(wal->fd, (off_t)wal->at) != 0)
            return err_sys(err, "cannot cut %s", path);
        wal->allocated = wal->at;
        wal->unclean = false;
    }
    if (!allocate(wal, wal->frame.len, err))
        return false;
    if (!file_write_at(wal->fd, path, wal->at, wal->frame.ptr, wal->frame.len, err)) {
        wal->unclean = true;
        return false;
    }
    wal->at += wal->frame.len;
    buf_clear(&wal->frame);
    return true;
}

static bool sync_file(struct wal *wal, const char *path, struct err *err)
{
    if (fdatasync(wal->fd) == 0)
        return true;
    wal->failed = true;
    return err_sys(err, "cannot sync %s: read only until restart", path);
}

/* ---- a new file ---- */

bool wal_define(struct wal *wal, struct slice payload, struct err *err)
{
    char path[PATH_BYTES];
    frame_encode(&wal->frame, wal->last_lsn, FRAME_DEFINITIONS, slice_of("", 0), payload);
    return wal->frame.len < DEFINE_BYTES ||
           (wal_path(wal, wal->next_number, path, err) && write_frame(wal, path, err));
}

/* What its transactions may refer to. It is synced before the first of them: a hole in it with a
 * transaction behind that did reach the disk would be damage. */
static bool define(struct wal *wal, const char *path, struct err *err)
{
    uint64_t before = wal->at;
    buf_clear(&wal->frame);
    if (!wal->options.define)
        return true;
    if (!wal->options.define(wal->options.define_ctx, wal, err) ||
        (wal->frame.len && !write_frame(wal, path, err)))
        return false;
    return wal->at == before || sync_file(wal, path, err);
}

/* The header, and the file's name. */
static bool write_header(struct wal *wal, const char *path, uint64_t lsn, struct err *err)
{
    struct buf header;
    buf_init(&header, 0);
    frame_header(&header, WAL_MAGIC, WAL_VERSION, lsn);
    bool ok = file_write_at(wal->fd, path, 0, header.ptr, header.len, err);
    if (ok && ((fsync(wal->fd) != 0 && !err_sys(err, "cannot sync %s", path)) ||
                  !dir_sync(wal->dir, err))) {
        ok = false;
        wal->failed = err->code != ERR_NO_SPACE;
    }
    wal->at = wal->allocated = header.len;
    wal->unclean = false;
    buf_fini(&header);
    return ok;
}

static bool begin_file(struct wal *wal, uint64_t lsn, struct err *err)
{
    char path[PATH_BYTES];
    uint32_t number = wal->next_number;
    if (!wal_path(wal, number, path, err))
        return false;
    wal->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (wal->fd < 0)
        return err_sys(err, "cannot create %s", path);
    if (!write_header(wal, path, lsn, err) || !define(wal, path, err)) {
        close(wal->fd);
        wal->fd = -1;
        unlink(path);
        return false;
    }
    GROW(wal->files, wal->files_cap, wal->n_files + 1);
    wal->files[wal->n_files++] = (struct wal_file){number, lsn, wal->at, 0};
    wal->next_number++;
    wal->begun_at = wal->at;
    return true;
}

/* ---- transactions ---- */

static void encode(
    struct wal *wal, uint64_t lsn, struct slice front, const struct slice *payloads, size_t n)
{
    struct buf group;
    buf_clear(&wal->frame);
    if (n == 1) {
        frame_encode(&wal->frame, lsn, FRAME_TRANSACTION, front, payloads[0]);
        return;
    }
    buf_init(&group, 0);
    wal_group_encode(payloads, n, &group);
    frame_encode(&wal->frame, lsn + n - 1, FRAME_GROUP, front, buf_view(&group));
    buf_fini(&group);
}

bool wal_append(struct wal *wal, uint64_t lsn, struct slice front, const struct slice *payloads,
    size_t n, struct err *err)
{
    char path[PATH_BYTES];
    ensure(lsn == wal->last_lsn + 1 && n > 0 && n <= WAL_GROUP_MAX);
    if (wal->failed)
        return err_set(
            err, ERR_IO, "the write-ahead log failed to sync earlier: read only until restart");
    if (!wal_begin(wal, err))
        return false;
    if (wal->fd >= 0 && wal->at - wal->begun_at >= wal->options.file_bytes && !wal_rotate(wal, err))
        return false;
    if (wal->fd < 0 && !begin_file(wal, lsn, err))
        return false;
    struct wal_file *file = &wal->files[wal->n_files - 1];
    if (!wal_path(wal, file->number, path, err))
        return false;
    encode(wal, lsn, front, payloads, n);
    if (!write_frame(wal, path, err) || !sync_file(wal, path, err))
        return false;
    wal->syncs++;
    file->bytes = wal->at;
    file->transactions += n;
    wal->last_lsn = lsn + n - 1;
    return true;
}

bool wal_failed(const struct wal *wal)
{
    return wal->failed;
}

bool wal_rotate(struct wal *wal, struct err *err)
{
    if (wal->fd < 0 || wal->failed)
        return true;
    /* All frames are synced; zeros behind them may stay, but not what a failed write has left. */
    if (wal->unclean && ftruncate(wal->fd, (off_t)wal->at) != 0)
        return err_sys(err, "cannot cut the write-ahead log in %s", wal->dir);
    if (wal->unclean && fdatasync(wal->fd) != 0) {
        wal->failed = true;
        return err_sys(err, "cannot sync the write-ahead log in %s", wal->dir);
    }
    wal->unclean = false;
    close(wal->fd);
    wal->fd = -1;
    return true;
}

bool wal_forget(struct wal *wal, uint64_t lsn, struct err *err)
{
    size_t n = 0;
    /* A file's frames end where the next one's begin; the one that is written stays. */
    while (n + 1 < wal->n_files && wal->files[n + 1].first_lsn <= lsn + 1)
        n++;
    if (n + 1 == wal->n_files && wal->fd < 0 && wal->last_lsn <= lsn)
        n++;
    bool ok = true;
    size_t removed = 0;
    for (; ok && removed < n; removed++) {
        char path[PATH_BYTES];
        ok = wal_path(wal, wal->files[removed].number, path, err) && file_remove(path, err);
        if (!ok)
            break;
    }
    if (removed)
        memmove(wal->files, wal->files + removed, (wal->n_files - removed) * sizeof *wal->files);
    wal->n_files -= removed;
    return ok && (removed == 0 || dir_sync(wal->dir, err));
}

uint64_t wal_last_lsn(const struct wal *wal)
{
    return wal->last_lsn;
}

uint64_t wal_syncs(const struct wal *wal)
{
    return wal->syncs;
}
