#include "store/frame.h"

#include <inttypes.h>
#include <lz4.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/ensure.h"
#include "store/files.h"

#define FLAG_LZ4 1
/* Of a long payload, so many bytes say whether packing pays. */
#define SAMPLE_BYTES 4096

void frame_header(struct buf *out, const char magic[4], uint16_t version, uint64_t first_lsn)
{
    size_t start = out->len;
    buf_add(out, magic, 4);
    buf_le16(out, version);
    buf_le16(out, 0);
    buf_le64(out, first_lsn);
    buf_le32(out, crc32c(0, out->ptr + start, 16));
}

/* Whether packing is worth a try: a long payload is judged by a piece from its middle. */
static bool may_pack(struct slice payload)
{
    char out[LZ4_COMPRESSBOUND(SAMPLE_BYTES)];
    if (payload.len < 4 * SAMPLE_BYTES)
        return true;
    const char *middle = payload.ptr + payload.len / 2 - SAMPLE_BYTES / 2;
    int n = LZ4_compress_default(middle, out, SAMPLE_BYTES, sizeof out);
    return n > 0 && n <= SAMPLE_BYTES - SAMPLE_BYTES / 8;
}

void frame_encode(
    struct buf *out, uint64_t lsn, enum frame_type type, struct slice front, struct slice payload)
{
    ensure(payload.len > 0 && payload.len <= FRAME_PAYLOAD_MAX && front.len <= FRAME_FRONT_MAX);
    bool try = may_pack(payload);
    int bound = LZ4_compressBound((int)payload.len);
    size_t room = try && (size_t)bound > payload.len ? (size_t)bound : payload.len;
    char *p = buf_reserve(out, FRAME_HEADER + front.len + room);
    ensure(p != NULL);
    char *body = p + FRAME_HEADER + front.len;
    int packed = try ? LZ4_compress_default(payload.ptr, body, (int)payload.len, bound) : 0;
    bool lz4 = packed > 0 && (size_t)packed <= payload.len - payload.len / 8 &&
               (size_t)packed < payload.len;
    size_t len = lz4 ? (size_t)packed : payload.len;
    if (!lz4)
        memcpy(body, payload.ptr, len);
    if (front.len)
        memcpy(p + FRAME_HEADER, front.ptr, front.len);
    le32_put(p, (uint32_t)(front.len + len));
    le64_put(p + 8, lsn);
    p[16] = (char)type;
    p[17] = lz4 ? FLAG_LZ4 : 0;
    le16_put(p + 18, (uint16_t)front.len);
    le32_put(p + 20, (uint32_t)payload.len);
    uint32_t crc = crc32c(0, p, 4);
    le32_put(p + 4, crc32c(crc, p + 8, FRAME_HEADER - 8 + front.len + len));
    out->len += FRAME_HEADER + front.len + len;
}

static bool parse(const uint8_t *p, size_t left, struct frame *out)
{
    if (left < FRAME_HEADER)
        return false;
    uint32_t len = le32_get(p), front = le16_get(p + 18), raw = le32_get(p + 20);
    if (len <= front || len > left - FRAME_HEADER || raw > FRAME_PAYLOAD_MAX ||
        front > FRAME_FRONT_MAX || len - front > FRAME_PAYLOAD_MAX)
        return false;
    uint32_t crc = crc32c(0, p, 4);
    if (crc32c(crc, p + 8, FRAME_HEADER - 8 + len) != le32_get(p + 4))
        return false;
    *out = (struct frame){.lsn = le64_get(p + 8),
        .type = (enum frame_type)p[16],
        .front = slice_of(p + FRAME_HEADER, front),
        .body = slice_of(p + FRAME_HEADER + front, len - front),
        .flags = p[17],
        .raw_len = raw};
    return true;
}

bool frame_payload(
    const struct frame *frame, struct buf *raw, struct slice *payload, struct err *err)
{
    *payload = frame->body;
    if (frame->flags == 0 && frame->raw_len == frame->body.len)
        return true;
    buf_clear(raw);
    char *p = frame->flags == FLAG_LZ4 ? buf_reserve(raw, frame->raw_len) : NULL;
    int n =
        p ? LZ4_decompress_safe(frame->body.ptr, p, (int)frame->body.len, (int)frame->raw_len) : -1;
    *payload = slice_of(p, frame->raw_len);
    return (n >= 0 && (uint32_t)n == frame->raw_len) ||
           err_set(err, ERR_CORRUPT, "the body does not unpack");
}

bool frame_file_first(
    struct slice file, const struct frame_scan *scan, uint64_t *first_lsn, struct err *err)
{
    const char *p = file.ptr;
    if (file.len < FRAME_FILE_HEADER || memcmp(p, scan->magic, 4) != 0)
        return err_set(err, ERR_CORRUPT, "%s: no %s header at byte 0", scan->path, scan->magic);
    if (le32_get(p + 16) != crc32c(0, p, 16))
        return err_set(err, ERR_CORRUPT,
            "%s: the checksum at byte 16, of the header, does not match", scan->path);
    unsigned version = le16_get(p + 4);
    if (version == 0 || version > scan->version)
        return err_set(err, ERR_CORRUPT, "%s has version %u, this program reads up to version %u",
            scan->path, version, scan->version);
    *first_lsn = le64_get(p + 8);
    return true;
}

/* Whether a valid frame with a later LSN stands anywhere behind `at`. */
static bool later_frame(struct slice file, size_t at, uint64_t last_lsn)
{
    const uint8_t *p = (const uint8_t *)file.ptr;
    struct frame f;
    for (size_t i = at + 1; i + FRAME_HEADER <= file.len; i++) {
        uint64_t lsn = le64_get(p + i + 8);
        if (lsn > last_lsn && lsn - last_lsn < 1u << 20 && le32_get(p + i) != 0 &&
            parse(p + i, file.len - i, &f))
            return true;
    }
    return false;
}

bool frames_scan(struct slice file, const struct frame_scan *scan, size_t *end, struct err *err)
{
    uint64_t first;
    if (!frame_file_first(file, scan, &first, err))
        return false;
    size_t at = FRAME_FILE_HEADER;
    uint64_t last = first ? first - 1 : 0;
    struct frame f;
    bool ok = true;
    while (ok && parse((const uint8_t *)file.ptr + at, file.len - at, &f)) {
        f.at = at;
        ok = scan->each(scan->ctx, &f, err) ||
             err_wrap(err, "%s: frame at byte %zu, lsn %" PRIu64, scan->path, at, f.lsn);
        last = f.lsn;
        at += FRAME_HEADER + f.front.len + f.body.len;
    }
    if (ok && later_frame(file, at, last))
        ok = err_set(err, ERR_CORRUPT,
            "%s: damaged frame at byte %zu with valid ones behind it: the file was damaged after "
            "it was written",
            scan->path, at);
    *end = at;
    return ok;
}

bool frames_read(const struct frame_scan *scan, uint64_t bytes, struct err *err)
{
    struct buf content;
    size_t end = 0;
    buf_init(&content, 0);
    bool ok = file_read(scan->path, SIZE_MAX / 2, &content, err);
    if (bytes == FRAMES_ALL)
        bytes = content.len;
    if (ok && content.len < bytes)
        ok = err_set(err, ERR_CORRUPT,
            "%s ends at byte %zu, and the manifest names %" PRIu64 " bytes of it", scan->path,
            content.len, bytes);
    ok = ok && frames_scan(slice_of(content.ptr, (size_t)bytes), scan, &end, err);
    if (ok && end != bytes)
        ok = err_set(err, ERR_CORRUPT, "%s: damaged frame at byte %zu", scan->path, end);
    buf_fini(&content);
    return ok;
}
