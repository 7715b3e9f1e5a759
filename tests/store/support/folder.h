/*
 * Scratch folders of tests, and files in them, copied, read, written and damaged.
 *
 * They are in the folder that LARDER_SCRATCH names, which whoever runs the tests removes
 * (tests/run_suites.py); else in memory when the machine has a place for that (/dev/shm): proofs
 * write and read thousands of them. Nothing here reports an error: a failure ends the program.
 */
#ifndef TESTS_STORE_SUPPORT_FOLDER_H
#define TESTS_STORE_SUPPORT_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FOLDER_MAX 512

/* A fresh folder; its name has `what` in it. */
void folder_make(const char *what, char out[FOLDER_MAX]);
/* The same, where there is room for a shorter name. */
void folder_new(const char *what, char *out, size_t size);
/* `to` becomes what `from` is at this moment: of an open store, what a kill -9 leaves. Holes stay
 * holes. */
void folder_copy(const char *from, const char *to);
/* With everything in it; no error when it is not there. */
void folder_remove(const char *path);
/* Calls each with the path of every regular file below, in byte order of the paths. */
typedef void folder_file_f(void *ctx, const char *path);
void folder_each(const char *path, folder_file_f *each, void *ctx);
/* How many of them hold the bytes. */
size_t folder_find(const char *path, const void *bytes, size_t len);
/* The path of the last file, by name, in the folder that begins with the prefix; false: none. */
bool folder_last(const char *folder, const char *prefix, char out[FOLDER_MAX]);

/* Of a whole file; the caller frees ptr. */
struct content {
    char *ptr;
    size_t len;
};
struct content content_of(const char *path);
void content_put(const char *path, const char *ptr, size_t len);
/* Turns over the bits of a byte that the mask has. */
void content_flip(const char *path, uint64_t at, uint8_t mask);

#endif
