#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/checkpoint.h"
#include "store/folder_lock.h"
#include "store/seal.h"
#include "store/store_priv.h"

#define COPY_BYTES (1u << 20)

/* Where a walk through a folder is, and what it does with the files. */
struct walk {
    const char *from, *to;
    bool link; /* else copy */
    bool top;  /* the store's own folder: its files only, and not its lock */
};

static bool copy_bytes(int in, int out, const char *from, const char *to, struct err *err)
{
    char *buffer = xmalloc(COPY_BYTES);
    uint64_t at = 0;
    bool ok = true;
    for (ssize_t n = 1; ok && n != 0;) {
        n = read(in, buffer, COPY_BYTES);
        if (n < 0)
            ok = errno == EINTR || err_sys(err, "cannot read %s", from);
        else
            ok = file_write_at(out, to, at, buffer, (size_t)n, err);
        at += n > 0 ? (uint64_t)n : 0;
    }
    free(buffer);
    return ok;
}

static bool copy_file(const char *from, const char *to, struct err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return err_sys(err, "cannot open %s", from);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool ok = out >= 0 || err_sys(err, "cannot create %s", to);
    ok = ok && copy_bytes(in, out, from, to, err);
    ok = ok && (fsync(out) == 0 || err_sys(err, "cannot sync %s", to));
    if (out >= 0)
        close(out);
    close(in);
    return ok;
}

static bool link_file(const char *from, const char *to, struct err *err)
{
    if (link(from, to) == 0)
        return true;
    switch (errno) {
    case EXDEV:
    case EPERM:
    case EMLINK:
    case ENOTSUP:
    case ENOSYS: return copy_file(from, to, err);
    default: return err_sys(err, "cannot link %s to %s", from, to);
    }
}

static bool take_entry(void *ctx, const char *name, struct err *err)
{
    const struct walk *w = ctx;
    char from[PATH_BYTES], to[PATH_BYTES];
    struct stat st;
    if (!path_join(from, w->from, name, err) || !path_join(to, w->to, name, err))
        return false;
    if (lstat(from, &st) != 0)
        return err_sys(err, "cannot look at %s", from);
    if (!S_ISREG(st.st_mode) || (w->top && strcmp(name, FOLDER_LOCK_NAME) == 0))
        return true;
    return w->link ? link_file(from, to, err) : copy_file(from, to, err);
}

/* top: the folder is there already. */
static bool take_folder(const char *from, const char *to, bool link, bool top, struct err *err)
{
    struct walk w = {from, to, link, top};
    return (top || dir_make(to, err)) && dir_each(from, take_entry, &w, err) && dir_sync(to, err);
}

/* The folders whose files never change. */
static bool link_immutable(const struct store *store, const char *to, struct err *err)
{
    static const char *const folders[] = {"seg", "state"};
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof folders / sizeof *folders; i++) {
        char from_dir[PATH_BYTES], to_dir[PATH_BYTES];
        struct stat st;
        ok = path_join(from_dir, store->path, folders[i], err) &&
             path_join(to_dir, to, folders[i], err) &&
             (lstat(from_dir, &st) != 0 || take_folder(from_dir, to_dir, true, false, err));
    }
    return ok;
}

static size_t count_remote(const struct store *store)
{
    size_t n = 0;
    for (size_t i = 0; i < store->manifest.n_segments; i++)
        n += !attach_is_here(store, store->manifest.segments[i].name);
    return n;
}

/* `seal` is held: no file comes or goes but the log's. */
static bool fill(struct store *store, const char *to, uint64_t *lsn, struct err *err)
{
    char wal_from[PATH_BYTES], wal_to[PATH_BYTES];
    if (!link_immutable(store, to, err) || !path_join(wal_from, store->path, "wal", err) ||
        !path_join(wal_to, to, "wal", err))
        return false;
    struct txn *none = txn_begin_alone(store);
    *lsn = store->lsn;
    bool ok = take_folder(wal_from, wal_to, false, false, err) &&
              take_folder(store->path, to, false, true, err);
    txn_abort(&none);
    return ok;
}

static bool remove_entry(void *ctx, const char *name, struct err *err)
{
    char path[PATH_BYTES];
    struct stat st;
    if (!path_join(path, ctx, name, err) || lstat(path, &st) != 0)
        return true;
    if (S_ISDIR(st.st_mode)) {
        dir_each(path, remove_entry, path, NULL);
        rmdir(path);
    } else {
        unlink(path);
    }
    return true;
}

/* What a failed attempt has left. */
static void discard(char *folder)
{
    dir_each(folder, remove_entry, folder, NULL);
    rmdir(folder);
}

static bool parent_of(const char *folder, char out[PATH_BYTES], struct err *err)
{
    const char *slash = strrchr(folder, '/');
    size_t n = !slash ? 0 : slash == folder ? 1 : (size_t)(slash - folder);
    if (!slash)
        return path_join(out, ".", "", err);
    if (n >= PATH_BYTES)
        return err_set(err, ERR_INVALID, "the path %s is too long", folder);
    memcpy(out, folder, n);
    out[n] = 0;
    return true;
}

static bool make(struct store *store, const char *folder, uint64_t *lsn, struct err *err)
{
    char building[PATH_BYTES], parent[PATH_BYTES];
    if (snprintf(building, sizeof building, "%s.tmp", folder) >= (int)sizeof building)
        return err_set(err, ERR_INVALID, "the path %s is too long", folder);
    discard(building);
    bool ok = parent_of(folder, parent, err) && dir_make(building, err) &&
              fill(store, building, lsn, err);
    if (ok && rename(building, folder) != 0)
        ok = err_sys(err, "cannot rename %s to %s", building, folder);
    ok = ok && dir_sync(parent, err);
    if (!ok)
        discard(building);
    return ok;
}

bool store_backup(struct store *store, const char *folder, uint64_t *lsn, struct err *err)
{
    struct stat st;
    if (!store->path)
        return err_set(err, ERR_UNSUPPORTED, "a store in memory only has no files to back up");
    if (lstat(folder, &st) == 0)
        return err_set(err, ERR_INVALID, "%s is there already", folder);
    if (!replay_await(store, err))
        return false;
    mutex_lock(&store->seal);
    bool ok = store_settle(store, err) &&
              (!store->frozen || seal_block(store, store->frozen->block->number, err));
    ok = ok && checkpoint_write(store, err) && make(store, folder, lsn, err);
    size_t remote = ok ? count_remote(store) : 0;
    mutex_unlock(&store->seal);
    if (remote)
        log_warn(
            "the backup names %zu segments that lie elsewhere, and does not hold them", remote);
    if (ok)
        log_info("backed up to %s, as of transaction %llu", folder, (unsigned long long)*lsn);
    return ok;
}
