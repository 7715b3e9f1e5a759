/*
 * Frames: how the WAL, checkpoints and the manifest put records into a file. See
 * docs/format/wal.md.
 *
 *     file   := header | frame*            | zeros (WAL only)
 *     header := magic 4 | version u16 | reserved u16 | first lsn u64 | crc32c u32
 *     frame  := length u32 | crc32c u32 | lsn u64 | type u8 | flags u8 | reserved u16 | raw length
 * u32 | payload
 *
 * The CRC covers the whole frame but itself. A frame is valid when its length fits and the CRC
 * holds.
 */
#ifndef STORE_FRAME_H
#define STORE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define FRAME_PAYLOAD_MAX (256u << 20)
#define FRAME_FILE_HEADER 20

enum frame_type {
    FRAME_TRANSACTION = 1,
    FRAME_CHECKPOINT = 2,     /* a part of a checkpoint */
    FRAME_CHECKPOINT_END = 3, /* its last part */
    FRAME_EDIT = 4,           /* of the manifest */
};

struct frame {
    uint64_t lsn;
    enum frame_type type;
    size_t at; /* byte of the file */
};

/* Called for each frame in order; payload is borrowed for the call. */
typedef bool frame_f(void *ctx, const struct frame *frame, struct slice payload, struct err *err);

void frame_header(struct buf *out, const char magic[4], uint16_t version, uint64_t first_lsn);
/* Appends one frame; the payload is LZ4-compressed when that saves an eighth. payload.len is at
 * most FRAME_PAYLOAD_MAX and not 0. */
void frame_encode(struct buf *out, uint64_t lsn, enum frame_type type, struct slice payload);

struct frame_scan {
    const char *path;  /* for errors */
    const char *magic; /* 4 bytes */
    uint16_t version;
    frame_f *each;
    void *ctx;
};

/* Checks the header alone. */
bool frame_file_first(
    struct slice file, const struct frame_scan *scan, uint64_t *first_lsn, struct err *err);

/*
 * Checks the header and gives the frames. *end is where the valid frames end; what stands behind
 * them is the caller's to judge (zeros, a torn frame). ERR_CORRUPT: a bad header, a payload that
 * does not unpack, or an invalid frame with a valid later one behind it: what was written was
 * damaged.
 */
bool frames_scan(struct slice file, const struct frame_scan *scan, size_t *end, struct err *err);

#endif
