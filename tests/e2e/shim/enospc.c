/*
 * A disk that is full while a file exists, for LD_PRELOAD: writes and allocations under the folder
 * LARDER_ENOSPC_DIR fail with ENOSPC as long as LARDER_ENOSPC_FLAG names an existing file. As on a
 * real disk the last write before the end is short: every other write takes half of its bytes. With
 * LARDER_ENOSPC_TEXT only writes fail that hold this text, and they fail whole.
 *
 * Syncing does not fail: a disk runs full when blocks are allocated, and these file systems
 * allocate when a write extends a file.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

static atomic_uint writes;

static bool is_under(const char *path)
{
    const char *folder = getenv("LARDER_ENOSPC_DIR");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static bool is_full(void)
{
    const char *flag = getenv("LARDER_ENOSPC_FLAG");
    return flag && access(flag, F_OK) == 0;
}

static bool by_text(void)
{
    return getenv("LARDER_ENOSPC_TEXT") != NULL;
}

static bool fails(int fd)
{
    char link[64], path[PATH_MAX];
    if (!is_full())
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return false;
    path[n] = '\0';
    return is_under(path);
}

static bool holds(const char *text, const void *data, size_t len)
{
    return memmem(data, len, text, strlen(text)) != NULL;
}

/* Bytes of a write that still fit: half of it, or nothing, in turn. */
static size_t room(const void *data, size_t len)
{
    const char *text = getenv("LARDER_ENOSPC_TEXT");
    if (text)
        return holds(text, data, len) ? 0 : len;
    return atomic_fetch_add(&writes, 1) % 2 == 0 ? len / 2 : 0;
}

static int no_space(void)
{
    errno = ENOSPC;
    return -1;
}

ssize_t write(int fd, const void *data, size_t len)
{
    if (fails(fd) && (len = room(data, len)) == 0)
        return no_space();
    return NEXT(ssize_t(*)(int, const void *, size_t), "write")(fd, data, len);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    if (fails(fd) && (len = room(data, len)) == 0)
        return no_space();
    return NEXT(ssize_t(*)(int, const void *, size_t, off_t), "pwrite")(fd, data, len, at);
}

ssize_t writev(int fd, const struct iovec *part, int n)
{
    if (!by_text() && fails(fd))
        return no_space();
    return NEXT(ssize_t(*)(int, const struct iovec *, int), "writev")(fd, part, n);
}

ssize_t pwritev(int fd, const struct iovec *part, int n, off_t at)
{
    if (!by_text() && fails(fd))
        return no_space();
    return NEXT(ssize_t(*)(int, const struct iovec *, int, off_t), "pwritev")(fd, part, n, at);
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
    if (!by_text() && fails(fd))
        return no_space();
    return NEXT(int (*)(int, int, off_t, off_t), "fallocate")(fd, mode, at, len);
}

int posix_fallocate(int fd, off_t at, off_t len)
{
    if (!by_text() && fails(fd))
        return ENOSPC;
    return NEXT(int (*)(int, off_t, off_t), "posix_fallocate")(fd, at, len);
}

static int open_next(const char *name, const char *path, int flags, mode_t mode)
{
    if ((flags & O_CREAT) && !by_text() && is_full() && is_under(path) && access(path, F_OK) != 0)
        return no_space();
    return NEXT(int (*)(const char *, int, ...), name)(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_next("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_next("open64", path, flags, mode);
}
