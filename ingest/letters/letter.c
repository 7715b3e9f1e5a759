#include "ingest/letters/letter.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/ensure.h"

#define VERSION 1
/* What a small letter keeps of each. Together with its other headers it fits any topic that takes
 * messages of the usual size. */
#define SMALL_BYTES (64u << 10)

/* ---- cutting ---- */

static void cut_text(struct letter *letter, struct slice *text, size_t most, unsigned what)
{
    if (text->len <= most)
        return;
    text->len = most;
    letter->cut |= what;
}

/* The first ones stay. */
static void cut_headers(struct letter *letter, size_t bytes, size_t most)
{
    size_t n = 0, sum = 0;
    for (; n < letter->n_headers && n < most; n++) {
        sum += letter->headers[n].name.len + letter->headers[n].value.len;
        if (sum > bytes)
            break;
    }
    if (n < letter->n_headers)
        letter->cut |= LETTER_CUT_HEADERS;
    letter->n_headers = n;
}

void letter_cut(struct letter *letter, enum letter_cut cut)
{
    size_t most = cut == LETTER_WHOLE ? SIZE_MAX : cut == LETTER_SMALL ? SMALL_BYTES : 0;
    cut_text(letter, &letter->key, most, LETTER_CUT_KEY);
    cut_text(letter, &letter->value, most, LETTER_CUT_VALUE);
    cut_headers(letter, most, LETTER_HEADERS_MAX);
}

/* ---- bytes ---- */

static void put_text(struct buf *out, struct slice text)
{
    buf_u8(out, text.ptr != NULL);
    if (text.ptr)
        buf_lstr(out, text);
}

/* No more than it takes. */
static size_t bytes_of(const struct letter *letter)
{
    size_t n = 128 + letter->partition.len + letter->origin.len + letter->cause.len +
               letter->key.len + letter->value.len;
    for (size_t i = 0; i < letter->n_headers; i++)
        n += 16 + letter->headers[i].name.len + letter->headers[i].value.len;
    return n;
}

void letter_encode(const struct letter *letter, struct buf *out)
{
    struct letter l = *letter;
    letter_cut(&l, LETTER_WHOLE);
    if (bytes_of(&l) > LETTER_BYTES_MAX)
        letter_cut(&l, LETTER_SMALL);
    buf_u8(out, VERSION);
    buf_u8(out, (uint8_t)l.reason);
    buf_u8(out, (uint8_t)l.cut);
    buf_lstr(out, l.partition);
    buf_svarint(out, l.offset);
    buf_lstr(out, l.origin);
    buf_svarint(out, l.timestamp_ms);
    buf_lstr(out, l.cause);
    buf_varint(out, l.key_bytes);
    buf_varint(out, l.value_bytes);
    buf_le32(out, l.value_crc);
    put_text(out, l.key);
    buf_varint(out, l.n_headers);
    for (size_t i = 0; i < l.n_headers; i++) {
        buf_lstr(out, l.headers[i].name);
        put_text(out, l.headers[i].value);
    }
    put_text(out, l.value);
}

static struct slice get_text(struct reader *r)
{
    return read_u8(r) ? read_lstr(r) : (struct slice){NULL, 0};
}

static void get_headers(struct reader *r, struct arena *arena, struct letter *out)
{
    uint64_t n = read_varint(r);
    if (n > LETTER_HEADERS_MAX) {
        r->failed = true;
        return;
    }
    struct letter_header *headers = arena_array(arena, n + 1, sizeof *headers);
    ensure(headers);
    for (uint64_t i = 0; i < n; i++) {
        headers[i].name = read_lstr(r);
        headers[i].value = get_text(r);
    }
    out->headers = headers;
    out->n_headers = n;
}

bool letter_decode(struct slice bytes, struct arena *arena, struct letter *out, struct err *err)
{
    struct reader r = reader_of(bytes);
    *out = (struct letter){0};
    uint8_t version = read_u8(&r), reason = read_u8(&r);
    if (version != VERSION)
        return err_set(err, ERR_CORRUPT, "a letter of version %u", version);
    out->reason = (enum refusal)reason;
    out->cut = read_u8(&r);
    out->partition = read_lstr(&r);
    out->offset = read_svarint(&r);
    out->origin = read_lstr(&r);
    out->timestamp_ms = read_svarint(&r);
    out->cause = read_lstr(&r);
    out->key_bytes = read_varint(&r);
    out->value_bytes = read_varint(&r);
    out->value_crc = read_le32(&r);
    out->key = get_text(&r);
    get_headers(&r, arena, out);
    out->value = get_text(&r);
    if (r.failed || reader_left(&r) || reason == REFUSED_NOT || reason >= REFUSALS ||
        out->partition.len + 24 > LETTER_PLACE_MAX)
        return err_set(err, ERR_CORRUPT, "a letter that does not read");
    return true;
}

/* ---- places ---- */

const char *letter_place(const struct letter *letter, char out[LETTER_PLACE_MAX])
{
    snprintf(out, LETTER_PLACE_MAX, "%.*s/%" PRId64, SLICE_FMT(letter->partition), letter->offset);
    return out;
}

struct hash128 letter_id(const struct letter *letter)
{
    char place[LETTER_PLACE_MAX];
    letter_place(letter, place);
    return hash128(place, strlen(place));
}

/* Takes the number behind the last slash off the text. */
static bool cut_number(struct slice *text, int64_t most, int64_t *out)
{
    size_t begin = text->len;
    int64_t value = 0;
    while (begin > 0 && text->ptr[begin - 1] != '/') {
        char c = text->ptr[--begin];
        if (c < '0' || c > '9')
            return false;
    }
    if (begin == 0 || begin == text->len)
        return false;
    for (size_t i = begin; i < text->len; i++) {
        int digit = text->ptr[i] - '0';
        if (value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    text->len = begin - 1;
    *out = value;
    return true;
}

bool letter_place_parse(struct slice text, struct letter_place *out)
{
    int64_t number;
    if (!cut_number(&text, INT64_MAX, &out->offset))
        return false;
    out->partition = text;
    if (!cut_number(&text, INT32_MAX, &number))
        return false;
    out->number = (int32_t)number;
    return text.len > 0;
}
