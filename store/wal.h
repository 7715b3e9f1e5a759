/*
 * The write-ahead log: numbered files of frames, appended and synced, never changed. See
 * docs/format/wal.md.
 *
 *     wal/00000001.wal := header | frame* | zeros
 *     header := "LWAL" | version u16 | reserved u16 | first lsn u64 | crc32c u32
 *     frame  := length u32 | crc32c u32 | lsn u64 | type u8 | flags u8 | reserved u16 | raw length
 * u32 | payload
 *
 * Files are allocated ahead, so that a full disk shows before a byte is written, and the zeros end
 * the log. A frame is valid when its length fits, its CRC holds and its LSN is the one expected. An
 * invalid last frame is torn: it was never acknowledged; it is cut off. An invalid frame with a
 * valid later one is corruption and stops the start.
 *
 * One thread appends.
 */
#ifndef STORE_WAL_H
#define STORE_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "store/frame.h"

struct wal;

/* Replays the files of dir/wal in order and opens the log for appending after the last valid frame.
 * Frames up to after_lsn are checked, and not given. torn: how many frames were cut off (0 or 1).
 */
bool wal_open(const char *dir, uint64_t after_lsn, frame_f *each, void *ctx, struct wal **out,
    unsigned *torn, struct err *err);
void wal_close(struct wal **wal);

/* Appends one frame and syncs it. lsn is the last one's plus 1. On failure nothing was added, and
 * it may be tried again, except after a failed sync: then wal_failed is true for ever. */
bool wal_append(struct wal *wal, uint64_t lsn, struct slice payload, struct err *err);
bool wal_failed(const struct wal *wal);
/* Begins a new file with the next append, so that older ones can go. */
bool wal_rotate(struct wal *wal, struct err *err);
/* Removes the files whose frames are all <= lsn. */
bool wal_forget(struct wal *wal, uint64_t lsn, struct err *err);

/* Bytes of the file that is being written. */
uint64_t wal_file_bytes(const struct wal *wal);
uint64_t wal_last_lsn(const struct wal *wal);
/* Bytes of all files' frames. */
uint64_t wal_bytes(const struct wal *wal);
uint64_t wal_syncs(const struct wal *wal);

#endif
