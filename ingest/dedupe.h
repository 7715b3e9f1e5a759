/*
 * One stream's event ids: an id counts once, whatever comes twice. What was seen lies in a state
 * table of the store, changed by the same transactions as the cells:
 *
 *     table "dedupe/STREAM": 128-bit hash of the id -> CRC32C of the message, in generations of
 *     one event hour, or more where events may be very late
 *
 * An id is looked for in all generations that are held, or rather in those that may have it
 * (held_filter.h). A generation goes when the horizon has
 * passed its end by more than `late`; an event that would lie in one that is gone is late, whatever
 * its record says, so that it is never counted a second time. Which generations are gone follows
 * from the committed horizon alone, and from the longest `late` that there ever was; it is the
 * position of the source "dedupe/STREAM".
 *
 *     dedupe_open  the table as it is committed, for the batch
 *     dedupe_look  what is committed of some ids: from any thread
 *     dedupe_judge with what the batch has added; new: the event is taken further, and when it is
 *                  accepted, dedupe_add
 *     dedupe_write into the batch's transaction, again when it failed; dedupe_clear
 *
 * But for dedupe_look one thread uses it, and nothing else changes the table.
 */
#ifndef INGEST_DEDUPE_H
#define INGEST_DEDUPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/store.h"

struct dedupe;

/* How long a generation is: up to so much later than `late` an id may still be known. */
int64_t dedupe_span_ms(int64_t late_ms);

/* Whether the generation of an event of this time is gone when the horizon stands there. */
bool dedupe_is_gone(int64_t late_ms, int64_t horizon_ms, int64_t time_ms);

/* horizon_ms: the committed one; INT64_MIN: none. left: bytes that it may take to
 * know where an id may be; shared, and outlives it. */
struct dedupe *dedupe_new(
    struct store *store, struct slice stream, int64_t late_ms, int64_t horizon_ms, size_t *left);
void dedupe_free(struct dedupe **dedupe);

struct dedupe_id {
    struct hash128 hash;
    uint32_t crc; /* of the message */
    int64_t time_ms;
};

enum dedupe_answer {
    DEDUPE_NEW,
    DEDUPE_SEEN,
    DEDUPE_CONFLICT, /* seen, with other content: the first wins */
    DEDUPE_GONE,     /* its generation is gone */
};

/* What is committed of an id. */
struct dedupe_known {
    bool found;
    uint32_t crc;
};

/* Before the batch's first look. */
void dedupe_open(struct dedupe *dedupe);
/* Says that an id is looked for soon; and, sooner, where it may be. Any thread, from dedupe_open to
 * dedupe_write. */
void dedupe_prefetch(const struct dedupe *dedupe, struct hash128 id);
void dedupe_prefetch_stored(const struct dedupe *dedupe, struct hash128 id);
/* Says that an id is judged soon. */
void dedupe_prefetch_added(const struct dedupe *dedupe, struct hash128 id);
/* Any thread, likewise. False: the table cannot be read now, or is damaged; nothing is known. */
bool dedupe_look(
    const struct dedupe *dedupe, struct hash128 id, struct dedupe_known *out, struct err *err);
enum dedupe_answer dedupe_judge(
    const struct dedupe *dedupe, const struct dedupe_id *id, const struct dedupe_known *known);
/* The event was accepted. */
void dedupe_add(struct dedupe *dedupe, const struct dedupe_id *id);

/* What the batch has added, and what goes with the horizon that is committed with it. */
bool dedupe_write(struct dedupe *dedupe, struct txn *txn, int64_t horizon_ms, struct err *err);
/* The transaction is committed. */
void dedupe_clear(struct dedupe *dedupe);

/* Generations, of those that the open batch looks into, in which every id is looked for: at first
 * those that were there before this run. With every batch that adds ids a part of theirs is read,
 * the newest generation first. */
size_t dedupe_unlearnt(const struct dedupe *dedupe);

#endif
