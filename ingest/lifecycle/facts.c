#include "ingest/lifecycle/facts.h"

#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"

#define HEAD_BYTES 4

static size_t slot_bytes(const struct fact_layout *layout, size_t stage)
{
    size_t captures = layout->captures[stage];
    return 16 + (layout->revisions ? 8 : 0) + (stage == 0 ? 8 : 0) + 8 * captures + (captures > 0);
}

size_t fact_record_bytes(const struct fact_layout *layout)
{
    size_t bytes = HEAD_BYTES;
    for (size_t s = 0; s < layout->n_stages; s++)
        bytes += slot_bytes(layout, s);
    return bytes;
}

static void grow(struct facts *facts, size_t need, struct arena *arena)
{
    if (need <= facts->cap)
        return;
    size_t cap = need < 4 ? 4 : need + need / 2;
    struct fact *items = arena_array(arena, cap, sizeof *items);
    ensure(items != NULL);
    if (facts->n)
        memcpy(items, facts->items, facts->n * sizeof *items);
    facts->items = items;
    facts->cap = cap;
}

static int64_t *captured_room(size_t n, struct arena *arena)
{
    int64_t *room = n ? arena_array(arena, n, sizeof *room) : NULL;
    ensure(room != NULL || n == 0);
    return room;
}

bool facts_add(struct facts *facts, const struct fact_layout *layout, const struct fact *fact,
    struct arena *arena, bool *known)
{
    size_t same = 0, n = layout->captures[fact->stage];
    *known = false;
    for (size_t i = 0; i < facts->n; i++) {
        const struct fact *f = &facts->items[i];
        same += f->stage == fact->stage;
        if (f->stage == fact->stage && f->id == fact->id && f->time_ms == fact->time_ms) {
            *known = true;
            return true;
        }
    }
    if (same == FACT_RECORDS_MAX)
        return false;
    grow(facts, facts->n + 1, arena);
    int64_t *captured = captured_room(n, arena);
    if (n)
        memcpy(captured, fact->captured, n * sizeof *captured);
    facts->items[facts->n] = *fact;
    facts->items[facts->n++].captured = captured;
    return true;
}

size_t facts_records(const struct facts *facts)
{
    size_t most = 0, of_stage[STAGES_MAX] = {0};
    for (size_t i = 0; i < facts->n; i++) {
        size_t n = ++of_stage[facts->items[i].stage];
        most = n > most ? n : most;
    }
    return most;
}

/* The fact of the stage that record i holds; NULL: none. */
static const struct fact *fact_of(const struct facts *facts, size_t stage, size_t i)
{
    for (size_t k = 0; k < facts->n; k++)
        if (facts->items[k].stage == stage && i-- == 0)
            return &facts->items[k];
    return NULL;
}

static uint8_t *put(uint8_t *at, uint64_t v)
{
    le64_put(at, v);
    return at + 8;
}

static void put_fact(const struct fact_layout *layout, const struct fact *f, uint8_t *at)
{
    size_t captures = layout->captures[f->stage];
    at = put(at, (uint64_t)f->time_ms);
    if (layout->revisions)
        at = put(at, (uint64_t)f->revision);
    at = put(at, f->id);
    if (f->stage == 0)
        at = put(at, f->labels);
    for (size_t i = 0; i < captures; i++)
        at = put(at, (uint64_t)f->captured[i]);
    if (captures)
        *at = f->has;
}

void facts_encode(
    const struct facts *facts, const struct fact_layout *layout, size_t i, uint8_t *record)
{
    uint16_t reached = 0;
    uint8_t *at = record + HEAD_BYTES;
    memset(record, 0, fact_record_bytes(layout));
    for (size_t s = 0; s < layout->n_stages; s++) {
        const struct fact *f = fact_of(facts, s, i);
        if (f) {
            put_fact(layout, f, at);
            reached |= (uint16_t)(1u << s);
        }
        at += slot_bytes(layout, s);
    }
    le16_put(record, (uint16_t)(i == 0 ? facts_records(facts) : 0));
    le16_put(record + 2, reached);
}

static int64_t take(const uint8_t **at)
{
    uint64_t v = le64_get(*at);
    *at += 8;
    return (int64_t)v;
}

static void take_fact(const struct fact_layout *layout, size_t stage, const uint8_t *at,
    struct arena *arena, struct fact *out)
{
    size_t n = layout->captures[stage];
    int64_t *captured = captured_room(n, arena);
    *out = (struct fact){.stage = (uint8_t)stage, .captured = captured};
    out->time_ms = take(&at);
    if (layout->revisions)
        out->revision = take(&at);
    out->id = (uint64_t)take(&at);
    if (stage == 0)
        out->labels = (uint64_t)take(&at);
    for (size_t i = 0; i < n; i++)
        captured[i] = take(&at);
    if (n)
        out->has = *at;
}

size_t facts_count(const uint8_t *record)
{
    size_t n = le16_get(record);
    return n <= FACT_RECORDS_MAX ? n : 0;
}

bool facts_decode(struct facts *facts, const struct fact_layout *layout, size_t i,
    const uint8_t *record, struct arena *arena)
{
    unsigned n = le16_get(record), reached = le16_get(record + 2);
    const uint8_t *at = record + HEAD_BYTES;
    if (reached == 0 || reached >> layout->n_stages != 0 || (i == 0) != (n > 0) ||
        n > FACT_RECORDS_MAX)
        return false;
    grow(facts, facts->n + (size_t)__builtin_popcount(reached) + 1, arena);
    for (size_t s = 0; s < layout->n_stages; s++) {
        if (reached & (1u << s))
            take_fact(layout, s, at, arena, &facts->items[facts->n++]);
        at += slot_bytes(layout, s);
    }
    return true;
}

struct hash128 facts_key(struct hash128 entity, size_t i)
{
    uint8_t bytes[24];
    if (i == 0)
        return entity;
    le64_put(bytes, entity.lo);
    le64_put(bytes + 8, entity.hi);
    le64_put(bytes + 16, i);
    return hash128(bytes, sizeof bytes);
}
