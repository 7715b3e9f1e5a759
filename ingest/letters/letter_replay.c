#include "ingest/letters/letter_replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash_set.h"
#include "base/mem.h"
#include "ingest/dedupe.h"
#include "ingest/letters/contract_trial.h"
#include "ingest/letters/kafka_client.h"
#include "ingest/letters/letter_headers.h"

#define WAIT_MS     5000
#define POLL_MS     100
#define SILENT_MS   30000 /* without any message */
#define FLUSH_MS    60000
#define PROGRESS_NS INT64_C(200000000)

struct replaying {
    const struct letter_replay *replay;
    const struct stream *stream;
    struct replay_counts *counts;
    rd_kafka_t *reader, *producer; /* producer NULL: dry */
    char letters[256], retry[256]; /* topics */
    int64_t *ends;                 /* by partition; -1: read to its end */
    int n, left;
    int n_retry; /* partitions */
    struct contract_trial *trial;
    struct hash_set seen; /* origins */
    uint64_t failed;      /* records that were not acknowledged */
    char failure[256];
};

/* ---- which letters ---- */

static struct slice header_of(const struct kafka_record *record, const char *name)
{
    return letter_header(record->message, LETTER_FIRST, name);
}

static bool is_wanted(struct replaying *r, const struct kafka_record *record, int64_t *timestamp_ms)
{
    const struct letter_replay *replay = r->replay;
    struct slice origin = header_of(record, LETTER_ORIGIN);
    if (!origin.ptr || !slice_eq(header_of(record, LETTER_STREAM), r->stream->name))
        return false;
    if (replay->reason && !slice_is(header_of(record, LETTER_REASON), refusal_name(replay->reason)))
        return false;
    if (!letter_time_parse(header_of(record, LETTER_TIMESTAMP), timestamp_ms))
        *timestamp_ms = INT64_MIN;
    bool in_time = *timestamp_ms >= replay->from_ms && *timestamp_ms < replay->to_ms;
    return in_time && hash_set_add(&r->seen, hash128(origin.ptr, origin.len));
}

/* Whether it is to be sent; else it is counted why not. */
static bool is_sound(struct replaying *r, const struct kafka_record *record, int64_t timestamp_ms,
    bool *sound, struct err *err)
{
    const struct contract *c = &r->stream->contract;
    struct refusal_case refused;
    *sound = false;
    if (header_of(record, LETTER_CUT).ptr) {
        r->counts->cut++;
        return true;
    }
    if (!contract_trial_record(r->trial, record, timestamp_ms, &refused, err))
        return false;
    *sound = !refused.reason && !dedupe_is_gone(c->late_ms, r->replay->horizon_ms, refused.time_ms);
    if (refused.reason)
        r->counts->refused[refused.reason]++;
    else if (!*sound)
        r->counts->gone++;
    return true;
}

/* ---- sending ---- */

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct replaying *r = opaque;
    (void)rk;
    if (!message->err) {
        r->counts->sent++;
        return;
    }
    r->failed++;
    snprintf(r->failure, sizeof r->failure, "%s", rd_kafka_err2str(message->err));
}

/* The record's own headers, and where it comes from. */
static rd_kafka_headers_t *headers_of(const rd_kafka_message_t *m)
{
    static const char *const ours[] = {LETTER_ORIGIN, LETTER_TIMESTAMP};
    rd_kafka_headers_t *in, *out = rd_kafka_headers_new(8);
    size_t own = letter_headers_own(m, LETTER_FIRST), size;
    const char *name;
    const void *value;
    if (rd_kafka_message_headers(m, &in) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return out;
    for (size_t i = 0; i < own && !rd_kafka_header_get_all(in, i, &name, &value, &size); i++)
        rd_kafka_header_add(out, name, -1, value, (ssize_t)size);
    for (size_t i = 0; i < 2; i++) {
        struct slice text = letter_header(m, LETTER_FIRST, ours[i]);
        if (text.ptr)
            rd_kafka_header_add(out, ours[i], -1, text.ptr, (ssize_t)text.len);
    }
    return out;
}

/* To the partition that the first record had, where there is one: a shard that has not seen the
 * event before would not know its id. */
static bool choose_partition(
    struct replaying *r, struct slice origin, int32_t *out, struct err *err)
{
    struct letter_place place;
    *out = letter_place_parse(origin, &place) ? place.number : 0;
    if (*out < r->n_retry)
        return true;
    if (r->replay->options->shard.of)
        return err_set(err, ERR_INVALID,
            "topic %s has %d partitions, and a letter comes from partition %" PRId32
            ": with 'shard' it must have as many as the topics of the stream",
            r->retry, r->n_retry, *out);
    *out %= r->n_retry;
    return true;
}

static bool send_letter(struct replaying *r, const rd_kafka_message_t *m, int32_t partition,
    int64_t timestamp_ms, struct err *err)
{
    rd_kafka_headers_t *headers = headers_of(m);
    rd_kafka_resp_err_t rc;
    do {
        rc = rd_kafka_producev(r->producer, RD_KAFKA_V_TOPIC(r->retry),
            RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY(m->key, m->key_len),
            RD_KAFKA_V_VALUE(m->payload, m->len),
            RD_KAFKA_V_TIMESTAMP(timestamp_ms > 0 ? timestamp_ms : 0), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        rd_kafka_poll(r->producer, rc == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 10 : 0);
    } while (rc == RD_KAFKA_RESP_ERR__QUEUE_FULL && !atomic_load(r->replay->stop));
    if (rc) {
        rd_kafka_headers_destroy(headers);
        return err_set(err, ERR_UNAVAILABLE, "topic %s: %s", r->retry, rd_kafka_err2str(rc));
    }
    return true;
}

/* ---- reading ---- */

static bool take(struct replaying *r, const rd_kafka_message_t *m, struct err *err)
{
    struct kafka_record record = {.offset = m->offset,
        .timestamp_ms = INT64_MIN,
        .value = slice_of(m->payload, m->len),
        .key = slice_of(m->key, m->key ? m->key_len : 0),
        .message = m};
    int64_t timestamp_ms;
    int32_t partition;
    bool sound;
    r->counts->messages++;
    if (!is_wanted(r, &record, &timestamp_ms))
        return true;
    r->counts->letters++;
    if (!is_sound(r, &record, timestamp_ms, &sound, err))
        return false;
    if (!sound)
        return true;
    if (!choose_partition(r, header_of(&record, LETTER_ORIGIN), &partition, err))
        return false;
    if (r->producer)
        return send_letter(r, m, partition, timestamp_ms, err);
    r->counts->sent++;
    return true;
}

/* At its end nothing counts that came after the start. */
static bool take_message(struct replaying *r, const rd_kafka_message_t *m, struct err *err)
{
    if (m->partition < 0 || m->partition >= r->n || r->ends[m->partition] < 0)
        return true;
    int64_t *end = &r->ends[m->partition];
    if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
        return true;
    bool ok = m->err || m->offset >= *end || take(r, m, err);
    if ((m->err ? m->offset : m->offset + 1) >= *end) {
        *end = -1;
        r->left--;
    }
    return ok;
}

static bool read_letters(struct replaying *r, struct err *err)
{
    int64_t heard_ns = clock_mono_ns(), told_ns = heard_ns;
    while (r->left > 0) {
        int64_t now_ns = clock_mono_ns();
        rd_kafka_message_t *m = rd_kafka_consumer_poll(r->reader, POLL_MS);
        bool ok = !m || take_message(r, m, err);
        if (m) {
            heard_ns = m->err ? heard_ns : now_ns;
            rd_kafka_message_destroy(m);
        }
        if (!ok)
            return false;
        if (atomic_load(r->replay->stop))
            return err_set(err, ERR_CANCELED, "stopped");
        if (now_ns - heard_ns > SILENT_MS * INT64_C(1000000))
            return err_set(
                err, ERR_TIMEOUT, "topic %s does not read: no broker answers", r->letters);
        if (r->replay->progress && now_ns - told_ns > PROGRESS_NS) {
            r->replay->progress(r->replay->ctx, r->counts);
            told_ns = now_ns;
        }
    }
    return true;
}

static bool assign(struct replaying *r, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(r->n);
    bool ok = true;
    for (int i = 0; ok && i < r->n; i++) {
        int64_t low;
        rd_kafka_resp_err_t rc =
            rd_kafka_query_watermark_offsets(r->reader, r->letters, i, &low, &r->ends[i], WAIT_MS);
        if (rc)
            ok = err_set(err, ERR_UNAVAILABLE, "topic %s, partition %d: %s", r->letters, i,
                rd_kafka_err2str(rc));
        if (!ok || low >= r->ends[i]) {
            r->ends[i] = -1;
            continue;
        }
        rd_kafka_topic_partition_list_add(list, r->letters, i)->offset = low;
        r->counts->all += (uint64_t)(r->ends[i] - low);
        r->left++;
    }
    rd_kafka_resp_err_t rc = ok && r->left ? rd_kafka_assign(r->reader, list) : 0;
    rd_kafka_topic_partition_list_destroy(list);
    if (rc)
        return err_set(err, ERR_UNAVAILABLE, "topic %s: %s", r->letters, rd_kafka_err2str(rc));
    return ok;
}

/* ---- the whole ---- */

static bool open_reader(struct replaying *r, struct err *err)
{
    if (!kafka_reader_new(r->replay->options, true, &r->reader, err) ||
        !kafka_topic_partitions(r->reader, r->letters, WAIT_MS, &r->n, err))
        return false;
    r->ends = xcalloc((size_t)r->n, sizeof *r->ends);
    return true;
}

static bool open_producer(struct replaying *r, struct err *err)
{
    static const struct client_setting defaults[] = {
        {"linger.ms", "5"}, {"compression.codec", "lz4"}};
    static const struct client_setting fixed[] = {
        {"enable.idempotence", "true"}, {"message.max.bytes", "16777216"}};
    if (!kafka_topic_partitions(r->reader, r->retry, WAIT_MS, &r->n_retry, err))
        return false;
    if (r->replay->dry)
        return true;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, r);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    return kafka_client_new(
        RD_KAFKA_PRODUCER, r->replay->options, defaults, 2, fixed, 2, conf, &r->producer, err);
}

static bool finish(struct replaying *r, struct err *err)
{
    if (!r->producer)
        return true;
    if (rd_kafka_flush(r->producer, FLUSH_MS))
        return err_set(err, ERR_UNAVAILABLE, "topic %s: not everything is acknowledged", r->retry);
    return !r->failed || err_set(err, ERR_UNAVAILABLE, "topic %s: %s", r->retry, r->failure);
}

static void close_all(struct replaying *r)
{
    if (r->reader)
        kafka_client_end(r->reader);
    if (r->producer)
        rd_kafka_destroy(r->producer);
    contract_trial_free(&r->trial);
    hash_set_fini(&r->seen);
    free(r->ends);
}

bool letter_replay(const struct letter_replay *replay, struct replay_counts *out, struct err *err)
{
    const struct streams *streams = replay->options->streams;
    struct replaying r = {
        .replay = replay, .stream = &streams->streams[replay->stream], .counts = out};
    *out = (struct replay_counts){0};
    hash_set_init(&r.seen);
    r.trial = contract_trial_new(streams, replay->stream);
    snprintf(r.letters, sizeof r.letters, "%.*s", SLICE_FMT(r.stream->dead_letters));
    snprintf(r.retry, sizeof r.retry, "%.*s", SLICE_FMT(r.stream->retry));
    bool ok = open_reader(&r, err) && open_producer(&r, err) && assign(&r, err);
    bool read = ok && read_letters(&r, err);
    struct err late;
    /* What was sent before something failed arrives all the same, and is counted. */
    bool arrived = !ok || finish(&r, read ? err : &late);
    close_all(&r);
    return read && arrived;
}
