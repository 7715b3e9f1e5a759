/*
 * The write-ahead log: numbered files of frames, appended and synced, never changed. See
 * docs/format/wal.md.
 *
 *     wal/00000001.wal := header | definitions frame* | { transaction | group } frame* | zeros
 *
 * Each file replays alone, on top of a checkpoint: it begins with what its transactions may refer
 * to and the checkpoint's catalogue does not hold. Files are allocated ahead, so that a full disk
 * shows before a byte is written, and the zeros end the log. A frame is valid when its length fits,
 * its CRC holds and its LSN is the one expected. An invalid last frame is torn: it was never
 * acknowledged; it is cut off. An invalid frame with a valid later one is corruption and stops the
 * start. So whatever is written is synced before the next frame: header, definitions, and each
 * transaction, or group of those that were committed at the same time.
 *
 * A file is written by one process alone. What one that did not stop cleanly has left as the last
 * file is written anew before anything follows it: its end may never have reached the disk, and no
 * later sync of the same file would say so.
 *
 * One thread appends. Reading a log that is not appended to needs no lock.
 */
#ifndef STORE_WAL_H
#define STORE_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/frame.h"

struct wal;

/* Adds, by wal_define, what the transactions of a new file may refer to. */
typedef bool wal_define_f(void *ctx, struct wal *wal, struct err *err);

struct wal_options {
    const char *dir;     /* of the store */
    bool inspect;        /* the log's folder is not made */
    uint64_t after_lsn;  /* the checkpoint's; transactions up to there are not given */
    uint64_t proven_lsn; /* transactions up to there are on disk, something else says */
    uint64_t file_bytes; /* a file is closed at this size, definitions apart */
    frame_f *first; /* called for the definitions of the first file, and for every transaction or
                       group */
    void *first_ctx;
    wal_define_f *define;
    void *define_ctx;
};

/* Reads all files and checks every frame, in order. Changes nothing on disk, but that it writes the
 * bytes of the last frame once more in their place, and syncs them: whoever wrote them may have
 * been killed before his sync, or his sync may have failed. When that fails the frame is *held*: it
 * is not part of the log, which takes nothing until wal_release has worked. */
bool wal_open(const struct wal_options *options, struct wal **out, struct err *err);
/* Reads the transactions again, one by one. ERR_CORRUPT too when they are not those that wal_open
 * found. */
bool wal_replay(struct wal *wal, frame_f *each, void *ctx, struct err *err);
/* How many frames were torn (0 or 1), and are not part of the log. */
unsigned wal_torn(const struct wal *wal);
/* By how many bytes the log's files have grown since the start, those that are gone too; what is
 * allocated ahead counts. From any thread. */
uint64_t wal_taken(const struct wal *wal);
bool wal_holds(const struct wal *wal);
/* Makes the log fit for appending, with the frame that was held, whose transactions each gets. May
 * be tried again when it fails; then each was not called. */
bool wal_release(struct wal *wal, frame_f *each, void *ctx, struct err *err);
/* The same for a log that holds none. */
bool wal_begin(struct wal *wal, struct err *err);
void wal_close(struct wal **wal);

/* Appends n transactions (1 to WAL_GROUP_MAX, together at most FRAME_PAYLOAD_MAX bytes and 10 for
 * each) in one frame, and syncs it: after a crash all of them are there, or none. lsn is the first
 * one's, the last one's before plus 1; front says what all of them touch. On failure nothing was
 * added, and it may be tried again, except after a failed sync: then wal_failed is true for ever.
 */
#define WAL_GROUP_MAX 4096
bool wal_append(struct wal *wal, uint64_t lsn, struct slice front, const struct slice *payloads,
    size_t n, struct err *err);
bool wal_failed(const struct wal *wal);
/* Only while wal_define_f is called. */
bool wal_define(struct wal *wal, struct slice payload, struct err *err);
/* Begins a new file with the next append, so that older ones can go. */
bool wal_rotate(struct wal *wal, struct err *err);
/* Removes the files whose frames are all <= lsn. */
bool wal_forget(struct wal *wal, uint64_t lsn, struct err *err);

uint64_t wal_last_lsn(const struct wal *wal);
uint64_t wal_syncs(const struct wal *wal);

/* Reads one file that lies anywhere, which need not be part of a log: as it was shipped. Groups
 * come as the transactions that they hold. A file that ends in anything but whole frames and zeros
 * was damaged, unless its last frame may be torn: in the last file of a log that was not closed. */
enum wal_tail { WAL_WHOLE, WAL_MAY_BE_TORN };
bool wal_read_file(const char *path, enum wal_tail tail, frame_f *each, void *ctx, struct err *err);

/* The transactions of a group, one after the other; they have no fronts. raw is for what is
 * unpacked. */
bool wal_group_each(
    const struct frame *group, struct buf *raw, frame_f *each, void *ctx, struct err *err);

#endif
