/*
 * The calls that the library takes the place of. Each looks whether it concerns the watched folder,
 * asks the hook, does the real call, and tells the model.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/e2e/shim/disk/disk.h"
#include "tests/e2e/shim/disk/disk_model.h"

#define NEXT(name, type) ((type)dlsym(RTLD_NEXT, name))
#define FDS              4096
#define SITES            512

struct open_file {
    struct disk_node *node; /* NULL: not watched */
    char path[1024];        /* relative */
    int flags;
};

static struct {
    bool on, in_hook;
    char folder[1024], redirect[1024];
    struct disk_node *root;
    struct open_file *files; /* by descriptor */
    disk_hook_f *hook;
    void *ctx;
    uint64_t points;
    struct disk_site sites[SITES];
    size_t n_sites;
    uint64_t ignored; /* site or kind */
} disk;

void disk_die(const char *what, const char *path)
{
    fprintf(stderr, "disk.so: %s %s\n", what, path);
    abort();
}

/* ---- the real calls ---- */

static int real_open(const char *path, int flags, mode_t mode)
{
    static int (*next)(const char *, int, ...);
    if (!next)
        next = NEXT("open", int (*)(const char *, int, ...));
    return next(path, flags, mode);
}

static ssize_t real_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    static ssize_t (*next)(int, const void *, size_t, off_t);
    if (!next)
        next = NEXT("pwrite", ssize_t(*)(int, const void *, size_t, off_t));
    return next(fd, bytes, len, at);
}

int disk_real_open(const char *path, int flags, int mode)
{
    return real_open(path, flags, (mode_t)mode);
}

void disk_real_write(int fd, const void *bytes, size_t len, size_t at)
{
    if (len && real_pwrite(fd, bytes, len, (off_t)at) != (ssize_t)len)
        disk_die("cannot write", "an image");
}

void disk_real_resize(int fd, size_t size)
{
    if (NEXT("ftruncate", int (*)(int, off_t))(fd, (off_t)size) != 0)
        disk_die("cannot resize", "an image");
}

void disk_real_mkdir(const char *path)
{
    if (NEXT("mkdir", int (*)(const char *, mode_t))(path, 0755) != 0 && errno != EEXIST)
        disk_die("cannot make", path);
}

/* ---- what is watched ---- */

/* The path below the watched folder, NULL when it lies elsewhere. */
static const char *below(const char *path)
{
    size_t len = strlen(disk.folder);
    if (!disk.on || strncmp(path, disk.folder, len) != 0 || (path[len] && path[len] != '/'))
        return NULL;
    return path[len] ? path + len + 1 : path + len;
}

/* Where the call really goes: elsewhere when the folder is redirected. */
static const char *where(const char *path, char out[4096])
{
    const char *rest = disk.redirect[0] ? below(path) : NULL;
    if (!rest)
        return path;
    snprintf(out, 4096, "%s/%s", disk.redirect, rest);
    return out;
}

static struct open_file *file_of(int fd)
{
    return disk.on && fd >= 0 && fd < FDS && disk.files[fd].node ? &disk.files[fd] : NULL;
}

static enum disk_fault point(const char *call, const char *path, bool is_write, bool is_sync)
{
    if (disk.in_hook)
        return DISK_NONE;
    struct disk_point p = {++disk.points, call, path, is_write, is_sync};
    if (!disk.hook)
        return DISK_NONE;
    disk.in_hook = true;
    enum disk_fault fault = disk.hook(disk.ctx, &p);
    disk.in_hook = false;
    return fault;
}

static int fails(enum disk_fault fault)
{
    errno = fault == DISK_ENOSPC ? ENOSPC : EIO;
    return -1;
}

/* Faults that leave this call alone. */
static bool passes(enum disk_fault fault)
{
    return fault == DISK_NONE || fault == DISK_SHORT || fault == DISK_LOST_SYNC;
}

/* ---- files ---- */

static int open_watched(const char *path, const char *rest, int flags, mode_t mode)
{
    char real[4096];
    const char *name;
    struct disk_node *dir = disk_parent(disk.root, rest, &name);
    struct disk_node *node = disk_walk(disk.root, rest);
    bool creates = (flags & O_CREAT) && !node;
    bool cuts = (flags & O_TRUNC) && node && node->live.size > 0;
    if (creates && !dir)
        disk_die("unknown folder of", path);
    if ((creates || cuts)) {
        enum disk_fault fault = point("open", rest, false, false);
        if (!passes(fault))
            return fails(fault);
    }
    int fd = real_open(where(path, real), flags, mode);
    if (fd < 0)
        return fd;
    if (fd >= FDS)
        disk_die("too many files are open at", path);
    if (creates) {
        node = disk_node_new(false);
        disk_link(dir, name, node);
    } else if (cuts) {
        disk_resize(node, 0);
    }
    disk.files[fd] = (struct open_file){.node = node, .flags = flags};
    snprintf(disk.files[fd].path, sizeof disk.files[fd].path, "%s", rest);
    return fd;
}

static int open_any(const char *path, int flags, mode_t mode)
{
    const char *rest = below(path);
    return rest ? open_watched(path, rest, flags, mode) : real_open(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_any(path, flags, mode);
}

int close(int fd)
{
    if (disk.files && fd >= 0 && fd < FDS)
        disk.files[fd].node = NULL;
    return NEXT("close", int (*)(int))(fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    struct open_file *f = file_of(fd);
    if (!f)
        return real_pwrite(fd, bytes, len, at);
    enum disk_fault fault = point("pwrite", f->path, true, false);
    if (fault == DISK_EIO || fault == DISK_ENOSPC)
        return fails(fault);
    if (fault == DISK_SHORT || fault == DISK_EIO_HALF)
        len = (len + 1) / 2;
    ssize_t n = real_pwrite(fd, bytes, len, at);
    if (n > 0)
        disk_write(f->node, (size_t)at, bytes, (size_t)n);
    return fault == DISK_EIO_HALF ? fails(fault) : n;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    return pwrite(fd, bytes, len, at);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    if (!file_of(fd))
        return NEXT("write", ssize_t(*)(int, const void *, size_t))(fd, bytes, len);
    off_t at = lseek(fd, 0, file_of(fd)->flags & O_APPEND ? SEEK_END : SEEK_CUR);
    ssize_t n = pwrite(fd, bytes, len, at);
    if (n > 0)
        lseek(fd, at + n, SEEK_SET);
    return n;
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at)
{
    if (!file_of(fd))
        return NEXT("pwritev", ssize_t(*)(int, const struct iovec *, int, off_t))(fd, parts, n, at);
    size_t len = 0;
    for (int i = 0; i < n; i++)
        len += parts[i].iov_len;
    char *bytes = malloc(len + 1);
    if (!bytes)
        disk_die("out of memory", "");
    len = 0;
    for (int i = 0; i < n; i++) {
        memcpy(bytes + len, parts[i].iov_base, parts[i].iov_len);
        len += parts[i].iov_len;
    }
    ssize_t done = pwrite(fd, bytes, len, at);
    free(bytes);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    if (!file_of(fd))
        return NEXT("writev", ssize_t(*)(int, const struct iovec *, int))(fd, parts, n);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = pwritev(fd, parts, n, at);
    if (done > 0)
        lseek(fd, at + done, SEEK_SET);
    return done;
}

int ftruncate(int fd, off_t size)
{
    struct open_file *f = file_of(fd);
    enum disk_fault fault = f ? point("ftruncate", f->path, false, false) : DISK_NONE;
    if (!passes(fault))
        return fails(fault);
    int rc = NEXT("ftruncate", int (*)(int, off_t))(fd, size);
    if (f && rc == 0)
        disk_resize(f->node, (size_t)size);
    return rc;
}

int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

/* Only grows the model's size: nothing is allocated for real, holes do. */
int posix_fallocate(int fd, off_t at, off_t len)
{
    struct open_file *f = file_of(fd);
    if (!f)
        return NEXT("posix_fallocate", int (*)(int, off_t, off_t))(fd, at, len);
    enum disk_fault fault = point("fallocate", f->path, false, false);
    if (!passes(fault))
        return fault == DISK_ENOSPC ? ENOSPC : EIO;
    size_t size = (size_t)(at + len);
    if (size <= f->node->live.size)
        return 0;
    disk_resize(f->node, size);
    return NEXT("ftruncate", int (*)(int, off_t))(fd, at + len) == 0 ? 0 : errno;
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
    if (!file_of(fd))
        return NEXT("fallocate", int (*)(int, int, off_t, off_t))(fd, mode, at, len);
    if (mode != 0)
        disk_die("unknown mode of fallocate", file_of(fd)->path);
    errno = posix_fallocate(fd, at, len);
    return errno ? -1 : 0;
}

/* ---- syncing ---- */

/* "fsync wal/#.wal": digits and hashes do not matter. */
static void site_name(const char *call, const char *path, char out[96])
{
    size_t n = (size_t)snprintf(out, 90, "%s ", call);
    for (; *path && n < 90; path++) {
        bool digit = (*path >= '0' && *path <= '9') ||
                     (*path >= 'a' && *path <= 'f' && n > 0 && out[n - 1] == '#');
        if (!digit)
            out[n++] = *path;
        else if (out[n - 1] != '#')
            out[n++] = '#';
    }
    out[n] = 0;
}

/* The callers up to here, by the chain of frame pointers. */
static struct disk_site *site_of(const char *call, const char *path, void **frame)
{
    uint64_t id = 1469598103934665603u;
    void *callers[DISK_CALLERS] = {NULL};
    for (int i = 0; i < DISK_CALLERS && frame; i++) {
        void **up = frame[0];
        callers[i] = frame[1];
        id = (id ^ (uint64_t)(uintptr_t)frame[1]) * 1099511628211u;
        if (up <= frame || (char *)up > (char *)frame + (1 << 20))
            break;
        frame = up;
    }
    for (size_t i = 0; i < disk.n_sites; i++)
        if (disk.sites[i].id == id)
            return &disk.sites[i];
    if (disk.n_sites == SITES)
        disk_die("too many places that sync", path);
    struct disk_site *site = &disk.sites[disk.n_sites++];
    *site = (struct disk_site){.id = id, .kind = 1469598103934665603u};
    memcpy(site->callers, callers, sizeof callers);
    site_name(call, path, site->what);
    for (const char *p = site->what; *p; p++)
        site->kind = (site->kind ^ (uint8_t)*p) * 1099511628211u;
    site->ignored = disk.ignored && (site->id == disk.ignored || site->kind == disk.ignored);
    return site;
}

static int sync_any(int fd, const char *call, void **frame)
{
    struct open_file *f = file_of(fd);
    if (!f)
        return NEXT(call, int (*)(int))(fd);
    struct disk_site *site = site_of(call, f->path, frame);
    enum disk_fault fault = point(call, f->path, false, true);
    site->calls++;
    if (fault == DISK_LOST_SYNC)
        disk_lose(f->node);
    if (fault != DISK_NONE && fault != DISK_SHORT)
        return fails(fault);
    if (!site->ignored) /* what the real disk does plays no part */
        disk_sync(f->node);
    return 0;
}

int fsync(int fd)
{
    return sync_any(fd, "fsync", __builtin_frame_address(0));
}

int fdatasync(int fd)
{
    return sync_any(fd, "fdatasync", __builtin_frame_address(0));
}

/* ---- names ---- */

int rename(const char *from, const char *to)
{
    char real_from[4096], real_to[4096];
    const char *a = below(from), *b = below(to), *a_name, *b_name;
    enum disk_fault fault = a && b ? point("rename", b, false, false) : DISK_NONE;
    if (!passes(fault))
        return fails(fault);
    int rc = NEXT("rename", int (*)(const char *, const char *))(
        where(from, real_from), where(to, real_to));
    if (a && b && rc == 0) {
        struct disk_node *a_dir = disk_parent(disk.root, a, &a_name);
        struct disk_node *b_dir = disk_parent(disk.root, b, &b_name);
        disk_rename(a_dir, a_name, b_dir, b_name);
    }
    return rc;
}

int link(const char *from, const char *to)
{
    char real_from[4096], real_to[4096];
    const char *a = below(from), *b = below(to), *name;
    enum disk_fault fault = a && b ? point("link", b, false, false) : DISK_NONE;
    if (!passes(fault))
        return fails(fault);
    int rc = NEXT("link", int (*)(const char *, const char *))(
        where(from, real_from), where(to, real_to));
    if (a && b && rc == 0) {
        struct disk_node *dir = disk_parent(disk.root, b, &name);
        disk_link(dir, name, disk_walk(disk.root, a));
    }
    return rc;
}

static int remove_any(const char *path, const char *call)
{
    char real[4096];
    const char *rest = below(path), *name;
    struct disk_node *node = rest ? disk_walk(disk.root, rest) : NULL;
    enum disk_fault fault = node ? point(call, rest, false, false) : DISK_NONE;
    if (!passes(fault))
        return fails(DISK_EIO);
    int rc = NEXT(call, int (*)(const char *))(where(path, real));
    if (node && rc == 0) {
        struct disk_node *dir = disk_parent(disk.root, rest, &name);
        disk_unlink(dir, name);
    }
    return rc;
}

int unlink(const char *path)
{
    return remove_any(path, "unlink");
}

int rmdir(const char *path)
{
    return remove_any(path, "rmdir");
}

int mkdir(const char *path, mode_t mode)
{
    char real[4096];
    const char *rest = below(path), *name;
    bool is_new = rest && !disk_walk(disk.root, rest);
    enum disk_fault fault = is_new ? point("mkdir", rest, false, false) : DISK_NONE;
    if (!passes(fault))
        return fails(fault);
    int rc = NEXT("mkdir", int (*)(const char *, mode_t))(where(path, real), mode);
    if (is_new && rc == 0) {
        struct disk_node *dir = disk_parent(disk.root, rest, &name);
        disk_link(dir, name, disk_node_new(true));
    }
    return rc;
}

/* ---- calls that change nothing, and must follow a redirection ---- */

DIR *opendir(const char *path)
{
    char real[4096];
    return NEXT("opendir", DIR * (*)(const char *))(where(path, real));
}

int access(const char *path, int mode)
{
    char real[4096];
    return NEXT("access", int (*)(const char *, int))(where(path, real), mode);
}

int stat(const char *path, struct stat *out)
{
    char real[4096];
    return NEXT("stat", int (*)(const char *, struct stat *))(where(path, real), out);
}

int lstat(const char *path, struct stat *out)
{
    char real[4096];
    return NEXT("lstat", int (*)(const char *, struct stat *))(where(path, real), out);
}

/* ---- control ---- */

/* As deep as the folders of a store: three levels. */
static void load(struct disk_node *node, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        disk_die("cannot look at", path);
    node->is_dir = S_ISDIR(st.st_mode);
    if (node->is_dir) {
        DIR *dir = opendir(path);
        struct dirent *e;
        while (dir && (e = readdir(dir))) {
            char child[4096];
            if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                continue;
            struct disk_node *n = disk_node_new(false);
            snprintf(child, sizeof child, "%s/%s", path, e->d_name);
            load(n, child);
            disk_link(node, e->d_name, n);
        }
        if (dir)
            closedir(dir);
    } else {
        static char part[1 << 16];
        int fd = real_open(path, O_RDONLY | O_CLOEXEC, 0);
        for (off_t at = 0; fd >= 0 && (at = lseek(fd, at, SEEK_DATA)) >= 0;) {
            ssize_t n = pread(fd, part, sizeof part, at);
            if (n <= 0)
                break;
            disk_write(node, (size_t)at, part, (size_t)n);
            at += n;
        }
        close(fd);
        disk_resize(node, (size_t)st.st_size);
    }
    disk_sync(node);
}

static void begin(const char *folder)
{
    disk.on = false;
    disk.redirect[0] = 0;
    disk.points = 0;
    disk.hook = NULL;
    disk.in_hook = false;
    snprintf(disk.folder, sizeof disk.folder, "%s", folder);
    if (!disk.files)
        disk.files = calloc(FDS, sizeof *disk.files);
    if (!disk.files)
        disk_die("out of memory", "");
    for (int i = 0; i < FDS; i++)
        disk.files[i].node = NULL;
    for (size_t i = 0; i < disk.n_sites; i++)
        disk.sites[i].calls = 0;
    disk.root = disk_node_new(true); /* trees of earlier runs are left behind: programs are short */
    load(disk.root, folder);
    disk.on = true;
}

static void end(void)
{
    disk.on = false;
}

static void set_hook(disk_hook_f *hook, void *ctx)
{
    disk.hook = hook;
    disk.ctx = ctx;
}

static uint64_t points(void)
{
    return disk.points;
}

static void image(const char *to, uint64_t seed)
{
    disk_image_write(disk.root, to, seed);
}

static void redirect(const char *to)
{
    snprintf(disk.redirect, sizeof disk.redirect, "%s", to);
    for (int fd = 0; fd < FDS; fd++) {
        struct open_file *f = &disk.files[fd];
        char path[4096];
        if (!f->node || f->node->is_dir || (f->flags & O_ACCMODE) == O_RDONLY)
            continue;
        bool gone = disk_walk(disk.root, f->path) != f->node;
        snprintf(path, sizeof path, "%s/%s", to, gone ? ".gone" : f->path);
        int other = real_open(path, (f->flags & ~(O_EXCL | O_TRUNC)) | (gone ? O_CREAT : 0), 0644);
        if (other < 0)
            disk_die("cannot follow", path);
        off_t at = lseek(fd, 0, SEEK_CUR);
        if (dup2(other, fd) != fd || lseek(fd, at, SEEK_SET) != at)
            disk_die("cannot follow", path);
        NEXT("close", int (*)(int))(other);
        if (gone)
            NEXT("unlink", int (*)(const char *))(path);
    }
}

static const struct disk_site *sites(size_t *n)
{
    *n = disk.n_sites;
    return disk.sites;
}

static void ignore(uint64_t site_or_kind)
{
    disk.ignored = site_or_kind;
    for (size_t i = 0; i < disk.n_sites; i++)
        disk.sites[i].ignored = site_or_kind && (disk.sites[i].id == site_or_kind ||
                                                    disk.sites[i].kind == site_or_kind);
}

/* ---- does the model know everything? ---- */

static bool same_tree(
    const struct disk_node *a, const struct disk_node *b, const char *path, char *why, size_t size)
{
    if (a->is_dir != b->is_dir || a->live_names.n != b->live_names.n) {
        snprintf(why, size, "the folder \"%s\" has %zu names, not %zu", path, b->live_names.n,
            a->live_names.n);
        return false;
    }
    size_t n = a->live.n < b->live.n ? a->live.n : b->live.n;
    bool same =
        a->live.size == b->live.size && (n == 0 || memcmp(a->live.ptr, b->live.ptr, n) == 0);
    const struct disk_bytes *longer = a->live.n > n ? &a->live : &b->live;
    for (size_t i = n; same && i < longer->n; i++)
        same = longer->ptr[i] == 0;
    if (!same)
        snprintf(why, size, "%s is not what was written", path);
    for (size_t i = 0; same && i < a->live_names.n; i++) {
        const struct disk_entry *e = &a->live_names.items[i];
        const struct disk_node *other = disk_names_find(&b->live_names, e->name);
        char child[4096];
        snprintf(child, sizeof child, "%s/%s", path, e->name);
        if (!other)
            snprintf(why, size, "%s is missing", child);
        same = other && same_tree(e->node, other, child, why, size);
    }
    return same;
}

static bool verify(char *why, size_t size)
{
    struct disk_node *now = disk_node_new(true);
    bool on = disk.on;
    disk.on = false;
    load(now, disk.redirect[0] ? disk.redirect : disk.folder);
    disk.on = on;
    return same_tree(disk.root, now, "", why, size);
}

__attribute__((visibility("default"))) const struct disk_control *disk_control(void)
{
    static const struct disk_control control = {
        begin, end, set_hook, points, image, redirect, sites, ignore, verify};
    return &control;
}
