/*
 * One stream's outbox: the letters that were not sent yet, in the order in which their events were
 * refused, in a state table of the store. Letters enter with the transaction of their batch, so
 * that an event is counted as refused if and only if its letter is here, and leave with a
 * transaction that says up to where they were sent.
 *
 *     table "letters/STREAM"         chunk number -> OUTBOX_CHUNK bytes
 *     source "letters/STREAM"        next: the chunk behind the last letter; how many there were
 *     source "letters/STREAM/sent"   next: the chunk of the first that was not sent; how many were
 *
 *     chunks:      ... sent | letter | letter ....... | letter . |   free
 *                           head                             tail
 *     letter       length u32 | crc32c u32 | bytes (letter.h) | zeros to the end of its last chunk
 *     key          hash of the chunk's number; generation: OUTBOX_GENERATION chunks
 *
 * A generation is dropped when all of it was sent, and all of them when nothing is left. tail -
 * head is what the outbox holds, and is bounded.
 *
 * Threads: `add`, `write` and `clear` are the ingestion's, `head`, `tail`, `read`, `write_sent`
 * and `sent` the sender's; the rest is anybody's.
 */
#ifndef INGEST_LETTERS_OUTBOX_H
#define INGEST_LETTERS_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "ingest/letters/letter.h"
#include "store/store.h"

#define OUTBOX_CHUNK      512
#define OUTBOX_GENERATION 8192 /* chunks: 4 MiB */
#define OUTBOX_BYTES_MIN                                                                           \
    (2u * LETTER_BYTES_MAX) /* the least bound: any letter fits an empty one                       \
                             */

struct outbox;

/* What earlier runs have left is in it. */
struct outbox *outbox_new(struct store *store, struct slice stream, uint64_t limit_bytes);
void outbox_free(struct outbox **outbox);

/* ---- letters come in ---- */

/* Takes the letter into the batch. False: there is no room for it now. */
bool outbox_add(struct outbox *outbox, const struct letter *letter);
/* Puts the batch's letters into its transaction, again when that was aborted. */
bool outbox_write(struct outbox *outbox, struct txn *txn, struct err *err);
/* The batch is committed. */
void outbox_clear(struct outbox *outbox);
/* Bytes of the batch. */
uint64_t outbox_pending(const struct outbox *outbox);

/* ---- letters go out ---- */

/* The chunk of the first that was not sent, and the one behind the last that was put in. */
uint64_t outbox_head(struct outbox *outbox);
uint64_t outbox_tail(struct outbox *outbox);
/* Reads the letter at chunk `at` into bytes; *next is the one behind it. *found false: there is
 * none. ERR_CORRUPT: its chunks are not what was written. */
bool outbox_read(struct outbox *outbox, uint64_t at, struct buf *bytes, uint64_t *next, bool *found,
    struct err *err);
/* Puts into a transaction that n letters, all up to chunk `at`, were sent, or need no sending.
 * Then, once it is committed, outbox_sent with the same. */
bool outbox_write_sent(
    struct outbox *outbox, struct txn *txn, uint64_t at, uint64_t n, struct err *err);
void outbox_sent(struct outbox *outbox, uint64_t at, uint64_t n);

/* ---- how it is ---- */

struct outbox_stats {
    uint64_t letters; /* that were put in, since the data folder began */
    uint64_t sent;    /* of them; the rest is here */
    uint64_t bytes, limit_bytes;
};

void outbox_stats(struct outbox *outbox, struct outbox_stats *out);
/* Half of it is free: whoever waits for room goes on. */
bool outbox_has_room(struct outbox *outbox);

#endif
