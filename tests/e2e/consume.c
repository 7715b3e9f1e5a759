/*
 * Writes what the partitions of topics hold, read_committed, up to their ends now:
 *
 *     consume BROKERS TOPIC...
 *
 *     TOPIC <tab> PARTITION <tab> OFFSET <tab> TIMESTAMP_MS <tab> KEY <tab> VALUE { <tab>
 * NAME=VALUE }
 *
 * Keys, values and the values of headers are bytes in hexadecimal; "-" is none. Exit status 1: the
 * brokers did not answer.
 */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS 30000

static int failed(const char *why)
{
    fprintf(stderr, "consume: %s\n", why);
    return 1;
}

static rd_kafka_t *connect_to(const char *brokers)
{
    static const char *const settings[][2] = {{"group.id", "consume"}, {"log_level", "2"},
        {"enable.auto.commit", "false"}, {"isolation.level", "read_committed"},
        {"enable.partition.eof", "true"}, {"auto.offset.reset", "error"}};
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        rd_kafka_conf_set(conf, settings[i][0], settings[i][1], NULL, 0);
    return rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
}

static bool list_partitions(rd_kafka_t *rk, const char *name, rd_kafka_topic_partition_list_t *list)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, topic, &metadata, WAIT_MS);
    rd_kafka_topic_destroy(topic);
    if (err)
        return false;
    bool ok = metadata->topic_cnt == 1 && !metadata->topics[0].err;
    for (int i = 0; ok && i < metadata->topics[0].partition_cnt; i++)
        rd_kafka_topic_partition_list_add(list, name, metadata->topics[0].partitions[i].id)
            ->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_metadata_destroy(metadata);
    return ok;
}

static void write_hex(const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;
    if (!bytes)
        putchar('-');
    for (size_t i = 0; bytes && i < len; i++) {
        putchar(digits[p[i] >> 4]);
        putchar(digits[p[i] & 15]);
    }
}

static void write_message(const rd_kafka_message_t *m)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size;
    printf("%s\t%d\t%lld\t%lld\t", rd_kafka_topic_name(m->rkt), m->partition, (long long)m->offset,
        (long long)rd_kafka_message_timestamp(m, NULL));
    write_hex(m->key, m->key_len);
    putchar('\t');
    write_hex(m->payload, m->len);
    if (rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
        for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++) {
            printf("\t%s=", name);
            write_hex(value, size);
        }
    putchar('\n');
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return failed("usage: consume BROKERS TOPIC...");
    rd_kafka_t *rk = connect_to(argv[1]);
    if (!rk)
        return failed("no consumer");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    int status = 0;
    for (int i = 2; i < argc && !status; i++)
        if (!list_partitions(rk, argv[i], list))
            status = failed(argv[i]);
    int left = list->cnt;
    rd_kafka_assign(rk, list);
    while (left > 0 && !status) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, WAIT_MS);
        if (!m)
            status = failed("no answer");
        else if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            left--;
        else if (!m->err)
            write_message(m);
        if (m)
            rd_kafka_message_destroy(m);
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    return status;
}
