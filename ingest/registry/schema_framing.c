#include "ingest/registry/schema_framing.h"

#include <stdio.h>
#include <string.h>

#include <zlib.h>

#define MAGIC_NUMBER 0 /* Confluent's: an id of four bytes follows */
#define MAGIC_GUID   1 /* in a header alone */
#define MAGIC_GLUE   3
#define GLUE_PLAIN   0
#define GLUE_ZLIB    5

uint32_t schema_ref_number(const struct schema_ref *ref)
{
    const uint8_t *b = ref->bytes;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

bool schema_ref_eq(const struct schema_ref *a, const struct schema_ref *b)
{
    return a->is_number == b->is_number && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

const char *schema_ref_text(const struct schema_ref *ref, char out[SCHEMA_REF_TEXT])
{
    char *p = out;
    if (ref->is_number) {
        snprintf(out, SCHEMA_REF_TEXT, "%u", schema_ref_number(ref));
        return out;
    }
    for (size_t i = 0; i < sizeof ref->bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        p += snprintf(p, 3, "%02x", ref->bytes[i]);
    }
    return out;
}

static bool take_ref(struct slice from, size_t at, size_t bytes, struct schema_ref *ref)
{
    if (from.len < at + bytes)
        return false;
    *ref = (struct schema_ref){.is_number = bytes == 4};
    memcpy(ref->bytes, from.ptr + at, bytes);
    return true;
}

static enum refusal open_confluent(
    struct slice value, struct slice header, struct schema_ref *ref, struct slice *message)
{
    bool apart = header.ptr != NULL;
    struct slice from = apart ? header : value;
    uint8_t magic = from.len ? (uint8_t)from.ptr[0] : UINT8_MAX;
    size_t bytes = magic == MAGIC_NUMBER ? 4 : 16;
    if (magic != MAGIC_NUMBER && !(magic == MAGIC_GUID && apart))
        return REFUSED_MALFORMED;
    if (!take_ref(from, 1, bytes, ref) || (apart && from.len != 1 + bytes))
        return REFUSED_MALFORMED;
    *message = apart ? value : slice_of(value.ptr + 5, value.len - 5);
    return REFUSED_NOT;
}

/* Inflates no more than is allowed, whatever the message says. */
static bool inflate_all(
    struct slice from, struct buf *room, struct arena *scratch, struct slice *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from.ptr, .avail_in = (uInt)from.len};
    buf_clear(room);
    char *to = buf_reserve(room, EVENT_BYTES_MAX);
    if (!to || inflateInit(&z) != Z_OK)
        return false;
    z.next_out = (Bytef *)to;
    z.avail_out = EVENT_BYTES_MAX;
    bool whole = inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_in == 0;
    inflateEnd(&z);
    *out = arena_slice(scratch, slice_of(to, EVENT_BYTES_MAX - z.avail_out));
    return whole && out->ptr;
}

static enum refusal open_glue(struct slice value, struct buf *room, struct arena *scratch,
    struct schema_ref *ref, struct slice *message)
{
    if (value.len < 18 || value.ptr[0] != MAGIC_GLUE || value.len > EVENT_BYTES_MAX)
        return REFUSED_MALFORMED;
    take_ref(value, 2, 16, ref);
    *message = slice_of(value.ptr + 18, value.len - 18);
    if (value.ptr[1] == GLUE_PLAIN)
        return REFUSED_NOT;
    return value.ptr[1] == GLUE_ZLIB && inflate_all(*message, room, scratch, message)
               ? REFUSED_NOT
               : REFUSED_MALFORMED;
}

enum refusal framing_open(enum framing framing, struct slice value, struct slice header,
    struct buf *room, struct arena *scratch, struct schema_ref *ref, struct slice *message)
{
    if (framing == FRAMING_GLUE)
        return open_glue(value, room, scratch, ref, message);
    return open_confluent(value, header, ref, message);
}
