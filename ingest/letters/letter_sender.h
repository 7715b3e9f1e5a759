/*
 * Sends what lies in the outboxes to the dead-letter topics, in a thread of its own: each letter
 * once, whatever is killed at whatever moment.
 *
 *     open the producer      earlier ones of this instance are shut out, their transactions ended
 *     read the topics' tails which letters of the outboxes are there already
 *     send                   a transaction of Kafka: letters of one outbox, in its order
 *     say so                 a transaction of the store: they leave the outbox
 *
 * Between the last two a crash leaves letters that are in both: the next start finds them in the
 * tail, and skips them. How far back that is, is part of the store's transaction (letter_route.h).
 * After any doubt all of it begins anew.
 *
 * A letter that the topic does not take, for it is too large there, is cut and sent so. When a
 * newer producer of the same instance has taken over, this one sends nothing any more, as long as
 * the process lives: were it to begin anew, it would shut out the newer one.
 */
#ifndef INGEST_LETTERS_LETTER_SENDER_H
#define INGEST_LETTERS_LETTER_SENDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "ingest/ingest.h"
#include "ingest/letters/letter_producer.h"
#include "ingest/letters/letters.h"

struct letter_sender;

/* NULL: there are no letters, and all calls below take that. It connects with the first letter. All
 * but the last outlive it. fenced: the instance that was shut out in this process before; "": none.
 */
struct letter_sender *letter_sender_start(struct store *store, const struct ingest_options *options,
    struct letters *letters, const char *fenced);
/* Ends what it is at within a second or so. Letters that are not sent stay in their outboxes. When
 * it was shut out, its instance is put into fenced, which else stays as it is. */
void letter_sender_stop(struct letter_sender **sender, char fenced[LETTER_INSTANCE_MAX]);

/* There may be letters. Any thread. */
void letter_sender_wake(struct letter_sender *sender);
/* What holds it up, for a person; "": nothing. Any thread. */
void letter_sender_trouble(struct letter_sender *sender, char *out, size_t size);

#endif
