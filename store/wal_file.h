/*
 * Reading one file of the log: whether its frames are those that must come, one after the other.
 * Shared by wal_open.c's passes over a whole log and by wal_read_file. Inside the log, as
 * wal_priv.h.
 */
#ifndef STORE_WAL_FILE_H
#define STORE_WAL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/frame.h"

struct wal_scan {
    const char *path; /* for errors */
    /* Called for definitions, transactions and groups of them; with `expand`, groups come as the
     * transactions that they hold, which have no fronts. */
    frame_f *each;
    void *ctx;
    bool expand;
    /* Out. */
    uint64_t first_lsn, last_lsn; /* of the transactions; last_lsn is first_lsn - 1 without any */
    uint64_t transactions;
    size_t end; /* of the valid frames */
    bool clean; /* nothing but zeros behind them */
    struct buf raw;
};

/* Reads the frames of a file's bytes. ERR_CORRUPT as frames_scan, or: a frame that is out of order.
 * What stands behind the frames is the caller's to judge. */
bool wal_scan(struct slice bytes, struct wal_scan *scan, struct err *err);

bool wal_is_zeros(struct slice bytes);

/* The payload of a group. */
void wal_group_encode(const struct slice *payloads, size_t n, struct buf *out);

#endif
