#include "ingest/letters/letter_tail.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ingest/letters/kafka_client.h"
#include "ingest/letters/letter_headers.h"

#define METADATA_MS  3000
#define WATERMARK_MS 5000
#define POLL_MS      100
/* Without any message for so long it is tried again later: a transaction of somebody else that is
 * open holds back what lies behind it. */
#define SILENT_MS 20000

struct tail_end {
    int64_t from, end; /* to be read: from..end-1 */
    bool done;
};

/* ---- where it begins and ends ---- */

/* The end of everything, of open transactions too. */
static bool find_ends(
    const struct letter_tail *tail, struct tail_end **out, int *n, struct err *err)
{
    rd_kafka_t *all;
    if (!kafka_reader_new(tail->options, false, &all, err))
        return false;
    bool ok = kafka_topic_partitions(all, tail->topic, METADATA_MS, n, err);
    struct tail_end *ends = ok ? xcalloc((size_t)*n, sizeof *ends) : NULL;
    for (int i = 0; ok && i < *n; i++) {
        int64_t low;
        rd_kafka_resp_err_t rc =
            rd_kafka_query_watermark_offsets(all, tail->topic, i, &low, &ends[i].end, WATERMARK_MS);
        ends[i].from = tail->from(tail->ctx, i);
        if (rc)
            ok = err_set(err, ERR_UNAVAILABLE, "topic %s, partition %d: %s", tail->topic, i,
                rd_kafka_err2str(rc));
    }
    rd_kafka_destroy(all);
    *out = ends;
    return ok;
}

/* What was made anew, or cut, is read from its beginning. Returns how many are to be read. */
static int find_begins(struct tail_end *ends, int n)
{
    bool known = false;
    int left = 0;
    for (int i = 0; i < n; i++)
        known |= ends[i].from >= 0;
    for (int i = 0; i < n; i++) {
        if (ends[i].from < 0 || ends[i].from > ends[i].end)
            ends[i].from = known ? 0 : ends[i].end;
        ends[i].done = ends[i].from >= ends[i].end;
        left += !ends[i].done;
    }
    return left;
}

/* ---- reading ---- */

static struct slice header_of(const rd_kafka_message_t *message, const char *name)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return (struct slice){NULL, 0};
    return slice_of(value, size);
}

bool letter_message_id(
    const struct rd_kafka_message_s *message, const char *instance, struct hash128 *id)
{
    struct slice place = header_of(message, LETTER_RETRY);
    if (!place.ptr)
        place = header_of(message, LETTER_ORIGIN);
    if (!place.ptr || !slice_is(header_of(message, LETTER_INSTANCE), instance))
        return false;
    *id = hash128(place.ptr, place.len);
    return true;
}

static bool assign(const struct letter_tail *tail, rd_kafka_t *reader, const struct tail_end *ends,
    int n, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(n);
    for (int i = 0; i < n; i++)
        if (!ends[i].done)
            rd_kafka_topic_partition_list_add(list, tail->topic, i)->offset = ends[i].from;
    rd_kafka_resp_err_t rc = rd_kafka_assign(reader, list);
    rd_kafka_topic_partition_list_destroy(list);
    return !rc || err_set(err, ERR_UNAVAILABLE, "topic %s: %s", tail->topic, rd_kafka_err2str(rc));
}

/* Returns how many partitions it ends. */
static int take(
    const struct letter_tail *tail, const rd_kafka_message_t *m, struct tail_end *ends, int n)
{
    struct hash128 id;
    if (m->partition < 0 || m->partition >= n || ends[m->partition].done)
        return 0;
    if (!m->err && letter_message_id(m, tail->instance, &id))
        tail->found(tail->ctx, id);
    int64_t next = m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF ? m->offset
                   : !m->err                                  ? m->offset + 1
                                                              : -1;
    if (next < ends[m->partition].end)
        return 0;
    ends[m->partition].done = true;
    return 1;
}

static bool read_all(const struct letter_tail *tail, rd_kafka_t *reader, struct tail_end *ends,
    int n, int left, struct err *err)
{
    int64_t heard_ns = clock_mono_ns();
    while (left > 0) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(reader, POLL_MS);
        if (m) {
            if (!m->err)
                heard_ns = clock_mono_ns();
            left -= take(tail, m, ends, n);
            rd_kafka_message_destroy(m);
        }
        if (atomic_load(tail->stop))
            return err_set(err, ERR_CANCELED, "to stop");
        if (clock_mono_ns() - heard_ns > SILENT_MS * INT64_C(1000000))
            return err_set(err, ERR_TIMEOUT,
                "the end of topic %s cannot be read: a broker is away, or a transaction is open "
                "there",
                tail->topic);
    }
    return true;
}

bool letter_tail_read(const struct letter_tail *tail, struct err *err)
{
    struct tail_end *ends = NULL;
    rd_kafka_t *reader;
    int n = 0;
    bool ok = find_ends(tail, &ends, &n, err);
    int left = ok ? find_begins(ends, n) : 0;
    if (left > 0) {
        ok = kafka_reader_new(tail->options, true, &reader, err);
        if (ok) {
            ok = assign(tail, reader, ends, n, err) && read_all(tail, reader, ends, n, left, err);
            rd_kafka_destroy_flags(reader, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        }
    }
    for (int i = 0; ok && i < n; i++)
        tail->end(tail->ctx, i, ends[i].end);
    free(ends);
    return ok;
}
