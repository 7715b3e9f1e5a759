#include "store/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/files.h"

/* A change of anything below, or of the payload's sections in a way that an older program would
 * read wrongly, needs a new version; a new section at the end of the list does not. */
#define WAL_MAGIC   "LWAL"
#define WAL_VERSION 1
#define ALLOC_STEP  (4u << 20)
#define FILES_MAX   100000

struct wal_file {
    uint32_t number;
    uint64_t first_lsn; /* of its header */
    uint64_t bytes;     /* header and frames */
};

struct wal {
    char dir[PATH_BYTES];
    int fd; /* of the last file; -1: the next append begins one */
    uint64_t at, allocated;
    uint64_t last_lsn;
    struct wal_file *files; /* ascending */
    size_t n_files, files_cap;
    struct buf frame;
    uint64_t syncs;
    bool failed;
    bool unclean; /* bytes behind `at` may be other than zero */
};

/* ---- replaying ---- */

struct replay {
    uint64_t after_lsn, last_lsn;
    frame_f *each;
    void *ctx;
};

static bool replay_frame(
    void *ctx, const struct frame *frame, struct slice payload, struct err *err)
{
    struct replay *r = ctx;
    if (frame->lsn != r->last_lsn + 1 || frame->type != FRAME_TRANSACTION)
        return err_set(err, ERR_CORRUPT, "out of order, lsn %llu was expected",
            (unsigned long long)r->last_lsn + 1);
    r->last_lsn = frame->lsn;
    return frame->lsn <= r->after_lsn || r->each(r->ctx, frame, payload, err);
}

static bool file_path(const struct wal *wal, uint32_t number, char out[PATH_BYTES], struct err *err)
{
    char name[32];
    snprintf(name, sizeof name, "%08u.wal", number);
    return path_join(out, wal->dir, name, err);
}

static bool list_entry(void *ctx, const char *name, struct err *err)
{
    struct wal *wal = ctx;
    unsigned number;
    char extra, expect[32];
    if (sscanf(name, "%8u.wal%c", &number, &extra) != 1)
        return true;
    snprintf(expect, sizeof expect, "%08u.wal", number);
    if (strcmp(name, expect) != 0)
        return true;
    if (wal->n_files == FILES_MAX)
        return err_set(err, ERR_LIMIT, "%s has more than %d files", wal->dir, FILES_MAX);
    GROW(wal->files, wal->files_cap, wal->n_files + 1);
    wal->files[wal->n_files++] = (struct wal_file){.number = number};
    return true;
}

static int by_number(const void *a, const void *b)
{
    const struct wal_file *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

/* Drops what stands behind the valid frames of the last file, so that nothing can be taken for a
 * frame later. */
static bool cut_file(struct wal *wal, const char *path, size_t end, struct err *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "cannot open %s", path);
    wal->fd = fd;
    wal->at = wal->allocated = end;
    if (ftruncate(fd, (off_t)end) != 0)
        return err_sys(err, "cannot cut %s to %zu bytes", path, end);
    if (fdatasync(fd) != 0)
        return err_sys(err, "cannot sync %s", path);
    return true;
}

static bool is_zeros(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i])
            return false;
    return true;
}

static bool replay_file(struct wal *wal, size_t i, struct replay *replay, struct buf *content,
    unsigned *torn, struct err *err)
{
    char path[PATH_BYTES];
    bool last = i + 1 == wal->n_files;
    struct wal_file *file = &wal->files[i];
    size_t end = 0;
    buf_clear(content);
    if (!file_path(wal, file->number, path, err) || !file_read(path, SIZE_MAX / 2, content, err))
        return false;
    struct slice bytes = buf_view(content);
    /* Created, and not written yet when the program stopped. */
    if (last && (bytes.len < FRAME_FILE_HEADER || is_zeros(bytes))) {
        wal->n_files--;
        return file_remove(path, err);
    }
    struct frame_scan scan = {.path = path,
        .magic = WAL_MAGIC,
        .version = WAL_VERSION,
        .each = replay_frame,
        .ctx = replay};
    if (!frame_file_first(bytes, &scan, &file->first_lsn, err))
        return false;
    if (i == 0 && file->first_lsn <= replay->after_lsn + 1)
        replay->last_lsn = file->first_lsn - 1;
    if (file->first_lsn != replay->last_lsn + 1)
        return err_set(err, ERR_CORRUPT,
            "%s begins with lsn %llu, expected %llu: a file is missing", path,
            (unsigned long long)file->first_lsn, (unsigned long long)replay->last_lsn + 1);
    if (!frames_scan(bytes, &scan, &end, err))
        return false;
    file->bytes = end;
    bool clean = is_zeros(slice_of(bytes.ptr + end, bytes.len - end));
    if (!last)
        return clean || err_set(err, ERR_CORRUPT, "%s: damaged frame at byte %zu", path, end);
    if (!clean) {
        (*torn)++;
        log_warn("%s: a torn frame at byte %zu was cut off; the last transaction is lsn %llu", path,
            end, (unsigned long long)replay->last_lsn);
    }
    return cut_file(wal, path, end, err);
}

bool wal_open(const char *dir, uint64_t after_lsn, frame_f *each, void *ctx, struct wal **out,
    unsigned *torn, struct err *err)
{
    struct wal *wal = xcalloc(1, sizeof *wal);
    struct replay replay = {after_lsn, after_lsn, each, ctx};
    struct buf content;
    *torn = 0;
    *out = NULL;
    wal->fd = -1;
    buf_init(&wal->frame, 0);
    buf_init(&content, 0);
    bool ok = path_join(wal->dir, dir, "wal", err) && dir_make(wal->dir, err) &&
              dir_each(wal->dir, list_entry, wal, err);
    if (ok && wal->n_files)
        qsort(wal->files, wal->n_files, sizeof *wal->files, by_number);
    for (size_t i = 0, n = wal->n_files; ok && i < n; i++)
        ok = replay_file(wal, i, &replay, &content, torn, err);
    if (ok && replay.last_lsn < after_lsn)
        ok = err_set(err, ERR_CORRUPT, "%s ends at lsn %llu, before the checkpoint at lsn %llu",
            wal->dir, (unsigned long long)replay.last_lsn, (unsigned long long)after_lsn);
    wal->last_lsn = replay.last_lsn;
    buf_fini(&content);
    if (!ok)
        wal_close(&wal);
    *out = wal;
    return ok;
}

void wal_close(struct wal **wal)
{
    struct wal *w = *wal;
    *wal = NULL;
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    free(w->files);
    buf_fini(&w->frame);
    free(w);
}

/* ---- appending ---- */

static bool begin_file(struct wal *wal, uint64_t lsn, struct err *err)
{
    char path[PATH_BYTES];
    uint32_t number = wal->n_files ? wal->files[wal->n_files - 1].number + 1 : 1;
    if (!file_path(wal, number, path, err))
        return false;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_sys(err, "cannot create %s", path);
    struct buf header;
    buf_init(&header, 0);
    frame_header(&header, WAL_MAGIC, WAL_VERSION, lsn);
    bool ok = file_write_at(fd, path, 0, header.ptr, header.len, err);
    if (ok && fsync(fd) != 0)
        ok = err_sys(err, "cannot sync %s", path);
    ok = ok && dir_sync(wal->dir, err);
    buf_fini(&header);
    if (!ok) {
        close(fd);
        unlink(path);
        return false;
    }
    GROW(wal->files, wal->files_cap, wal->n_files + 1);
    wal->files[wal->n_files++] = (struct wal_file){number, lsn, FRAME_FILE_HEADER};
    wal->fd = fd;
    wal->at = wal->allocated = FRAME_FILE_HEADER;
    return true;
}

/* Room for n more bytes, so that the disk is full here and not in the middle of a write. */
static bool allocate(struct wal *wal, size_t n, struct err *err)
{
    if (wal->at + n <= wal->allocated)
        return true;
    uint64_t more = (wal->at + n - wal->allocated + ALLOC_STEP - 1) / ALLOC_STEP * ALLOC_STEP;
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

bool wal_append(struct wal *wal, uint64_t lsn, struct slice payload, struct err *err)
{
    char path[PATH_BYTES];
    ensure(lsn == wal->last_lsn + 1);
    if (wal->failed)
        return err_set(
            err, ERR_IO, "the write-ahead log failed to sync earlier: read only until restart");
    if (payload.len > FRAME_PAYLOAD_MAX)
        return err_set(err, ERR_LIMIT, "a transaction of %zu bytes; at most %u are allowed",
            payload.len, FRAME_PAYLOAD_MAX);
    if (wal->fd < 0 && !begin_file(wal, lsn, err))
        return false;
    struct wal_file *file = &wal->files[wal->n_files - 1];
    if (!file_path(wal, file->number, path, err))
        return false;
    buf_clear(&wal->frame);
    frame_encode(&wal->frame, lsn, FRAME_TRANSACTION, payload);
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
    if (fdatasync(wal->fd) != 0) {
        wal->failed = true;
        return err_sys(err, "cannot sync %s: read only until restart", path);
    }
    wal->syncs++;
    wal->at += wal->frame.len;
    file->bytes = wal->at;
    wal->last_lsn = lsn;
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
    if (ftruncate(wal->fd, (off_t)wal->at) != 0)
        return err_sys(err, "cannot cut the write-ahead log in %s", wal->dir);
    if (fdatasync(wal->fd) != 0) {
        wal->failed = true;
        return err_sys(err, "cannot sync the write-ahead log in %s", wal->dir);
    }
    close(wal->fd);
    wal->fd = -1;
    return true;
}

bool wal_forget(struct wal *wal, uint64_t lsn, struct err *err)
{
    size_t n = 0;
    /* A file's frames end where the next one's begin; the last file stays. */
    while (n + 1 < wal->n_files && wal->files[n + 1].first_lsn <= lsn + 1)
        n++;
    bool ok = true;
    size_t removed = 0;
    for (; ok && removed < n; removed++) {
        char path[PATH_BYTES];
        ok = file_path(wal, wal->files[removed].number, path, err) && file_remove(path, err);
        if (!ok)
            break;
    }
    if (removed)
        memmove(wal->files, wal->files + removed, (wal->n_files - removed) * sizeof *wal->files);
    wal->n_files -= removed;
    return ok && (removed == 0 || dir_sync(wal->dir, err));
}

uint64_t wal_file_bytes(const struct wal *wal)
{
    return wal->fd >= 0 ? wal->at : 0;
}

uint64_t wal_last_lsn(const struct wal *wal)
{
    return wal->last_lsn;
}

uint64_t wal_bytes(const struct wal *wal)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < wal->n_files; i++)
        bytes += wal->files[i].bytes;
    return bytes;
}

uint64_t wal_syncs(const struct wal *wal)
{
    return wal->syncs;
}
