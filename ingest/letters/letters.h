/*
 * The dead letters of all streams, as the ingestion sees them: a refused record becomes a letter in
 * its stream's outbox, in the transaction of its batch.
 *
 *     letters_take ... letters_take | letters_write ( | letters_write )* | letters_clear
 *
 * A record that there is no room for is not taken in at all: its partition waits at it.
 */
#ifndef INGEST_LETTERS_LETTERS_H
#define INGEST_LETTERS_LETTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/kafka_source.h"
#include "ingest/letters/outbox.h"
#include "ingest/letters/refusal_cause.h"
#include "ingest/rollup.h"
#include "store/store.h"

/* Bytes of letters past which a batch takes no more, and those past which it is due. */
#define LETTERS_BATCH_MAX (16u << 20)
#define LETTERS_BATCH_DUE (4u << 20)

struct letters;

/* NULL: no stream sends any, and all calls below take that. Store and streams outlive it. */
struct letters *letters_new(struct store *store, const struct streams *streams);
void letters_free(struct letters **letters);

/* The outbox of the stream; NULL: it sends none. */
struct outbox *letters_outbox(const struct letters *letters, size_t stream);

enum letter_room { LETTER_TAKEN, LETTER_BATCH_FULL, LETTER_OUTBOX_FULL };

/* Of a stream that sends none the record is LETTER_TAKEN, too. */
enum letter_room letters_take(
    struct letters *letters, const struct kafka_record *record, const struct refusal_case *refused);
bool letters_write(struct letters *letters, struct txn *txn, struct err *err);
/* The batch is committed. */
void letters_clear(struct letters *letters);
/* The batch should not wait for more. */
bool letters_due(const struct letters *letters);
/* A partition that waits goes on. */
bool letters_have_room(const struct letters *letters, size_t stream);

/* ---- records that were sent anew (`larder replay dlq`) ---- */

/* The place of the event's first record, which a record of a retry topic tells; {NULL, 0}: it is
 * none, or does not. */
struct slice record_origin(const struct kafka_record *record);
/* The timestamp of the record; of one that was sent anew, its first one's. */
int64_t record_timestamp_ms(const struct kafka_record *record);

#endif
