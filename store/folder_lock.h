/*
 * The lock of a data folder: one process at a time has it, as long as the file descriptor is open.
 */
#ifndef STORE_FOLDER_LOCK_H
#define STORE_FOLDER_LOCK_H

#include <stdbool.h>

#include "base/err.h"

#define FOLDER_LOCK_NAME "LOCK"

/* Locks FOLDER/LOCK, which is made when it is absent. *fd is for the caller to close, also when the
 * call fails; -1: there is none. ERR_BUSY: another process has it; the text names it. */
bool folder_lock(const char *folder, int *fd, struct err *err);

#endif
