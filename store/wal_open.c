/*
 * Reading the log: what it holds, and whether it is whole.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/wal_priv.h"

#define FILES_MAX 100000

bool wal_path(const struct wal *wal, uint32_t number, char out[PATH_BYTES], struct err *err)
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

/* One pass over the files. */
struct pass {
    struct wal *wal;
    uint64_t last_lsn;
    bool first_file;
    frame_f *each;
    void *ctx;
};

static bool take_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct pass *p = ctx;
    bool wanted =
        frame->type == FRAME_DEFINITIONS ? p->first_file : frame->lsn > p->wal->options.after_lsn;
    return !wanted || p->each(p->ctx, frame, err);
}

static bool scan_file(struct pass *p, const char *path, struct buf *content, struct wal_file *file,
    bool *clean, struct err *err)
{
    struct wal_scan scan = {.path = path, .each = take_frame, .ctx = p};
    struct slice bytes = buf_view(content);
    struct frame_scan header = {.path = path, .magic = WAL_MAGIC, .version = WAL_VERSION};
    if (!frame_file_first(bytes, &header, &file->first_lsn, err))
        return false;
    /* The log begins at or before the checkpoint's end. */
    if (p->first_file && file->first_lsn <= p->last_lsn + 1)
        p->last_lsn = file->first_lsn - 1;
    if (file->first_lsn != p->last_lsn + 1)
        return err_set(err, ERR_CORRUPT,
            "%s begins with lsn %" PRIu64 ", expected %" PRIu64 ": a file is missing", path,
            file->first_lsn, p->last_lsn + 1);
    if (!wal_scan(bytes, &scan, err))
        return false;
    file->transactions = scan.transactions;
    file->bytes = scan.end;
    *clean = scan.clean;
    p->last_lsn = scan.last_lsn;
    return true;
}

static bool open_file(
    struct wal *wal, size_t i, struct pass *p, struct buf *content, struct err *err)
{
    char path[PATH_BYTES];
    struct wal_file *file = &wal->files[i];
    bool last = i + 1 == wal->n_files, clean = true;
    buf_clear(content);
    p->first_file = i == 0;
    if (!wal_path(wal, file->number, path, err) || !file_read(path, SIZE_MAX / 2, content, err))
        return false;
    /* Created, and not written yet when the program stopped. */
    if (last && (content->len < FRAME_FILE_HEADER || wal_is_zeros(buf_view(content))))
        return true;
    if (last)
        wal_check_tail(wal, path, content);
    if (!scan_file(p, path, content, file, &clean, err))
        return false;
    if (!last)
        return clean ||
               err_set(err, ERR_CORRUPT, "%s: damaged frame at byte %" PRIu64, path, file->bytes);
    if (!clean) {
        wal->torn++;
        log_warn("%s: the frame at byte %" PRIu64 ", lsn %" PRIu64
                 ", is torn and was never acknowledged: it is dropped",
            path, file->bytes, p->last_lsn + 1);
    }
    return true;
}

/* ---- leftovers: files that were forgotten, and whose removal did not last ---- */

/* The first n files. Any of those that wal_forget has removed at once may be back after a power
 * loss, so there may be gaps between them. */
static void leave_over(struct wal *wal, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        GROW(wal->leftovers, wal->leftovers_cap, wal->n_leftovers + 1);
        wal->leftovers[wal->n_leftovers++] = wal->files[i].number;
    }
    wal->n_files -= n;
    if (n)
        memmove(wal->files, wal->files + n, wal->n_files * sizeof *wal->files);
}

/* False when the file has no valid header: whether that matters is seen when it is read. */
static bool first_lsn(const struct wal *wal, size_t i, uint64_t *lsn)
{
    char path[PATH_BYTES], header[FRAME_FILE_HEADER];
    struct frame_scan scan = {.path = path, .magic = WAL_MAGIC, .version = WAL_VERSION};
    if (!wal_path(wal, wal->files[i].number, path, NULL))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = pread(fd, header, sizeof header, 0);
    close(fd);
    return n == (ssize_t)sizeof header &&
           frame_file_first(slice_of(header, sizeof header), &scan, lsn, NULL);
}

/* The log begins with the last file that begins at or before the checkpoint's end. */
static void skip_leftovers(struct wal *wal)
{
    for (size_t i = wal->n_files; i-- > 1;) {
        uint64_t lsn;
        if (first_lsn(wal, i, &lsn) && lsn <= wal->options.after_lsn + 1) {
            leave_over(wal, i);
            return;
        }
    }
}

bool wal_remove_leftovers(struct wal *wal, struct err *err)
{
    bool any = wal->n_leftovers > 0;
    for (; wal->n_leftovers > 0; wal->n_leftovers--) {
        char path[PATH_BYTES];
        if (!wal_path(wal, wal->leftovers[wal->n_leftovers - 1], path, err) ||
            !file_remove(path, err))
            return false;
    }
    return !any || dir_sync(wal->dir, err);
}

bool wal_open(const struct wal_options *options, struct wal **out, struct err *err)
{
    struct wal *wal = xcalloc(1, sizeof *wal);
    struct buf content;
    wal->options = *options;
    wal->fd = -1;
    wal->next_number = 1;
    *out = NULL;
    buf_init(&wal->frame, 0);
    buf_init(&content, 0);
    struct pass pass = {.wal = wal,
        .last_lsn = options->after_lsn,
        .each = options->first,
        .ctx = options->first_ctx};
    bool ok = path_join(wal->dir, options->dir, "wal", err) &&
              (options->inspect || dir_make(wal->dir, err)) &&
              dir_each(wal->dir, list_entry, wal, err);
    if (ok && wal->n_files) {
        qsort(wal->files, wal->n_files, sizeof *wal->files, by_number);
        wal->next_number = wal->files[wal->n_files - 1].number + 1;
        skip_leftovers(wal);
    }
    for (size_t i = 0; ok && i < wal->n_files; i++)
        ok = open_file(wal, i, &pass, &content, err);
    if (ok && pass.last_lsn < options->after_lsn && !wal->torn) {
        leave_over(wal, wal->n_files); /* the checkpoint holds all of them */
        pass.last_lsn = options->after_lsn;
    }
    if (ok && pass.last_lsn < options->after_lsn)
        ok = err_set(err, ERR_CORRUPT,
            "%s ends at lsn %" PRIu64 ", before the checkpoint at lsn %" PRIu64, wal->dir,
            pass.last_lsn, options->after_lsn);
    wal->last_lsn = pass.last_lsn;
    buf_fini(&content);
    if (!ok)
        wal_close(&wal);
    *out = wal;
    return ok;
}

uint64_t wal_taken(const struct wal *wal)
{
    return atomic_load(&wal->taken);
}

unsigned wal_torn(const struct wal *wal)
{
    return wal->torn;
}

/* ---- replaying ---- */

struct replay {
    const struct wal *wal;
    frame_f *each;
    void *ctx;
};

static bool replay_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct replay *r = ctx;
    return frame->type != FRAME_TRANSACTION || frame->lsn <= r->wal->options.after_lsn ||
           r->each(r->ctx, frame, err);
}

bool wal_scan_file(const char *path, uint64_t bytes, struct wal_scan *scan, struct err *err)
{
    struct buf content;
    buf_init(&content, 0);
    scan->path = path;
    scan->expand = true;
    bool ok = file_read(path, SIZE_MAX / 2, &content, err);
    if (ok && content.len > bytes)
        content.len = bytes;
    ok = ok && wal_scan(buf_view(&content), scan, err);
    buf_fini(&content);
    return ok;
}

/* Exactly what the first pass has found. */
static bool replay_file(struct replay *replay, const struct wal_file *file, struct err *err)
{
    char path[PATH_BYTES];
    struct wal_scan scan = {.each = replay_frame, .ctx = replay};
    bool held = file->number + 1 == replay->wal->next_number && wal_holds(replay->wal);
    if (!wal_path(replay->wal, file->number, path, err) ||
        !wal_scan_file(path, held ? replay->wal->tail_at : UINT64_MAX, &scan, err))
        return false;
    return (scan.first_lsn == file->first_lsn && scan.transactions == file->transactions &&
               scan.end == file->bytes) ||
           err_set(err, ERR_CORRUPT,
               "%s: %" PRIu64 " transactions up to byte %" PRIu64
               " were there a moment ago, and now %" PRIu64 " up to byte %zu",
               path, file->transactions, file->bytes, scan.transactions, scan.end);
}

bool wal_replay(struct wal *wal, frame_f *each, void *ctx, struct err *err)
{
    struct replay replay = {wal, each, ctx};
    bool ok = true;
    for (size_t i = 0; ok && i < wal->n_files; i++)
        ok = !wal->files[i].transactions || replay_file(&replay, &wal->files[i], err);
    return ok;
}

bool wal_read_file(const char *path, enum wal_tail tail, frame_f *each, void *ctx, struct err *err)
{
    struct wal_scan scan = {.each = each, .ctx = ctx};
    if (!wal_scan_file(path, UINT64_MAX, &scan, err))
        return false;
    return scan.clean || tail == WAL_MAY_BE_TORN ||
           err_set(err, ERR_CORRUPT, "%s: damaged frame at byte %zu", path, scan.end);
}
