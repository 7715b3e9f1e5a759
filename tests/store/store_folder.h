/* Folders of stores in tests: copies as a crash would leave them, files read, written and damaged.
 */
#ifndef TESTS_STORE_STORE_FOLDER_H
#define TESTS_STORE_STORE_FOLDER_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/files.h"

struct content {
    char *ptr;
    size_t len;
};

static inline struct content content_of(const char *path)
{
    struct content c = {0};
    struct stat st;
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &st), 0);
    c.len = (size_t)st.st_size;
    c.ptr = malloc(c.len + 1);
    assert_int_equal(fread(c.ptr, 1, c.len, in), c.len);
    fclose(in);
    return c;
}

static inline void content_put(const char *path, const char *ptr, size_t len)
{
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(ptr, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

/* Removes the folder and what is in it. */
static inline void folder_remove(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    char inner[PATH_BYTES];
    if (!dir)
        return;
    while ((e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        assert_true(path_join(inner, path, e->d_name, NULL));
        if (unlink(inner) != 0)
            folder_remove(inner);
    }
    closedir(dir);
    assert_int_equal(rmdir(path), 0);
}

/* `to` becomes what `from` is at this moment: of an open store, what a kill -9 leaves. */
static inline void folder_copy(const char *from, const char *to)
{
    folder_remove(to);
    assert_int_equal(mkdir(to, 0777), 0);
    DIR *dir = opendir(from);
    struct dirent *e;
    assert_non_null(dir);
    while ((e = readdir(dir))) {
        char a[PATH_BYTES], b[PATH_BYTES];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        assert_true(path_join(a, from, e->d_name, NULL) && path_join(b, to, e->d_name, NULL));
        if (stat(a, &st) != 0)
            continue; /* went away meanwhile */
        if (S_ISDIR(st.st_mode)) {
            folder_copy(a, b);
            continue;
        }
        struct content c = content_of(a);
        content_put(b, c.ptr, c.len);
        free(c.ptr);
    }
    closedir(dir);
}

/* The path of the last file, by name, in the folder that begins with the prefix; false: none. */
static inline int folder_last(const char *folder, const char *prefix, char out[PATH_BYTES])
{
    DIR *dir = opendir(folder);
    struct dirent *e;
    char best[512] = "";
    assert_non_null(dir);
    while ((e = readdir(dir)))
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && strcmp(e->d_name, best) > 0)
            snprintf(best, sizeof best, "%s", e->d_name);
    closedir(dir);
    assert_true(path_join(out, folder, best, NULL));
    return best[0] != 0;
}

#endif
