/*
 * The headers that a letter has in Kafka, all of them behind those that its record had, which may
 * have any names, these too. All values are text.
 *
 *     larder-stream        the stream that refused it
 *     larder-reason        malformed, schema, missing, type, range, not_allowed, late, ahead
 *     larder-cause         in words
 *     larder-origin        topic/partition/offset of the event's first record
 *     larder-retry         the same of the record that was refused, when it had been sent anew
 *     larder-timestamp     of the first record, in ms since 1970; missing when it had none
 *     larder-instance      who sent it: a transactional id
 *     larder-version       of the program
 *     larder-cut           what is not all there: any of key, headers, value, with commas; then
 * also larder-key-bytes, larder-value-bytes, larder-value-crc32c    as they were (CRC in hex)
 *
 * LETTER_STREAM comes first. A record that is sent anew has its own headers, too, and behind them
 * LETTER_ORIGIN and LETTER_TIMESTAMP, in this order.
 */
#ifndef INGEST_LETTERS_LETTER_HEADERS_H
#define INGEST_LETTERS_LETTER_HEADERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "ingest/letters/letter.h"

#define LETTER_STREAM    "larder-stream"
#define LETTER_REASON    "larder-reason"
#define LETTER_CAUSE     "larder-cause"
#define LETTER_ORIGIN    "larder-origin"
#define LETTER_RETRY     "larder-retry"
#define LETTER_TIMESTAMP "larder-timestamp"
#define LETTER_INSTANCE  "larder-instance"
#define LETTER_VERSION   "larder-version"
#define LETTER_CUT       "larder-cut"
#define LETTER_KEY_LEN   "larder-key-bytes"
#define LETTER_VALUE_LEN "larder-value-bytes"
#define LETTER_VALUE_CRC "larder-value-crc32c"

struct rd_kafka_headers_s;
struct rd_kafka_message_s;

/* The first of our headers: of a letter, of a record that is sent anew. */
#define LETTER_FIRST LETTER_STREAM
#define ANEW_FIRST   LETTER_ORIGIN

/* How many of the message's headers stand before ours; all, when there are none of ours. */
size_t letter_headers_own(const struct rd_kafka_message_s *message, const char *first);
/* One of ours, borrowed from the message; ptr NULL: it is not there. */
struct slice letter_header(
    const struct rd_kafka_message_s *message, const char *first, const char *name);

/* Milliseconds as text, as LETTER_TIMESTAMP has them. False: none. */
bool letter_time_parse(struct slice text, int64_t *ms);

/* All headers of the letter, for librdkafka; the caller owns them. */
struct rd_kafka_headers_s *letter_headers(
    const struct letter *letter, struct slice stream, const char *instance);

#endif
