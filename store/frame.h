/*
 * Frames: how the WAL, checkpoints, the catalogue file and the manifest put records into a file.
 * See docs/format/wal.md.
 *
 *     file   := header | frame*            | zeros (WAL only)
 *     header := magic 4 | version u16 | reserved u16 | first lsn u64 | crc32c u32
 *     frame  := length u32 | crc32c u32 | lsn u64 | type u8 | flags u8 | front length u16 |
 *               raw length u32 | front | body
 *
 * The body is the payload, packed with LZ4 when that pays. The front is never packed: a few bytes
 * that can be read without unpacking anything. The CRC covers the whole frame but itself. A frame
 * is valid when its lengths fit and the CRC holds.
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
#define FRAME_FRONT_MAX   1024
#define FRAME_FILE_HEADER 20
#define FRAME_HEADER      24 /* of a frame, before its front */

enum frame_type {
    FRAME_TRANSACTION = 1,
    FRAME_CHECKPOINT = 2,     /* a part of a checkpoint */
    FRAME_CHECKPOINT_END = 3, /* its last part */
    FRAME_EDIT = 4,           /* of the manifest */
    FRAME_DEFINITIONS = 5,    /* what the transactions of a file of the log refer to */
    FRAME_CATALOG = 6,        /* a part of the catalogue file */
    FRAME_GROUP = 7,          /* several transactions that were synced together */
};

struct frame {
    uint64_t lsn;
    enum frame_type type;
    size_t at; /* byte of the file */
    struct slice front;
    /* Packed or not: see frame_payload. */
    struct slice body;
    unsigned flags;
    uint32_t raw_len;
};

/* Called for each frame in order; what it points to is borrowed for the call. */
typedef bool frame_f(void *ctx, const struct frame *frame, struct err *err);

/* The payload: the body, or what it unpacks to, in raw. ERR_CORRUPT when it does not. */
bool frame_payload(
    const struct frame *frame, struct buf *raw, struct slice *payload, struct err *err);

void frame_header(struct buf *out, const char magic[4], uint16_t version, uint64_t first_lsn);
/* Appends one frame; the payload is LZ4-compressed when that saves an eighth. payload.len is at
 * most FRAME_PAYLOAD_MAX and not 0, front.len at most FRAME_FRONT_MAX. */
void frame_encode(
    struct buf *out, uint64_t lsn, enum frame_type type, struct slice front, struct slice payload);

struct frame_scan {
    const char *path;  /* for errors */
    const char *magic; /* 4 bytes */
    uint16_t version;  /* the newest that the caller reads; 1 is the oldest */
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

/* Reads the file at scan->path, of which so many bytes count (FRAMES_ALL: all of them), and whose
 * frames must fill them. ERR_CORRUPT also where the file or its frames end before. */
#define FRAMES_ALL UINT64_MAX
bool frames_read(const struct frame_scan *scan, uint64_t bytes, struct err *err);

#endif
