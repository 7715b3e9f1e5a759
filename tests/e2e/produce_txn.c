/*
 * A transactional producer of one partition, told by standard input, one command a line:
 *
 *     send VALUE     into the open transaction, or a new one
 *     commit         "ok" when it is done
 *     abort          likewise
 *
 *     produce_txn BROKERS TOPIC PARTITION TRANSACTIONAL_ID TIMESTAMP_MS
 *
 * The n-th message's timestamp is TIMESTAMP_MS + n. Exit status 1 with a line that says why.
 */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 30000

static char text[512];

static bool fine(rd_kafka_error_t *error)
{
    if (!error)
        return true;
    fprintf(stderr, "%s\n", rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return false;
}

static rd_kafka_t *connect_to(char **argv)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], NULL, 0);
    rd_kafka_conf_set(conf, "transactional.id", argv[4], NULL, 0);
    rd_kafka_conf_set(conf, "linger.ms", "1", NULL, 0);
    rd_kafka_conf_set(conf, "log_level", "2", NULL, 0);
    return rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
}

static bool send_one(rd_kafka_t *rk, char **argv, const char *value, long n)
{
    rd_kafka_resp_err_t err = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(argv[2]),
        RD_KAFKA_V_PARTITION(atoi(argv[3])), RD_KAFKA_V_TIMESTAMP(atoll(argv[5]) + n),
        RD_KAFKA_V_VALUE((void *)(size_t)value, strlen(value)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (err)
        fprintf(stderr, "%s\n", rd_kafka_err2str(err));
    return !err;
}

static bool end(rd_kafka_t *rk, bool commit)
{
    /* What is aborted has to be in the log before. */
    if (rd_kafka_flush(rk, WAIT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    if (!fine(commit ? rd_kafka_commit_transaction(rk, WAIT_MS)
                     : rd_kafka_abort_transaction(rk, WAIT_MS)))
        return false;
    puts("ok");
    fflush(stdout);
    return true;
}

static bool run(rd_kafka_t *rk, char **argv)
{
    char line[4096];
    bool open = false, ok = fine(rd_kafka_init_transactions(rk, WAIT_MS));
    for (long n = 0; ok && fgets(line, sizeof line, stdin);) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "send ", 5) == 0) {
            ok =
                (open || fine(rd_kafka_begin_transaction(rk))) && send_one(rk, argv, line + 5, n++);
            open = true;
        } else {
            ok = end(rk, strcmp(line, "commit") == 0);
            open = false;
        }
    }
    return ok;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: see the top of tests/e2e/produce_txn.c\n");
        return 2;
    }
    rd_kafka_t *rk = connect_to(argv);
    if (!rk) {
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    bool ok = run(rk, argv);
    rd_kafka_destroy(rk);
    return ok ? 0 : 1;
}
