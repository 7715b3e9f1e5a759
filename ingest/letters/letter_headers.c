#include "ingest/letters/letter_headers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <librdkafka/rdkafka.h>

#include "base/ensure.h"
#include "base/version.h"

#define TIME_DIGITS_MAX 20

/* ---- reading ---- */

static bool header_at(
    const rd_kafka_message_t *message, size_t i, const char **name, struct slice *value)
{
    rd_kafka_headers_t *headers;
    const void *ptr;
    size_t size;
    if (rd_kafka_message_headers(message, &headers) ||
        rd_kafka_header_get_all(headers, i, name, &ptr, &size))
        return false;
    *value = slice_of(ptr, ptr ? size : 0);
    return true;
}

size_t letter_headers_own(const struct rd_kafka_message_s *message, const char *first)
{
    struct slice value;
    const char *name;
    size_t n = 0, own = SIZE_MAX;
    for (; header_at(message, n, &name, &value); n++)
        if (strcmp(name, first) == 0)
            own = n;
    return own < n ? own : n;
}

struct slice letter_header(
    const struct rd_kafka_message_s *message, const char *first, const char *name)
{
    struct slice value;
    const char *is;
    for (size_t i = letter_headers_own(message, first); header_at(message, i, &is, &value); i++)
        if (strcmp(is, name) == 0)
            return value;
    return (struct slice){NULL, 0};
}

bool letter_time_parse(struct slice text, int64_t *ms)
{
    char copy[TIME_DIGITS_MAX + 1], *end;
    if (text.len == 0 || text.len > TIME_DIGITS_MAX)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    long long value = strtoll(copy, &end, 10);
    *ms = value;
    return *end == 0 && value > INT64_MIN / 2 && value < INT64_MAX / 2;
}

/* ---- making ---- */

static void add(rd_kafka_headers_t *headers, const char *name, struct slice value)
{
    ensure(rd_kafka_header_add(headers, name, -1, value.ptr, (ssize_t)value.len) ==
           RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void add_number(rd_kafka_headers_t *headers, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    add(headers, name, slice_from(text));
}

static void add_cut(rd_kafka_headers_t *headers, const struct letter *letter)
{
    static const char *const names[] = {"key", "headers", "value"};
    char text[32] = "", crc[9];
    size_t at = 0;
    if (!letter->cut)
        return;
    for (unsigned i = 0; i < 3; i++)
        if (letter->cut >> i & 1)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", at ? "," : "", names[i]);
    add(headers, LETTER_CUT, slice_of(text, at));
    add_number(headers, LETTER_KEY_LEN, (int64_t)letter->key_bytes);
    add_number(headers, LETTER_VALUE_LEN, (int64_t)letter->value_bytes);
    snprintf(crc, sizeof crc, "%08" PRIx32, letter->value_crc);
    add(headers, LETTER_VALUE_CRC, slice_from(crc));
}

rd_kafka_headers_t *letter_headers(
    const struct letter *letter, struct slice stream, const char *instance)
{
    char place[LETTER_PLACE_MAX];
    rd_kafka_headers_t *headers = rd_kafka_headers_new(letter->n_headers + 12);
    for (size_t i = 0; i < letter->n_headers; i++) {
        const struct letter_header *h = &letter->headers[i];
        ensure(rd_kafka_header_add(headers, h->name.ptr, (ssize_t)h->name.len, h->value.ptr,
                   (ssize_t)h->value.len) == RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    struct slice here = slice_from(letter_place(letter, place));
    add(headers, LETTER_STREAM, stream);
    add(headers, LETTER_REASON, slice_from(refusal_name(letter->reason)));
    add(headers, LETTER_CAUSE, letter->cause);
    add(headers, LETTER_ORIGIN, letter->origin.len ? letter->origin : here);
    if (letter->origin.len)
        add(headers, LETTER_RETRY, here);
    if (letter->timestamp_ms != INT64_MIN)
        add_number(headers, LETTER_TIMESTAMP, letter->timestamp_ms);
    add(headers, LETTER_INSTANCE, slice_from(instance));
    add(headers, LETTER_VERSION, slice_from(LARDER_VERSION));
    add_cut(headers, letter);
    return headers;
}
