/*
 * Framings on any bytes. The first byte says which, and whether a header of the second byte's
 * length comes first; or that the bytes are to be compressed and framed here, then they must come
 * back. What is inflated must be what inflating it piece by piece gives.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/ensure.h"
#include "ingest/registry/schema_framing.h"

#define GLUE_HEADER 18

static struct buf room;
static struct arena scratch;
static char expected[EVENT_BYTES_MAX];

/* Inflates into `out`; the length, or -1: it is no whole stream, or of more than EVENT_BYTES_MAX
 * bytes. */
static long inflate_slowly(struct slice from, char *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from.ptr, .avail_in = (uInt)from.len};
    long len = 0;
    int code;
    ensure(inflateInit(&z) == Z_OK);
    do {
        Bytef piece[4091];
        z.next_out = piece;
        z.avail_out = sizeof piece;
        code = inflate(&z, Z_NO_FLUSH);
        long n = (long)(sizeof piece - z.avail_out);
        if (len + n > EVENT_BYTES_MAX)
            code = Z_MEM_ERROR;
        else if (n)
            memcpy(out + len, piece, (size_t)n);
        len += n;
    } while (code == Z_OK);
    bool whole = code == Z_STREAM_END && z.avail_in == 0;
    inflateEnd(&z);
    return whole ? len : -1;
}

static void check_inflated(struct slice value, enum refusal refusal, struct slice message)
{
    long len = inflate_slowly(slice_of(value.ptr + GLUE_HEADER, value.len - GLUE_HEADER), expected);
    ensure((refusal == REFUSED_NOT) == (len >= 0));
    if (refusal == REFUSED_NOT)
        ensure(slice_eq(message, slice_of(expected, (size_t)len)));
}

static void open_any(enum framing framing, struct slice value, struct slice header)
{
    struct schema_ref ref;
    struct slice message;
    char text[SCHEMA_REF_TEXT];
    arena_reset(&scratch);
    enum refusal refusal = framing_open(framing, value, header, &room, &scratch, &ref, &message);
    ensure(refusal == REFUSED_NOT || refusal == REFUSED_MALFORMED);
    if (framing == FRAMING_GLUE && value.len >= GLUE_HEADER && value.len <= EVENT_BYTES_MAX &&
        value.ptr[0] == 3 && value.ptr[1] == 5) {
        check_inflated(value, refusal, message);
    } else if (refusal == REFUSED_NOT) {
        ensure(message.ptr >= value.ptr);
        ensure(message.ptr + message.len == value.ptr + value.len);
    }
    if (refusal == REFUSED_NOT)
        ensure(strlen(schema_ref_text(&ref, text)) < SCHEMA_REF_TEXT);
}

static void there_and_back(struct slice bytes, int level)
{
    uLongf len = compressBound(bytes.len);
    struct schema_ref ref;
    struct slice message;
    char *value = malloc(GLUE_HEADER + len);
    ensure(value);
    memcpy(value, "\x03\x05 0123456789abcde", GLUE_HEADER);
    ensure(compress2((Bytef *)value + GLUE_HEADER, &len, (const Bytef *)bytes.ptr, bytes.len,
               level) == Z_OK);
    arena_reset(&scratch);
    ensure(framing_open(FRAMING_GLUE, slice_of(value, GLUE_HEADER + len), (struct slice){NULL, 0},
               &room, &scratch, &ref, &message) == REFUSED_NOT);
    ensure(slice_eq(message, bytes));
    ensure(memcmp(ref.bytes, value + 2, 16) == 0 && !ref.is_number);
    free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice header = {NULL, 0};
    if (size < 2)
        return 0;
    if (!room.limit) {
        buf_init(&room, EVENT_BYTES_MAX);
        arena_init(&scratch, 2 * EVENT_BYTES_MAX);
    }
    struct slice rest = slice_of(data + 2, size - 2);
    if (data[0] & 4) {
        there_and_back(rest, data[1] % 10);
        return 0;
    }
    if ((data[0] & 2) && data[1] <= rest.len) {
        header = slice_of(rest.ptr, data[1]);
        rest = slice_of(rest.ptr + header.len, rest.len - header.len);
    }
    open_any(data[0] & 1 ? FRAMING_GLUE : FRAMING_CONFLUENT, rest, header);
    return 0;
}
