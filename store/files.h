/*
 * Files and folders with the discipline that durability needs: a new name is on disk only when its
 * folder was synced.
 */
#ifndef STORE_FILES_H
#define STORE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define PATH_BYTES 1024

/* path := a "/" b; false when it does not fit. */
bool path_join(char out[PATH_BYTES], const char *a, const char *b, struct err *err);
/* Makes the folder when it is absent, and syncs its parent. */
bool dir_make(const char *path, struct err *err);
bool dir_sync(const char *path, struct err *err);
/* Writes all of it at the offset; short writes are continued. */
bool file_write_at(
    int fd, const char *path, uint64_t at, const void *ptr, size_t len, struct err *err);
/* Reads the whole file, at most max bytes. */
bool file_read(const char *path, size_t max, struct buf *out, struct err *err);
/* Writes path.tmp, syncs it, renames it over path, syncs the folder dir. */
bool file_replace(const char *dir, const char *name, struct slice content, struct err *err);
/* Unlinks; an absent file is fine. */
bool file_remove(const char *path, struct err *err);
/* Calls each for every entry but . and .. False when one of the calls said so, or not all entries
 * could be read. */
typedef bool dir_entry_f(void *ctx, const char *name, struct err *err);
bool dir_each(const char *path, dir_entry_f *each, void *ctx, struct err *err);

#endif
