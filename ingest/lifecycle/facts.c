#include "ingest/lifecycle/facts.h"

#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/number.h"

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

static void copy(struct facts *facts, size_t cap, struct arena *arena)
{
    struct fact *items = arena_array(arena, cap, sizeof *items);
    ensure(items != NULL);
    if (facts->n)
        memcpy(items, facts->items, facts->n * sizeof *items);
    facts->items = items;
    facts->cap = cap;
    facts->shared = false;
}

static void grow(struct facts *facts, size_t need, struct arena *arena)
{
    if (need > facts->cap)
        copy(facts, need < 4 ? 4 : need + need / 2, arena);
}

static int64_t *captured_room(size_t n, struct arena *arena)
{
    int64_t *room = n ? arena_array(arena, n, sizeof *room) : NULL;
    ensure(room != NULL || n == 0);
    return room;
}

int64_t fact_span(int64_t time_ms, int64_t span_ms)
{
    return floor_div(time_ms, span_ms);
}

static size_t records_max(const struct fact_layout *layout)
{
    size_t most = FACT_KEY_BYTES / fact_record_bytes(layout);
    return most < FACT_RECORDS_MAX ? most : FACT_RECORDS_MAX;
}

static void set_fact(struct facts *facts, const struct fact_layout *layout, size_t i,
    const struct fact *fact, size_t record, struct arena *arena)
{
    size_t n = layout->captures[fact->stage];
    int64_t *captured = captured_room(n, arena);
    if (n)
        memcpy(captured, fact->captured, n * sizeof *captured);
    facts->items[i] = *fact;
    facts->items[i].captured = captured;
    facts->items[i].record = (uint16_t)record;
}

static bool is_same(const struct fact *a, const struct fact *b)
{
    return a->stage == b->stage && a->id == b->id && a->time_ms == b->time_ms;
}

/* What there is of the fact's stage. */
struct stage_facts {
    size_t n;     /* of its span */
    size_t worst; /* of these */
    uint64_t taken[FACT_RECORDS_MAX / 64];
};

/* False: the fact itself is there. */
static bool look_at_stage(
    const struct facts *facts, int64_t span_ms, const struct fact *fact, struct stage_facts *out)
{
    int64_t span = fact_span(fact->time_ms, span_ms);
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < facts->n; i++) {
        const struct fact *f = &facts->items[i];
        if (f->stage != fact->stage)
            continue;
        if (is_same(f, fact))
            return false;
        out->taken[f->record / 64] |= UINT64_C(1) << f->record % 64;
        if (fact_span(f->time_ms, span_ms) != span)
            continue;
        if (out->n++ == 0 || fact_is_better(&facts->items[out->worst], f))
            out->worst = i;
    }
    return true;
}

static size_t first_free(const struct stage_facts *stage)
{
    size_t word = 0;
    while (word < FACT_RECORDS_MAX / 64 && stage->taken[word] == UINT64_MAX)
        word++;
    if (word == FACT_RECORDS_MAX / 64)
        return FACT_RECORDS_MAX;
    return word * 64 + (size_t)__builtin_ctzll(~stage->taken[word]);
}

static void replace(struct facts *facts, const struct fact_layout *layout, size_t i,
    const struct fact *fact, struct arena *arena)
{
    if (facts->shared)
        copy(facts, facts->n, arena);
    set_fact(facts, layout, i, fact, facts->items[i].record, arena);
}

enum fact_fate facts_add(struct facts *facts, const struct fact_layout *layout, int64_t span_ms,
    const struct fact *fact, struct arena *arena)
{
    struct stage_facts stage;
    if (!look_at_stage(facts, span_ms, fact, &stage))
        return FACT_KNOWN;
    if (stage.n == FACTS_BEST) {
        if (!fact_is_better(fact, &facts->items[stage.worst]))
            return FACT_LEFT_OUT;
        replace(facts, layout, stage.worst, fact, arena);
        return FACT_REPLACED;
    }
    size_t record = first_free(&stage);
    if (record >= records_max(layout))
        return FACT_LEFT_OUT;
    grow(facts, facts->n + 1, arena);
    set_fact(facts, layout, facts->n, fact, record, arena);
    facts->n++;
    return FACT_ADDED;
}

size_t facts_records(const struct fact *facts, size_t n)
{
    size_t records = 0;
    for (size_t i = 0; i < n; i++)
        records = facts[i].record + 1u > records ? facts[i].record + 1u : records;
    return records;
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
    const struct fact *facts, size_t n, const struct fact_layout *layout, uint8_t *records)
{
    size_t bytes = fact_record_bytes(layout), at[STAGES_MAX] = {HEAD_BYTES};
    size_t n_records = facts_records(facts, n);
    memset(records, 0, n_records * bytes);
    for (size_t s = 1; s < layout->n_stages; s++)
        at[s] = at[s - 1] + slot_bytes(layout, s - 1);
    for (size_t i = 0; i < n; i++) {
        const struct fact *f = &facts[i];
        uint8_t *record = records + f->record * bytes;
        put_fact(layout, f, record + at[f->stage]);
        le16_put(record + 2, (uint16_t)(le16_get(record + 2) | 1u << f->stage));
    }
    if (n_records)
        le16_put(records, (uint16_t)n_records);
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
    if (reached >> layout->n_stages != 0 || (i == 0) != (n > 0) || n > FACT_RECORDS_MAX)
        return false;
    grow(facts, facts->n + (size_t)__builtin_popcount(reached) + 1, arena);
    for (size_t s = 0; s < layout->n_stages; s++) {
        if (reached & (1u << s)) {
            take_fact(layout, s, at, arena, &facts->items[facts->n]);
            facts->items[facts->n++].record = (uint16_t)i;
        }
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
