#include "ingest/letters/letter_producer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ingest/letters/kafka_client.h"
#include "ingest/letters/letter_headers.h"

#define STEP_MS     500   /* between two looks at stop */
#define PATIENCE_MS 30000 /* of a transaction's steps, each */
/* The broker ends a transaction that is open for so long, and shuts its producer out. */
#define TRANSACTION_MS 60000
/* As text, of Kafka's settings; a letter is at most LETTER_BYTES_MAX and its headers. */
#define MESSAGE_BYTES "16777216"

struct sent {
    int32_t partition;
    int64_t next;
};

struct letter_producer {
    rd_kafka_t *rk;
    char instance[LETTER_INSTANCE_MAX];
    const atomic_bool *stop;
    int64_t began_ns; /* the open transaction */
    bool too_large;   /* of it, a letter is */
    struct sent *sent;
    size_t n_sent, sent_cap;
};

/* ---- what comes back ---- */

static void note_sent(struct letter_producer *p, int32_t partition, int64_t next)
{
    for (size_t i = 0; i < p->n_sent; i++)
        if (p->sent[i].partition == partition) {
            if (next > p->sent[i].next)
                p->sent[i].next = next;
            return;
        }
    GROW(p->sent, p->sent_cap, p->n_sent + 1);
    p->sent[p->n_sent++] = (struct sent){partition, next};
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct letter_producer *p = opaque;
    (void)rk;
    if (!message->err)
        note_sent(p, message->partition, message->offset + 1);
    p->too_large |= message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
}

/* ---- life ---- */

bool letter_producer_new(const struct ingest_options *options, const char *instance,
    const atomic_bool *stop, struct letter_producer **out, struct err *err)
{
    static const struct client_setting defaults[] = {
        {"linger.ms", "5"}, {"compression.codec", "lz4"}};
    char timeout[16];
    snprintf(timeout, sizeof timeout, "%d", TRANSACTION_MS);
    const struct client_setting fixed[] = {
        {"transactional.id", instance},
        {"transaction.timeout.ms", timeout},
        {"message.max.bytes", MESSAGE_BYTES},
        {"statistics.interval.ms", "0"},
    };
    struct letter_producer *p = xcalloc(1, sizeof *p);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, p);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    snprintf(p->instance, sizeof p->instance, "%s", instance);
    p->stop = stop;
    *out = p;
    if (!kafka_client_new(RD_KAFKA_PRODUCER, options, defaults, 2, fixed,
            sizeof fixed / sizeof *fixed, conf, &p->rk, err))
        letter_producer_free(out);
    return *out != NULL;
}

void letter_producer_free(struct letter_producer **producer)
{
    struct letter_producer *p = *producer;
    *producer = NULL;
    if (!p)
        return;
    if (p->rk) {
        rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        kafka_client_end(p->rk);
    }
    free(p->sent);
    free(p);
}

/* ---- errors ---- */

static bool is_fence(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
           code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

/* A transaction that was open for too long was ended by the broker, and says the same as one whose
 * producer has a successor. */
static enum producer_answer judge(
    struct letter_producer *p, rd_kafka_resp_err_t code, const char *text, struct err *err)
{
    char fatal_text[256];
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(p->rk, fatal_text, sizeof fatal_text);
    bool expired = p->began_ns && clock_mono_ns() - p->began_ns > TRANSACTION_MS * INT64_C(900000);
    err_set(err, ERR_UNAVAILABLE, "%s", text);
    if ((is_fence(code) || is_fence(fatal)) && !expired)
        return PRODUCER_FENCED;
    return p->too_large || code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ? PRODUCER_TOO_LARGE
                                                                        : PRODUCER_AGAIN;
}

/* Frees the error. *again: the same call may be repeated. */
static enum producer_answer judge_error(
    struct letter_producer *p, rd_kafka_error_t *error, bool *again, struct err *err)
{
    *again = false;
    if (!error)
        return PRODUCER_DONE;
    *again = rd_kafka_error_is_retriable(error);
    enum producer_answer answer =
        judge(p, rd_kafka_error_code(error), rd_kafka_error_string(error), err);
    rd_kafka_error_destroy(error);
    return answer;
}

/* Calls until it works, fails for good, patience ends, or everything is to stop. */
typedef rd_kafka_error_t *step_f(rd_kafka_t *rk, int ms);

static enum producer_answer step(struct letter_producer *p, step_f *call, struct err *err)
{
    int64_t end_ns = clock_mono_ns() + PATIENCE_MS * INT64_C(1000000);
    enum producer_answer answer;
    bool again;
    do {
        answer = judge_error(p, call(p->rk, STEP_MS), &again, err);
    } while (
        answer == PRODUCER_AGAIN && again && clock_mono_ns() < end_ns && !atomic_load(p->stop));
    return answer;
}

/* ---- transactions ---- */

enum producer_answer letter_producer_open(struct letter_producer *producer, struct err *err)
{
    return step(producer, rd_kafka_init_transactions, err);
}

enum producer_answer letter_producer_begin(struct letter_producer *producer, struct err *err)
{
    struct letter_producer *p = producer;
    bool again;
    p->n_sent = 0;
    p->too_large = false;
    p->began_ns = clock_mono_ns();
    return judge_error(p, rd_kafka_begin_transaction(p->rk), &again, err);
}

enum producer_answer letter_producer_add(struct letter_producer *producer, const char *topic,
    struct slice stream, const struct letter *letter, struct err *err)
{
    struct letter_producer *p = producer;
    int64_t end_ns = clock_mono_ns() + PATIENCE_MS * INT64_C(1000000);
    rd_kafka_headers_t *headers = letter_headers(letter, stream, p->instance);
    rd_kafka_resp_err_t rc;
    for (;;) {
        rc = rd_kafka_producev(p->rk, RD_KAFKA_V_TOPIC(topic),
            RD_KAFKA_V_KEY((void *)(uintptr_t)letter->key.ptr, letter->key.len),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)letter->value.ptr, letter->value.len),
            RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (rc != RD_KAFKA_RESP_ERR__QUEUE_FULL || clock_mono_ns() > end_ns || atomic_load(p->stop))
            break;
        rd_kafka_poll(p->rk, 10);
    }
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
        return PRODUCER_DONE;
    rd_kafka_headers_destroy(headers);
    return judge(p, rc, rd_kafka_err2str(rc), err);
}

/* Delivery reports come while it waits. */
static bool flush(struct letter_producer *p)
{
    int64_t end_ns = clock_mono_ns() + PATIENCE_MS * INT64_C(1000000);
    char text[8];
    while (rd_kafka_flush(p->rk, STEP_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        if (clock_mono_ns() > end_ns || atomic_load(p->stop) ||
            rd_kafka_fatal_error(p->rk, text, sizeof text))
            return false;
    return true;
}

enum producer_answer letter_producer_commit(struct letter_producer *producer, struct err *err)
{
    struct letter_producer *p = producer;
    struct err ignored;
    enum producer_answer answer = PRODUCER_AGAIN;
    if (flush(p))
        answer = step(p, rd_kafka_commit_transaction, err);
    else
        answer = judge(p, RD_KAFKA_RESP_ERR__TIMED_OUT, "letters are not acknowledged", err);
    /* So that nobody waits for the broker to end what is open. */
    if (answer != PRODUCER_DONE && answer != PRODUCER_FENCED)
        step(p, rd_kafka_abort_transaction, &ignored);
    p->began_ns = 0;
    return answer;
}

void letter_producer_each_sent(
    const struct letter_producer *producer, producer_sent_f *each, void *ctx)
{
    for (size_t i = 0; i < producer->n_sent; i++)
        each(ctx, producer->sent[i].partition, producer->sent[i].next);
}
