/*
 * A file that is there whole or not at all: written under a temporary name in its folder, synced,
 * renamed to its own name, and the folder synced. Whatever fails, the temporary file is removed.
 * Temporary names begin with "tmp-"; those that a crash leaves are nobody's, and may be removed
 * when the folder is opened.
 */
#ifndef STORE_SEGMENT_OUTFILE_H
#define STORE_SEGMENT_OUTFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "store/files.h"

#define OUTFILE_PREFIX "tmp-"

struct outfile {
    int fd; /* -1: not open */
    uint64_t bytes;
    const char *dir; /* borrowed */
    char path[PATH_BYTES];
};

bool outfile_open(struct outfile *file, const char *dir, struct err *err);
/* Appends. */
bool outfile_add(struct outfile *file, struct slice bytes, struct err *err);
/* Writes head over the first bytes, which are there, and makes the file durable as dir/name. */
bool outfile_finish(struct outfile *file, struct slice head, const char *name, struct err *err);
/* Removes what is not finished. Harmless after finish. */
void outfile_discard(struct outfile *file);

#endif
