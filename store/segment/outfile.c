#include "store/segment/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/ensure.h"

#define OPEN_TRIES 1000

/* Names differ within the process by the counter, between processes by the id; what a dead process
 * with the same id has left is stepped over. */
bool outfile_open(struct outfile *file, const char *dir, struct err *err)
{
    static atomic_uint counter;
    *file = (struct outfile){.fd = -1, .dir = dir};
    for (int i = 0; i < OPEN_TRIES; i++) {
        char name[64];
        snprintf(name, sizeof name, OUTFILE_PREFIX "%ld-%u", (long)getpid(),
            atomic_fetch_add(&counter, 1u));
        if (!path_join(file->path, dir, name, err)) {
            file->path[0] = 0;
            return false;
        }
        file->fd = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (file->fd >= 0)
            return true;
        if (errno != EEXIST)
            break;
    }
    err_sys(err, "cannot create %s", file->path);
    file->path[0] = 0; /* not ours */
    return false;
}

bool outfile_add(struct outfile *file, struct slice bytes, struct err *err)
{
    if (!file_write_at(file->fd, file->path, file->bytes, bytes.ptr, bytes.len, err))
        return false;
    file->bytes += bytes.len;
    return true;
}

static bool close_file(struct outfile *file, struct err *err)
{
    int fd = file->fd;
    file->fd = -1;
    if (close(fd) != 0)
        return err_sys(err, "cannot close %s", file->path);
    return true;
}

/* When the folder cannot be synced the name may not last, so it is taken back; but not a file that
 * had this name before: names come from content, so that one is as good, and may be in use. */
static bool rename_to(struct outfile *file, const char *name, struct err *err)
{
    char path[PATH_BYTES];
    if (!path_join(path, file->dir, name, err))
        return false;
    bool existed = access(path, F_OK) == 0;
    if (rename(file->path, path) != 0)
        return err_sys(err, "cannot rename %s to %s", file->path, path);
    file->path[0] = 0;
    if (dir_sync(file->dir, err))
        return true;
    if (!existed)
        unlink(path);
    return false;
}

bool outfile_finish(struct outfile *file, struct slice head, const char *name, struct err *err)
{
    ensure(file->fd >= 0 && head.len <= file->bytes);
    if (!file_write_at(file->fd, file->path, 0, head.ptr, head.len, err))
        return false;
    if (fsync(file->fd) != 0)
        return err_sys(err, "cannot sync %s", file->path);
    return close_file(file, err) && rename_to(file, name, err);
}

void outfile_discard(struct outfile *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->path[0])
        unlink(file->path);
    file->fd = -1;
    file->path[0] = 0;
}
