/*
 * The end of a dead-letter topic: which of the letters that an instance may still have in its
 * outboxes are there already. It is read after the instance's producer has made sure that no
 * transaction of an earlier one is open, so that what is not found was never sent.
 */
#ifndef INGEST_LETTERS_LETTER_TAIL_H
#define INGEST_LETTERS_LETTER_TAIL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "ingest/ingest.h"

struct letter_tail {
    const struct ingest_options *options;
    const char *topic;
    const char *instance; /* whose letters are looked for */
    const atomic_bool *stop;
    /* Where to begin in each of n partitions, at most at its end, up to which it is read. */
    void (*begin)(void *ctx, int n, const int64_t *ends, int64_t *begins);
    /* A letter is there: of which stream, and letter_place. */
    void (*found)(
        void *ctx, int32_t partition, int64_t offset, struct slice stream, struct slice place);
    void *ctx;
};

/* ERR_NOT_FOUND: the topic does not exist; ERR_UNAVAILABLE, ERR_TIMEOUT: not now; ERR_CANCELED: to
 * stop. What was found before an error stays found. */
bool letter_tail_read(const struct letter_tail *tail, struct err *err);

#endif
