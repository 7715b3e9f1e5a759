/*
 * One stream's way into its dead-letter topic: how far its letters are known to be there.
 *
 *     source "dead-letters/STREAM/TOPIC/PARTITION"   next: behind the last message of the partition
 *                                                    of which it is known that no letter of the
 *                                                    stream before it is in the outbox still
 *
 * There the topic's end begins (letter_tail.h) that is read before the first letter is sent, and
 * after any doubt. What is found there needs no sending, and until all of it has left the outbox
 * the position stays where it is: a crash, another config or another order in which streams send
 * must not make it pass a letter that was sent and not noted. So each stream has positions of its
 * own, also where several share a topic; they are part of the transactions that take letters out of
 * the outbox.
 *
 * One thread uses it, the sender's.
 */
#ifndef INGEST_LETTERS_LETTER_ROUTE_H
#define INGEST_LETTERS_LETTER_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "ingest/letters/outbox.h"
#include "store/store.h"

struct letter_route;

/* All outlive it. */
struct letter_route *letter_route_new(
    struct store *store, struct slice stream, const char *topic, struct outbox *outbox);
void letter_route_free(struct letter_route **route);

/* ---- the topic's end is read ---- */

/* The topic has n partitions with these ends; lowers begins to where this stream's part begins. */
void letter_route_open(struct letter_route *route, int n, const int64_t *ends, int64_t *begins);
/* A letter of the stream is there, of the record at place. */
void letter_route_found(
    struct letter_route *route, int32_t partition, int64_t offset, struct slice place);
/* All of it was read. Puts into a transaction where it began: that must be known before the first
 * letter is sent. Then, once it is committed, letter_route_written. False: nothing to put. */
bool letter_route_opened(struct letter_route *route, struct txn *txn);

/* ---- letters are sent ---- */

/* The letter is there already. */
bool letter_route_has(const struct letter_route *route, const struct letter *letter);
/* Whatever was sent to the partition lies before next: by this stream, or by another when nothing
 * of this one is under way. */
void letter_route_sent(struct letter_route *route, int32_t partition, int64_t next);
/* n letters have left the outbox. */
void letter_route_noted(struct letter_route *route, uint64_t n);
/* Puts the positions into a transaction, as far as they may move; then letter_route_written. */
void letter_route_write(const struct letter_route *route, struct txn *txn);
void letter_route_written(struct letter_route *route);
/* Looks whether all that was found has left the outbox. True: just now, so the positions may move.
 */
bool letter_route_settle(struct letter_route *route);

#endif
