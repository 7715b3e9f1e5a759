/*
 * The entities of a lifecycle with their facts: as the state table "lifecycle/NAME" has them, and
 * as the batch has changed them. What was written lately is found in memory (life_cache.h).
 *
 *     entities_open    the table as it is committed, for the batch
 *     entities_find    what is committed of a key: from any thread
 *     entities_enter   the entity becomes part of the batch; entities_add changes it
 *     entities_write   into the batch's transaction, again when it failed; entities_clear
 *
 * But for entities_find one thread uses it, and nothing else changes the table.
 */
#ifndef INGEST_LIFECYCLE_ENTITIES_H
#define INGEST_LIFECYCLE_ENTITIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/lifecycle/facts.h"
#include "store/store.h"

struct entity {
    struct hash128 key;
    int64_t generation;        /* in which it lies; valid when n_records */
    size_t n_records;          /* that are stored */
    const uint8_t *stored;     /* these, when they are several */
    struct facts facts;        /* as they are now, but for those that are forgotten */
    const struct fact *before; /* as they are committed, likewise */
    size_t n_before;
    bool changed;           /* a fact was added */
    bool had_lives;         /* what is committed has some, of which some may be forgotten; */
    bool was_incomplete;    /* has none, likewise. Neither is set when nothing is that old */
    size_t n_expected;      /* records that it needs; never fewer than were stored */
    bool ended;             /* no life of it goes on: for the cache */
    int64_t next;           /* the generation in which it was written, */
    const uint8_t *written; /* and as what; NULL: not yet */
    size_t n_written;
};

/* What is committed of a key. */
struct entity_found {
    struct hash128 key;
    int64_t generation;
    size_t n_records;       /* 0: nothing */
    const uint8_t *records; /* one behind the other; until entities_clear */
};

struct entities;

/* The generation of an entity by its newest time. It is numbered by the hour that it begins with,
 * so that the numbers mean the same whatever span_ms, whole hours, becomes. */
int64_t entity_generation(int64_t newest_ms, int64_t span_ms);

/* Spans of time, of a table's generation, and of those in which facts are told apart (facts.h). */
struct entity_spans {
    int64_t generation_ms, facts_ms;
};

/* name: the table's, which outlives it; layout and rules too. memory_bytes: for records that were
 * written lately. */
struct entities *entities_new(struct store *store, const char *name,
    const struct fact_layout *layout, const struct life_rules *rules,
    const struct entity_spans *spans, size_t memory_bytes);
void entities_free(struct entities **entities);
/* Between two batches. Generations below are gone, in the table too; nothing comes any more that is
 * earlier than since_ms, where a span of facts begins, so that entities forget what only that could
 * change. */
void entities_gone(struct entities *entities, int64_t below, int64_t since_ms);

void entities_open(struct entities *entities);
/* Says that a key is looked for soon; the second one, when it is not in memory. Any thread, from
 * entities_open to entities_write. */
void entities_prefetch(const struct entities *entities, struct hash128 key);
void entities_prefetch_stored(const struct entities *entities, struct hash128 key);
/* In memory, or part of the batch already. Any thread, likewise. */
bool entities_at_hand(
    const struct entities *entities, struct hash128 key, struct entity_found *out);
/* Any thread, likewise; records that were read are in the arena, FACT_RECORDS_MAX at most. False:
 * the table cannot be read now, or is damaged. */
bool entities_find(const struct entities *entities, struct hash128 key, struct arena *arena,
    struct entity_found *out, struct err *err);

/* *number: the entity's in the batch. ERR_CORRUPT: what was found makes no sense. */
bool entities_enter(
    struct entities *entities, const struct entity_found *found, size_t *number, struct err *err);
/* Opens, finds and enters in one. */
bool entities_get(struct entities *entities, struct hash128 key, size_t *number, struct err *err);
/* As facts_add. */
enum fact_fate entities_add(
    struct entities *entities, struct entity *entity, const struct fact *fact);
/* In which generation an entity with facts will lie. */
int64_t entities_next_generation(const struct entities *entities, const struct entity *entity);

/* What a transaction would hold of the batch's, about. */
size_t entities_batch_bytes(const struct entities *entities);
/* Those of the batch. */
size_t entities_count(const struct entities *entities);
/* Borrowed until the next one is entered. */
struct entity *entities_at(const struct entities *entities, size_t i);

/* Generations below are dropped. */
void entities_write(struct entities *entities, struct txn *txn, uint32_t table, int64_t below);
/* The transaction is committed. */
void entities_clear(struct entities *entities);

#endif
