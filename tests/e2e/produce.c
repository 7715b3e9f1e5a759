/*
 * Produces the lines of standard input to Kafka, in their order:
 *
 *     TOPIC <tab> PARTITION <tab> TIMESTAMP_MS <tab> KEY <tab> PAYLOAD
 *
 * PARTITION -1 chooses by the key. A line without PAYLOAD is a tombstone. A line "!flush" waits
 * until everything before it is acknowledged and says "flushed N"; "!batch N" changes the greatest
 * number of messages of a batch (by a new producer, after a flush). After "!hex" payloads are bytes
 * in hexadecimal. "!header NAME HEX" gives a header to all messages from there on, "!header" takes
 * all of them away; "!nokey" means that they have no key when theirs is empty.
 *
 *     produce BROKERS [CODEC [MESSAGES_PER_BATCH [TRANSACTIONAL_ID]]]
 *
 * With a transactional id messages belong to a transaction, until "!commit" ends it (and says
 * "committed N", of all so far) or "!abort". A transaction that the brokers could not keep is
 * aborted and sent again as a whole.
 *
 * Exit status 1 when a message was not acknowledged.
 */
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_MS   60000
#define TRIES      60 /* of a commit, of a message to a partition that is not known yet */
#define BACKOFF_MS 200

struct producer {
    const char *brokers, *codec, *transactional_id;
    rd_kafka_t *rk;
    uint64_t acknowledged, failed, committed;
    bool hex, no_key, in_transaction;
    rd_kafka_headers_t *headers; /* NULL: none */
    char **lines;                /* of the open transaction */
    size_t n_lines, cap_lines;
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct producer *p = opaque;
    (void)rk;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        p->acknowledged++;
        return;
    }
    if (!p->transactional_id && p->failed++ == 0)
        fprintf(stderr, "produce: %s\n", rd_kafka_err2str(message->err));
}

/* Takes the error over. */
static bool failed(const char *what, rd_kafka_error_t *error)
{
    fprintf(stderr, "produce: %s: %s\n", what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return false;
}

static bool transactions_open(struct producer *p)
{
    rd_kafka_error_t *error = NULL;
    for (int i = 0; i < TRIES; i++) {
        error = rd_kafka_init_transactions(p->rk, FLUSH_MS);
        if (!error)
            return true;
        if (!rd_kafka_error_is_retriable(error) || i == TRIES - 1)
            break;
        rd_kafka_error_destroy(error);
    }
    return failed("init", error);
}

static bool producer_open(struct producer *p, const char *batch)
{
    /* One request in flight keeps the order of a partition. */
    const char *settings[][2] = {
        {"bootstrap.servers", p->brokers},
        {"compression.codec", p->codec},
        {"batch.num.messages", batch},
        {"linger.ms", "5"},
        {"max.in.flight.requests.per.connection", "1"},
        {"message.timeout.ms", p->transactional_id ? "300000" : "30000"},
        {"queue.buffering.max.messages", "1000000"},
        {"message.max.bytes", "100000000"},
        {"topic.metadata.refresh.interval.ms", "2000"},
        {"reconnect.backoff.max.ms", "500"},
        {"log_level", "3"},
        {"transaction.timeout.ms", "300000"},
        {"transactional.id", p->transactional_id},
    };
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof settings / sizeof *settings && settings[i][1]; i++) {
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof text)) {
            fprintf(stderr, "produce: %s\n", text);
            rd_kafka_conf_destroy(conf);
            return false;
        }
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, p);
    p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!p->rk)
        fprintf(stderr, "produce: %s\n", text);
    return p->rk && (!p->transactional_id || transactions_open(p));
}

static bool producer_flush(struct producer *p)
{
    return rd_kafka_flush(p->rk, FLUSH_MS) == RD_KAFKA_RESP_ERR_NO_ERROR && p->failed == 0;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; SIZE_MAX: they are no bytes. */
static size_t unhex(char *text)
{
    size_t n = strlen(text) / 2;
    for (size_t i = 0; i < n; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return SIZE_MAX;
        text[i] = (char)(high << 4 | low);
    }
    return n;
}

/* Splits the line at its first four tabs. False: a field is missing or is no number. */
static bool send_line(struct producer *p, char *line)
{
    char *field[5] = {line}, *end;
    int n = 1;
    for (char *tab; n < 5 && (tab = strchr(field[n - 1], '\t')); n++) {
        *tab = '\0';
        field[n] = tab + 1;
    }
    if (n < 4)
        return false;
    int32_t partition = (int32_t)strtol(field[1], &end, 10);
    if (*end)
        return false;
    int64_t timestamp = strtoll(field[2], &end, 10);
    if (*end)
        return false;
    char *payload = n == 5 ? field[4] : NULL;
    size_t len = !payload ? 0 : p->hex ? unhex(payload) : strlen(payload);
    if (len == SIZE_MAX)
        return false;
    char *key = p->no_key && !*field[3] ? NULL : field[3];
    for (int i = 0; i < TRIES * 5;) {
        rd_kafka_headers_t *headers =
            p->headers ? rd_kafka_headers_copy(p->headers) : rd_kafka_headers_new(1);
        rd_kafka_resp_err_t error = rd_kafka_producev(p->rk, RD_KAFKA_V_TOPIC(field[0]),
            RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_TIMESTAMP(timestamp),
            RD_KAFKA_V_KEY(key, key ? strlen(key) : 0), RD_KAFKA_V_VALUE(payload, len),
            RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (error)
            rd_kafka_headers_destroy(headers);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
            return true;
        if (error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) { /* a partition that is new */
            i++;
        } else if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            fprintf(stderr, "produce: %s\n", rd_kafka_err2str(error));
            return false;
        }
        rd_kafka_poll(p->rk, BACKOFF_MS);
    }
    return false;
}

/* ---- transactions ---- */

static bool begin(struct producer *p)
{
    rd_kafka_error_t *error = rd_kafka_begin_transaction(p->rk);
    p->in_transaction = !error;
    return error ? failed("begin", error) : true;
}

static void forget_lines(struct producer *p)
{
    for (size_t i = 0; i < p->n_lines; i++)
        free(p->lines[i]);
    p->n_lines = 0;
}

static bool abort_transaction(struct producer *p)
{
    for (int i = 0; p->in_transaction; i++) {
        rd_kafka_error_t *error = rd_kafka_abort_transaction(p->rk, FLUSH_MS);
        if (error && (!rd_kafka_error_is_retriable(error) || i == TRIES))
            return failed("abort", error);
        p->in_transaction = error != NULL;
        if (error)
            rd_kafka_error_destroy(error);
    }
    return true;
}

static bool send_again(struct producer *p)
{
    bool ok = begin(p);
    for (size_t i = 0; ok && i < p->n_lines; i++) {
        char *copy = strdup(p->lines[i]);
        ok = copy && send_line(p, copy);
        free(copy);
    }
    return ok;
}

static bool commit(struct producer *p)
{
    for (int i = 0; p->in_transaction; i++) {
        rd_kafka_error_t *error = rd_kafka_commit_transaction(p->rk, FLUSH_MS);
        bool again = error && rd_kafka_error_txn_requires_abort(error);
        if (error && (i == TRIES || (!again && !rd_kafka_error_is_retriable(error))))
            return failed("commit", error);
        if (error)
            rd_kafka_error_destroy(error);
        else
            p->in_transaction = false;
        if (again && (!abort_transaction(p) || !send_again(p)))
            return false;
    }
    p->committed += p->n_lines;
    return true;
}

static bool keep_line(struct producer *p, const char *line)
{
    if (p->n_lines == p->cap_lines) {
        p->cap_lines = p->cap_lines ? 2 * p->cap_lines : 1024;
        p->lines = realloc(p->lines, p->cap_lines * sizeof *p->lines);
        if (!p->lines)
            return false;
    }
    return (p->lines[p->n_lines] = strdup(line)) != NULL && ++p->n_lines;
}

static bool produce_line(struct producer *p, char *line)
{
    if (p->transactional_id && !p->in_transaction && !begin(p))
        return false;
    return (!p->transactional_id || keep_line(p, line)) && send_line(p, line);
}

static bool end_transaction(struct producer *p, bool commits)
{
    /* What is aborted is in the log before. */
    bool ok = p->transactional_id && (commits || rd_kafka_flush(p->rk, FLUSH_MS) == 0) &&
              (commits ? commit(p) : abort_transaction(p));
    forget_lines(p);
    if (ok && commits) {
        printf("committed %llu\n", (unsigned long long)p->committed);
        fflush(stdout);
    }
    return ok;
}

static bool header(struct producer *p, char *name)
{
    char *value = *name ? strchr(name, ' ') : NULL;
    if (!value) {
        if (p->headers)
            rd_kafka_headers_destroy(p->headers);
        p->headers = NULL;
        return !*name;
    }
    *value++ = '\0';
    if (!p->headers)
        p->headers = rd_kafka_headers_new(4);
    size_t n = unhex(value);
    return n != SIZE_MAX && !rd_kafka_header_add(p->headers, name, -1, value, (ssize_t)n);
}

static bool command(struct producer *p, char *line)
{
    if (strcmp(line, "!commit") == 0 || strcmp(line, "!abort") == 0)
        return end_transaction(p, line[1] == 'c');
    if (strcmp(line, "!nokey") == 0)
        return p->no_key = true;
    if (strncmp(line, "!header", 7) == 0)
        return header(p, line + 7 + (line[7] == ' '));
    if (!producer_flush(p))
        return false;
    if (strcmp(line, "!hex") == 0)
        return p->hex = true;
    if (strncmp(line, "!batch ", 7) == 0) {
        rd_kafka_destroy(p->rk);
        return producer_open(p, line + 7);
    }
    printf("flushed %llu\n", (unsigned long long)p->acknowledged);
    fflush(stdout);
    return strcmp(line, "!flush") == 0;
}

int main(int argc, char **argv)
{
    struct producer p = {
        .codec = argc > 2 ? argv[2] : "lz4", .transactional_id = argc > 4 ? argv[4] : NULL};
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "usage: see the top of tests/e2e/produce.c\n");
        return 2;
    }
    p.brokers = argv[1];
    bool ok = producer_open(&p, argc > 3 ? argv[3] : "10000");
    for (uint64_t number = 1; ok && (len = getline(&line, &cap, stdin)) > 0; number++) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        ok = line[0] == '!' ? command(&p, line) : produce_line(&p, line);
        if (!ok)
            fprintf(stderr, "produce: line %llu failed\n", (unsigned long long)number);
        if (ok && number % 1000 == 0)
            rd_kafka_poll(p.rk, 0);
    }
    ok = ok && producer_flush(&p) && !p.in_transaction;
    if (ok)
        printf("produced %llu\n", (unsigned long long)p.acknowledged);
    if (p.rk)
        rd_kafka_destroy(p.rk);
    forget_lines(&p);
    free(p.lines);
    if (p.headers)
        rd_kafka_headers_destroy(p.headers);
    free(line);
    return ok ? 0 : 1;
}
