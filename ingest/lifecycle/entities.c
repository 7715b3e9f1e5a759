#include "ingest/lifecycle/entities.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/ensure.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/number.h"
#include "ingest/lifecycle/life_cache.h"
#include "store/state/state.h"
#include "store/state/state_reader.h"

#define HOUR_MS INT64_C(3600000)
/* Entities whose places are asked for ahead of the one that is put. */
#define AHEAD 8
/* Of a record in a transaction: its key, and that of the one that it takes the place of. */
#define KEYS_BYTES 40

struct entities {
    struct store *store;
    const char *name;
    const struct fact_layout *layout;
    const struct life_rules *rules;
    struct entity_spans spans;
    int64_t gone;     /* generations below */
    int64_t since_ms; /* nothing earlier comes */
    size_t record_bytes;
    struct life_cache *cache;
    struct state_reader *reader; /* NULL: between two batches */
    /* of the batch */
    uint32_t batch;
    struct arena arena;
    struct entity *items;
    size_t n, cap;
    size_t bytes; /* that are written of them */
    struct map by_key;
    struct lives lives; /* of the entity that forgets */
};

struct entities *entities_new(struct store *store, const char *name,
    const struct fact_layout *layout, const struct life_rules *rules,
    const struct entity_spans *spans, size_t memory_bytes)
{
    struct entities *e = xcalloc(1, sizeof *e);
    e->store = store;
    e->name = name;
    e->layout = layout;
    e->rules = rules;
    e->spans = *spans;
    e->gone = e->since_ms = INT64_MIN;
    e->record_bytes = fact_record_bytes(layout);
    e->cache = life_cache_new(e->record_bytes, memory_bytes);
    arena_init(&e->arena, 0); /* bounded by the batch */
    map_init(&e->by_key);
    return e;
}

void entities_free(struct entities **entities)
{
    struct entities *e = *entities;
    *entities = NULL;
    if (!e)
        return;
    state_reader_free(&e->reader);
    life_cache_free(&e->cache);
    map_fini(&e->by_key);
    arena_fini(&e->arena);
    lives_fini(&e->lives);
    free(e->items);
    free(e);
}

void entities_gone(struct entities *entities, int64_t below, int64_t since_ms)
{
    entities->gone = below;
    entities->since_ms = since_ms;
}

/* ---- finding ---- */

void entities_open(struct entities *entities)
{
    struct entities *e = entities;
    struct err err;
    uint32_t table, bytes;
    if (e->reader)
        return;
    if (!store_state_table(e->store, slice_from(e->name), &table, &bytes, &err))
        table = UINT32_MAX; /* nothing was ever written */
    e->reader = state_reader_new(e->store, table, INT64_MIN, INT64_MAX);
}

void entities_prefetch(const struct entities *entities, struct hash128 key)
{
    life_cache_prefetch(entities->cache, key);
    map_prefetch(&entities->by_key, key.lo);
}

void entities_prefetch_stored(const struct entities *entities, struct hash128 key)
{
    state_reader_prefetch(entities->reader, key);
}

static bool entity_is(const void *ctx, const void *key, uint32_t id)
{
    const struct entities *e = ctx;
    return hash128_eq(e->items[id].key, *(const struct hash128 *)key);
}

static uint32_t place_of(const struct entities *e, struct hash128 key)
{
    return map_find(&e->by_key, key.lo, entity_is, e, &key);
}

bool entities_at_hand(const struct entities *entities, struct hash128 key, struct entity_found *out)
{
    *out = (struct entity_found){.key = key};
    if (place_of(entities, key) != MAP_NONE)
        return true;
    out->records = life_cache_find(entities->cache, key, &out->generation);
    if (!out->records || out->generation < entities->gone)
        return false;
    out->n_records = 1;
    return true;
}

static bool bad_record(const struct entities *e, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "state table %s: a record makes no sense", e->name);
}

/* The records behind the first one; all lie in one generation. */
static bool find_more(
    const struct entities *e, struct arena *arena, struct entity_found *out, struct err *err)
{
    size_t bytes = e->record_bytes;
    uint8_t *records = arena_array(arena, out->n_records, bytes);
    if (!records)
        return err_set(err, ERR_LIMIT, "an entity has too many facts");
    memcpy(records, out->records, bytes);
    out->records = records;
    for (size_t i = 1; i < out->n_records; i++) {
        int64_t generation;
        bool found;
        if (!state_reader_find(
                e->reader, facts_key(out->key, i), records + i * bytes, &generation, &found, err))
            return false;
        if (!found)
            return bad_record(e, err);
    }
    return true;
}

bool entities_find(const struct entities *entities, struct hash128 key, struct arena *arena,
    struct entity_found *out, struct err *err)
{
    const struct entities *e = entities;
    bool found;
    if (entities_at_hand(e, key, out))
        return true;
    *out = (struct entity_found){.key = key};
    uint8_t *record = arena_alloc(arena, e->record_bytes);
    if (!record)
        return err_set(err, ERR_LIMIT, "too many entities at once");
    if (!state_reader_find(e->reader, key, record, &out->generation, &found, err))
        return false;
    if (!found)
        return true;
    out->records = record;
    out->n_records = facts_count(record);
    if (out->n_records == 0)
        return bad_record(e, err);
    return out->n_records == 1 || find_more(e, arena, out, err);
}

/* ---- the batch ---- */

/* What was put out of it stays. Hardly ever is a fact that old. */
static void forget(struct entities *e, struct entity *x)
{
    int64_t oldest = INT64_MAX, until;
    for (size_t i = 0; i < x->facts.n; i++)
        oldest = x->facts.items[i].time_ms < oldest ? x->facts.items[i].time_ms : oldest;
    if (__builtin_add_overflow(oldest, e->rules->expire_ms, &until) || until >= e->since_ms)
        return;
    x->facts.n = lives_forget(e->rules, x->facts.items, x->facts.n, e->since_ms, &e->lives);
    x->had_lives = e->lives.n > 0;
    x->was_incomplete = e->lives.n == 0;
}

static const uint8_t *keep(struct entities *e, const uint8_t *records, size_t n)
{
    uint8_t *kept = arena_array(&e->arena, n, e->record_bytes);
    ensure(kept != NULL);
    memcpy(kept, records, n * e->record_bytes);
    return kept;
}

/* The entity is written as so many records. */
static void expect_records(struct entities *e, struct entity *x, size_t n)
{
    e->bytes += (n - x->n_expected) * (e->record_bytes + KEYS_BYTES);
    x->n_expected = n;
}

bool entities_enter(
    struct entities *entities, const struct entity_found *found, size_t *number, struct err *err)
{
    struct entities *e = entities;
    uint32_t at = place_of(e, found->key);
    *number = at;
    if (at != MAP_NONE)
        return true;
    struct entity fresh = {
        .key = found->key, .generation = found->generation, .n_records = found->n_records};
    for (size_t i = 0; i < found->n_records; i++)
        if (!facts_decode(
                &fresh.facts, e->layout, i, found->records + i * e->record_bytes, &e->arena))
            return bad_record(e, err);
    if (found->n_records > 1)
        fresh.stored = keep(e, found->records, found->n_records);
    forget(e, &fresh);
    fresh.before = fresh.facts.items;
    fresh.n_before = fresh.facts.n;
    fresh.facts.shared = true;
    expect_records(e, &fresh, found->n_records ? found->n_records : 1);
    *number = e->n;
    GROW(e->items, e->cap, e->n + 1);
    map_insert(&e->by_key, found->key.lo, (uint32_t)e->n);
    e->items[e->n++] = fresh;
    return true;
}

bool entities_get(struct entities *entities, struct hash128 key, size_t *number, struct err *err)
{
    struct entity_found found;
    entities_open(entities);
    return entities_find(entities, key, &entities->arena, &found, err) &&
           entities_enter(entities, &found, number, err);
}

enum fact_fate entities_add(
    struct entities *entities, struct entity *entity, const struct fact *fact)
{
    enum fact_fate fate = facts_add(
        &entity->facts, entities->layout, entities->spans.facts_ms, fact, &entities->arena);
    entity->changed |= fate == FACT_ADDED || fate == FACT_REPLACED;
    if (fate != FACT_ADDED)
        return fate;
    size_t records = entity->facts.items[entity->facts.n - 1].record + (size_t)1;
    if (records > entity->n_expected)
        expect_records(entities, entity, records);
    return fate;
}

size_t entities_batch_bytes(const struct entities *entities)
{
    return entities->bytes;
}

size_t entities_count(const struct entities *entities)
{
    return entities->n;
}

struct entity *entities_at(const struct entities *entities, size_t i)
{
    return &entities->items[i];
}

/* ---- writing ---- */

int64_t entity_generation(int64_t newest_ms, int64_t span_ms)
{
    return floor_div(newest_ms, span_ms) * (span_ms / HOUR_MS);
}

int64_t entities_next_generation(const struct entities *entities, const struct entity *entity)
{
    const struct facts *facts = &entity->facts;
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < facts->n; i++)
        newest = facts->items[i].time_ms > newest ? facts->items[i].time_ms : newest;
    return entity_generation(newest, entities->spans.generation_ms);
}

static void encode(struct entities *e, struct entity *x)
{
    size_t n = facts_records(x->facts.items, x->facts.n);
    uint8_t *records = arena_array(&e->arena, n, e->record_bytes);
    ensure(records != NULL);
    facts_encode(x->facts.items, x->facts.n, e->layout, records);
    x->next = entities_next_generation(e, x);
    x->written = records;
    x->n_written = n;
}

/* Of many records few change with a fact; but all are gone with their generation. */
static bool is_stored(const struct entities *e, const struct entity *x, size_t i, int64_t below)
{
    size_t at = i * e->record_bytes;
    return x->stored && x->next == x->generation && x->next >= below && i < x->n_records &&
           memcmp(x->stored + at, x->written + at, e->record_bytes) == 0;
}

static void write_entity(
    struct entities *e, struct txn *txn, uint32_t table, struct entity *x, int64_t below)
{
    if (!x->written) /* once, however often it is tried */
        encode(e, x);
    for (size_t i = 0; i < x->n_records; i++)
        if (x->next != x->generation || i >= x->n_written)
            txn_state_delete(txn, table, x->generation, facts_key(x->key, i));
    for (size_t i = 0; i < x->n_written; i++)
        if (!is_stored(e, x, i, below))
            txn_state_put(
                txn, table, x->next, facts_key(x->key, i), x->written + i * e->record_bytes);
}

void entities_write(struct entities *entities, struct txn *txn, uint32_t table, int64_t below)
{
    txn_state_drop_below(txn, table, below);
    for (size_t i = 0; i < entities->n; i++)
        if (entities->items[i].changed)
            write_entity(entities, txn, table, &entities->items[i], below);
}

static void remember(struct entities *e)
{
    for (size_t i = 0; i < e->n; i++) {
        const struct entity *x = &e->items[i];
        if (i + AHEAD < e->n)
            life_cache_prefetch(e->cache, e->items[i + AHEAD].key);
        if (!x->changed)
            continue;
        if (x->n_written == 1)
            life_cache_put(e->cache, x->key, x->next, x->written, x->ended, e->batch);
        else
            life_cache_remove(e->cache, x->key);
    }
}

void entities_clear(struct entities *entities)
{
    remember(entities);
    entities->batch++;
    entities->n = entities->bytes = 0;
    map_clear(&entities->by_key);
    arena_reset(&entities->arena);
    state_reader_free(&entities->reader);
}
