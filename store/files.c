#include "store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP (256u << 10)

bool path_join(char out[PATH_BYTES], const char *a, const char *b, struct err *err)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s", a, b);
    if (n < 0 || n >= PATH_BYTES)
        return err_set(err, ERR_INVALID, "path too long: %s/%s", a, b);
    return true;
}

bool dir_sync(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "cannot open folder %s", path);
    bool ok = fsync(fd) == 0;
    if (!ok)
        err_sys(err, "cannot sync folder %s", path);
    close(fd);
    return ok;
}

/* Slashes at its end say nothing. */
static void parent_of(const char *path, char out[PATH_BYTES])
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    snprintf(out, PATH_BYTES, "%.*s", n ? (int)n : 1, n ? path : ".");
}

/* The parent is synced when the folder is there already, too: whoever made it may have died before
 * its own sync. A parent that only its owner can read is left to its owner. */
bool dir_make(const char *path, struct err *err)
{
    bool existed = false;
    struct stat st;
    if (mkdir(path, 0777) != 0) {
        existed = errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
        if (!existed)
            return err_sys(err, "cannot make folder %s", path);
    }
    char parent[PATH_BYTES];
    parent_of(path, parent);
    return (existed && access(parent, R_OK) != 0) || dir_sync(parent, err);
}

bool file_write_at(
    int fd, const char *path, uint64_t at, const void *ptr, size_t len, struct err *err)
{
    const char *p = ptr;
    while (len) {
        ssize_t n = pwrite(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "cannot write %s at byte %llu", path, (unsigned long long)at);
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

bool file_read(const char *path, size_t max, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "cannot open %s", path);
    bool ok = true;
    for (;;) {
        char *p = out->len > max ? NULL : buf_reserve(out, READ_STEP);
        if (!p) {
            ok = err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, max);
            break;
        }
        ssize_t n = read(fd, p, READ_STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            ok = err_sys(err, "cannot read %s", path);
        if (n <= 0)
            break;
        out->len += (size_t)n;
    }
    close(fd);
    return ok;
}

static bool write_synced(const char *path, struct slice content, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_sys(err, "cannot create %s", path);
    bool ok = file_write_at(fd, path, 0, content.ptr, content.len, err);
    if (ok && fsync(fd) != 0)
        ok = err_sys(err, "cannot sync %s", path);
    close(fd);
    return ok;
}

bool file_replace(const char *dir, const char *name, struct slice content, struct err *err)
{
    char path[PATH_BYTES], tmp[PATH_BYTES];
    if (!path_join(path, dir, name, err) ||
        snprintf(tmp, sizeof tmp, "%s/%s.tmp", dir, name) >= (int)sizeof tmp)
        return err_set(err, ERR_INVALID, "path too long: %s/%s", dir, name);
    bool ok = write_synced(tmp, content, err);
    if (ok && rename(tmp, path) != 0)
        ok = err_sys(err, "cannot rename %s to %s", tmp, path);
    if (!ok)
        unlink(tmp);
    return ok && dir_sync(dir, err);
}

bool file_remove(const char *path, struct err *err)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return err_sys(err, "cannot remove %s", path);
    return true;
}

bool dir_each(const char *path, dir_entry_f *each, void *ctx, struct err *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return err_sys(err, "cannot read folder %s", path);
    bool ok = true;
    struct dirent *e;
    while (ok && (errno = 0, e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            ok = each(ctx, e->d_name, err);
    if (ok && errno != 0)
        ok = err_sys(err, "cannot read folder %s to its end", path);
    closedir(dir);
    return ok;
}
