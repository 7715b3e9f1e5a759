#include "cmd/demo/demo_producer.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cmd/demo/demo_json.h"
#include "cmd/demo/demo_truth.h"

#define UNREAD_MAX (4 << 20) /* bytes of a topic that are produced and not read yet */
#define MARKS      64        /* of a topic */
#define MARK_BYTES (UNREAD_MAX / (MARKS / 2))
#define EPOCHS     256
#define EPOCH_MS   500
#define FLUSH_MS   5000

const struct demo_broker_topic demo_topics[DEMO_TOPICS] = {
    [DEMO_ORDERS] = {"orders", 4},
    [DEMO_FRIDGES] = {"fridges", 4},
    [DEMO_REVIEWS] = {"reviews", 2},
    [DEMO_COURIERS] = {"couriers", 4},
    [DEMO_PAYMENTS] = {"payments", 2},
};

/* How many bytes of a topic are unread, from how many records are read: a mark remembers the bytes
 * that were out when so many records were. */
struct unread {
    uint64_t records, bytes; /* produced */
    uint64_t read_bytes;     /* at most what was read */
    struct {
        uint64_t records, bytes;
    } marks[MARKS];
    unsigned first, n;
};

/* The records of about half a second. When all of an epoch and of those before are acknowledged,
 * the truth is complete up to what the model said at its end. */
struct epoch {
    int64_t complete_ms;
    uint32_t unacknowledged;
};

struct demo_producer {
    struct demo_producer_options options;
    pthread_t thread;
    atomic_bool stop;

    pthread_mutex_t lock; /* progress */
    struct demo_producer_progress progress;

    /* of the thread alone */
    rd_kafka_t *kafka;
    rd_kafka_topic_t *topics[DEMO_TOPICS];
    struct demo_model *model;
    struct demo_truth *truth;
    struct unread unread[DEMO_TOPICS];
    struct epoch epochs[EPOCHS];
    uint64_t first_epoch, epoch; /* the oldest that is not complete, the one that is open */
    int64_t epoch_ns;
    uint64_t produced, acknowledged;
    int64_t arrival_ms;
    bool failed;
    struct err trouble;
    struct buf key, value;
};

/* ---- how far the reader is ---- */

static void unread_add(struct unread *unread, size_t bytes)
{
    unread->records++;
    unread->bytes += bytes;
    unsigned last = (unread->first + unread->n - 1) % MARKS;
    uint64_t marked = unread->n > 0 ? unread->marks[last].bytes : unread->read_bytes;
    if (unread->bytes - marked < MARK_BYTES || unread->n == MARKS)
        return;
    unsigned at = (unread->first + unread->n++) % MARKS;
    unread->marks[at].records = unread->records;
    unread->marks[at].bytes = unread->bytes;
}

static void unread_read(struct unread *unread, uint64_t records)
{
    while (unread->n > 0 && unread->marks[unread->first].records <= records) {
        unread->read_bytes = unread->marks[unread->first].bytes;
        unread->first = (unread->first + 1) % MARKS;
        unread->n--;
    }
}

static bool has_room(struct demo_producer *p)
{
    bool full = false;
    for (int i = 0; i < DEMO_TOPICS; i++)
        full |= p->unread[i].bytes - p->unread[i].read_bytes > UNREAD_MAX;
    if (!full)
        return true;
    uint64_t read[DEMO_TOPICS] = {0};
    p->options.records_read(p->options.ctx, read);
    full = false;
    for (int i = 0; i < DEMO_TOPICS; i++) {
        unread_read(&p->unread[i], read[i]);
        full |= p->unread[i].bytes - p->unread[i].read_bytes > UNREAD_MAX;
    }
    return !full;
}

/* ---- acknowledgements ---- */

static void fail(struct demo_producer *p, const char *what, const char *why)
{
    if (!p->failed)
        err_set(&p->trouble, ERR_UNAVAILABLE, "%s: %s", what, why);
    p->failed = true;
}

static void acknowledged(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct demo_producer *p = opaque;
    if (message->err) {
        fail(p, "the demo's broker did not take an event", rd_kafka_err2str(message->err));
        return;
    }
    struct epoch *epoch = message->_private;
    epoch->unacknowledged--;
    p->acknowledged++;
}

static struct epoch *open_epoch(struct demo_producer *p)
{
    return &p->epochs[p->epoch % EPOCHS];
}

/* Closes the open epoch when its time is over, and completes the truth as far as it goes. */
static void turn_epochs(struct demo_producer *p)
{
    int64_t now_ns = clock_mono_ns();
    if (now_ns - p->epoch_ns >= EPOCH_MS * (int64_t)1000000 &&
        p->epoch - p->first_epoch < EPOCHS - 1) {
        open_epoch(p)->complete_ms = demo_model_complete_ms(p->model);
        p->epoch++;
        *open_epoch(p) = (struct epoch){0};
        p->epoch_ns = now_ns;
    }
    while (p->first_epoch < p->epoch && p->epochs[p->first_epoch % EPOCHS].unacknowledged == 0) {
        int64_t complete_ms = p->epochs[p->first_epoch++ % EPOCHS].complete_ms;
        if (!demo_truth_complete(p->truth, complete_ms, &p->trouble))
            p->failed = true;
    }
}

static void publish_progress(struct demo_producer *p)
{
    mutex_lock(&p->lock);
    p->progress.produced = p->produced;
    p->progress.acknowledged = p->acknowledged;
    p->progress.arrival_ms = p->arrival_ms;
    p->progress.live = p->arrival_ms >= p->options.model.live_ms;
    p->progress.failed = p->failed;
    if (p->failed)
        snprintf(p->progress.text, sizeof p->progress.text, "%.255s", p->trouble.text);
    mutex_unlock(&p->lock);
}

/* ---- the thread ---- */

/* One event to the broker. When librdkafka's queue is full this waits for acknowledgements. */
static void produce(struct demo_producer *p)
{
    struct demo_event event;
    demo_model_next(p->model, &event);
    buf_clear(&p->key);
    buf_clear(&p->value);
    demo_json_write(&event, p->options.model.seed, &p->key, &p->value);
    int partitions = demo_topics[event.topic].partitions;
    int32_t partition = (int32_t)(hash64(p->key.ptr, p->key.len) % (uint64_t)partitions);
    for (;;) {
        rd_kafka_resp_err_t e = rd_kafka_producev(p->kafka, RD_KAFKA_V_RKT(p->topics[event.topic]),
            RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_KEY(p->key.ptr, p->key.len), RD_KAFKA_V_VALUE(p->value.ptr, p->value.len),
            RD_KAFKA_V_TIMESTAMP(event.arrival_ms), RD_KAFKA_V_OPAQUE(open_epoch(p)),
            RD_KAFKA_V_END);
        if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
        if (e != RD_KAFKA_RESP_ERR__QUEUE_FULL || atomic_load(&p->stop)) {
            if (e != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                fail(p, "the demo cannot produce", rd_kafka_err2str(e));
            return;
        }
        rd_kafka_poll(p->kafka, 5);
    }
    demo_truth_count(p->truth, &event);
    open_epoch(p)->unacknowledged++;
    unread_add(&p->unread[event.topic], p->value.len + p->key.len);
    p->arrival_ms = event.arrival_ms;
    p->produced++;
}

#define TURN 500 /* events between two looks at the clock and the reader */

static void *run(void *arg)
{
    struct demo_producer *p = arg;
    p->epoch_ns = clock_mono_ns();
    while (!atomic_load(&p->stop) && !p->failed) {
        int64_t now_ms = clock_now_ms();
        int n = 0;
        if (has_room(p))
            for (; n < TURN && !p->failed && demo_model_peek_ms(p->model) <= now_ms; n++)
                produce(p);
        rd_kafka_poll(p->kafka, n == TURN ? 0 : 2);
        turn_epochs(p);
        publish_progress(p);
    }
    return NULL;
}

/* ---- start and stop ---- */

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return true;
    return err_set(err, ERR_INVALID, "the demo's producer: %s", text);
}

static bool connect_kafka(struct demo_producer *p, struct err *err)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, p);
    rd_kafka_conf_set_dr_msg_cb(conf, acknowledged);
    rd_kafka_conf_set_log_cb(conf, NULL);
    bool ok = set(conf, "bootstrap.servers", p->options.brokers, err) &&
              set(conf, "enable.idempotence", "true", err) && set(conf, "acks", "all", err) &&
              set(conf, "compression.codec", "lz4", err) && set(conf, "linger.ms", "10", err) &&
              set(conf, "queue.buffering.max.messages", "100000", err);
    p->kafka = ok ? rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text) : NULL;
    if (!p->kafka) {
        rd_kafka_conf_destroy(conf);
        return ok ? err_set(err, ERR_UNAVAILABLE, "the demo's producer: %s", text) : false;
    }
    for (int i = 0; i < DEMO_TOPICS; i++)
        p->topics[i] = rd_kafka_topic_new(p->kafka, demo_topics[i].name, NULL);
    return true;
}

static void release(struct demo_producer *p)
{
    struct err err = {0};
    (void)demo_truth_close(&p->truth, &err);
    demo_model_free(&p->model);
    for (int i = 0; i < DEMO_TOPICS; i++)
        if (p->topics[i])
            rd_kafka_topic_destroy(p->topics[i]);
    if (p->kafka)
        rd_kafka_destroy(p->kafka);
    buf_fini(&p->key);
    buf_fini(&p->value);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

bool demo_producer_start(
    const struct demo_producer_options *options, struct demo_producer **out, struct err *err)
{
    struct demo_producer *p = xcalloc(1, sizeof *p);
    p->options = *options;
    mutex_init(&p->lock);
    buf_init(&p->key, 0);
    buf_init(&p->value, 0);
    const struct demo_model_options *model = &options->model;
    if (!demo_truth_open(
            options->truth_path, model->seed, model->rate, model->start_ms, &p->truth, err) ||
        !connect_kafka(p, err)) {
        release(p);
        return false;
    }
    p->model = demo_model_new(model);
    thread_start(&p->thread, "demo-producer", run, p);
    *out = p;
    return true;
}

void demo_producer_progress(struct demo_producer *producer, struct demo_producer_progress *out)
{
    mutex_lock(&producer->lock);
    *out = producer->progress;
    mutex_unlock(&producer->lock);
}

/* What is still under way in the model is never produced: with the last acknowledgement everything
 * up to the last arrival is complete. */
static bool finish(struct demo_producer *p, struct err *err)
{
    int64_t end_ns = clock_mono_ns() + FLUSH_MS * (int64_t)1000000;
    (void)rd_kafka_flush(p->kafka, 0);
    while (!p->failed && p->acknowledged < p->produced && clock_mono_ns() < end_ns)
        rd_kafka_flush(p->kafka, 100);
    if (p->failed) {
        *err = p->trouble;
        return false;
    }
    if (p->acknowledged < p->produced)
        return err_set(err, ERR_TIMEOUT,
            "%" PRIu64 " events were not acknowledged: the truth ends before them",
            p->produced - p->acknowledged);
    return demo_truth_complete(p->truth, p->arrival_ms, err);
}

bool demo_producer_stop(
    struct demo_producer **producer, struct demo_producer_progress *last, struct err *err)
{
    struct demo_producer *p = *producer;
    atomic_store(&p->stop, true);
    thread_join(p->thread);
    bool ok = finish(p, err);
    struct err closing = {0};
    if (!demo_truth_close(&p->truth, &closing) && ok) {
        *err = closing;
        ok = false;
    }
    publish_progress(p);
    *last = p->progress;
    release(p);
    *producer = NULL;
    return ok;
}
