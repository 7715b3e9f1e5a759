/*
 * Fills the partitions of a topic with order events for the ingest benchmark, as fast as librdkafka
 * takes them: JSON of SIZE bytes each (266), LZ4, ordinary producer batches.
 *
 *     gen_events BROKERS TOPIC PARTITIONS COUNT FIRST_MS PER_SECOND [SEED]
 *
 * Event times begin at FIRST_MS and advance at PER_SECOND; the record timestamp is up to two
 * seconds after the event's. Orders go through placed, accepted, prepared, picked_up, delivered;
 * one in eleven is cancelled. The last line says what a query must find: "events N placed N
 * delivered N amount CENTS last_ms T bytes B", where amount is that of placed orders.
 */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZE     266
#define ORDERS   4096 /* open at a time */
#define FLUSH_MS 120000

static const char *const stages[] = {"placed", "accepted", "prepared", "picked_up", "delivered"};
static const char *const markets[] = {"porto", "berlin", "lisbon", "madrid", "paris", "warsaw"};
static const char *const categories[] = {"bakery", "burger", "chinese", "coffee", "dessert",
    "greek", "indian", "italian", "japanese", "kebab", "korean", "mexican", "pizza", "salad",
    "sandwich", "seafood", "sushi", "thai", "vegan", "ramen"};
static const char *const channels[] = {"app", "web", "kiosk"};

#define PICK(table, random) ((table)[(random) % (sizeof(table) / sizeof *(table))])

struct order {
    uint64_t id, random; /* random bits that decide what does not change in its life */
    int64_t promised_ms;
    unsigned stage;
    bool ended; /* or not begun */
};

struct totals {
    uint64_t events, placed, delivered, amount, bytes;
    int64_t last_ms;
};

static uint64_t state;
static uint64_t undelivered;

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016. */
static uint64_t next_random(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull;
}

static void time_text(int64_t ms, char *out, size_t size)
{
    static int64_t cached_s = -1;
    static char cached[32];
    if (ms / 1000 != cached_s) {
        time_t seconds = (time_t)(ms / 1000);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        strftime(cached, sizeof cached, "%Y-%m-%dT%H:%M:%S", &tm);
        cached_s = ms / 1000;
    }
    snprintf(out, size, "%s.%03dZ", cached, (int)(ms % 1000));
}

/* A new order, or the next stage of an open one. */
static const char *next_stage(struct order *order, int64_t ms)
{
    static uint64_t ids;
    if (order->id == 0 || order->ended) {
        uint64_t random = next_random();
        *order = (struct order){.id = ++ids, .random = random};
        order->promised_ms = ms + 1200000 + (int64_t)(random % 1800000);
        return stages[0];
    }
    if (order->random % 11 == 0 && order->stage == 1) {
        order->ended = true;
        return "cancelled";
    }
    order->stage++;
    order->ended = order->stage + 1 == sizeof stages / sizeof *stages;
    return stages[order->stage];
}

static size_t event_json(struct order *order, int64_t ms, char *out, struct totals *totals)
{
    const char *stage = next_stage(order, ms);
    uint64_t random = order->random, cents = 500 + random % 9000;
    char at[40];
    time_text(ms, at, sizeof at);
    int n = snprintf(out, SIZE + 1,
        "{\"event_id\":\"%06" PRIx64 "-%06" PRIx64 "\",\"type\":\"%s\",\"order_id\":\"o%" PRIu64
        "\",\"occurred_at\":\"%s\",\"market\":\"%s\",\"store\":\"s%u\",\"category\":\"%s\","
        "\"channel\":\"%s\",\"items\":%u,\"amount\":%" PRIu64 ".%02u,\"promised_at\":%" PRId64
        ",\"courier\":\"c%u\",\"customer\":\"",
        totals->events, next_random() >> 40, stage, order->id, at, PICK(markets, random >> 8),
        (unsigned)(random >> 16) % 500, PICK(categories, random >> 24),
        PICK(channels, random >> 32), 1 + (unsigned)(random >> 40) % 9, cents / 100,
        (unsigned)(cents % 100), order->promised_ms, (unsigned)(order->random >> 48) % 900);
    if (n < 0 || n > SIZE - 2)
        return 0;
    for (uint64_t bits = random; n < SIZE - 2; n++, bits = bits >> 5 | bits << 59)
        out[n] = (char)('a' + bits % 26);
    memcpy(out + SIZE - 2, "\"}", 2);
    totals->events++;
    totals->bytes += SIZE;
    totals->last_ms = ms;
    totals->delivered += strcmp(stage, "delivered") == 0;
    if (strcmp(stage, "placed") == 0) {
        totals->placed++;
        totals->amount += cents;
    }
    return SIZE;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    (void)opaque;
    if (message->err)
        undelivered++;
}

static rd_kafka_t *producer_new(const char *brokers)
{
    const char *settings[][2] = {{"bootstrap.servers", brokers}, {"compression.codec", "lz4"},
        {"linger.ms", "50"}, {"batch.num.messages", "4000"},
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

/* An order stays in one partition, as its key would see to. */
static bool produce_all(rd_kafka_t *rk, rd_kafka_topic_t *topic, uint64_t partitions,
    uint64_t count, int64_t first_ms, uint64_t per_second, struct totals *totals)
{
    static struct order orders[ORDERS];
    char json[SIZE + 1];
    while (totals->events < count) {
        uint64_t slot = next_random() % ORDERS;
        int64_t ms = first_ms + (int64_t)(totals->events * 1000 / per_second);
        size_t len = event_json(&orders[slot], ms, json, totals);
        if (len == 0) {
            fprintf(stderr, "gen_events: an event does not fit %d bytes\n", SIZE);
            return false;
        }
        char key[24];
        int key_len = snprintf(key, sizeof key, "o%" PRIu64, orders[slot].id);
        while (rd_kafka_producev(rk, RD_KAFKA_V_RKT(topic),
                   RD_KAFKA_V_PARTITION((int32_t)(slot % partitions)),
                   RD_KAFKA_V_TIMESTAMP(ms + (int64_t)(next_random() % 2000)),
                   RD_KAFKA_V_KEY(key, (size_t)key_len), RD_KAFKA_V_VALUE(json, len),
                   RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                   RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(rk, 20);
        if (totals->events % 1024 == 0)
            rd_kafka_poll(rk, 0);
    }
    return rd_kafka_flush(rk, FLUSH_MS) == RD_KAFKA_RESP_ERR_NO_ERROR && undelivered == 0;
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr,
            "usage: gen_events BROKERS TOPIC PARTITIONS COUNT FIRST_MS PER_SECOND [SEED]\n");
        return 2;
    }
    uint64_t partitions = strtoull(argv[3], NULL, 10), count = strtoull(argv[4], NULL, 10);
    uint64_t per_second = strtoull(argv[6], NULL, 10);
    state = argc > 7 ? strtoull(argv[7], NULL, 10) : 1;
    rd_kafka_t *rk = producer_new(argv[1]);
    if (!rk || !partitions || !per_second || !state)
        return 2;
    struct totals t = {0};
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, argv[2], NULL);
    bool ok = produce_all(rk, topic, partitions, count, strtoll(argv[5], NULL, 10), per_second, &t);
    if (ok)
        printf("events %" PRIu64 " placed %" PRIu64 " delivered %" PRIu64 " amount %" PRIu64
               " last_ms %" PRId64 " bytes %" PRIu64 "\n",
            t.events, t.placed, t.delivered, t.amount, t.last_ms, t.bytes);
    else
        fprintf(stderr, "gen_events: %" PRIu64 " messages were not delivered\n", undelivered);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
    return ok ? 0 : 1;
}
