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

struct tail_span {
    int64_t begin, end; /* to be read: begin..end-1 */
    bool done;
};

/* ---- where it begins and ends ---- */

/* The end of everything, of open transactions too. */
static bool find_end(
    const struct letter_tail *tail, rd_kafka_t *all, int partition, int64_t *end, struct err *err)
{
    int64_t low;
    if (atomic_load(tail->stop))
        return err_set(err, ERR_CANCELED, "to stop");
    rd_kafka_resp_err_t rc =
        rd_kafka_query_watermark_offsets(all, tail->topic, partition, &low, end, WATERMARK_MS);
    return !rc || err_set(err, ERR_UNAVAILABLE, "topic %s, partition %d: %s", tail->topic,
                      partition, rd_kafka_err2str(rc));
}

static bool find_ends(const struct letter_tail *tail, int64_t **ends, int *n, struct err *err)
{
    rd_kafka_t *all;
    if (!kafka_reader_new(tail->options, false, &all, err))
        return false;
    bool ok = kafka_topic_partitions(all, tail->topic, METADATA_MS, n, err);
    *ends = ok ? xcalloc((size_t)*n, sizeof **ends) : NULL;
    for (int i = 0; ok && i < *n; i++)
        ok = find_end(tail, all, i, &(*ends)[i], err);
    kafka_client_end(all);
    return ok;
}

/* Returns how many partitions are to be read. */
static int find_spans(
    const struct letter_tail *tail, const int64_t *ends, int n, struct tail_span *spans)
{
    int64_t *begins = xcalloc((size_t)n, sizeof *begins);
    int left = 0;
    tail->begin(tail->ctx, n, ends, begins);
    for (int i = 0; i < n; i++) {
        spans[i] = (struct tail_span){begins[i], ends[i], begins[i] >= ends[i]};
        left += !spans[i].done;
    }
    free(begins);
    return left;
}

/* ---- reading ---- */

static struct slice header_of(const rd_kafka_message_t *message, const char *name)
{
    return letter_header(message, LETTER_FIRST, name);
}

/* When it is a letter of this instance. */
static void tell(const struct letter_tail *tail, const rd_kafka_message_t *m)
{
    struct slice place = header_of(m, LETTER_RETRY);
    if (!place.ptr)
        place = header_of(m, LETTER_ORIGIN);
    if (place.ptr && slice_is(header_of(m, LETTER_INSTANCE), tail->instance))
        tail->found(tail->ctx, m->partition, m->offset, header_of(m, LETTER_STREAM), place);
}

static bool assign(const struct letter_tail *tail, rd_kafka_t *reader,
    const struct tail_span *spans, int n, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(n);
    for (int i = 0; i < n; i++)
        if (!spans[i].done)
            rd_kafka_topic_partition_list_add(list, tail->topic, i)->offset = spans[i].begin;
    rd_kafka_resp_err_t rc = rd_kafka_assign(reader, list);
    rd_kafka_topic_partition_list_destroy(list);
    return !rc || err_set(err, ERR_UNAVAILABLE, "topic %s: %s", tail->topic, rd_kafka_err2str(rc));
}

/* Returns how many partitions it ends. */
static int take(
    const struct letter_tail *tail, const rd_kafka_message_t *m, struct tail_span *spans, int n)
{
    if (m->partition < 0 || m->partition >= n || spans[m->partition].done)
        return 0;
    if (!m->err)
        tell(tail, m);
    int64_t next = m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF ? m->offset
                   : !m->err                                  ? m->offset + 1
                                                              : -1;
    if (next < spans[m->partition].end)
        return 0;
    spans[m->partition].done = true;
    return 1;
}

static bool read_all(const struct letter_tail *tail, rd_kafka_t *reader, struct tail_span *spans,
    int n, int left, struct err *err)
{
    int64_t heard_ns = clock_mono_ns();
    while (left > 0) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(reader, POLL_MS);
        if (m) {
            if (!m->err)
                heard_ns = clock_mono_ns();
            left -= take(tail, m, spans, n);
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

static bool read_spans(
    const struct letter_tail *tail, struct tail_span *spans, int n, int left, struct err *err)
{
    rd_kafka_t *reader;
    if (!kafka_reader_new(tail->options, true, &reader, err))
        return false;
    bool ok = assign(tail, reader, spans, n, err) && read_all(tail, reader, spans, n, left, err);
    kafka_client_end(reader);
    return ok;
}

bool letter_tail_read(const struct letter_tail *tail, struct err *err)
{
    int64_t *ends = NULL;
    int n = 0;
    bool ok = find_ends(tail, &ends, &n, err);
    if (ok) {
        struct tail_span *spans = xcalloc((size_t)n, sizeof *spans);
        int left = find_spans(tail, ends, n, spans);
        ok = left == 0 || read_spans(tail, spans, n, left, err);
        free(spans);
    }
    free(ends);
    return ok;
}
