/*
 * Inside the log: shared by wal.c (appending), wal_open.c and wal_file.c (reading),
 * wal_begin.c (between the two). Nobody else
 * includes it.
 */
#ifndef STORE_WAL_PRIV_H
#define STORE_WAL_PRIV_H

#include <stdatomic.h>

#include "base/buf.h"
#include "store/files.h"
#include "store/wal.h"
#include "store/wal_file.h"

/* A change of the header, of a frame, or of the payload's sections in a way that an older program
 * would read wrongly needs a new version; a new section does not: an older program refuses it.
 * Version 1 had no fronts, no definitions, and the cells of old_cells.h; version 2 had no groups,
 * and no state tables among the definitions; version 3 had no clocks in its fronts. */
#define WAL_MAGIC   "LWAL"
#define WAL_VERSION 4

struct wal_file {
    uint32_t number;
    uint64_t first_lsn; /* of its header */
    uint64_t bytes;     /* header and frames */
    uint64_t transactions;
};

struct wal {
    struct wal_options options;
    char dir[PATH_BYTES];
    int fd; /* of the last file; -1: the next append begins one */
    uint64_t at, allocated;
    atomic_uint_fast64_t taken; /* by which the log's files grew since the start */
    uint64_t begun_at;          /* where the file's first transaction stands */
    uint64_t last_lsn;
    struct wal_file *files; /* ascending */
    size_t n_files, files_cap;
    uint32_t *leftovers; /* numbers of files whose removal did not last */
    size_t n_leftovers, leftovers_cap;
    uint32_t next_number;
    struct buf frame;
    uint64_t syncs;
    unsigned torn;
    /* Of the last file, the last frame when it may be in the page cache alone, and could not be
     * written again: it is not part of the log yet. 0: there is none. */
    uint64_t tail_at, tail_end;
    bool begun; /* appending is allowed */
    bool failed;
    bool spoiled; /* what an attempt to begin the next file has left could not be removed */
    bool unclean; /* bytes behind `at` may be other than zero */
};

/* Files that were forgotten, and whose removal did not last. */
bool wal_remove_leftovers(struct wal *wal, struct err *err);
/* Reads a file, at most so many bytes of it; groups are expanded. */
bool wal_scan_file(const char *path, uint64_t bytes, struct wal_scan *scan, struct err *err);
/* The last file's last frame is given up for now when it cannot be proven to be on disk; content
 * ends before it then. One with something behind it was acknowledged before that was written. */
void wal_check_tail(struct wal *wal, const char *path, struct buf *content);

bool wal_path(const struct wal *wal, uint32_t number, char out[PATH_BYTES], struct err *err);

#endif
