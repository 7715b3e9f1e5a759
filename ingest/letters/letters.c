#include "ingest/letters/letters.h"

#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "base/mem.h"
#include "ingest/letters/letter_headers.h"

struct letters {
    const struct streams *streams;
    struct outbox **outboxes; /* by stream; NULL: it sends none */
    struct letter_header headers[LETTER_HEADERS_MAX + 1];
};

/* ---- life ---- */

struct letters *letters_new(struct store *store, const struct streams *streams)
{
    bool any = false;
    for (size_t i = 0; i < streams->n_streams; i++)
        any |= streams->streams[i].dead_letters.len > 0;
    if (!any)
        return NULL;
    struct letters *l = xcalloc(1, sizeof *l);
    l->streams = streams;
    l->outboxes = xcalloc(streams->n_streams, sizeof(void *));
    for (size_t i = 0; i < streams->n_streams; i++) {
        const struct stream *s = &streams->streams[i];
        if (s->dead_letters.len)
            l->outboxes[i] = outbox_new(store, s->name, s->outbox_bytes);
    }
    return l;
}

void letters_free(struct letters **letters)
{
    struct letters *l = *letters;
    *letters = NULL;
    if (!l)
        return;
    for (size_t i = 0; i < l->streams->n_streams; i++)
        outbox_free(&l->outboxes[i]);
    free(l->outboxes);
    free(l);
}

struct outbox *letters_outbox(const struct letters *letters, size_t stream)
{
    return letters ? letters->outboxes[stream] : NULL;
}

/* ---- records sent anew ---- */

struct slice record_origin(const struct kafka_record *record)
{
    struct slice none = {NULL, 0};
    if (!record->partition->retried || !record->message)
        return none;
    struct slice origin = letter_header(record->message, ANEW_FIRST, LETTER_ORIGIN);
    return origin.len && origin.len < LETTER_PLACE_MAX ? origin : none;
}

int64_t record_timestamp_ms(const struct kafka_record *record)
{
    int64_t ms;
    if (record->partition->retried && record->message &&
        letter_time_parse(letter_header(record->message, ANEW_FIRST, LETTER_TIMESTAMP), &ms))
        return ms;
    return record->timestamp_ms;
}

/* ---- letters ---- */

/* One more than a letter may have, so that it is seen that they are too many. Of a record that was
 * sent anew those that the last letter had added are left out. */
static size_t take_headers(struct letters *l, const rd_kafka_message_t *message, bool retried)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size, n = 0, most = retried ? letter_headers_own(message, ANEW_FIRST) : SIZE_MAX;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    for (; n <= LETTER_HEADERS_MAX && n < most &&
           rd_kafka_header_get_all(headers, n, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
         n++)
        l->headers[n] = (struct letter_header){slice_from(name), slice_of(value, value ? size : 0)};
    return n;
}

static void fill(struct letters *l, const struct kafka_record *r, struct letter *out)
{
    struct slice origin = record_origin(r);
    *out = (struct letter){.partition = slice_from(r->partition->name),
        .offset = r->offset,
        .origin = origin.ptr ? origin : SLICE(""),
        .timestamp_ms = record_timestamp_ms(r),
        .value = r->value,
        .value_bytes = r->value.len,
        .value_crc = crc32c(0, r->value.ptr, r->value.len),
        .headers = l->headers};
    if (!r->message)
        return;
    const rd_kafka_message_t *m = r->message;
    out->key = slice_of(m->key, m->key ? m->key_len : 0);
    out->key_bytes = out->key.len;
    out->n_headers = take_headers(l, m, r->partition->retried);
}

static uint64_t pending(const struct letters *l)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < l->streams->n_streams; i++)
        sum += l->outboxes[i] ? outbox_pending(l->outboxes[i]) : 0;
    return sum;
}

enum letter_room letters_take(
    struct letters *letters, const struct kafka_record *record, const struct refusal_case *refused)
{
    char cause[LETTER_CAUSE_MAX];
    size_t number = record->partition->stream;
    struct letter letter;
    if (!letters || !letters->outboxes[number])
        return LETTER_TAKEN;
    if (pending(letters) >= LETTERS_BATCH_MAX)
        return LETTER_BATCH_FULL;
    const struct stream *stream = &letters->streams->streams[number];
    fill(letters, record, &letter);
    letter.reason = refused->reason;
    letter.cause = slice_from(refusal_cause(stream, refused, cause, sizeof cause));
    return outbox_add(letters->outboxes[number], &letter) ? LETTER_TAKEN : LETTER_OUTBOX_FULL;
}

bool letters_write(struct letters *letters, struct txn *txn, struct err *err)
{
    for (size_t i = 0; letters && i < letters->streams->n_streams; i++)
        if (letters->outboxes[i] && !outbox_write(letters->outboxes[i], txn, err))
            return false;
    return true;
}

void letters_clear(struct letters *letters)
{
    for (size_t i = 0; letters && i < letters->streams->n_streams; i++)
        if (letters->outboxes[i])
            outbox_clear(letters->outboxes[i]);
}

bool letters_due(const struct letters *letters)
{
    return letters && pending(letters) >= LETTERS_BATCH_DUE;
}

bool letters_have_room(const struct letters *letters, size_t stream)
{
    return !letters || !letters->outboxes[stream] ||
           (outbox_has_room(letters->outboxes[stream]) && pending(letters) == 0);
}
