#include "ingest/kafka_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <librdkafka/rdkafka.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"

#define POLL_MAX 2000
/* A broker that has said nothing for so long is not known to have nothing more. Empty fetches come
 * back after fetch.wait.max.ms, half a second by default. */
#define SILENT_MS 5000
/* How old librdkafka's view may be when it reaches us; its statistics.interval.ms below. */
#define STATS_MS        500
#define STATS_BYTES_MAX (64u << 20)

struct topic {
    char *name;
    size_t stream;
    struct partition **partitions; /* by number; NULL: not seen */
    size_t n, cap;
    bool listed;       /* a broker has told its partitions in this run */
    char trouble[256]; /* why it cannot be read now; "" when it can */
};

struct kafka_source {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    struct topic *topics;
    size_t n_topics;
    struct partition **partitions;
    size_t n_partitions, partitions_cap;
    rd_kafka_message_t *held[POLL_MAX]; /* of the last poll */
    size_t n_held;
    const rd_kafka_topic_t *last_rkt; /* messages come in runs */
    struct partition *last;
    bool connected, assign_again, assign_now;
    int64_t now_ms;
    char trouble[512], parked_why[ERR_TEXT_MAX + 512];
};

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

static int64_t int_of(const json_t *object, const char *key, int64_t absent)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : absent;
}

/* How long the broker with this id has said nothing, in ms; -1: it is not connected, or silent for
 * too long. */
static int64_t broker_silent_ms(const json_t *brokers, int64_t id)
{
    const char *key;
    json_t *broker;
    if (id < 0) /* bootstrap addresses have no number yet */
        return -1;
    json_object_foreach((json_t *)(uintptr_t)brokers, key, broker)
    {
        if (int_of(broker, "nodeid", -1) != id)
            continue;
        const char *state = json_string_value(json_object_get(broker, "state"));
        int64_t idle = int_of(broker, "rxidle", INT64_MAX) / 1000;
        return state && strcmp(state, "UP") == 0 && idle < SILENT_MS ? idle : -1;
    }
    return -1;
}

static struct topic *topic_named(struct kafka_source *s, const char *name)
{
    for (size_t i = 0; i < s->n_topics; i++)
        if (strcmp(s->topics[i].name, name) == 0)
            return &s->topics[i];
    return NULL;
}

static struct partition *partition_of(const struct topic *topic, int64_t id)
{
    return topic && id >= 0 && (uint64_t)id < topic->n ? topic->partitions[id] : NULL;
}

static void hear_partition(
    struct kafka_source *s, struct partition *p, const json_t *stats, const json_t *brokers)
{
    int64_t end = int_of(stats, "hi_offset", -1);
    if (end >= 0)
        p->end = end;
    const char *state = json_string_value(json_object_get(stats, "fetch_state"));
    bool active = state && strcmp(state, "active") == 0;
    /* Of a log that was never read we know that it is empty, or that nothing is left of it. */
    int64_t next = p->next >= 0 ? p->next : end == 0 ? 0 : int_of(stats, "lo_offset", -1);
    /* Transactions end in markers that are never delivered; librdkafka counts them as passed on. */
    int64_t passed = p->next >= 0 ? int_of(stats, "app_offset", -1) : -1;
    p->passed = passed > next ? passed : next;
    int64_t silent_ms = broker_silent_ms(brokers, int_of(stats, "broker", -1));
    p->caught_up =
        active && end >= 0 && p->passed >= end && !p->halted && !p->waiting && silent_ms >= 0;
    if (!p->caught_up)
        return;
    p->caught_up_ms = s->now_ms - silent_ms - STATS_MS;
    /* From now on its position is known: what retention removes later is missed, not skipped. */
    if (p->next < 0) {
        p->next = end;
        p->dirty = true;
    }
}

/* librdkafka's own view, twice a second: where the logs end, and which brokers answer. */
static int on_stats(rd_kafka_t *rk, char *text, size_t len, void *opaque)
{
    struct kafka_source *s = opaque;
    json_error_t error;
    (void)rk;
    json_t *root = len <= STATS_BYTES_MAX ? json_loadb(text, len, 0, &error) : NULL;
    if (!root)
        return 0;
    const json_t *brokers = json_object_get(root, "brokers");
    const char *name, *number;
    json_t *topic, *part;
    json_object_foreach(json_object_get(root, "topics"), name, topic)
    {
        json_object_foreach(json_object_get(topic, "partitions"), number, part)
        {
            struct partition *p = partition_of(topic_named(s, name), int_of(part, "partition", -1));
            if (p)
                hear_partition(s, p, part, brokers);
        }
    }
    bool alive = false;
    json_object_foreach((json_t *)(uintptr_t)brokers, name, part)
    {
        const char *state = json_string_value(json_object_get(part, "state"));
        alive = alive || (state && strcmp(state, "UP") == 0);
    }
    if (alive && !s->connected) {
        s->connected = true;
        s->trouble[0] = 0;
        log_info("kafka: connected");
    }
    json_decref(root);
    return 0;
}

/* ---- life ---- */

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    char text[512];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return true;
    return err_set(err, ERR_INVALID, "kafka: %s", text);
}

/* What the user may change, then the user's settings, then what exactly-once stands on. */
static bool configure(rd_kafka_conf_t *conf, const struct ingest_options *options, struct err *err)
{
    static const char *const defaults[][2] = {
        {"client.id", "larder"},
        {"group.id", "larder"},
        {"queued.min.messages", "500000"},
        {"queued.max.messages.kbytes", "131072"},
        {"fetch.wait.max.ms", "100"},
        {"fetch.error.backoff.ms", "200"},
        {"reconnect.backoff.ms", "100"},
        {"reconnect.backoff.max.ms", "2000"},
        {"socket.keepalive.enable", "true"},
    };
    /* allow.auto.create.topics is false for consumers already; said aloud, librdkafka warns of it
     * every ten seconds where the broker is older than the setting. */
    static const char *const fixed[][2] = {
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"isolation.level", "read_committed"},
        {"auto.offset.reset", "error"},
        {"check.crcs", "true"},
        {"enable.partition.eof", "false"},
        {"statistics.interval.ms", "500"},
    };
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
        if (!set(conf, defaults[i][0], defaults[i][1], err))
            return false;
    for (size_t i = 0; i < options->n_kafka; i++) {
        char name[256], value[4096];
        const struct kafka_setting *k = &options->kafka[i];
        if (k->name.len >= sizeof name || k->value.len >= sizeof value)
            return err_set(err, ERR_INVALID, "kafka: setting %.40s is too long", k->name.ptr);
        snprintf(name, sizeof name, "%.*s", SLICE_FMT(k->name));
        snprintf(value, sizeof value, "%.*s", SLICE_FMT(k->value));
        if (!set(conf, name, value, err))
            return false;
    }
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (!set(conf, fixed[i][0], fixed[i][1], err))
            return false;
    return true;
}

static void list_topics(struct kafka_source *s, const struct streams *streams)
{
    for (size_t i = 0; i < streams->n_streams; i++)
        s->n_topics += streams->streams[i].n_topics;
    s->topics = xcalloc(s->n_topics, sizeof *s->topics);
    size_t n = 0;
    for (size_t i = 0; i < streams->n_streams; i++)
        for (size_t k = 0; k < streams->streams[i].n_topics; k++) {
            struct slice name = streams->streams[i].topics[k];
            s->topics[n++] = (struct topic){.name = xstrndup(name.ptr, name.len), .stream = i};
        }
}

bool kafka_source_new(
    const struct ingest_options *options, struct kafka_source **out, struct err *err)
{
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    *out = NULL;
    if (!configure(conf, options, err)) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    struct kafka_source *s = xcalloc(1, sizeof *s);
    rd_kafka_conf_set_opaque(conf, s);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_stats_cb(conf, on_stats);
    s->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (!s->rk) {
        rd_kafka_conf_destroy(conf);
        free(s);
        return err_set(err, ERR_INVALID, "kafka: %s", text);
    }
    s->queue = rd_kafka_queue_get_consumer(s->rk);
    ensure(s->queue != NULL);
    list_topics(s, options->streams);
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
    rd_kafka_queue_destroy(s->queue);
    rd_kafka_destroy_flags(s->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    for (size_t i = 0; i < s->n_topics; i++) {
        free(s->topics[i].name);
        free(s->topics[i].partitions);
    }
    for (size_t i = 0; i < s->n_partitions; i++)
        free(s->partitions[i]);
    free(s->topics);
    free(s->partitions);
    free(s);
}

/* ---- discovery ---- */

static bool add_partition(struct kafka_source *s, struct topic *topic, int32_t id, int64_t now_ms,
    partition_found_f *found, void *ctx)
{
    size_t n = (size_t)id + 1;
    if (n > topic->n) {
        GROW(topic->partitions, topic->cap, n);
        memset(topic->partitions + topic->n, 0, (n - topic->n) * sizeof *topic->partitions);
        topic->n = n;
    }
    if (topic->partitions[id])
        return false;
    struct partition *p = xcalloc(1, sizeof *p);
    p->stream = topic->stream;
    p->topic = (size_t)(topic - s->topics);
    p->id = id;
    p->next = p->end = p->committed = p->passed = -1;
    p->newest_ms = INT64_MIN;
    p->quiet_ms = now_ms;
    snprintf(p->name, sizeof p->name, "%s/%" PRId32, topic->name, id);
    found(ctx, p);
    p->committed = p->passed = p->next;
    topic->partitions[id] = p;
    GROW(s->partitions, s->partitions_cap, s->n_partitions + 1);
    s->partitions[s->n_partitions++] = p;
    return true;
}

/* Partition numbers above this come from a broken answer. */
#define PARTITION_MAX 100000

void kafka_source_recall(struct kafka_source *source, struct slice name, int64_t now_ms,
    partition_found_f *found, void *ctx)
{
    char text[PARTITION_NAME_MAX], extra;
    uint32_t id;
    if (name.len >= sizeof text)
        return;
    memcpy(text, name.ptr, name.len);
    text[name.len] = 0;
    char *slash = strrchr(text, '/');
    if (!slash || sscanf(slash, "/%6" SCNu32 "%c", &id, &extra) != 1 || id > PARTITION_MAX)
        return;
    *slash = 0;
    struct topic *topic = topic_named(source, text);
    if (topic && add_partition(source, topic, (int32_t)id, now_ms, found, ctx))
        source->assign_again = true;
}

static void topic_trouble(struct topic *topic, const char *text)
{
    if (strcmp(topic->trouble, text) == 0)
        return;
    snprintf(topic->trouble, sizeof topic->trouble, "%s", text);
    if (text[0])
        log_warn("kafka: topic %s: %s; trying again", topic->name, text);
    else
        log_info("kafka: topic %s: %zu partitions", topic->name, topic->n);
}

/* *answered false: no broker said anything, and none will for the next topic. */
static bool discover_topic(struct kafka_source *s, struct topic *topic, int wait_ms, int64_t now_ms,
    partition_found_f *found, void *ctx, bool *changed, bool *answered)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(s->rk, topic->name, NULL);
    if (!rkt) {
        topic_trouble(topic, "not a valid topic name");
        return false;
    }
    rd_kafka_resp_err_t rc = rd_kafka_metadata(s->rk, 0, rkt, &md, wait_ms);
    rd_kafka_topic_destroy(rkt);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR) {
        topic_trouble(topic, rd_kafka_err2str(rc));
        *answered = false;
        return false;
    }
    bool ok = md->topic_cnt == 1 && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR &&
              md->topics[0].partition_cnt > 0;
    if (ok) {
        for (int i = 0; i < md->topics[0].partition_cnt; i++) {
            int32_t id = md->topics[0].partitions[i].id;
            if (id >= 0 && id <= PARTITION_MAX && add_partition(s, topic, id, now_ms, found, ctx))
                *changed = true;
        }
        topic->listed = true;
        topic_trouble(topic, "");
    } else if (md->topic_cnt == 1 && md->topics[0].err) {
        bool unknown = md->topics[0].err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        topic_trouble(
            topic, unknown ? "does not exist on the broker" : rd_kafka_err2str(md->topics[0].err));
    } else {
        topic_trouble(topic, "the broker names no partitions of it");
    }
    rd_kafka_metadata_destroy(md);
    return ok;
}

/* Assigns everything that is not halted, each at its own position. */
static void assign(struct kafka_source *s)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)s->n_partitions);
    for (size_t i = 0; i < s->n_partitions; i++) {
        struct partition *p = s->partitions[i];
        if (p->halted || p->parked)
            continue;
        p->waiting = false;
        rd_kafka_topic_partition_t *tp =
            rd_kafka_topic_partition_list_add(list, s->topics[p->topic].name, p->id);
        tp->offset = p->next >= 0 ? p->next : RD_KAFKA_OFFSET_BEGINNING;
    }
    rd_kafka_resp_err_t rc = rd_kafka_assign(s->rk, list);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        log_error("kafka: cannot assign partitions: %s", rd_kafka_err2str(rc));
    s->assign_now = false;
    s->assign_again = rc != RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(list);
}

bool kafka_source_discover(
    struct kafka_source *source, int wait_ms, int64_t now_ms, partition_found_f *found, void *ctx)
{
    bool all = true, changed = source->assign_again, answered = true;
    for (size_t i = 0; i < source->n_topics && answered; i++)
        all = discover_topic(
                  source, &source->topics[i], wait_ms, now_ms, found, ctx, &changed, &answered) &&
              all;
    if (changed) {
        release_held(source);
        assign(source);
    }
    return all;
}

bool kafka_source_knows(const struct kafka_source *source, size_t stream)
{
    for (size_t i = 0; i < source->n_topics; i++)
        if (source->topics[i].stream == stream && !source->topics[i].listed)
            return false;
    return true;
}

/* ---- reading ---- */

static struct partition *partition_of_message(struct kafka_source *s, const rd_kafka_message_t *m)
{
    if (s->last && m->rkt == s->last_rkt && m->partition == s->last->id)
        return s->last;
    struct partition *p =
        m->rkt ? partition_of(topic_named(s, rd_kafka_topic_name(m->rkt)), m->partition) : NULL;
    s->last_rkt = m->rkt;
    s->last = p;
    return p;
}

/* Assigned again at its own position, with the next look at the topics; until then nothing of it
 * counts. */
static void assign_anew(struct kafka_source *s, struct partition *p, const char *why)
{
    p->waiting = true;
    p->caught_up = false;
    s->assign_again = true;
    log_warn("kafka: partition %s: %s; it is read again from %" PRId64, p->name, why, p->next);
}

static void halt(struct kafka_source *s, struct partition *p, const char *why)
{
    p->halted = true;
    p->caught_up = false;
    s->assign_again = true;
    log_error("kafka: partition %s is halted at %" PRId64 ": %s", p->name, p->next, why);
}

/* One that does not read again and again is broken where it lies, and not on the way. */
#define BROKEN_MAX 5

static void consumer_error(struct kafka_source *s, struct partition *p, const rd_kafka_message_t *m)
{
    const char *text = rd_kafka_message_errstr(m);
    if (p && (p->halted || p->waiting))
        return;
    switch (m->err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        if (p && p->next >= 0)
            halt(s, p, text);
        else if (p) /* the beginning could not be found just now */
            assign_anew(s, p, text);
        return;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
        if (p && ++p->broken >= BROKEN_MAX)
            halt(s, p, text);
        else if (p)
            assign_anew(s, p, text);
        return;
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: return;
    default: log_warn("kafka: %s%s%s", p ? p->name : "", p ? ": " : "", text);
    }
}

static bool record_of(struct kafka_source *s, const rd_kafka_message_t *m, struct kafka_record *out)
{
    struct partition *p = partition_of_message(s, m);
    if (m->err) {
        consumer_error(s, p, m);
        return false;
    }
    /* Delivered again after a reconnect, or a partition that we gave back. */
    if (!p || p->halted || p->waiting || m->offset < p->next)
        return false;
    rd_kafka_timestamp_type_t type;
    int64_t ts = rd_kafka_message_timestamp(m, &type);
    *out = (struct kafka_record){p, m->offset,
        type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ts < 0 ? INT64_MIN : ts,
        slice_of(m->payload, m->len), m};
    p->next = m->offset + 1;
    p->quiet_ms = s->now_ms;
    p->broken = 0;
    p->caught_up = p->caught_up && p->next >= p->end;
    p->dirty = true;
    return true;
}

struct slice kafka_record_header(const struct kafka_record *record, const char *name)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    if (!record->message ||
        rd_kafka_message_headers(record->message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return (struct slice){NULL, 0};
    return slice_of(value, size);
}

void kafka_source_park(
    struct kafka_source *source, struct partition *partition, int64_t offset, const char *why)
{
    snprintf(source->parked_why, sizeof source->parked_why, "%s", why);
    partition->next = offset;
    partition->parked = partition->waiting = true;
    partition->caught_up = false;
    source->assign_again = true;
}

void kafka_source_unpark(struct kafka_source *source, struct partition *partition)
{
    partition->parked = false;
    source->assign_now = true;
}

size_t kafka_source_poll(
    struct kafka_source *source, int wait_ms, int64_t now_ms, struct kafka_record *out, size_t max)
{
    size_t n = 0;
    release_held(source);
    source->now_ms = now_ms;
    if (source->assign_now)
        assign(source);
    rd_kafka_poll(source->rk, 0);
    ssize_t got = rd_kafka_consume_batch_queue(
        source->queue, wait_ms, source->held, max < POLL_MAX ? max : POLL_MAX);
    source->n_held = got > 0 ? (size_t)got : 0;
    for (size_t i = 0; i < source->n_held; i++)
        n += record_of(source, source->held[i], &out[n]);
    return n;
}

void kafka_source_serve(struct kafka_source *source)
{
    rd_kafka_poll(source->rk, 0);
}

bool kafka_source_restless(const struct kafka_source *source)
{
    return source->assign_again;
}

size_t kafka_source_partitions(struct kafka_source *source, struct partition *const **out)
{
    *out = source->partitions;
    return source->n_partitions;
}

void kafka_source_hint(struct kafka_source *source)
{
    /* Without a broker it would wait for one, and so would the end of this client. */
    if (!source->connected)
        return;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)source->n_partitions);
    for (size_t i = 0; i < source->n_partitions; i++) {
        const struct partition *p = source->partitions[i];
        if (p->committed < 0)
            continue;
        rd_kafka_topic_partition_t *tp =
            rd_kafka_topic_partition_list_add(list, source->topics[p->topic].name, p->id);
        tp->offset = p->committed;
    }
    if (list->cnt)
        rd_kafka_commit(source->rk, list, 1);
    rd_kafka_topic_partition_list_destroy(list);
}

const char *kafka_source_trouble(const struct kafka_source *source)
{
    if (source->trouble[0])
        return source->trouble;
    for (size_t i = 0; i < source->n_topics; i++)
        if (source->topics[i].trouble[0])
            return source->topics[i].trouble;
    for (size_t i = 0; i < source->n_partitions; i++)
        if (source->partitions[i]->halted)
            return "partitions are halted: the log says which, and why";
    for (size_t i = 0; i < source->n_partitions; i++)
        if (source->partitions[i]->parked)
            return source->parked_why[0] ? source->parked_why : "partitions wait for a schema";
    return "";
}

bool kafka_source_connected(const struct kafka_source *source)
{
    return source->connected;
}
