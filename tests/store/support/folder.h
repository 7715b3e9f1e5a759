/*
 * Scratch folders of tests, in memory when the machine has a place for that (/dev/shm): proofs
 * write and read thousands of them.
 */
#ifndef TESTS_STORE_SUPPORT_FOLDER_H
#define TESTS_STORE_SUPPORT_FOLDER_H

#include <stddef.h>

#define FOLDER_MAX 512

/* A fresh folder; its name has `what` in it. Failing ends the test program. */
void folder_make(const char *what, char out[FOLDER_MAX]);
/* Copies files and folders, over what is there; holes stay holes. */
void folder_copy(const char *from, const char *to);
/* With everything in it; no error when it is not there. */
void folder_remove(const char *path);
/* Calls each with the path of every regular file below, in byte order of the paths. */
typedef void folder_file_f(void *ctx, const char *path);
void folder_each(const char *path, folder_file_f *each, void *ctx);
/* How many of them hold the bytes. */
size_t folder_find(const char *path, const void *bytes, size_t len);

#endif
