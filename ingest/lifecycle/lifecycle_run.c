#include "ingest/lifecycle/lifecycle_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/ensure.h"
#include "base/map.h"
#include "base/mem.h"
#include "ingest/dedupe.h"
#include "ingest/lifecycle/life_labels.h"
#include "ingest/lifecycle/life_outputs.h"
#include "store/state/state.h"
#include "store/state/state_reader.h"

#define HOUR_MS INT64_C(3600000)
/* Generations that are held of entities, about: an entity is looked for in each. */
#define HELD         4
#define EXPIRE_MAX   50000
#define EXPIRE_CHUNK 256
#define STATS_BYTES  80

/* An entity that the batch has touched. */
struct entity {
    struct hash128 key;
    int64_t generation;  /* in which it lies; valid when n_records */
    size_t n_records;    /* that are stored */
    struct fact *before; /* as stored */
    struct fact *facts;  /* as they are now; the same array while nothing was added */
    uint16_t n_before, n;
};

struct timer {
    int64_t minute;
    struct hash128 key;
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
    int64_t span_ms;   /* of a generation of entities */
    size_t expire_max; /* entities, with one batch */
    size_t record_bytes;
    uint8_t *record;
    struct life_labels *labels;
    struct state_reader *reader; /* NULL: made with the next look */
    struct expiry expiry, next_expiry;
    int64_t watermark_ms; /* as settled last */
    bool behind;
    struct lifecycle_stats stats, next_stats;
    /* of the batch */
    struct arena arena;
    struct entity *entities;
    size_t n_entities, entities_cap;
    struct map by_key;
    struct timer *timers;
    size_t n_timers, timers_cap;
    struct facts scratch;
    struct life_outputs outputs;
    bool settled;
};

/* Towards the past. */
static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* No event that passes dedupe finds the state of its entity gone. */
static int64_t held_ms(const struct lifecycle *l)
{
    return l->rules.expire_ms + l->late_ms + dedupe_span_ms(l->late_ms);
}

/* ---- life ---- */

/* What stored facts and labels are read by. */
static uint64_t fingerprint_of(const struct streams *streams, const struct lifecycle *l)
{
    struct buf text;
    buf_init(&text, 0);
    buf_u8(&text, l->layout.revisions);
    for (size_t s = 0; s < l->rules.n_stages; s++) {
        const struct lifecycle_stage *stage = &l->stages[s];
        buf_lstr(&text, stage->name);
        for (int i = 0; i < stage->n_captures; i++)
            buf_lstr(
                &text, streams->streams[stage->stream].contract.fields[stage->captures[i]].name);
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
    return read_le64(&bytes) == fingerprint_of(streams, l) ||
           err_set(err, ERR_INVALID,
               "lifecycle %.*s: its stages, or the fields that its rollups need, are not those of "
               "the lives in the data folder; give the changed one another name",
               SLICE_FMT(l->name));
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
    }
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
    size_t number, struct rollup_runner *rollups)
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
    int64_t held = held_ms(l);
    r->span_ms = HOUR_MS * (1 + held / (HELD * HOUR_MS));
    r->expire_max = EXPIRE_MAX;
    r->record_bytes = fact_record_bytes(&l->layout);
    r->record = xmalloc(r->record_bytes);
    r->labels = life_labels_new(store, l);
    r->watermark_ms = INT64_MIN;
    arena_init(&r->arena, 0); /* bounded by the batch */
    map_init(&r->by_key);
    recall(r);
    return r;
}

void lifecycle_runner_free(struct lifecycle_runner **runner)
{
    struct lifecycle_runner *r = *runner;
    *runner = NULL;
    if (!r)
        return;
    state_reader_free(&r->reader);
    life_labels_free(&r->labels);
    map_fini(&r->by_key);
    arena_fini(&r->arena);
    free(r->list);
    free(r->record);
    free(r->entities);
    free(r->timers);
    free(r->outputs.items);
    free(r);
}

void lifecycle_runner_bound(struct lifecycle_runner *runner, size_t expire_max)
{
    ensure(expire_max >= 2);
    runner->expire_max = expire_max;
}

/* ---- entities ---- */

static bool entity_is(const void *ctx, const void *key, uint32_t id)
{
    const struct lifecycle_runner *r = ctx;
    return hash128_eq(r->entities[id].key, *(const struct hash128 *)key);
}

static struct state_reader *reader_of_batch(struct lifecycle_runner *r)
{
    struct err err;
    uint32_t table, bytes;
    if (!r->reader) {
        if (!store_state_table(r->store, slice_from(r->name), &table, &bytes, &err))
            table = UINT32_MAX; /* nothing was ever written */
        r->reader = state_reader_new(r->store, table, INT64_MIN, INT64_MAX);
    }
    return r->reader;
}

static bool bad_record(const struct lifecycle_runner *r, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "state table %s: a record makes no sense", r->name);
}

/* Reads what is stored of the key into scratch. */
static bool load_facts(struct lifecycle_runner *r, struct entity *e, struct err *err)
{
    const struct fact_layout *layout = &r->lifecycle->layout;
    size_t records = 1;
    r->scratch.n = 0;
    for (size_t i = 0; i < records; i++) {
        bool found;
        if (!state_reader_find(
                reader_of_batch(r), facts_key(e->key, i), r->record, &e->generation, &found, err))
            return false;
        if (!found)
            return i == 0 || bad_record(r, err);
        if (!facts_decode(&r->scratch, layout, i, r->record, &records))
            return bad_record(r, err);
        e->n_records = records;
    }
    return true;
}

static struct fact *keep_facts(struct lifecycle_runner *r, const struct facts *facts)
{
    struct fact *kept = arena_array(&r->arena, facts->n + 1, sizeof *kept);
    ensure(kept);
    memcpy(kept, facts->items, facts->n * sizeof *kept);
    return kept;
}

/* The entity with its facts; NULL: the store cannot be read. */
static struct entity *entity_of(struct lifecycle_runner *r, struct hash128 key, struct err *err)
{
    uint32_t at = map_find(&r->by_key, key.lo, entity_is, r, &key);
    if (at != MAP_NONE)
        return &r->entities[at];
    struct entity e = {.key = key};
    if (!load_facts(r, &e, err))
        return NULL;
    e.before = e.facts = keep_facts(r, &r->scratch);
    e.n_before = e.n = (uint16_t)r->scratch.n;
    GROW(r->entities, r->entities_cap, r->n_entities + 1);
    map_insert(&r->by_key, key.lo, (uint32_t)r->n_entities);
    r->entities[r->n_entities] = e;
    return &r->entities[r->n_entities++];
}

/* Into scratch. */
static void copy_facts(struct lifecycle_runner *r, const struct fact *facts, size_t n)
{
    r->scratch.n = n;
    memcpy(r->scratch.items, facts, n * sizeof *facts);
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

static struct fact fact_of(
    struct lifecycle_runner *r, const struct event *event, unsigned s, uint64_t id)
{
    const struct lifecycle_stage *stage = &r->lifecycle->stages[s];
    struct fact fact = {.stage = (uint8_t)s, .time_ms = event->time_ms, .id = id};
    struct err err;
    if (stage->revision >= 0 && event->v[stage->revision].present)
        fact.revision = event->v[stage->revision].num;
    if (s == 0) /* it was looked up */
        ensure(life_labels_keep(r->labels, event, &fact.labels, &err));
    for (int i = 0; i < stage->n_captures; i++) {
        const struct field_value *v = &event->v[stage->captures[i]];
        fact.captured[i] = v->present ? v->num : 0;
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
    bool known;
    struct life lives[LIVES_MAX];
    size_t before, after;
    copy_facts(r, e->facts, e->n);
    lives_of(&r->lifecycle->rules, r->scratch.items, r->scratch.n, lives, &before);
    if (!facts_add(&r->scratch, fact, &known)) {
        r->next_stats.dropped++;
        return;
    }
    if (known)
        return;
    lives_of(&r->lifecycle->rules, r->scratch.items, r->scratch.n, lives, &after);
    r->next_stats.facts++;
    r->next_stats.outside += after > before;
    e->facts = keep_facts(r, &r->scratch);
    e->n = (uint16_t)r->scratch.n;
    note_timer(r, e->key, fact);
}

static struct hash128 key_of(
    const struct lifecycle_runner *r, const struct event *event, uint32_t stages)
{
    struct slice key = event->v[r->lifecycle->stages[__builtin_ctz(stages)].key].str;
    return hash128(key.ptr, key.len);
}

bool lifecycle_look(
    struct lifecycle_runner *runner, const struct event *event, uint32_t stages, struct err *err)
{
    uint64_t hash;
    return entity_of(runner, key_of(runner, event, stages), err) &&
           (!(stages & 1) || life_labels_keep(runner->labels, event, &hash, err));
}

void lifecycle_take(
    struct lifecycle_runner *runner, const struct event *event, uint32_t stages, uint64_t id)
{
    struct err err;
    struct entity *e = entity_of(runner, key_of(runner, event, stages), &err);
    ensure(e != NULL);
    for (uint32_t left = stages; left; left &= left - 1) {
        struct fact fact = fact_of(runner, event, (unsigned)__builtin_ctz(left), id);
        add_fact(runner, e, &fact);
    }
}

/* ---- expiry ---- */

static bool timers_table(const struct lifecycle_runner *r, uint32_t *table)
{
    uint32_t bytes;
    struct err err;
    return store_state_table(r->store, slice_from(r->timers_name), table, &bytes, &err);
}

/* Loads the entities of one minute, from the key that expiry stands at. *left: how many more may
 * be; *done: the minute is. */
static bool expire_minute(struct lifecycle_runner *r, struct txn *txn, uint32_t table,
    int64_t minute, size_t *left, bool *done, struct err *err)
{
    struct hash128 keys[EXPIRE_CHUNK];
    struct hash128 from = {0, r->next_expiry.minute == minute ? r->next_expiry.key : 0};
    *done = false;
    while (*left > 0 && !*done) {
        size_t n, max = *left < EXPIRE_CHUNK ? *left : EXPIRE_CHUNK;
        if (!txn_state_list(txn, table, minute, &from, max, keys, NULL, &n, done, err))
            return false;
        for (size_t i = 0; i < n; i++)
            if (!entity_of(r, keys[i], err))
                return false;
        *left -= n;
        /* Keys are in order of hi, then lo: those of one hi stay together. */
        r->next_expiry = (struct expiry){minute, from.hi};
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

/* ---- settling ---- */

static void put_output(struct lifecycle_runner *r, const struct life_output *o)
{
    struct label_values values;
    const struct rollup *rollup = r->list[o->rollup];
    int64_t end = window_end(o->counts_ms, rollup->def.every_ms);
    if (!rollup_has_window(rollup, end)) {
        if (!o->negative)
            rollup_leave_out(rollup, end);
        return;
    }
    life_labels_values(r->labels, rollup, o, &values);
    rollup_runner_put(r->rollups, r->number, o->rollup, &values, o->time_ms, o->value, o->negative);
    r->next_stats.corrections += o->negative;
}

static uint64_t count_expired(struct lifecycle_runner *r, struct hash128 key, struct expiry expiry)
{
    struct life lives[LIVES_MAX];
    size_t outside;
    uint64_t expired = 0;
    size_t n = lives_of(&r->lifecycle->rules, r->scratch.items, r->scratch.n, lives, &outside);
    for (size_t i = 0; i < n; i++)
        expired += lives[i].end < 0 &&
                   life_has_expired(life_until(&r->lifecycle->rules, &lives[i]), key, expiry);
    return expired;
}

static void settle_entity(struct lifecycle_runner *r, const struct entity *e)
{
    r->outputs.n = 0;
    copy_facts(r, e->before, e->n_before);
    uint64_t before = count_expired(r, e->key, r->expiry);
    life_outputs_add(&r->outputs_of, &r->scratch, e->key, r->expiry, true, &r->outputs);
    copy_facts(r, e->facts, e->n);
    uint64_t now = count_expired(r, e->key, r->next_expiry);
    life_outputs_add(&r->outputs_of, &r->scratch, e->key, r->next_expiry, false, &r->outputs);
    life_outputs_cancel(&r->outputs);
    for (size_t i = 0; i < r->outputs.n; i++)
        put_output(r, &r->outputs.items[i]);
    r->next_stats.expired += now > before ? now - before : 0;
}

/* Label texts first: what cannot be read must not be met half way. */
static bool load_labels(struct lifecycle_runner *r, struct err *err)
{
    for (size_t i = 0; i < r->n_entities; i++) {
        const struct entity *e = &r->entities[i];
        for (size_t k = 0; k < e->n; k++)
            if (e->facts[k].stage == 0 && !life_labels_load(r->labels, e->facts[k].labels, err))
                return false;
    }
    return true;
}

bool lifecycle_settle(struct lifecycle_runner *runner, int64_t watermark_ms, struct err *err)
{
    struct lifecycle_runner *r = runner;
    if (r->settled)
        return true;
    if (watermark_ms > r->watermark_ms)
        r->watermark_ms = watermark_ms;
    int64_t passed = r->watermark_ms == INT64_MIN ? INT64_MIN : expiry_minute(r->watermark_ms);
    if (passed > r->next_expiry.minute && !expire(r, passed, err))
        return false;
    if (!load_labels(r, err))
        return false;
    for (size_t i = 0; i < r->n_entities; i++)
        settle_entity(r, &r->entities[i]);
    r->behind = passed > r->next_expiry.minute;
    r->settled = true;
    return true;
}

bool lifecycle_is_behind(const struct lifecycle_runner *runner)
{
    return runner->behind;
}

/* ---- writing ---- */

static int64_t newest_of(const struct entity *e)
{
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < e->n; i++)
        newest = e->facts[i].time_ms > newest ? e->facts[i].time_ms : newest;
    return newest;
}

static void write_entity(
    struct lifecycle_runner *r, struct txn *txn, uint32_t table, const struct entity *e)
{
    if (e->facts == e->before)
        return;
    copy_facts(r, e->facts, e->n);
    int64_t generation = floor_div(newest_of(e), r->span_ms);
    size_t n = facts_records(&r->scratch);
    for (size_t i = 0; i < e->n_records; i++)
        if (generation != e->generation)
            txn_state_delete(txn, table, e->generation, facts_key(e->key, i));
    for (size_t i = 0; i < n; i++) {
        facts_encode(&r->scratch, &r->lifecycle->layout, i, r->record);
        txn_state_put(txn, table, generation, facts_key(e->key, i), r->record);
    }
}

/* Generations with lower numbers. */
static void drop_below(struct txn *txn, uint32_t table, int64_t below)
{
    size_t n = txn_state_generations(txn, table, NULL, 0);
    int64_t *all = xcalloc(n + 1, sizeof *all);
    txn_state_generations(txn, table, all, n);
    for (size_t i = 0; i < n && all[i] < below; i++)
        txn_state_drop(txn, table, all[i]);
    free(all);
}

static void drop_gone(struct lifecycle_runner *r, struct txn *txn, uint32_t table)
{
    int64_t gone, held = held_ms(r->lifecycle);
    if (r->next_expiry.minute == INT64_MIN ||
        __builtin_sub_overflow(r->next_expiry.minute * EXPIRY_MINUTE_MS, held, &gone))
        return;
    drop_below(txn, table, floor_div(gone, r->span_ms));
}

static void write_timers(struct lifecycle_runner *r, struct txn *txn, uint32_t table)
{
    for (size_t i = 0; i < r->n_timers; i++)
        if (r->timers[i].minute >= r->next_expiry.minute)
            txn_state_put(txn, table, r->timers[i].minute, r->timers[i].key, NULL);
    drop_below(txn, table, r->next_expiry.minute);
}

static void write_source(struct lifecycle_runner *r, struct txn *txn)
{
    struct buf state;
    buf_init(&state, STATS_BYTES);
    buf_le64(&state, fingerprint_of(r->streams, r->lifecycle));
    buf_le64(&state, r->next_expiry.key);
    buf_varint(&state, r->next_stats.facts);
    buf_varint(&state, r->next_stats.outside);
    buf_varint(&state, r->next_stats.dropped);
    buf_varint(&state, r->next_stats.expired);
    buf_varint(&state, r->next_stats.corrections);
    txn_source(txn, slice_from(r->source), r->next_expiry.minute, INT64_MIN, buf_view(&state));
    buf_fini(&state);
}

static bool has_moved(const struct lifecycle_runner *r)
{
    return r->n_entities > 0 || r->next_expiry.minute != r->expiry.minute ||
           r->next_expiry.key != r->expiry.key;
}

bool lifecycle_write(struct lifecycle_runner *runner, struct txn *txn, struct err *err)
{
    struct lifecycle_runner *r = runner;
    uint32_t table, timers;
    ensure(r->settled);
    if (!has_moved(r))
        return true;
    if (!txn_state_table(txn, slice_from(r->name), (uint32_t)r->record_bytes, &table, err) ||
        !txn_state_table(txn, slice_from(r->timers_name), 0, &timers, err) ||
        !life_labels_write(r->labels, txn, err))
        return false;
    drop_gone(r, txn, table);
    for (size_t i = 0; i < r->n_entities; i++)
        write_entity(r, txn, table, &r->entities[i]);
    write_timers(r, txn, timers);
    write_source(r, txn);
    return true;
}

void lifecycle_clear(struct lifecycle_runner *runner)
{
    struct lifecycle_runner *r = runner;
    r->expiry = r->next_expiry;
    r->stats = r->next_stats;
    r->n_entities = r->n_timers = 0;
    r->settled = false;
    map_clear(&r->by_key);
    arena_reset(&r->arena);
    life_labels_clear(r->labels);
    state_reader_free(&r->reader);
}

int64_t lifecycle_expired_ms(const struct lifecycle_runner *runner)
{
    return runner->expiry.minute == INT64_MIN ? INT64_MIN
                                              : runner->expiry.minute * EXPIRY_MINUTE_MS;
}

void lifecycle_stats(const struct lifecycle_runner *runner, struct lifecycle_stats *out)
{
    *out = runner->stats;
}
