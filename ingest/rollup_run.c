#include "ingest/rollup_run.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checksum.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "ingest/label_values.h"
#include "store/bounds.h"

#define NONE        UINT32_MAX
#define LABEL_BYTES ((size_t)16 << 20)
#define KEY_MAX     (ROLLUP_LABELS_MAX * (FIELD_STRING_MAX + 8))

/* A label set of a rollup. */
struct slot {
    struct hash128 hash;
    struct labels labels; /* in runner->labels */
    uint32_t series;      /* NONE until it is written the first time */
    bool refused;         /* the store does not take it: series stays NONE */
    bool folded;          /* the series is the metric's overflow series */
    bool is_overflow;     /* no label set, but the overflow series itself */
    uint32_t newest;      /* the accumulator that was used last, in the batch */
    uint64_t batch;       /* of that number; 0: in none */
    uint64_t resolved;    /* the batch that gave it its series, or had it refused */
};

struct accumulator {
    uint32_t rollup, slot;
    int64_t end;
    union {
        int128 amount;
        struct gauge_cell gauge;
        struct {
            int128 sum;
            struct hist_bucket *buckets; /* by key; in runner->buckets */
            uint32_t n, cap;
        } hist;
    } u;
};

struct rollup_state {
    const struct rollup *def;
    uint32_t metric;
    bool defined; /* metric is valid */
    bool warned;  /* of a refused label set */
    struct slot *slots;
    size_t n_slots, slots_cap;
    struct map map;    /* hash to slot */
    uint32_t overflow; /* the slot of the overflow series; NONE: none was needed */
};

struct rollup_runner {
    const struct streams *streams;
    struct rollup_state
        *rollups; /* those of a stream side by side: of_stream[s] .. of_stream[s + 1] */
    size_t n_rollups;
    uint32_t *of_stream, *of_lifecycle; /* lifecycles likewise */
    bool *has_gaps;                     /* by stream: some windows have no definition */
    struct arena labels;
    size_t label_bytes; /* that slots with their labels may take */
    uint64_t forgotten;
    uint64_t removals; /* of series from the store, when the slots' series were asked for */
    /* of the batch */
    uint64_t batch;
    size_t new_label_bytes;
    struct arena buckets;
    struct accumulator *accumulators;
    size_t n_accumulators, accumulators_cap;
    struct map windows; /* (rollup, slot, end) to accumulator */
    uint64_t left_out;  /* cells, as it was written last */
    uint64_t refused;   /* of all batches before */
};

int64_t window_end(int64_t t_ms, int64_t every_ms)
{
    int64_t rest = t_ms % every_ms;
    if (rest == 0)
        return t_ms;
    return rest > 0 ? t_ms - rest + every_ms : t_ms - rest;
}

static void add_rollup(struct rollup_runner *r, const struct rollup *rollup, size_t *n)
{
    r->rollups[(*n)++] = (struct rollup_state){.def = rollup, .overflow = NONE};
    if (rollup->stream >= 0 && rollup->term && rollup->term->n_gaps)
        r->has_gaps[rollup->stream] = true;
}

struct rollup_runner *rollup_runner_new(const struct streams *streams)
{
    struct rollup_runner *r = xcalloc(1, sizeof *r);
    size_t n = 0;
    r->streams = streams;
    r->rollups = xcalloc(streams->n_rollups, sizeof *r->rollups);
    r->of_stream = xcalloc(streams->n_streams + 1, sizeof *r->of_stream);
    r->has_gaps = xcalloc(streams->n_streams + 1, sizeof *r->has_gaps);
    r->batch = 1;
    r->label_bytes = LABEL_BYTES;
    arena_init(&r->labels, 0); /* bounded by label_bytes and a batch */
    arena_init(&r->buckets, 0);
    for (size_t s = 0; s < streams->n_streams; s++) {
        r->of_stream[s] = (uint32_t)n;
        for (size_t i = 0; i < streams->n_rollups; i++)
            if (streams->rollups[i].stream == (int)s)
                add_rollup(r, &streams->rollups[i], &n);
    }
    r->of_stream[streams->n_streams] = (uint32_t)n;
    r->of_lifecycle = xcalloc(streams->n_lifecycles + 1, sizeof *r->of_lifecycle);
    for (size_t l = 0; l < streams->n_lifecycles; l++) {
        r->of_lifecycle[l] = (uint32_t)n;
        for (size_t i = 0; i < streams->n_rollups; i++)
            if (streams->rollups[i].lifecycle == (int)l && streams->rollups[i].stream < 0)
                add_rollup(r, &streams->rollups[i], &n);
    }
    r->n_rollups = n;
    return r;
}

void rollup_runner_free(struct rollup_runner **runner)
{
    struct rollup_runner *r = *runner;
    *runner = NULL;
    if (!r)
        return;
    for (size_t i = 0; i < r->n_rollups; i++) {
        free(r->rollups[i].slots);
        map_fini(&r->rollups[i].map);
    }
    free(r->rollups);
    free(r->of_stream);
    free(r->of_lifecycle);
    free(r->has_gaps);
    free(r->accumulators);
    map_fini(&r->windows);
    arena_fini(&r->labels);
    arena_fini(&r->buckets);
    free(r);
}

/* ---- label sets ---- */

static struct hash128 hash_labels(const struct rollup *def, const struct label_values *v)
{
    char key[KEY_MAX], *p = key;
    for (size_t i = 0; i < def->n_labels; i++) {
        uint32_t len = (uint32_t)v->values[i].len;
        ensure((size_t)(p - key) + sizeof len + len <= KEY_MAX);
        memcpy(p, &len, sizeof len);
        p += sizeof len;
        if (len)
            memcpy(p, v->values[i].ptr, len);
        p += len;
    }
    return hash128(key, (size_t)(p - key));
}

static bool slot_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct rollup_state *s = ctx;
    return hash128_eq(s->slots[id].hash, *(const struct hash128 *)key);
}

static struct labels keep_labels(
    struct rollup_runner *r, const struct rollup *def, const struct label_values *v)
{
    struct label l[ROLLUP_LABELS_MAX + 1];
    size_t n = 0;
    l[n++] = (struct label){SLICE(LABEL_METRIC_NAME), def->def.name};
    for (size_t i = 0; i < def->n_labels; i++)
        l[n++] = (struct label){def->labels[i].name, v->values[i]};
    for (size_t i = 0; i < n; i++)
        r->new_label_bytes += l[i].name.len + l[i].value.len;
    ensure(labels_sort(l, &n)); /* the config has checked the names */
    return labels_copy(&r->labels, (struct labels){l, n});
}

/* NONE: the label set is new. */
static uint32_t find_slot(const struct rollup_state *s, struct hash128 hash)
{
    return map_find(&s->map, hash.lo, slot_matches, s, &hash);
}

static uint32_t add_slot(struct rollup_runner *r, struct rollup_state *s, struct hash128 hash,
    const struct label_values *v)
{
    uint32_t id = (uint32_t)s->n_slots;
    GROW(s->slots, s->slots_cap, s->n_slots + 1);
    s->slots[s->n_slots++] =
        (struct slot){.hash = hash, .labels = keep_labels(r, s->def, v), .series = NONE};
    map_insert(&s->map, hash.lo, id);
    return id;
}

static uint32_t slot_of(
    struct rollup_runner *r, struct rollup_state *s, const struct label_values *v)
{
    struct hash128 hash = hash_labels(s->def, v);
    uint32_t id = find_slot(s, hash);
    return id != NONE ? id : add_slot(r, s, hash, v);
}

/* ---- accumulators ---- */

struct window_key {
    uint32_t rollup, slot;
    int64_t end;
};

static bool window_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct rollup_runner *r = ctx;
    const struct window_key *k = key;
    const struct accumulator *a = &r->accumulators[id];
    return a->slot == k->slot && a->end == k->end && a->rollup == k->rollup;
}

static uint64_t window_hash(const struct window_key *k)
{
    uint64_t h = ((uint64_t)k->rollup << 32 | k->slot) * 0x9e3779b97f4a7c15u;
    h ^= (uint64_t)k->end * 0xc2b2ae3d27d4eb4fu;
    return h ^ h >> 31;
}

/* The accumulator of a window; *fresh when the event is its first. */
static struct accumulator *accumulator_of(
    struct rollup_runner *r, uint32_t rollup, uint32_t slot_id, int64_t end, bool *fresh)
{
    struct slot *slot = &r->rollups[rollup].slots[slot_id];
    *fresh = false;
    if (slot->batch == r->batch && r->accumulators[slot->newest].end == end)
        return &r->accumulators[slot->newest];
    struct window_key key = {rollup, slot_id, end};
    uint64_t hash = window_hash(&key);
    uint32_t id = map_find(&r->windows, hash, window_matches, r, &key);
    if (id == MAP_NONE) {
        *fresh = true;
        id = (uint32_t)r->n_accumulators;
        GROW(r->accumulators, r->accumulators_cap, r->n_accumulators + 1);
        r->accumulators[r->n_accumulators++] =
            (struct accumulator){.rollup = rollup, .slot = slot_id, .end = end};
        map_insert(&r->windows, hash, id);
    }
    slot->newest = id;
    slot->batch = r->batch;
    return &r->accumulators[id];
}

static void add_bucket(struct rollup_runner *r, struct accumulator *a, int32_t key, int64_t count)
{
    struct hist_bucket *b = a->u.hist.buckets;
    uint32_t at = a->u.hist.n;
    while (at > 0 && b[at - 1].key > key)
        at--;
    if (at > 0 && b[at - 1].key == key) {
        b[at - 1].count += count;
        return;
    }
    if (a->u.hist.n == a->u.hist.cap) {
        a->u.hist.cap = a->u.hist.cap ? a->u.hist.cap * 2 : 4;
        b = arena_array(&r->buckets, a->u.hist.cap, sizeof *b);
        if (a->u.hist.n)
            memcpy(b, a->u.hist.buckets, a->u.hist.n * sizeof *b);
        a->u.hist.buckets = b;
    }
    memmove(b + at + 1, b + at, (a->u.hist.n - at) * sizeof *b);
    b[at] = (struct hist_bucket){key, count};
    a->u.hist.n++;
}

static void accumulate(struct rollup_runner *r, const struct rollup_hit *p, int64_t time_ms)
{
    const struct metric_def *def = &r->rollups[p->rollup].def->def;
    bool fresh;
    struct accumulator *a =
        accumulator_of(r, p->rollup, p->slot, window_end(time_ms, def->every_ms), &fresh);
    if (def->kind == KIND_GAUGE) {
        struct gauge_cell c = {p->value, time_ms, p->value, p->value, p->value, 1};
        if (fresh)
            a->u.gauge = c;
        else
            gauge_cell_merge(&a->u.gauge, &c);
    } else if (def->kind == KIND_HISTOGRAM) {
        a->u.hist.sum += p->negative ? -(int128)p->value : p->value;
        add_bucket(r, a, hist_bucket_key(p->value, def->digits, def->schema), p->negative ? -1 : 1);
    } else {
        a->u.amount += p->negative ? -(int128)p->value : p->value;
    }
}

/* Whether the event counts in the rollup; then with which value. */
static enum expr_result value_of(
    const struct rollup *def, const struct event *event, int64_t *value)
{
    struct field_value v = {.num = 1};
    enum expr_result rc;
    if (def->when) {
        rc = expr_eval(def->when, event, &v);
        if (rc != EXPR_OK)
            return rc;
        if (!v.num)
            return EXPR_ABSENT;
    }
    v.num = 1;
    rc = def->value ? expr_eval(def->value, event, &v) : EXPR_OK;
    *value = v.num;
    return rc;
}

const struct rollup *rollup_runner_rollup(const struct rollup_runner *runner, uint32_t rollup)
{
    return runner->rollups[rollup].def;
}

size_t rollup_runner_hits(const struct rollup_runner *runner, size_t stream)
{
    return runner->of_stream[stream + 1] - runner->of_stream[stream];
}

static enum expr_result look(const struct rollup_runner *r, uint32_t rollup,
    const struct event *event, struct rollup_hit *out)
{
    const struct rollup_state *s = &r->rollups[rollup];
    struct label_values labels;
    *out = (struct rollup_hit){.rollup = rollup};
    enum expr_result rc = value_of(s->def, event, &out->value);
    if (rc == EXPR_OK)
        rc = label_values_eval(s->def, event, &labels);
    if (rc != EXPR_OK)
        return rc;
    out->labels = hash_labels(s->def, &labels);
    map_prefetch(&s->map, out->labels.lo);
    return EXPR_OK;
}

enum refusal rollup_runner_look(const struct rollup_runner *runner, size_t stream,
    const struct event *event, struct rollup_hit *hits, size_t *n)
{
    *n = 0;
    if (!time_fits(event->time_ms))
        return REFUSED_RANGE;
    for (uint32_t i = runner->of_stream[stream]; i < runner->of_stream[stream + 1]; i++) {
        const struct rollup *def = runner->rollups[i].def;
        int64_t end = window_end(event->time_ms, def->def.every_ms);
        if (!time_fits(end))
            return REFUSED_RANGE;
        if (!rollup_has_window(def, end))
            continue;
        enum expr_result rc = look(runner, i, event, &hits[*n]);
        if (rc == EXPR_RANGE)
            return REFUSED_RANGE;
        *n += rc == EXPR_OK;
    }
    return REFUSED_NOT;
}

void rollup_runner_find(const struct rollup_runner *runner, struct rollup_hit *hits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hits[i].slot = find_slot(&runner->rollups[hits[i].rollup], hits[i].labels);
}

void rollup_runner_prefetch(
    const struct rollup_runner *runner, const struct rollup_hit *hits, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct rollup_state *s = &runner->rollups[hits[i].rollup];
        if (hits[i].slot == NONE)
            continue;
        const struct slot *slot = &s->slots[hits[i].slot];
        if (slot->batch == runner->batch)
            __builtin_prefetch(&runner->accumulators[slot->newest], 1);
    }
}

/* It may have come since the look, with an event before. */
static uint32_t new_slot(struct rollup_runner *r, struct rollup_state *s, const struct event *event)
{
    struct label_values labels;
    ensure(label_values_eval(s->def, event, &labels) == EXPR_OK); /* it was, once */
    return slot_of(r, s, &labels);
}

/* Most of these windows are another generation's. */
static void leave_out(const struct rollup_runner *r, size_t stream, int64_t time_ms)
{
    for (uint32_t i = r->of_stream[stream]; i < r->of_stream[stream + 1]; i++) {
        const struct rollup *def = r->rollups[i].def;
        rollup_leave_out(def, window_end(time_ms, def->def.every_ms));
    }
}

void rollup_runner_count(struct rollup_runner *runner, size_t stream, const struct event *event,
    const struct rollup_hit *hits, size_t n)
{
    if (runner->has_gaps[stream])
        leave_out(runner, stream, event->time_ms);
    for (size_t i = 0; i < n; i++) {
        struct rollup_hit hit = hits[i];
        if (hit.slot == NONE)
            hit.slot = new_slot(runner, &runner->rollups[hit.rollup], event);
        accumulate(runner, &hit, event->time_ms);
    }
}

struct rollup_series rollup_runner_series(
    struct rollup_runner *runner, size_t lifecycle, uint32_t i, const struct label_values *labels)
{
    uint32_t rollup = runner->of_lifecycle[lifecycle] + i;
    return (struct rollup_series){rollup, slot_of(runner, &runner->rollups[rollup], labels)};
}

bool rollup_runner_put(struct rollup_runner *runner, struct rollup_series series, int64_t time_ms,
    int64_t value, bool negative)
{
    int64_t every_ms = runner->rollups[series.rollup].def->def.every_ms;
    if (!time_fits(time_ms) || !time_fits(window_end(time_ms, every_ms)))
        return false;
    struct rollup_hit hit = {series.rollup, series.slot, value, negative, {0, 0}};
    accumulate(runner, &hit, time_ms);
    return true;
}

/* ---- what has folded ---- */

static const struct slot *slot_at(const struct rollup_runner *r, struct rollup_series series)
{
    return &r->rollups[series.rollup].slots[series.slot];
}

bool rollup_runner_doubts(const struct rollup_runner *runner, struct rollup_series series)
{
    const struct slot *s = slot_at(runner, series);
    return s->series == NONE || s->folded;
}

enum cell_fate rollup_runner_fate(const struct rollup_runner *runner, struct rollup_series series)
{
    const struct slot *s = slot_at(runner, series);
    return s->refused ? FATE_REFUSED : s->folded ? FATE_FOLDED : FATE_OWN;
}

struct rollup_series rollup_runner_overflow(
    struct rollup_runner *runner, size_t lifecycle, uint32_t i)
{
    uint32_t rollup = runner->of_lifecycle[lifecycle] + i;
    struct rollup_state *s = &runner->rollups[rollup];
    if (s->overflow == NONE) {
        s->overflow = (uint32_t)s->n_slots;
        GROW(s->slots, s->slots_cap, s->n_slots + 1);
        s->slots[s->n_slots++] = (struct slot){.is_overflow = true, .series = NONE};
    }
    return (struct rollup_series){rollup, s->overflow};
}

/* ---- writing ---- */

/* Gives the slot its series. False: the store knows the metric otherwise. */
static bool resolve(struct rollup_runner *r, struct rollup_state *s, struct slot *slot,
    struct txn *txn, struct err *err)
{
    if (slot->series != NONE || slot->refused)
        return true;
    uint32_t overflow;
    slot->resolved = r->batch;
    if (slot->is_overflow) {
        slot->refused = !txn_overflow(txn, s->metric, &slot->series);
        return true;
    }
    if (txn_series(txn, s->metric, slot->labels, &slot->series, err)) {
        slot->folded = txn_overflow(txn, s->metric, &overflow) && overflow == slot->series;
        return true;
    }
    if (err->code != ERR_LIMIT)
        return err_wrap(err, "rollup %.*s", SLICE_FMT(s->def->def.name));
    slot->series = NONE;
    slot->refused = true;
    if (!s->warned)
        log_warn("rollup %.*s: %s; cells of such label sets are left out and counted",
            SLICE_FMT(s->def->def.name), err->text);
    s->warned = true;
    return true;
}

/* What was counted and taken back again is nothing. */
static void drop_zeros(struct accumulator *a)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->u.hist.n; i++)
        if (a->u.hist.buckets[i].count != 0)
            a->u.hist.buckets[n++] = a->u.hist.buckets[i];
    a->u.hist.n = n;
}

static bool write_one(
    struct rollup_runner *r, struct accumulator *a, struct txn *txn, struct err *err)
{
    struct rollup_state *s = &r->rollups[a->rollup];
    struct slot *slot = &s->slots[a->slot];
    if (!s->defined) {
        if (!txn_metric(txn, &s->def->def, &s->metric, err))
            return false;
        s->defined = true;
    }
    if (!resolve(r, s, slot, txn, err))
        return false;
    if (slot->refused) {
        r->left_out++;
    } else if (s->def->def.kind == KIND_GAUGE) {
        txn_gauge(txn, slot->series, a->end, &a->u.gauge);
    } else if (s->def->def.kind == KIND_HISTOGRAM) {
        drop_zeros(a);
        struct hist_cell cell = {a->u.hist.sum, a->u.hist.n, a->u.hist.buckets};
        if (cell.n > 0 || cell.sum != 0)
            txn_histogram(txn, slot->series, a->end, &cell);
    } else if (a->u.amount != 0) {
        txn_add(txn, slot->series, a->end, a->u.amount);
    }
    return true;
}

static void forget(struct slot *slot)
{
    slot->series = NONE;
    slot->refused = slot->folded = false;
}

/* Series were removed from the store: all ids are asked for again. */
static void forget_ids(struct rollup_runner *r)
{
    for (size_t i = 0; i < r->n_rollups; i++)
        for (size_t k = 0; k < r->rollups[i].n_slots; k++)
            forget(&r->rollups[i].slots[k]);
}

bool rollup_runner_write(struct rollup_runner *runner, struct txn *txn, struct err *err)
{
    if (runner->removals != txn_removals(txn))
        forget_ids(runner);
    runner->removals = txn_removals(txn);
    runner->left_out = 0;
    for (size_t i = 0; i < runner->n_accumulators; i++)
        if (!write_one(runner, &runner->accumulators[i], txn, err))
            return false;
    return true;
}

void rollup_runner_unwrite(struct rollup_runner *runner)
{
    for (size_t i = 0; i < runner->n_accumulators; i++) {
        const struct accumulator *a = &runner->accumulators[i];
        struct rollup_state *s = &runner->rollups[a->rollup];
        struct slot *slot = &s->slots[a->slot];
        s->defined = false;
        if (slot->resolved == runner->batch)
            forget(slot);
    }
    runner->left_out = 0;
}

size_t rollup_runner_label_bytes(const struct rollup_runner *runner)
{
    size_t bytes = runner->labels.used_bytes;
    for (size_t i = 0; i < runner->n_rollups; i++) {
        const struct rollup_state *s = &runner->rollups[i];
        bytes += s->slots_cap * sizeof *s->slots + map_bytes(&s->map);
    }
    return bytes;
}

/* Who has ever new label sets pays for asking the store again, not with memory. */
static void forget_label_sets(struct rollup_runner *r)
{
    for (size_t i = 0; i < r->n_rollups; i++) {
        struct rollup_state *s = &r->rollups[i];
        free(s->slots);
        s->slots = NULL;
        s->n_slots = s->slots_cap = 0;
        s->overflow = NONE;
        map_fini(&s->map);
    }
    arena_fini(&r->labels);
    arena_init(&r->labels, 0);
    r->forgotten++;
}

void rollup_runner_bound(struct rollup_runner *runner, size_t label_bytes)
{
    runner->label_bytes = label_bytes;
}

uint64_t rollup_runner_forgotten(const struct rollup_runner *runner)
{
    return runner->forgotten;
}

void rollup_runner_clear(struct rollup_runner *runner)
{
    if (rollup_runner_label_bytes(runner) > runner->label_bytes)
        forget_label_sets(runner);
    runner->batch++;
    runner->refused += runner->left_out;
    runner->left_out = 0;
    runner->new_label_bytes = 0;
    runner->n_accumulators = 0;
    arena_reset(&runner->buckets);
    map_clear(&runner->windows);
}

size_t rollup_runner_cells(const struct rollup_runner *runner)
{
    return runner->n_accumulators;
}

size_t rollup_runner_new_label_bytes(const struct rollup_runner *runner)
{
    return runner->new_label_bytes;
}

uint64_t rollup_runner_refused(const struct rollup_runner *runner)
{
    return runner->refused;
}
