/*
 * A Kafka broker for tests: librdkafka's mock cluster of one broker, on a free port of 127.0.0.1,
 * in a process of its own so that its CPU and its life are apart from ours.
 *
 *     mock_broker [TOPIC:PARTITIONS ...]
 *
 * The first line on standard output is "bootstrap HOST:PORT". Commands are lines on standard input,
 * each answered by "ok" or "error: ...":
 *
 *     topic NAME PARTITIONS    make a topic
 *     hide NAME                say that the topic does not exist (the mock makes what is asked for)
 *     show NAME                say that it does
 *     down                     close the port and all connections
 *     up                       open it again
 *
 * It ends when standard input does, so that it never outlives its test. The mock keeps 5 MiB of
 * each partition and forgets the oldest beyond that.
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BROKER_ID      1
#define PARTITIONS_MAX 1024

static bool topic_create(rd_kafka_mock_cluster_t *cluster, const char *name, const char *count)
{
    char *end;
    long n = strtol(count, &end, 10);
    if (*end || n < 1 || n > PARTITIONS_MAX || !*name)
        return false;
    return rd_kafka_mock_topic_create(cluster, name, (int)n, 1) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Metadata and requests answer with the error as long as it is set. */
static bool topic_hide(rd_kafka_mock_cluster_t *cluster, const char *name, bool hide)
{
    rd_kafka_resp_err_t error =
        hide ? RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART : RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_mock_topic_set_error(cluster, name, error);
    return true;
}

static bool obey(rd_kafka_mock_cluster_t *cluster, char *line)
{
    char *save = NULL;
    const char *word = strtok_r(line, " \n", &save);
    if (!word)
        return false;
    if (strcmp(word, "down") == 0)
        return !rd_kafka_mock_broker_set_down(cluster, BROKER_ID);
    if (strcmp(word, "up") == 0)
        return !rd_kafka_mock_broker_set_up(cluster, BROKER_ID);
    const char *name = strtok_r(NULL, " \n", &save), *count = strtok_r(NULL, " \n", &save);
    if (name && (strcmp(word, "hide") == 0 || strcmp(word, "show") == 0))
        return topic_hide(cluster, name, word[0] == 'h');
    return strcmp(word, "topic") == 0 && name && count && topic_create(cluster, name, count);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "3", text, sizeof text);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    rd_kafka_mock_cluster_t *cluster = rk ? rd_kafka_mock_cluster_new(rk, 1) : NULL;
    if (!cluster) {
        fprintf(stderr, "mock_broker: cannot start: %s\n", text);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        char *colon = strchr(argv[i], ':');
        if (colon)
            *colon = '\0';
        if (!colon || !topic_create(cluster, argv[i], colon + 1)) {
            fprintf(stderr, "usage: mock_broker [TOPIC:PARTITIONS ...]\n");
            return 2;
        }
    }
    printf("bootstrap %s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    fflush(stdout);
    for (char line[1024]; fgets(line, sizeof line, stdin);) {
        bool ok = obey(cluster, line);
        printf("%s\n", ok ? "ok" : "error: not understood, or refused");
        fflush(stdout);
    }
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(rk);
    return 0;
}
