/*
 * What writing and reading a checkpoint agree on; see checkpoint.h and docs/format/wal.md.
 */
#ifndef STORE_CHECKPOINT_FILE_H
#define STORE_CHECKPOINT_FILE_H

/* Version 1 held the definitions too, and all cells as of the checkpoint's LSN; it is read. */
#define CHECKPOINT_MAGIC   "LCKP"
#define CHECKPOINT_VERSION 2

#endif
