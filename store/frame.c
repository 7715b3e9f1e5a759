#include "store/frame.h"

#include <lz4.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/ensure.h"

#define FRAME    24
#define FLAG_LZ4 1

struct parsed {
    uint64_t lsn;
    int type, flags;
    uint32_t raw_len;
    struct slice body;
};

void frame_header(struct buf *out, const char magic[4], uint16_t version, uint64_t first_lsn)
{
    size_t start = out->len;
    buf_add(out, magic, 4);
    buf_le16(out, version);
    buf_le16(out, 0);
    buf_le64(out, first_lsn);
    buf_le32(out, crc32c(0, out->ptr + start, 16));
}

void frame_encode(struct buf *out, uint64_t lsn, enum frame_type type, struct slice payload)
{
    ensure(payload.len > 0 && payload.len <= FRAME_PAYLOAD_MAX);
    int bound = LZ4_compressBound((int)payload.len);
    size_t room = (size_t)bound > payload.len ? (size_t)bound : payload.len;
    char *p = buf_reserve(out, FRAME + room);
    ensure(p != NULL);
    int packed = LZ4_compress_default(payload.ptr, p + FRAME, (int)payload.len, bound);
    bool lz4 = packed > 0 && (size_t)packed <= payload.len - payload.len / 8 &&
               (size_t)packed < payload.len;
    size_t len = lz4 ? (size_t)packed : payload.len;
    if (!lz4)
        memcpy(p + FRAME, payload.ptr, len);
    le32_put(p, (uint32_t)len);
    le64_put(p + 8, lsn);
    p[16] = (char)type;
    p[17] = lz4 ? FLAG_LZ4 : 0;
    le16_put(p + 18, 0);
    le32_put(p + 20, (uint32_t)payload.len);
    uint32_t crc = crc32c(0, p, 4);
    le32_put(p + 4, crc32c(crc, p + 8, FRAME - 8 + len));
    out->len += FRAME + len;
}

static bool parse(const uint8_t *p, size_t left, struct parsed *out)
{
    if (left < FRAME)
        return false;
    uint32_t len = le32_get(p);
    *out = (struct parsed){le64_get(p + 8), p[16], p[17], le32_get(p + 20), {NULL, 0}};
    if (len == 0 || len > left - FRAME || len > FRAME_PAYLOAD_MAX ||
        out->raw_len > FRAME_PAYLOAD_MAX)
        return false;
    uint32_t crc = crc32c(0, p, 4);
    if (crc32c(crc, p + 8, FRAME - 8 + len) != le32_get(p + 4))
        return false;
    out->body = slice_of(p + FRAME, len);
    return true;
}

static bool unpack(const struct parsed *f, struct buf *raw, struct slice *payload)
{
    if (f->flags == 0) {
        *payload = f->body;
        return f->raw_len == f->body.len;
    }
    buf_clear(raw);
    char *p = f->flags == FLAG_LZ4 ? buf_reserve(raw, f->raw_len) : NULL;
    if (!p)
        return false;
    int n = LZ4_decompress_safe(f->body.ptr, p, (int)f->body.len, (int)f->raw_len);
    *payload = slice_of(p, f->raw_len);
    return n >= 0 && (uint32_t)n == f->raw_len;
}

bool frame_file_first(
    struct slice file, const struct frame_scan *scan, uint64_t *first_lsn, struct err *err)
{
    const char *p = file.ptr;
    if (file.len < FRAME_FILE_HEADER || memcmp(p, scan->magic, 4) != 0)
        return err_set(err, ERR_CORRUPT, "%s: no %s header at byte 0", scan->path, scan->magic);
    if (le32_get(p + 16) != crc32c(0, p, 16))
        return err_set(err, ERR_CORRUPT, "%s: the header's checksum does not match", scan->path);
    if (le16_get(p + 4) != scan->version)
        return err_set(err, ERR_CORRUPT, "%s has version %u, this program reads version %u",
            scan->path, le16_get(p + 4), scan->version);
    *first_lsn = le64_get(p + 8);
    return true;
}

/* Whether a valid frame with a later LSN stands anywhere behind `at`. */
static bool later_frame(struct slice file, size_t at, uint64_t last_lsn)
{
    const uint8_t *p = (const uint8_t *)file.ptr;
    struct parsed f;
    for (size_t i = at + 1; i + FRAME <= file.len; i++) {
        uint64_t lsn = le64_get(p + i + 8);
        if (lsn > last_lsn && lsn - last_lsn < 1u << 20 && le32_get(p + i) != 0 &&
            parse(p + i, file.len - i, &f))
            return true;
    }
    return false;
}

static bool give(const struct frame_scan *scan, const struct parsed *f, size_t at, struct buf *raw,
    struct err *err)
{
    struct slice payload;
    struct frame frame = {f->lsn, (enum frame_type)f->type, at};
    if (!unpack(f, raw, &payload))
        return err_set(
            err, ERR_CORRUPT, "%s: the frame at byte %zu does not unpack", scan->path, at);
    if (!scan->each(scan->ctx, &frame, payload, err))
        return err_wrap(
            err, "%s: frame at byte %zu, lsn %llu", scan->path, at, (unsigned long long)f->lsn);
    return true;
}

bool frames_scan(struct slice file, const struct frame_scan *scan, size_t *end, struct err *err)
{
    uint64_t first;
    if (!frame_file_first(file, scan, &first, err))
        return false;
    size_t at = FRAME_FILE_HEADER;
    uint64_t last = first ? first - 1 : 0;
    struct parsed f;
    struct buf raw;
    buf_init(&raw, FRAME_PAYLOAD_MAX);
    bool ok = true;
    while (ok && parse((const uint8_t *)file.ptr + at, file.len - at, &f)) {
        ok = give(scan, &f, at, &raw, err);
        last = f.lsn;
        at += FRAME + f.body.len;
    }
    if (ok && later_frame(file, at, last))
        ok = err_set(err, ERR_CORRUPT,
            "%s: damaged frame at byte %zu with valid ones behind it: the file was damaged after "
            "it was "
            "written",
            scan->path, at);
    buf_fini(&raw);
    *end = at;
    return ok;
}
