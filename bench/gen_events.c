/*
 * Fills the five topics of larder.yml with the events of bench/support/business.h, as fast as
 * librdkafka takes them: LZ4, ordinary producer batches. The topics are there.
 *
 *     gen_events BROKERS PARTITIONS COUNT FIRST_MS PER_SECOND json|avro [SEED]
 *     gen_events live BROKERS PARTITIONS SECONDS PER_SECOND
 *
 * All events of an order, fridge or courier go to one partition of their topic, as keys would see
 * to. The last line says what a query must find: "events N orders N ... placed N delivered N ...".
 *
 * live: events happen now, JSON, at this rate; for every one in a hundred that the broker has
 * acknowledged a line tells its time of event and of acknowledgement: "ack TOPIC MS MS".
 *
 *     gen_events schema TOPIC     prints what Avro events of the topic are written with
 */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/support/business.h"

#define FLUSH_MS 120000

static uint64_t undelivered;
static bool tells;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    int64_t event_ms = (int64_t)(intptr_t)message->_private;
    (void)rk;
    (void)opaque;
    if (message->err)
        undelivered++;
    else if (tells && event_ms)
        printf("ack %s %" PRId64 " %" PRId64 "\n", rd_kafka_topic_name(message->rkt), event_ms,
            clock_now_ms());
}

static rd_kafka_t *producer_new(const char *brokers, const char *linger_ms)
{
    const char *settings[][2] = {{"bootstrap.servers", brokers}, {"compression.codec", "lz4"},
        {"linger.ms", linger_ms}, {"batch.num.messages", "4000"},
        {"queue.buffering.max.messages", "500000"}, {"max.in.flight.requests.per.connection", "1"},
        {"log_level", "3"}};
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof text);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!rk)
        fprintf(stderr, "gen_events: %s\n", text);
    return rk;
}

struct producer {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topics[TOPICS];
    uint64_t partitions;
};

static bool producer_init(
    struct producer *p, const char *brokers, const char *partitions, const char *linger_ms)
{
    p->partitions = strtoull(partitions, NULL, 10);
    p->rk = producer_new(brokers, linger_ms);
    for (int t = 0; p->rk && t < TOPICS; t++)
        p->topics[t] = rd_kafka_topic_new(p->rk, topic_names[t], NULL);
    return p->rk && p->partitions;
}

static bool producer_fini(struct producer *p)
{
    bool ok = rd_kafka_flush(p->rk, FLUSH_MS) == RD_KAFKA_RESP_ERR_NO_ERROR && undelivered == 0;
    if (!ok)
        fprintf(stderr, "gen_events: %" PRIu64 " messages were not delivered\n", undelivered);
    for (int t = 0; t < TOPICS; t++)
        rd_kafka_topic_destroy(p->topics[t]);
    rd_kafka_destroy(p->rk);
    return ok;
}

static void produce(struct producer *p, struct business_event *e, int64_t told_ms)
{
    while (
        rd_kafka_producev(p->rk, RD_KAFKA_V_RKT(p->topics[e->topic]),
            RD_KAFKA_V_PARTITION((int32_t)(e->entity % p->partitions)),
            RD_KAFKA_V_TIMESTAMP(e->timestamp_ms), RD_KAFKA_V_KEY(e->key, e->key_len),
            RD_KAFKA_V_VALUE(e->value, e->value_len), RD_KAFKA_V_OPAQUE((void *)(intptr_t)told_ms),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(p->rk, 20);
}

static void print_totals(const struct business_totals *t)
{
    printf("events %" PRIu64, t->events);
    for (int i = 0; i < TOPICS; i++)
        printf(" %s %" PRIu64, topic_names[i], t->by_topic[i]);
    printf(" placed %" PRIu64 " delivered %" PRIu64 " cancelled %" PRIu64 " rejected %" PRIu64
           " captured %" PRIu64 " amount %" PRIu64 " last_ms %" PRId64 " bytes %" PRIu64 "\n",
        t->placed, t->delivered, t->cancelled, t->rejected, t->captured, t->amount, t->last_ms,
        t->bytes);
}

static int fill(int argc, char **argv)
{
    struct producer p = {0};
    struct business_event e;
    uint64_t count = strtoull(argv[3], NULL, 10);
    struct business_options options = {.seed = argc > 7 ? strtoull(argv[7], NULL, 10) : 1,
        .first_ms = strtoll(argv[4], NULL, 10),
        .per_second = strtoull(argv[5], NULL, 10),
        .avro = strcmp(argv[6], "avro") == 0};
    if (!options.seed || !options.per_second || !producer_init(&p, argv[1], argv[2], "50"))
        return 2;
    struct business *business = business_new(&options);
    for (uint64_t i = 0; i < count; i++) {
        business_next(business, &e);
        produce(&p, &e, 0);
        if (i % 1024 == 0)
            rd_kafka_poll(p.rk, 0);
    }
    bool ok = producer_fini(&p);
    if (ok)
        print_totals(business_totals(business));
    business_free(&business);
    return ok ? 0 : 1;
}

/* As many as are due, every two milliseconds. */
static int live(char **argv)
{
    struct producer p = {0};
    struct business_event e;
    uint64_t seconds = strtoull(argv[4], NULL, 10), made = 0;
    struct business_options options = {
        .seed = 1, .first_ms = clock_now_ms(), .per_second = strtoull(argv[5], NULL, 10)};
    if (!options.per_second || !producer_init(&p, argv[2], argv[3], "5"))
        return 2;
    struct business *business = business_new(&options);
    tells = true;
    for (int64_t now; (now = clock_now_ms() - options.first_ms) < (int64_t)seconds * 1000;) {
        for (; made < (uint64_t)now * options.per_second / 1000; made++) {
            business_next(business, &e);
            e.timestamp_ms = clock_now_ms();
            produce(&p, &e, e.topic == TOPIC_ORDERS ? e.time_ms : 0);
        }
        rd_kafka_poll(p.rk, 2);
        fflush(stdout);
    }
    bool ok = producer_fini(&p);
    if (ok)
        print_totals(business_totals(business));
    business_free(&business);
    return ok ? 0 : 1;
}

static int print_schema(const char *topic)
{
    for (int t = 0; t < TOPICS; t++)
        if (strcmp(topic, topic_names[t]) == 0)
            puts(topic_schema((enum topic)t));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "schema") == 0)
        return print_schema(argv[2]);
    if (argc == 6 && strcmp(argv[1], "live") == 0)
        return live(argv);
    if (argc >= 7)
        return fill(argc, argv);
    fprintf(stderr,
        "usage: gen_events BROKERS PARTITIONS COUNT FIRST_MS PER_SECOND json|avro [SEED]\n"
        "       gen_events live BROKERS PARTITIONS SECONDS PER_SECOND\n"
        "       gen_events schema TOPIC\n");
    return 2;
}
