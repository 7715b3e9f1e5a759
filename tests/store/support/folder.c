#include "tests/store/support/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/mem.h"

void folder_make(const char *what, char out[FOLDER_MAX])
{
    const char *tmp = getenv("TMPDIR");
    if (access("/dev/shm", W_OK) == 0)
        tmp = "/dev/shm";
    snprintf(out, FOLDER_MAX, "%s/larder-%s-XXXXXX", tmp ? tmp : "/tmp", what);
    ensure(mkdtemp(out) != NULL);
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

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ensure(in >= 0 && out >= 0);
    struct stat st;
    ensure(fstat(in, &st) == 0 && ftruncate(out, st.st_size) == 0);
    for (off_t at = 0; (at = lseek(in, at, SEEK_DATA)) >= 0;) {
        ssize_t n = pread(in, bytes, sizeof bytes, at);
        if (n <= 0)
            break;
        ensure(pwrite(out, bytes, (size_t)n, at) == n);
        at += n;
    }
    close(in);
    close(out);
}

void folder_copy(const char *from, const char *to)
{
    size_t n;
    char **names = list(from, &n);
    mkdir(to, 0755);
    for (size_t i = 0; i < n; i++) {
        char a[FOLDER_MAX], b[FOLDER_MAX];
        struct stat st;
        join(a, from, names[i]);
        join(b, to, names[i]);
        ensure(lstat(a, &st) == 0);
        if (S_ISDIR(st.st_mode))
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
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ensure(fd >= 0 && fstat(fd, &st) == 0);
    char *content = xmalloc((size_t)st.st_size + 1);
    ensure(pread(fd, content, (size_t)st.st_size, 0) == st.st_size);
    s->found += memmem(content, (size_t)st.st_size, s->bytes, s->len) != NULL;
    free(content);
    close(fd);
}

size_t folder_find(const char *path, const void *bytes, size_t len)
{
    struct search s = {bytes, len, 0};
    folder_each(path, search_file, &s);
    return s.found;
}
