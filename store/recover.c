/*
 * Recovery: from a folder to a store. Manifest, checkpoint, log, segments are read in this order
 * and nothing is changed before everything was found whole: a start that stops leaves the folder as
 * it was, but for a torn last frame.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "store/checkpoint.h"
#include "store/store_priv.h"

static bool take_lock(struct store *store, struct err *err)
{
    char path[PATH_BYTES], owner[32] = "";
    if (!path_join(path, store->path, "LOCK", err))
        return false;
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (store->lock_fd < 0)
        return err_sys(err, "cannot open %s", path);
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return err_sys(err, "cannot lock %s", path);
        ssize_t n = pread(store->lock_fd, owner, sizeof owner - 1, 0);
        owner[n > 0 ? n : 0] = 0;
        owner[strcspn(owner, "\n")] = 0;
        return err_set(err, ERR_BUSY, "the data folder %s is in use by another larder%s%s",
            store->path, owner[0] ? ", process " : "", owner);
    }
    int n = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    if (ftruncate(store->lock_fd, 0) != 0 || pwrite(store->lock_fd, owner, (size_t)n, 0) != n)
        return err_sys(err, "cannot write %s", path);
    return true;
}

/* Files that no manifest names: what a crash left behind. */
static bool sweep_segment(void *ctx, const char *name, struct err *err)
{
    struct store *store = ctx;
    char dir[PATH_BYTES], path[PATH_BYTES];
    if (manifest_names(&store->manifest, name))
        return true;
    return path_join(dir, store->path, "seg", err) && path_join(path, dir, name, err) &&
           file_remove(path, err);
}

static bool sweep_checkpoint(void *ctx, const char *name, struct err *err)
{
    struct store *store = ctx;
    char current[CHECKPOINT_NAME_MAX], path[PATH_BYTES];
    checkpoint_name(store->manifest.checkpoint_lsn, current);
    if (strncmp(name, "checkpoint-", 11) != 0 || strcmp(name, current) == 0)
        return true;
    return path_join(path, store->path, name, err) && file_remove(path, err);
}

static bool sweep(struct store *store, struct err *err)
{
    char dir[PATH_BYTES];
    return path_join(dir, store->path, "seg", err) && dir_each(dir, sweep_segment, store, err) &&
           dir_each(store->path, sweep_checkpoint, store, err);
}

static bool open_segments(struct store *store, struct err *err)
{
    char dir[PATH_BYTES], path[PATH_BYTES];
    if (!path_join(dir, store->path, "seg", err) || !dir_make(dir, err))
        return false;
    for (size_t i = 0; i < store->manifest.n_segments; i++) {
        struct segment *segment;
        if (!path_join(path, dir, store->manifest.segments[i].name, err) ||
            !segment_open(path, &segment, err) || !store_attach(store, segment, err))
            return false;
    }
    return true;
}

static bool replay_frame(
    void *ctx, const struct frame *frame, struct slice payload, struct err *err)
{
    struct store *store = ctx;
    struct transaction t;
    transaction_init(&t);
    bool ok = transaction_decode(payload, &t, err) && store_apply(store, &t, frame->lsn, true, err);
    transaction_fini(&t);
    store->wal_written += payload.len;
    return ok;
}

bool store_recover(struct store *store, struct err *err)
{
    unsigned torn = 0;
    uint64_t checkpoint = 0;
    if (!dir_make(store->path, err) || !take_lock(store, err))
        return false;
    if (!manifest_open(store->path, store->options.block_ms, &store->manifest, err))
        return false;
    checkpoint = store->manifest.checkpoint_lsn;
    if (checkpoint && !checkpoint_load(store, checkpoint, err))
        return false;
    /* An empty folder gets its manifest before anything else, so that what comes later is never
     * without. */
    if (store->manifest.number == 0 && !manifest_begin(&store->manifest, err))
        return false;
    if (!wal_open(store->path, checkpoint, replay_frame, store, &store->wal, &torn, err))
        return false;
    store->torn_frames = torn;
    store->lsn = wal_last_lsn(store->wal);
    if (!open_segments(store, err))
        return false;
    /* Everything was found whole: only now something is written or swept away. */
    return (manifest_works(&store->manifest) || manifest_begin(&store->manifest, err)) &&
           sweep(store, err);
}
