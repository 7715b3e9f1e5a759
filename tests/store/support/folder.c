#include "tests/store/support/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/mem.h"

static const char *scratch(void)
{
    const char *folder = getenv("LARDER_SCRATCH");
    if (folder)
        return folder;
    if (access("/dev/shm", W_OK) == 0)
        return "/dev/shm";
    folder = getenv("TMPDIR");
    return folder ? folder : "/tmp";
}

void folder_new(const char *what, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/larder-%s-XXXXXX", scratch(), what);
    ensure(n > 0 && (size_t)n < size);
    ensure(mkdtemp(out) != NULL);
}

void folder_make(const char *what, char out[FOLDER_MAX])
{
    folder_new(what, out, FOLDER_MAX);
}

static void join(char out[FOLDER_MAX], const char *a, const char *b)
{
    ensure(snprintf(out, FOLDER_MAX, "%s/%s", a, b) < FOLDER_MAX);
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* Names in the folder, in byte order; the caller frees them and the array. */
static char **list(const char *path, size_t *n)
{
    char **names = NULL;
    size_t cap = 0;
    struct dirent *e;
    DIR *dir = opendir(path);
    *n = 0;
    if (!dir)
        return NULL;
    while ((e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            GROW(names, cap, *n + 1);
            names[(*n)++] = xstrdup(e->d_name);
        }
    closedir(dir);
    if (*n)
        qsort(names, *n, sizeof *names, by_text);
    return names;
}

/* One that goes away meanwhile is not copied. Past the calls that test programs put in front of the
 * C library's. */
static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0 && errno == ENOENT)
        return;
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ensure(in >= 0 && out >= 0);
    struct stat st;
    ensure(fstat(in, &st) == 0 && syscall(SYS_ftruncate, out, st.st_size) == 0);
    for (off_t at = 0; (at = lseek(in, at, SEEK_DATA)) >= 0;) {
        ssize_t n = syscall(SYS_pread64, in, bytes, sizeof bytes, at);
        if (n <= 0)
            break;
        ensure(syscall(SYS_pwrite64, out, bytes, (size_t)n, at) == n);
        at += n;
    }
    close(in);
    close(out);
}

void folder_copy(const char *from, const char *to)
{
    size_t n;
    char **names = list(from, &n);
    folder_remove(to);
    ensure(mkdir(to, 0755) == 0);
    for (size_t i = 0; i < n; i++) {
        char a[FOLDER_MAX], b[FOLDER_MAX];
        struct stat st;
        join(a, from, names[i]);
        join(b, to, names[i]);
        if (lstat(a, &st) == 0 && S_ISDIR(st.st_mode))
            folder_copy(a, b); /* as deep as the store's folders: three */
        else
            copy_file(a, b);
        free(names[i]);
    }
    free(names);
}

void folder_remove(const char *path)
{
    size_t n;
    char **names = list(path, &n);
    for (size_t i = 0; i < n; i++) {
        char child[FOLDER_MAX];
        struct stat st;
        join(child, path, names[i]);
        if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
            folder_remove(child);
        else
            unlink(child);
        free(names[i]);
    }
    free(names);
    rmdir(path);
}

void folder_each(const char *path, folder_file_f *each, void *ctx)
{
    size_t n;
    char **names = list(path, &n);
    for (size_t i = 0; i < n; i++) {
        char child[FOLDER_MAX];
        struct stat st;
        join(child, path, names[i]);
        ensure(lstat(child, &st) == 0);
        if (S_ISDIR(st.st_mode))
            folder_each(child, each, ctx);
        else
            each(ctx, child);
        free(names[i]);
    }
    free(names);
}

struct search {
    const void *bytes;
    size_t len, found;
};

static void search_file(void *ctx, const char *path)
{
    struct search *s = ctx;
    struct content c = content_of(path);
    s->found += memmem(c.ptr, c.len, s->bytes, s->len) != NULL;
    free(c.ptr);
}

size_t folder_find(const char *path, const void *bytes, size_t len)
{
    struct search s = {bytes, len, 0};
    folder_each(path, search_file, &s);
    return s.found;
}

bool folder_last(const char *folder, const char *prefix, char out[FOLDER_MAX])
{
    size_t n, len = strlen(prefix);
    char **names = list(folder, &n);
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(names[i], prefix, len) == 0) {
            join(out, folder, names[i]);
            found = true;
        }
        free(names[i]);
    }
    free(names);
    return found;
}

struct content content_of(const char *path)
{
    struct content c;
    struct stat st;
    FILE *in = fopen(path, "rb");
    ensure(in && fstat(fileno(in), &st) == 0);
    c.len = (size_t)st.st_size;
    c.ptr = xmalloc(c.len + 1);
    ensure(fread(c.ptr, 1, c.len, in) == c.len);
    fclose(in);
    return c;
}

void content_put(const char *path, const char *ptr, size_t len)
{
    FILE *out = fopen(path, "wb");
    ensure(out && fwrite(ptr, 1, len, out) == len);
    ensure(fclose(out) == 0);
}

void content_flip(const char *path, uint64_t at, uint8_t mask)
{
    FILE *file = fopen(path, "r+b");
    ensure(file && fseek(file, (long)at, SEEK_SET) == 0);
    int byte = fgetc(file);
    ensure(byte != EOF && fseek(file, (long)at, SEEK_SET) == 0);
    ensure(fputc(byte ^ mask, file) != EOF && fclose(file) == 0);
}
