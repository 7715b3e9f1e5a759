/*
 * The folder that a fuzz target writes its files to: in memory where there is a place for that, one
 * per process, emptied after every input and removed at the end.
 */
#ifndef TESTS_FUZZ_SCRATCH_H
#define TESTS_FUZZ_SCRATCH_H

#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ensure.h"
#include "tests/store/support/folder.h"

#define SCRATCH_PATH_MAX 256

static inline int scratch_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    return ftw->level ? remove(path) : 0;
}

/* Borrowed for good. */
static inline const char *scratch_folder(void)
{
    static char dir[64];
    if (!dir[0]) {
        folder_new("fuzz", dir, sizeof dir);
    }
    return dir;
}

static inline void scratch_empty(void)
{
    nftw(scratch_folder(), scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void scratch_end(void)
{
    scratch_empty();
    rmdir(scratch_folder());
}

/* Called at the beginning of each input. */
static inline void scratch_begin(void)
{
    static bool begun;
    if (!begun)
        atexit(scratch_end);
    begun = true;
}

static inline void scratch_put(const char *name, const void *bytes, size_t len)
{
    char path[SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", scratch_folder(), name);
    FILE *out = fopen(path, "wb");
    ensure(out && (len == 0 || fwrite(bytes, 1, len, out) == len));
    ensure(fclose(out) == 0);
}

#endif
