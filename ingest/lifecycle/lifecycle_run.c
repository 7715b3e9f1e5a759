#include "ingest/lifecycle/lifecycle_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/number.h"
#include "ingest/dedupe.h"
#include "ingest/lifecycle/folded.h"
#include "ingest/lifecycle/life_changes.h"
#include "ingest/lifecycle/life_counts.h"
#include "ingest/lifecycle/life_labels.h"
#include "ingest/lifecycle/life_outputs.h"
#include "store/state/state.h"

#define HOUR_MS INT64_C(3600000)
/* Generations that are held of entities, about: an entity is looked for in each. */
#define HELD 4
/* Spans that facts are held in, about: of each the best are kept. */
#define SPANS        16
#define EXPIRE_MAX   50000
#define EXPIRE_CHUNK 256
/* What lives that expire may add to a transaction: cells of all lifecycles, and new label sets
 * until it has so many bytes of them. */
#define EXPIRE_CELLS       400000
#define EXPIRE_LABEL_BYTES (16u << 20)
/* Of the texts of label values, and of which series they are. */
#define LABEL_BYTES ((size_t)8 << 20)
/* Entities whose changes are found before they are put. */
#define SETTLE_PART 8192
#define STATS_BYTES (100 + LIFE_COUNTS_BYTES)

struct timer {
    int64_t minute;
    struct hash128 key;
};

/* Outputs of one kind have the same labels. */
struct known_output {
    uint64_t labels;
    uint32_t rollup;
    int8_t from, to, outcome;
    struct rollup_series series;
};

struct lifecycle_runner {
    struct store *store;
    const struct streams *streams;
    const struct lifecycle *lifecycle;
    size_t number;
    struct rollup_runner *rollups;
    struct life_rollups outputs_of;
    const struct rollup **list; /* its rollups */
    char name[STATE_TABLE_NAME_MAX + 1], timers_name[STATE_TABLE_NAME_MAX + 1];
    char source[STATE_TABLE_NAME_MAX + 1];
    struct entity_spans spans;     /* of a generation of entities that begins now; of facts */
    int64_t longest_ms, behind_ms; /* none was ever longer; nor dedupe later with forgetting ids */
    size_t expire_max;             /* entities, with one batch */
    size_t label_bytes;            /* half of it for texts, half for `known` */
    struct life_labels *labels;
    struct folded *folded;
    struct entities *entities;
    struct life_changes *changes;
    struct known_output *known; /* which series outputs of a kind go to */
    size_t n_known, known_cap;
    uint64_t forgotten; /* by the rollups, as of `known` */
    struct map known_map;
    struct expiry expiry, next_expiry;
    int64_t watermark_ms;                /* as settled last */
    int64_t horizon_ms, next_horizon_ms; /* committed, and of the batch */
    bool behind;
    struct lifecycle_counts stats, next_stats; /* but for what is in counts */
    struct life_counts counts, next_counts;
    /* of the batch */
    struct timer *timers;
    size_t n_timers, timers_cap;
    size_t n_expiring; /* cells that expiry has brought, at most */
    bool settled;
};

/* No event that passes dedupe finds the state of its entity gone. */
static int64_t held_ms(const struct lifecycle_runner *r)
{
    const struct lifecycle *l = r->lifecycle;
    return l->rules.expire_ms + l->late_ms + r->behind_ms;
}

/* Nothing comes that is earlier. It is where a span of facts begins: those of one span go together,
 * so that none that comes is taken for one of the best that were. INT64_MIN: it is not known. */
static int64_t since_ms(const struct lifecycle_runner *r)
{
    int64_t since, back_ms = r->lifecycle->late_ms + r->behind_ms;
    if (r->next_expiry.minute == INT64_MIN || r->next_horizon_ms == INT64_MIN)
        return INT64_MIN;
    int64_t horizon = expiry_minute(r->next_horizon_ms);
    int64_t minute = horizon < r->next_expiry.minute ? horizon : r->next_expiry.minute;
    if (__builtin_sub_overflow(minute * EXPIRY_MINUTE_MS, back_ms, &since))
        return INT64_MIN;
    return fact_span(since, r->spans.facts_ms) * r->spans.facts_ms;
}

/* Generations of entities below it hold nothing that can matter; INT64_MIN: none. */
static int64_t gone_below(const struct lifecycle_runner *r)
{
    int64_t since = since_ms(r);
    return since == INT64_MIN
               ? INT64_MIN
               : floor_div(since - r->lifecycle->rules.expire_ms - r->longest_ms, HOUR_MS) + 1;
}

static void let_go(struct lifecycle_runner *r)
{
    entities_gone(r->entities, gone_below(r), since_ms(r));
}

/* ---- life ---- */

static void put_captured(const struct field *field, struct buf *out)
{
    buf_lstr(out, field->name);
    buf_u8(out, (uint8_t)field->type);
    buf_u8(out, (uint8_t)field->digits);
}

/* What stored facts and labels are read by, and what lives are made of them by. */
static uint64_t hash_of(const struct streams *streams, const struct lifecycle *l)
{
    struct buf text;
    buf_init(&text, 0);
    buf_u8(&text, l->layout.revisions);
    buf_le64(&text, (uint64_t)l->rules.expire_ms);
    buf_le32(&text, l->rules.ends);
    for (size_t s = 0; s < l->rules.n_stages; s++) {
        const struct lifecycle_stage *stage = &l->stages[s];
        const struct contract *contract = &streams->streams[stage->stream].contract;
        buf_lstr(&text, stage->name);
        for (int i = 0; i < stage->n_captures; i++)
            put_captured(&contract->fields[stage->captures[i]], &text);
    }
    for (size_t i = 0; i < l->n_labels; i++)
        buf_lstr(&text, streams->streams[l->stages[0].stream].contract.fields[l->labels[i]].name);
    uint64_t hash = hash64(text.ptr, text.len);
    buf_fini(&text);
    return hash;
}

bool lifecycle_fits(
    struct store *store, const struct streams *streams, size_t number, struct err *err)
{
    const struct lifecycle *l = &streams->lifecycles[number];
    char source[STATE_TABLE_NAME_MAX + 1];
    struct source_state state;
    snprintf(source, sizeof source, "lifecycle/%.*s", SLICE_FMT(l->name));
    if (!store_source(store, slice_from(source), &state))
        return true;
    struct reader bytes = reader_of(slice_of(state.state, state.state_len));
    return read_le64(&bytes) == hash_of(streams, l) ||
           err_set(err, ERR_INVALID,
               "lifecycle %.*s: its stages, ends, 'expire', or the fields that its rollups need, "
               "are "
               "not those of the lives in the data folder; give the changed one another name",
               SLICE_FMT(l->name));
}

struct expiry lifecycle_expiry(struct store *store, struct slice lifecycle)
{
    char source[STATE_TABLE_NAME_MAX + 1];
    struct source_state state;
    snprintf(source, sizeof source, "lifecycle/%.*s", SLICE_FMT(lifecycle));
    if (!store_source(store, slice_from(source), &state))
        return (struct expiry){INT64_MIN, 0};
    struct reader bytes = reader_of(slice_of(state.state, state.state_len));
    read_le64(&bytes); /* the fingerprint */
    return (struct expiry){state.next, read_le64(&bytes)};
}

static void longest(int64_t *ms, uint64_t hours)
{
    if (hours < INT64_MAX / HOUR_MS && (int64_t)hours * HOUR_MS > *ms)
        *ms = (int64_t)hours * HOUR_MS;
}

static void recall(struct lifecycle_runner *r)
{
    struct source_state state;
    r->expiry = (struct expiry){INT64_MIN, 0};
    if (store_source(r->store, slice_from(r->source), &state)) {
        struct reader bytes = reader_of(slice_of(state.state, state.state_len));
        read_le64(&bytes); /* the fingerprint */
        r->expiry = (struct expiry){state.next, read_le64(&bytes)};
        r->stats.facts = read_varint(&bytes);
        r->stats.outside = read_varint(&bytes);
        r->stats.dropped = read_varint(&bytes);
        r->stats.expired = read_varint(&bytes);
        r->stats.corrections = read_varint(&bytes);
        life_counts_decode(&r->counts, &bytes);
        longest(&r->longest_ms, read_varint(&bytes));
        longest(&r->behind_ms, read_varint(&bytes));
    }
    r->next_counts = r->counts;
    r->next_expiry = r->expiry;
    r->next_stats = r->stats;
}

static void list_rollups(struct lifecycle_runner *r)
{
    const struct streams *streams = r->streams;
    size_t n = 0;
    r->list = xcalloc(streams->n_rollups + 1, sizeof *r->list);
    for (size_t i = 0; i < streams->n_rollups; i++)
        if (streams->rollups[i].stream < 0 && streams->rollups[i].lifecycle == (int)r->number)
            r->list[n++] = &streams->rollups[i];
    r->outputs_of = (struct life_rollups){r->lifecycle, r->list, n};
}

struct lifecycle_runner *lifecycle_runner_new(struct store *store, const struct streams *streams,
    size_t number, int64_t horizon_ms, struct rollup_runner *rollups, size_t memory_bytes)
{
    struct lifecycle_runner *r = xcalloc(1, sizeof *r);
    const struct lifecycle *l = &streams->lifecycles[number];
    r->store = store;
    r->streams = streams;
    r->number = number;
    r->lifecycle = l;
    r->rollups = rollups;
    list_rollups(r);
    snprintf(r->name, sizeof r->name, "lifecycle/%.*s", SLICE_FMT(l->name));
    snprintf(r->timers_name, sizeof r->timers_name, "lifecycle/%.*s/timers", SLICE_FMT(l->name));
    snprintf(r->source, sizeof r->source, "lifecycle/%.*s", SLICE_FMT(l->name));
    r->behind_ms = dedupe_span_ms(l->late_ms);
    r->spans = (struct entity_spans){
        .generation_ms = HOUR_MS * (1 + held_ms(r) / (HELD * HOUR_MS)),
        .facts_ms = 1 + held_ms(r) / SPANS,
    };
    r->longest_ms = r->spans.generation_ms;
    r->expire_max = EXPIRE_MAX;
    r->label_bytes = LABEL_BYTES;
    r->labels = life_labels_new(store, l, r->label_bytes / 2);
    r->folded = folded_new(store, &r->outputs_of, number, rollups);
    r->entities = entities_new(store, r->name, &l->layout, &l->rules, &r->spans, memory_bytes);
    r->changes = life_changes_new(&r->outputs_of, r->entities);
    r->watermark_ms = INT64_MIN;
    r->horizon_ms = r->next_horizon_ms = horizon_ms;
    map_init(&r->known_map);
    recall(r);
    let_go(r);
    return r;
}

void lifecycle_runner_free(struct lifecycle_runner **runner)
{
    struct lifecycle_runner *r = *runner;
    *runner = NULL;
    if (!r)
        return;
    life_labels_free(&r->labels);
    folded_free(&r->folded);
    entities_free(&r->entities);
    map_fini(&r->known_map);
    free(r->known);
    free(r->list);
    free(r->timers);
    life_changes_free(&r->changes);
    free(r);
}

void lifecycle_runner_bound(struct lifecycle_runner *runner, size_t expire_max, size_t label_bytes)
{
    ensure(expire_max >= 2);
    runner->expire_max = expire_max;
    runner->label_bytes = label_bytes;
    life_labels_bound(runner->labels, label_bytes / 2);
}

/* ---- taking events in ---- */

bool lifecycle_stages(const struct lifecycle_runner *runner, size_t stream,
    const struct event *event, uint32_t *stages)
{
    const struct lifecycle *l = runner->lifecycle;
    *stages = 0;
    for (unsigned s = 0; s < l->rules.n_stages; s++) {
        const struct lifecycle_stage *stage = &l->stages[s];
        struct field_value v;
        if (stage->stream != (int)stream)
            continue;
        enum expr_result result = expr_eval(stage->when, event, &v);
        if (result == EXPR_RANGE)
            return false;
        const struct field_value *key = &event->v[stage->key];
        if (result == EXPR_OK && v.num && key->present && key->str.len)
            *stages |= UINT32_C(1) << s;
    }
    return true;
}

/* captured: room for what the stage captures. */
static struct fact fact_of(const struct lifecycle_runner *r, const struct event *event, unsigned s,
    uint64_t id, uint64_t labels, int64_t *captured)
{
    const struct lifecycle_stage *stage = &r->lifecycle->stages[s];
    struct fact fact = {.stage = (uint8_t)s,
        .time_ms = event->time_ms,
        .id = id,
        .labels = s == 0 ? labels : 0,
        .captured = captured};
    if (stage->revision >= 0 && event->v[stage->revision].present)
        fact.revision = event->v[stage->revision].num;
    for (int i = 0; i < stage->n_captures; i++) {
        const struct field_value *v = &event->v[stage->captures[i]];
        captured[i] = v->present ? v->num : 0;
        fact.has |= (uint8_t)(v->present << i);
    }
    return fact;
}

/* A first may expire: its minute is noted. */
static void note_timer(struct lifecycle_runner *r, struct hash128 key, const struct fact *fact)
{
    int64_t until;
    if (fact->stage != 0 ||
        __builtin_add_overflow(fact->time_ms, r->lifecycle->rules.expire_ms, &until))
        return;
    GROW(r->timers, r->timers_cap, r->n_timers + 1);
    r->timers[r->n_timers++] = (struct timer){expiry_minute(until), key};
}

static void add_fact(struct lifecycle_runner *r, struct entity *e, const struct fact *fact)
{
    enum fact_fate fate = entities_add(r->entities, e, fact);
    if (fate == FACT_KNOWN)
        return;
    r->next_stats.facts++;
    r->next_stats.dropped += fate == FACT_REPLACED || fate == FACT_LEFT_OUT;
    if (fate != FACT_LEFT_OUT)
        note_timer(r, e->key, fact);
}

struct hash128 lifecycle_key(
    const struct lifecycle_runner *runner, const struct event *event, uint32_t stages)
{
    struct slice key = event->v[runner->lifecycle->stages[__builtin_ctz(stages)].key].str;
    return hash128(key.ptr, key.len);
}

struct entities *lifecycle_entities(const struct lifecycle_runner *runner)
{
    return runner->entities;
}

bool lifecycle_enter(struct lifecycle_runner *runner, const struct event *event, uint32_t stages,
    const struct entity_found *found, struct life_entry *out, struct err *err)
{
    return entities_enter(runner->entities, found, &out->entity, err) &&
           (!(stages & 1) || life_labels_keep(runner->labels, event, &out->labels, err));
}

void lifecycle_add(struct lifecycle_runner *runner, const struct event *event, uint32_t stages,
    const struct life_entry *entry, uint64_t id)
{
    struct entity *e = entities_at(runner->entities, entry->entity);
    for (uint32_t left = stages; left; left &= left - 1) {
        unsigned stage = (unsigned)__builtin_ctz(left);
        int64_t captured[CAPTURES_MAX];
        struct fact fact = fact_of(runner, event, stage, id, entry->labels, captured);
        add_fact(runner, e, &fact);
    }
}

/* ---- settling ---- */

static bool output_is(const void *ctx, const void *key, uint32_t id)
{
    const struct lifecycle_runner *r = ctx;
    const struct life_output *o = key;
    const struct known_output *k = &r->known[id];
    return k->labels == o->labels && k->rollup == o->rollup && k->from == o->from &&
           k->to == o->to && k->outcome == o->outcome;
}

static uint64_t hash_output(const struct life_output *o)
{
    uint64_t kind = (uint64_t)o->rollup << 24 | (uint64_t)(uint8_t)o->from << 16 |
                    (uint64_t)(uint8_t)o->to << 8 | (uint8_t)o->outcome;
    return (o->labels ^ kind * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xc2b2ae3d27d4eb4f);
}

static size_t known_bytes(const struct lifecycle_runner *r)
{
    return r->known_cap * sizeof *r->known + map_bytes(&r->known_map);
}

/* At the begin of a batch. */
static void forget_outputs(struct lifecycle_runner *r)
{
    uint64_t forgotten = rollup_runner_forgotten(r->rollups);
    if (r->forgotten == forgotten && known_bytes(r) <= r->label_bytes / 2)
        return;
    r->forgotten = forgotten;
    free(r->known);
    r->known = NULL;
    r->n_known = r->known_cap = 0;
    map_fini(&r->known_map);
}

static struct rollup_series series_of(struct lifecycle_runner *r, const struct life_output *o)
{
    uint64_t hash = hash_output(o);
    uint32_t id = map_find(&r->known_map, hash, output_is, r, o);
    if (id != MAP_NONE)
        return r->known[id].series;
    struct label_values values;
    life_labels_values(r->labels, r->list[o->rollup], o, &values);
    struct known_output known = {o->labels, o->rollup, o->from, o->to, o->outcome,
        rollup_runner_series(r->rollups, r->number, o->rollup, &values)};
    GROW(r->known, r->known_cap, r->n_known + 1);
    map_insert(&r->known_map, hash, (uint32_t)r->n_known);
    r->known[r->n_known++] = known;
    return known.series;
}

/* Of the rollup's generation that has it. */
static int64_t output_end(const struct lifecycle_runner *r, const struct life_output *o)
{
    return window_end(o->counts_ms, r->list[o->rollup]->def.every_ms);
}

static bool output_has_window(const struct lifecycle_runner *r, const struct life_output *o)
{
    return rollup_has_window(r->list[o->rollup], output_end(r, o));
}

static void put_output(
    struct lifecycle_runner *r, const struct entity *e, const struct life_output *o)
{
    if (!output_has_window(r, o)) {
        if (!o->negative)
            rollup_leave_out(r->list[o->rollup], output_end(r, o));
        return;
    }
    r->next_stats.corrections += o->negative;
    if (o->negative && folded_take_back(r->folded, e->key, o))
        return;
    struct rollup_series series = series_of(r, o);
    if (rollup_runner_put(r->rollups, series, o->time_ms, o->value, o->negative) && !o->negative &&
        folded_doubts(r->folded, series))
        folded_note(r->folded, e->key, o, series, entities_next_generation(r->entities, e));
}

static void settle_entity(
    struct lifecycle_runner *r, struct entity *e, const struct life_change *change)
{
    struct life_tally before = change->before, now = change->now;
    for (size_t i = 0; i < change->n; i++)
        put_output(r, e, &change->outputs[i]);
    r->next_stats.expired += now.expired > before.expired ? now.expired - before.expired : 0;
    if (change->outside > change->outside_before)
        r->next_stats.outside += change->outside - change->outside_before;
    before.generation = e->generation;
    if (now.incomplete)
        now.generation = e->changed ? entities_next_generation(r->entities, e) : e->generation;
    life_counts_move(&r->next_counts, &before, &now);
    e->ended = change->ended;
}

/* Where what is taken back was put, before anything changes. */
static bool ask_folded(struct lifecycle_runner *r, size_t from, size_t to, struct err *err)
{
    for (size_t i = from; i < to; i++) {
        struct life_change change;
        life_changes_at(r->changes, i, &change);
        for (size_t k = 0; k < change.n; k++)
            if (change.outputs[k].negative &&
                !folded_ask(r->folded, entities_at(r->entities, i)->key, &change.outputs[k], err))
                return false;
    }
    return true;
}

/* Some entities at a time, whose outputs are in memory; but all at once when, hardly ever, anything
 * has folded: it is asked for before anything is put. */
static bool settle_all(struct lifecycle_runner *r, struct crew *crew, struct err *err)
{
    size_t n = entities_count(r->entities);
    bool any_folded = folded_any(r->folded);
    size_t part = any_folded ? n : SETTLE_PART;
    for (size_t from = 0, to; from < n; from = to) {
        to = n - from < part ? n : from + part;
        life_changes_find(r->changes, crew, from, to, r->expiry, r->next_expiry);
        if (any_folded && !ask_folded(r, from, to, err))
            return false;
        for (size_t i = from; i < to; i++) {
            struct life_change change;
            life_changes_at(r->changes, i, &change);
            settle_entity(r, entities_at(r->entities, i), &change);
        }
    }
    return true;
}

static bool load_labels_of(
    struct lifecycle_runner *r, const struct fact *facts, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (facts[i].stage == 0 && !life_labels_load(r->labels, facts[i].labels, err))
            return false;
    return true;
}

static bool load_entity_labels(struct lifecycle_runner *r, const struct entity *e, struct err *err)
{
    return load_labels_of(r, e->facts.items, e->facts.n, err) &&
           (e->before == e->facts.items || load_labels_of(r, e->before, e->n_before, err));
}

/* Label texts first: what cannot be read must not be met half way. */
static bool load_labels(struct lifecycle_runner *r, struct err *err)
{
    for (size_t i = 0; i < entities_count(r->entities); i++)
        if (!load_entity_labels(r, entities_at(r->entities, i), err))
            return false;
    return true;
}

/* ---- expiry ---- */

static bool timers_table(const struct lifecycle_runner *r, uint32_t *table)
{
    uint32_t bytes;
    struct err err;
    return store_state_table(r->store, slice_from(r->timers_name), table, &bytes, &err);
}

/* Names the series that the entity's outputs go to if it expires, so that their label sets are
 * counted now. */
static bool weigh(struct lifecycle_runner *r, size_t entity, struct err *err)
{
    struct life_change change;
    if (!load_entity_labels(r, entities_at(r->entities, entity), err))
        return false;
    life_changes_of(r->changes, entity, r->expiry, r->next_expiry, &change);
    r->n_expiring += change.n;
    for (size_t i = 0; i < change.n; i++)
        if (output_has_window(r, &change.outputs[i]))
            series_of(r, &change.outputs[i]);
    return true;
}

/* Two at least, or it would never come further than the last one. */
static bool expired_enough(const struct lifecycle_runner *r, size_t left)
{
    if (left + 2 > r->expire_max)
        return false;
    return left == 0 || r->n_expiring >= EXPIRE_CELLS / r->streams->n_lifecycles ||
           rollup_runner_new_label_bytes(r->rollups) >= EXPIRE_LABEL_BYTES;
}

/* Loads entities that a minute is the last one of. *n: so many of the keys, before it was enough.
 */
static bool expire_keys(struct lifecycle_runner *r, int64_t minute, const struct hash128 *keys,
    size_t *n, size_t *left, struct err *err)
{
    for (size_t i = 0; i < *n; i++) {
        size_t entity;
        r->next_expiry = (struct expiry){minute + 1, 0}; /* to see what becomes of it */
        bool ok = entities_get(r->entities, keys[i], &entity, err) && weigh(r, entity, err);
        /* Keys are in order of hi, then lo: those of one hi stay together. */
        r->next_expiry = (struct expiry){minute, keys[i].hi};
        if (!ok)
            return false;
        --*left;
        if (expired_enough(r, *left))
            *n = i + 1;
    }
    return true;
}

/* The entities of one minute, from the key that expiry stands at. *left: how many more may be;
 * *done: the minute is. */
static bool expire_minute(struct lifecycle_runner *r, struct txn *txn, uint32_t table,
    int64_t minute, size_t *left, bool *done, struct err *err)
{
    struct hash128 keys[EXPIRE_CHUNK];
    struct hash128 from = {0, r->next_expiry.minute == minute ? r->next_expiry.key : 0};
    *done = false;
    while (!expired_enough(r, *left) && !*done) {
        size_t n, listed, max = *left < EXPIRE_CHUNK ? *left : EXPIRE_CHUNK;
        if (!txn_state_list(txn, table, minute, &from, max, keys, NULL, &listed, done, err))
            return false;
        n = listed;
        if (!expire_keys(r, minute, keys, &n, left, err))
            return false;
        *done = *done && n == listed;
    }
    if (*done)
        r->next_expiry = (struct expiry){minute + 1, 0};
    return true;
}

/* The minutes that the watermark has passed, in order. A transaction is begun to list them; nothing
 * of it is written. */
static bool expire(struct lifecycle_runner *r, int64_t passed_minute, struct err *err)
{
    uint32_t table;
    size_t left = r->expire_max;
    bool ok = true, done = true;
    if (!timers_table(r, &table)) {
        r->next_expiry = (struct expiry){passed_minute, 0};
        return true;
    }
    struct txn *txn = txn_begin(r->store);
    size_t n = txn_state_generations(txn, table, NULL, 0);
    int64_t *minutes = xcalloc(n + 1, sizeof *minutes);
    txn_state_generations(txn, table, minutes, n);
    for (size_t i = 0; ok && done && i < n && minutes[i] < passed_minute; i++)
        if (minutes[i] >= r->next_expiry.minute)
            ok = expire_minute(r, txn, table, minutes[i], &left, &done, err);
    txn_abort(&txn);
    free(minutes);
    if (ok && done)
        r->next_expiry = (struct expiry){passed_minute, 0};
    return ok;
}

/* ---- the batch ---- */

bool lifecycle_settle(struct lifecycle_runner *runner, struct crew *crew, int64_t watermark_ms,
    int64_t horizon_ms, struct err *err)
{
    struct lifecycle_runner *r = runner;
    if (r->settled)
        return true;
    forget_outputs(r);
    if (watermark_ms > r->watermark_ms)
        r->watermark_ms = watermark_ms;
    if (horizon_ms > r->next_horizon_ms)
        r->next_horizon_ms = horizon_ms;
    int64_t passed = r->watermark_ms == INT64_MIN ? INT64_MIN : expiry_minute(r->watermark_ms);
    if (passed > r->next_expiry.minute && !expire(r, passed, err))
        return false;
    if (!load_labels(r, err) || !settle_all(r, crew, err))
        return false;
    r->behind = passed > r->next_expiry.minute;
    r->settled = true;
    return true;
}

size_t lifecycle_batch_bytes(const struct lifecycle_runner *runner)
{
    return entities_batch_bytes(runner->entities) + life_labels_batch_bytes(runner->labels);
}

bool lifecycle_is_behind(const struct lifecycle_runner *runner)
{
    return runner->behind;
}

/* ---- writing ---- */

static void write_timers(struct lifecycle_runner *r, struct txn *txn, uint32_t table)
{
    for (size_t i = 0; i < r->n_timers; i++)
        if (r->timers[i].minute >= r->next_expiry.minute)
            txn_state_put(txn, table, r->timers[i].minute, r->timers[i].key, NULL);
    txn_state_drop_below(txn, table, r->next_expiry.minute);
}

static void write_source(struct lifecycle_runner *r, struct txn *txn)
{
    struct buf state;
    buf_init(&state, STATS_BYTES);
    buf_le64(&state, hash_of(r->streams, r->lifecycle));
    buf_le64(&state, r->next_expiry.key);
    buf_varint(&state, r->next_stats.facts);
    buf_varint(&state, r->next_stats.outside);
    buf_varint(&state, r->next_stats.dropped);
    buf_varint(&state, r->next_stats.expired);
    buf_varint(&state, r->next_stats.corrections);
    life_counts_encode(&r->next_counts, &state);
    buf_varint(&state, (uint64_t)(r->longest_ms / HOUR_MS));
    buf_varint(&state, (uint64_t)(r->behind_ms / HOUR_MS));
    txn_source(txn, slice_from(r->source), r->next_expiry.minute, INT64_MIN, buf_view(&state));
    buf_fini(&state);
}

static bool has_moved(const struct lifecycle_runner *r)
{
    return entities_count(r->entities) > 0 || r->next_expiry.minute != r->expiry.minute ||
           r->next_expiry.key != r->expiry.key || r->next_horizon_ms != r->horizon_ms;
}

bool lifecycle_write(struct lifecycle_runner *runner, struct txn *txn, struct err *err)
{
    struct lifecycle_runner *r = runner;
    uint32_t table, timers;
    ensure(r->settled);
    if (!has_moved(r))
        return true;
    if (!txn_state_table(txn, slice_from(r->name),
            (uint32_t)fact_record_bytes(&r->lifecycle->layout), &table, err) ||
        !txn_state_table(txn, slice_from(r->timers_name), 0, &timers, err) ||
        !life_labels_write(r->labels, txn, err) ||
        !folded_write(r->folded, txn, gone_below(r), err))
        return false;
    life_counts_drop(&r->next_counts, gone_below(r));
    entities_write(r->entities, txn, table, gone_below(r));
    write_timers(r, txn, timers);
    write_source(r, txn);
    return true;
}

void lifecycle_clear(struct lifecycle_runner *runner)
{
    struct lifecycle_runner *r = runner;
    r->expiry = r->next_expiry;
    r->horizon_ms = r->next_horizon_ms;
    r->stats = r->next_stats;
    r->counts = r->next_counts;
    r->n_timers = r->n_expiring = 0;
    r->settled = false;
    life_labels_clear(r->labels);
    folded_clear(r->folded);
    entities_clear(r->entities);
    let_go(r);
}

int64_t lifecycle_expired_ms(const struct lifecycle_runner *runner)
{
    return runner->next_expiry.minute == INT64_MIN ? INT64_MIN
                                                   : runner->next_expiry.minute * EXPIRY_MINUTE_MS;
}

size_t lifecycle_label_bytes(const struct lifecycle_runner *runner)
{
    return life_labels_bytes(runner->labels) + known_bytes(runner);
}

void lifecycle_counted(const struct lifecycle_runner *runner, struct lifecycle_counts *out)
{
    *out = runner->stats;
    out->name = runner->lifecycle->name;
    out->open = runner->counts.open;
    out->incomplete = life_counts_incomplete(&runner->counts);
    out->forgotten = runner->counts.forgotten;
}
