#include "ingest/kafka_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "ingest/source/client_end.h"
#include "ingest/source/kafka_settings.h"
#include "ingest/source/kafka_source_priv.h"

/* What a message takes besides its bytes: librdkafka's own structures around it. */
#define MESSAGE_BYTES 400
/* The end of a client takes a moment; not for ever. */
#define END_MS 3000
/* A partition that gave back what it had comes again when it is this much nearer to the others than
 * it must be. */
#define RETURN_MS (LANES_AHEAD_MS / 2)

/* ---- callbacks, all on the polling thread but the logger ---- */

static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
    (void)rk;
    enum log_level l = level <= 3 ? LOG_ERROR : level <= 5 ? LOG_WARN : LOG_DEBUG;
    log_line(l, "kafka: %s: %s", fac, text);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct kafka_source *s = opaque;
    (void)rk;
    bool repeated = !s->connected && s->trouble[0];
    s->connected = false;
    snprintf(s->trouble, sizeof s->trouble, "%s: %s", rd_kafka_err2str((rd_kafka_resp_err_t)code),
        reason);
    if (!repeated)
        log_warn("kafka: %s; trying again", s->trouble);
}

static int on_stats(rd_kafka_t *rk, char *text, size_t len, void *opaque)
{
    (void)rk;
    broker_view_hear(opaque, text, len);
    return 0;
}

/* ---- life ---- */

static void free_message(void *message)
{
    rd_kafka_message_destroy(message);
}

static bool connect_to(
    struct kafka_source *s, const struct ingest_options *options, struct err *err)
{
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!kafka_settings_apply(conf, options, err)) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    s->lanes_bytes_max = kafka_settings_queue_bytes(conf);
    rd_kafka_conf_set_opaque(conf, s);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_stats_cb(conf, on_stats);
    s->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (!s->rk) {
        rd_kafka_conf_destroy(conf);
        return err_set(err, ERR_INVALID, "kafka: %s", text);
    }
    s->queue = rd_kafka_queue_get_consumer(s->rk);
    ensure(s->queue != NULL);
    return true;
}

bool kafka_source_new(
    const struct ingest_options *options, struct kafka_source **out, struct err *err)
{
    struct kafka_source *s = xcalloc(1, sizeof *s);
    *out = NULL;
    s->streams = options->streams;
    s->shard = options->shard;
    s->lanes = lanes_new(free_message);
    topics_init(s);
    if (!connect_to(s, options, err)) {
        kafka_source_free(&s);
        return false;
    }
    *out = s;
    return true;
}

static void release_held(struct kafka_source *s)
{
    for (size_t i = 0; i < s->n_held; i++)
        rd_kafka_message_destroy(s->held[i]);
    s->n_held = 0;
}

void kafka_source_free(struct kafka_source **source)
{
    struct kafka_source *s = *source;
    *source = NULL;
    if (!s)
        return;
    release_held(s);
    lanes_free(&s->lanes);
    if (s->rk) {
        rd_kafka_queue_destroy(s->queue);
        if (s->hints)
            rd_kafka_queue_destroy(s->hints);
        client_end(s->rk, END_MS);
    }
    topics_fini(s);
    free(s);
}

/* ---- what has come ---- */

static struct partition *partition_of_message(struct kafka_source *s, const rd_kafka_message_t *m)
{
    if (s->last && m->rkt == s->last_rkt && m->partition == s->last->id)
        return s->last;
    const struct topic *topic = m->rkt ? topic_named(s, rd_kafka_topic_name(m->rkt)) : NULL;
    s->last_rkt = m->rkt;
    s->last = topic_partition(topic, m->partition);
    return s->last;
}

/* What comes of it counts: nothing was left out since it was handed out. Behind what did not read,
 * librdkafka goes on all the same. */
static bool is_followed(const struct partition *p)
{
    return p->reading && !p->anew;
}

/* What is in its lane is good and is taken first. It is not said to be begun anew: behind a batch
 * that does not read librdkafka 2.0 asks for offsets that are none, and what the broker says of
 * these may come when it reads on already, before that batch comes again. */
static void out_of_range(struct kafka_source *s, struct partition *p)
{
    p->examined = s->changed = s->restless = true;
    p->caught_up = false;
}

/* What comes before it is in the lane, good, and taken first. It counts as broken when nothing but
 * the record that is to be compared comes before it. */
static void does_not_read(
    struct kafka_source *s, struct partition *p, int64_t offset, const char *text)
{
    if (lane_records(p->lane) <= p->verifying) {
        p->broken++;
        p->broken_at = offset >= p->next ? offset : p->next - p->verifying;
    }
    p->anew = true;
    if (p->broken >= BROKEN_MAX)
        partition_halt(s, p, HALT_BROKEN, "what is stored there does not read: %s", text);
    else
        partition_rest(s, p, text);
}

static void consumer_error(struct kafka_source *s, struct partition *p, const rd_kafka_message_t *m)
{
    const char *text = rd_kafka_message_errstr(m);
    switch (m->err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        if (p && p->next >= 0)
            out_of_range(s, p);
        else if (p) /* the beginning could not be found just now */
            partition_rest(s, p, text);
        return;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
        if (p)
            does_not_read(s, p, m->offset, text);
        return;
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: return;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: s->restless = true; /* fall through */
    default: log_warn("kafka: %s%s%s", p ? p->name : "", p ? ": " : "", text);
    }
}

static size_t message_bytes(const rd_kafka_message_t *m)
{
    return m->len + m->key_len + MESSAGE_BYTES;
}

/* To its lane, which owns it then. */
static void sort_in(struct kafka_source *s, rd_kafka_message_t *m)
{
    struct partition *p = partition_of_message(s, m);
    if (!m->err && p && is_followed(p)) {
        lane_push(s->lanes, p->lane, m, message_bytes(m));
        return;
    }
    if (m->err && (!p || is_followed(p)))
        consumer_error(s, p, m);
    rd_kafka_message_destroy(m);
}

static size_t fetch_some(struct kafka_source *s, int wait_ms)
{
    rd_kafka_message_t *some[POLL_MAX];
    ssize_t got = rd_kafka_consume_batch_queue(s->queue, wait_ms, some, POLL_MAX);
    for (ssize_t i = 0; i < got; i++)
        sort_in(s, some[i]);
    return got > 0 ? (size_t)got : 0;
}

/* Room for those that are lower: what is furthest ahead is given back, to be fetched again later.
 */
static void give_back(struct kafka_source *s)
{
    struct lane *lane;
    while (lanes_bytes(s->lanes) > s->lanes_bytes_max / 2 && (lane = lanes_furthest(s->lanes))) {
        struct partition *p = lane_partition(lane);
        log_debug("kafka: partition %s: far ahead; %zu records are given back", p->name,
            lane_records(lane));
        partition_drop(s, p);
        p->suspended = s->changed = true;
        p->caught_up = false;
    }
}

static void take_back(struct kafka_source *s)
{
    for (size_t i = 0; i < s->n_partitions; i++) {
        struct partition *p = s->partitions[i];
        if (p->suspended && lanes_may_go(s->lanes, p->lane, RETURN_MS)) {
            p->suspended = false;
            s->changed = true;
        }
    }
}

/* While somebody holds the others all that has come is looked through for what is lowest, as far as
 * there is room; else one batch is enough. */
static void fetch(struct kafka_source *s, int wait_ms)
{
    lanes_begin(s->lanes, s->now_ms);
    take_back(s);
    if (lanes_held(s->lanes) && lanes_bytes(s->lanes) >= s->lanes_bytes_max)
        give_back(s);
    assignment_sync(s);
    size_t got = POLL_MAX;
    int wait = lanes_records(s->lanes) && lanes_may_take(s->lanes) ? 0 : wait_ms;
    while (got == POLL_MAX && lanes_bytes(s->lanes) < s->lanes_bytes_max) {
        got = fetch_some(s, wait);
        wait = 0;
        if (!lanes_held(s->lanes))
            break;
    }
}

/* ---- taking records in ---- */

static struct fingerprint print_of(const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    return fingerprint_of(m->offset, slice_of(m->key, m->key_len), slice_of(m->payload, m->len),
        rd_kafka_message_timestamp(m, &type));
}

/* The first record since reading began anew. False: the partition is halted. A later one says that
 * the one that was read last is not there any more, which retention, compaction and aborted
 * transactions may do. */
static bool verify(struct kafka_source *s, struct partition *p, const rd_kafka_message_t *m)
{
    p->verifying = false;
    if (m->offset != p->marks.print.offset || print_of(m).hash == p->marks.print.hash)
        return true;
    partition_halt(s, p, HALT_ANEW,
        "the record at offset %" PRId64
        " is not the one that was read: the topic was made anew, or "
        "its end was lost and written again",
        m->offset);
    return false;
}

static void record_of(struct kafka_source *s, struct partition *p, const rd_kafka_message_t *m,
    struct kafka_record *out)
{
    rd_kafka_timestamp_type_t type;
    int64_t ts = rd_kafka_message_timestamp(m, &type);
    *out = (struct kafka_record){p, m->offset,
        type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ts < 0 ? INT64_MIN : ts,
        slice_of(m->payload, m->len), slice_of(m->key, m->key_len), m};
    p->next = m->offset + 1;
    p->quiet_ms = s->now_ms;
    p->broken = 0;
    p->caught_up = p->caught_up && p->next >= p->end;
    p->dirty = true;
}

/* At most n of one lane. */
static size_t take_lane(
    struct kafka_source *s, struct lane *lane, size_t n, struct kafka_record *out)
{
    struct partition *p = lane_partition(lane);
    const rd_kafka_message_t *next;
    size_t taken = 0;
    p->print_before = p->marks.print;
    while (taken < n && (next = lane_peek(lane))) {
        if (p->verifying && !verify(s, p, next))
            break; /* nothing is left in its lane */
        rd_kafka_message_t *m = lane_pop(s->lanes, lane, message_bytes(next));
        s->held[s->n_held++] = m;
        /* Delivered again after a reconnect, or to be compared. */
        if (m->offset >= p->next)
            record_of(s, p, m, &out[taken++]);
        else
            n--;
    }
    if (taken)
        p->marks.print = print_of(out[taken - 1].message);
    return taken;
}

size_t kafka_source_poll(
    struct kafka_source *source, int wait_ms, int64_t now_ms, struct kafka_record *out, size_t max)
{
    size_t n = 0, most = max < POLL_MAX ? max : POLL_MAX, some;
    struct lane *lane;
    release_held(source);
    source->now_ms = now_ms;
    rd_kafka_poll(source->rk, 0);
    fetch(source, wait_ms);
    while (
        source->n_held < most && (lane = lanes_next(source->lanes, most - source->n_held, &some)))
        n += take_lane(source, lane, some, out + n);
    return n;
}

const struct rd_kafka_headers_s *kafka_record_headers(const struct kafka_record *record)
{
    rd_kafka_headers_t *headers;
    bool some = record->message &&
                rd_kafka_message_headers(record->message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR;
    return some ? headers : NULL;
}

struct slice kafka_header(const struct rd_kafka_headers_s *headers, const char *name)
{
    const void *value;
    size_t size;
    if (!headers ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return (struct slice){NULL, 0};
    return slice_of(value, size);
}

struct slice kafka_record_header(const struct kafka_record *record, const char *name)
{
    return kafka_header(kafka_record_headers(record), name);
}

/* The last record before the offset that this poll has given, or an earlier one. */
static struct fingerprint print_before(
    const struct kafka_source *s, const struct partition *p, int64_t offset)
{
    const char *topic = s->topics[p->topic].name;
    for (size_t i = s->n_held; i-- > 0;) {
        const rd_kafka_message_t *m = s->held[i];
        if (m->partition == p->id && m->offset < offset && m->offset > p->print_before.offset &&
            strcmp(rd_kafka_topic_name(m->rkt), topic) == 0)
            return print_of(m);
    }
    return p->print_before;
}

void kafka_source_park(
    struct kafka_source *source, struct partition *partition, int64_t offset, const char *why)
{
    snprintf(source->parked_why, sizeof source->parked_why, "%s", why);
    partition->marks.print = print_before(source, partition, offset);
    partition->next = partition->passed = offset;
    partition->parked = source->changed = true;
    partition->caught_up = false;
    partition_drop(source, partition);
}

void kafka_source_unpark(struct kafka_source *source, struct partition *partition)
{
    partition->parked = false;
    source->changed = true;
}

void kafka_source_serve(struct kafka_source *source)
{
    rd_kafka_poll(source->rk, 0);
}

bool kafka_source_restless(const struct kafka_source *source)
{
    return source->restless;
}

size_t kafka_source_partitions(struct kafka_source *source, struct partition *const **out)
{
    *out = source->partitions;
    return source->n_partitions;
}

static const char *partition_trouble(struct kafka_source *s)
{
    for (size_t i = 0; i < s->n_partitions; i++) {
        const struct partition *p = s->partitions[i];
        if (!p->halted)
            continue;
        snprintf(s->told, sizeof s->told, "partition %s is halted at %" PRId64 ": %s", p->name,
            p->next, p->cause);
        return s->told;
    }
    for (size_t i = 0; i < s->n_partitions; i++)
        if (s->partitions[i]->parked)
            return s->parked_why[0] ? s->parked_why : "partitions wait for a schema";
    return "";
}

const char *kafka_source_trouble(struct kafka_source *source)
{
    if (source->trouble[0])
        return source->trouble;
    if (source->shard_trouble[0])
        return source->shard_trouble;
    for (size_t i = 0; i < source->n_topics; i++)
        if (source->topics[i].trouble[0] && !source->topics[i].by_pattern)
            return source->topics[i].trouble;
    if (source->crowded)
        return "there are more partitions than are read: the log says which";
    return partition_trouble(source);
}

bool kafka_source_connected(const struct kafka_source *source)
{
    return source->connected;
}
