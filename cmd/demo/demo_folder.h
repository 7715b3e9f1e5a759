/*
 * The demo's folder: a temporary one that is removed with everything in it, or one that the user
 * named, which must be absent or empty, and is kept.
 */
#ifndef CMD_DEMO_FOLDER_H
#define CMD_DEMO_FOLDER_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

#define DEMO_PATH_MAX 4096

struct demo_folder {
    char path[DEMO_PATH_MAX]; /* absolute */
    bool temporary;
};

/* named NULL: a new folder below $TMPDIR or /tmp. */
bool demo_folder_make(const char *named, struct demo_folder *out, struct err *err);
/* Writes a file into it. */
bool demo_folder_write(
    const struct demo_folder *folder, const char *name, struct slice text, struct err *err);
/* Removes a temporary one with everything in it. */
void demo_folder_end(struct demo_folder *folder);

#endif
