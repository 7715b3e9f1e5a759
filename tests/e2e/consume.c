/*
 * Reads a topic from its beginning to its end, committed messages alone, and writes one JSON object
 * for each message:
 *
 *     consume BROKERS TOPIC
 *
 *     {"partition": 0, "offset": 7, "timestamp": 1700000000000, "key": HEX | null,
 *      "value": HEX | null, "headers": [["name", HEX | null], ...]}
 */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 20000

static char text[512];

static int failed(const char *why)
{
    fprintf(stderr, "consume: %s\n", why);
    return 1;
}

static rd_kafka_t *connect_to(const char *brokers)
{
    static const char *const settings[][2] = {{"group.id", "consume"}, {"log_level", "3"},
        {"enable.auto.commit", "false"}, {"isolation.level", "read_committed"},
        {"enable.partition.eof", "true"}, {"auto.offset.reset", "earliest"},
        {"fetch.message.max.bytes", "20000000"}, {"fetch.wait.max.ms", "20"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, text, sizeof text);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof text))
            return NULL;
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (rk)
        rd_kafka_poll_set_consumer(rk);
    return rk;
}

/* How many partitions it has; 0: nobody says, or it is not there. */
static int assign(rd_kafka_t *rk, const char *name)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    rd_kafka_resp_err_t rc = rd_kafka_metadata(rk, 0, topic, &md, WAIT_MS);
    int n = 0;
    if (!rc) {
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
        n = md->topics[0].partition_cnt;
        for (int i = 0; i < n; i++)
            rd_kafka_topic_partition_list_add(list, name, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
        rd_kafka_assign(rk, list);
        rd_kafka_topic_partition_list_destroy(list);
        rd_kafka_metadata_destroy(md);
    }
    rd_kafka_topic_destroy(topic);
    return n;
}

static void put_hex(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    if (!p) {
        fputs("null", stdout);
        return;
    }
    putchar('"');
    for (size_t i = 0; i < n; i++)
        printf("%02x", p[i]);
    putchar('"');
}

static void put_message(const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size;
    printf("{\"partition\": %" PRId32 ", \"offset\": %" PRId64 ", \"timestamp\": %" PRId64
           ", \"key\": ",
        m->partition, m->offset, rd_kafka_message_timestamp(m, &type));
    put_hex(m->key, m->key_len);
    fputs(", \"value\": ", stdout);
    put_hex(m->payload, m->len);
    fputs(", \"headers\": [", stdout);
    if (!rd_kafka_message_headers(m, &headers))
        for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++) {
            printf("%s[\"%s\", ", i ? ", " : "", name);
            put_hex(value, size);
            putchar(']');
        }
    puts("]}");
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return failed("usage: consume BROKERS TOPIC");
    rd_kafka_t *rk = connect_to(argv[1]);
    if (!rk)
        return failed(text);
    int left = assign(rk, argv[2]);
    if (left == 0)
        return failed("no such topic, or no broker");
    while (left > 0) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, WAIT_MS);
        if (!m)
            return failed("no end within 20 s");
        if (!m->err)
            put_message(m);
        left -= m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        rd_kafka_message_destroy(m);
    }
    rd_kafka_destroy(rk);
    return 0;
}
