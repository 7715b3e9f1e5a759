/*
 * The end of a dead-letter topic: which of the letters that an instance may still have in its
 * outbox are there already. It is read after the instance's producer has made sure that no
 * transaction of an earlier one is open, so that what is not found was never sent.
 */
#ifndef INGEST_LETTERS_LETTER_TAIL_H
#define INGEST_LETTERS_LETTER_TAIL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"
#include "ingest/ingest.h"

struct letter_tail {
    const struct ingest_options *options;
    const char *topic;
    const char *instance; /* whose letters are looked for */
    const atomic_bool *stop;
    /* Where to begin in a partition: the offset behind the last letter that is known to have been
     * sent; -1: none is. When there is none in the whole topic, nothing was ever sent to it. */
    int64_t (*from)(void *ctx, int32_t partition);
    /* A letter is there: its letter_id. */
    void (*found)(void *ctx, struct hash128 id);
    /* The partition's end, up to which it was read. */
    void (*end)(void *ctx, int32_t partition, int64_t offset);
    void *ctx;
};

/* ERR_NOT_FOUND: the topic does not exist; ERR_UNAVAILABLE, ERR_TIMEOUT: not now; ERR_CANCELED: to
 * stop. What was found before an error stays found. */
bool letter_tail_read(const struct letter_tail *tail, struct err *err);

/* The id of the letter that the message is (letter.h). False: it is none. */
struct rd_kafka_message_s;
bool letter_message_id(
    const struct rd_kafka_message_s *message, const char *instance, struct hash128 *id);

#endif
