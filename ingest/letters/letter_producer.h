/*
 * The transactional producer of letters. What is sent between `begin` and `commit` is there wholly,
 * or not at all; opening ends whatever transaction an earlier producer of the same instance has
 * left open, and shuts that producer out.
 *
 *     new -> open -> ( begin -> add ... add -> commit )*
 *
 * After anything but PRODUCER_DONE nothing is known but what the answer says; the producer is to be
 * freed, and the next one is opened before it is looked up what was sent (letter_tail.h). One
 * thread uses it.
 */
#ifndef INGEST_LETTERS_LETTER_PRODUCER_H
#define INGEST_LETTERS_LETTER_PRODUCER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/ingest.h"
#include "ingest/letters/letter.h"

/* Of a transactional id, with its NUL. */
#define LETTER_INSTANCE_MAX 320

struct letter_producer;

enum producer_answer {
    PRODUCER_DONE,
    PRODUCER_AGAIN,     /* not now; err says why */
    PRODUCER_TOO_LARGE, /* a letter is larger than the topic takes: nothing was sent */
    PRODUCER_FENCED,    /* a newer producer of this instance is at work */
};

/* stop: ends waiting, with PRODUCER_AGAIN. ERR_INVALID: a setting. */
bool letter_producer_new(const struct ingest_options *options, const char *instance,
    const atomic_bool *stop, struct letter_producer **out, struct err *err);
void letter_producer_free(struct letter_producer **producer);

enum producer_answer letter_producer_open(struct letter_producer *producer, struct err *err);
enum producer_answer letter_producer_begin(struct letter_producer *producer, struct err *err);
/* The letter is copied. */
enum producer_answer letter_producer_add(struct letter_producer *producer, const char *topic,
    struct slice stream, const struct letter *letter, struct err *err);
enum producer_answer letter_producer_commit(struct letter_producer *producer, struct err *err);

/* The offsets behind what the last committed transaction has put into its topic's partitions. */
typedef void producer_sent_f(void *ctx, int32_t partition, int64_t next);
void letter_producer_each_sent(
    const struct letter_producer *producer, producer_sent_f *each, void *ctx);

#endif
