/*
 * A lifecycle over a store in a folder, against a model that knows nothing of batches, tables,
 * generations and timers: whatever the order and the batches in which events came, how often a
 * commit was tried, and how often the store was opened anew, the sum of all cells is what the set
 * of the events makes.
 *
 *     LARDER_SEED: the first seed; LARDER_RUNS: how many follow it
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"
#include "cmd/config.h"
#include "ingest/dedupe.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/lifecycle/lifecycle_run.h"
#include "store/read.h"
#include "tests/ingest/support/rollup_event.h"
#include "tests/store/support/folder.h"

#define MINUTE   INT64_C(60000)
#define HOUR     (60 * MINUTE)
#define EXPIRE   (30 * MINUTE)
#define LATE     (30 * MINUTE)
#define BEGIN    INT64_C(1700006400000)
#define EVERY    5000
#define ENTITIES 40

enum { PLACED, PAID, ACCEPTED, TOUCHED, DELIVERED, CANCELLED, N_STAGES };
static const char *const stage_names[] = {
    "placed", "paid", "accepted", "touched", "delivered", "cancelled", "expired"};

static const char config_text[] =
    "kafka: {brokers: \"localhost:9092\"}\n"
    "streams:\n"
    "  orders:\n"
    "    topics: [orders]\n"
    "    event_time: at\n"
    "    event_id: id\n"
    "    revision: revision\n"
    "    late: 30m\n"
    "    fields:\n"
    "      id: {type: string, required: true}\n"
    "      order_id: {type: string, unbounded: true}\n"
    "      type: {type: string}\n"
    "      at: {type: time}\n"
    "      revision: {type: int}\n"
    "      market: {type: string}\n"
    "      category: {type: string}\n"
    "      promised_at: {type: time}\n"
    "      amount: {type: decimal, digits: 2, min: 0}\n"
    "  payments:\n"
    "    topics: [payments]\n"
    "    event_time: at\n"
    "    event_id: id\n"
    "    late: 10m\n"
    "    fields:\n"
    "      at: {type: time}\n"
    "      id: {type: string, required: true}\n"
    "      order_id: {type: string, unbounded: true}\n"
    "lifecycles:\n"
    "  order:\n"
    "    key: order_id\n"
    "    stages:\n"
    "      placed: orders.type == \"placed\"\n"
    "      paid: payments.id != \"none\"\n"
    "      accepted: orders.type == \"accepted\"\n"
    "      touched: orders.type in [\"accepted\", \"delivered\"]\n"
    "      delivered: orders.type == \"delivered\"\n"
    "      cancelled: orders.type == \"cancelled\"\n"
    "    ends: [delivered, cancelled]\n"
    "    expire: 30m\n"
    "rollups:\n"
    "  delivery: {kind: histogram, from: order, at: delivered, value: delivered - placed, "
    "by: [market, category]}\n"
    "  eta: {kind: histogram, from: order, at: delivered, value: delivered - placed.promised_at, "
    "by: [market]}\n"
    "  steps: {kind: histogram, from: order, at: step, by: [market, from, to]}\n"
    "  outcomes: {kind: counter, from: order, at: placed, by: [market, outcome]}\n"
    "  amounts: {kind: counter, from: order, at: end, value: placed.amount, by: [outcome]}\n"
    "  open: {kind: level, from: order, at: open, by: [market]}\n"
    "  placed_total: {kind: counter, from: orders, when: type == \"placed\", by: [market]}\n";

/* ---- what the store must hold: sums by the texts of their cells ---- */

struct sum {
    char *cell;
    int128 amount;
};

struct sums {
    struct sum *items;
    size_t n, cap;
};

static void sums_add(struct sums *s, int128 amount, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void sums_add(struct sums *s, int128 amount, const char *fmt, ...)
{
    va_list args;
    GROW(s->items, s->cap, s->n + 1);
    s->items[s->n].amount = amount;
    va_start(args, fmt);
    assert_true(vasprintf(&s->items[s->n].cell, fmt, args) >= 0);
    va_end(args);
    s->n++;
}

static int compare_sums(const void *a, const void *b)
{
    return strcmp(((const struct sum *)a)->cell, ((const struct sum *)b)->cell);
}

/* Those of one cell become one; what is 0 goes. */
static void sums_merge(struct sums *s)
{
    size_t n = 0;
    if (s->n)
        qsort(s->items, s->n, sizeof *s->items, compare_sums);
    for (size_t i = 0; i < s->n;) {
        struct sum sum = s->items[i++];
        for (; i < s->n && strcmp(s->items[i].cell, sum.cell) == 0; i++) {
            sum.amount += s->items[i].amount;
            free(s->items[i].cell);
        }
        if (sum.amount)
            s->items[n++] = sum;
        else
            free(sum.cell);
    }
    s->n = n;
}

static void sums_free(struct sums *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->items[i].cell);
    free(s->items);
    *s = (struct sums){0};
}

static void assert_sums(uint64_t seed, const struct sums *got, const struct sums *want)
{
    for (size_t i = 0; i < got->n || i < want->n; i++) {
        const char *g = i < got->n ? got->items[i].cell : "nothing";
        const char *w = i < want->n ? want->items[i].cell : "nothing";
        if (strcmp(g, w) != 0 || got->items[i].amount != want->items[i].amount)
            fail_msg("seed %" PRIu64 ": %.300s = %lld, not %.300s = %lld", seed, g,
                i < got->n ? (long long)got->items[i].amount : 0, w,
                i < want->n ? (long long)want->items[i].amount : 0);
    }
}

/* ---- events and the model ---- */

struct thing {        /* an event */
    int entity, kind; /* a stage; TOUCHED: of no stage */
    int64_t time_ms, revision, promised_ms, amount;
    bool has_promised, has_amount;
    uint64_t id;
    const char *market, *category;
    uint32_t counts; /* stages that it reaches and is one of the best of: a bit each */
};

struct model {
    struct thing *things; /* that are committed; each id once */
    size_t n, cap;
};

struct model_life {
    const struct thing *stages[N_STAGES];
};

static bool reaches(const struct thing *t, int stage)
{
    if (stage == TOUCHED)
        return t->kind == ACCEPTED || t->kind == DELIVERED;
    return t->kind == stage;
}

static bool is_better(const struct thing *a, const struct thing *b)
{
    if (a->revision != b->revision)
        return a->revision > b->revision;
    return a->time_ms != b->time_ms ? a->time_ms < b->time_ms : a->id < b->id;
}

static void hist(struct sums *out, const char *name, const char *labels, int64_t t, int64_t v)
{
    int64_t end = (t + EVERY - 1) / EVERY * EVERY;
    sums_add(out, v, "%s%s@%" PRId64 " sum", name, labels, end);
    sums_add(out, 1, "%s%s@%" PRId64 " %d", name, labels, end, hist_bucket_key(v, 3, 5));
}

static void amount(struct sums *out, const char *name, const char *labels, int64_t t, int64_t v)
{
    sums_add(out, v, "%s%s@%" PRId64, name, labels, (t + EVERY - 1) / EVERY * EVERY);
}

/* By names in order; what is empty is left out. */
static void label(char *out, size_t size, const char *name, const char *value)
{
    size_t n = strlen(out);
    if (*value)
        snprintf(out + n, size - n, ",%s=%s", name, value);
}

static void model_steps(const struct model_life *life, const char *market, struct sums *out)
{
    bool done[N_STAGES] = {false};
    int last = -1;
    for (;;) {
        int next = -1;
        for (int s = 0; s < N_STAGES; s++)
            if (life->stages[s] && !done[s] &&
                (next < 0 || life->stages[s]->time_ms < life->stages[next]->time_ms))
                next = s;
        if (next < 0)
            return;
        done[next] = true;
        if (last >= 0) {
            char labels[4096] = "";
            label(labels, sizeof labels, "from", stage_names[last]);
            label(labels, sizeof labels, "market", market);
            label(labels, sizeof labels, "to", stage_names[next]);
            hist(out, "steps", labels, life->stages[next]->time_ms,
                life->stages[next]->time_ms - life->stages[last]->time_ms);
        }
        last = next;
    }
}

static void model_end(
    const struct thing *first, int end, int64_t end_ms, const char *market_label, struct sums *out)
{
    char labels[4096] = "";
    label(labels, sizeof labels, "market", first->market);
    label(labels, sizeof labels, "outcome", stage_names[end]);
    amount(out, "outcomes", labels, first->time_ms, 1);
    labels[0] = 0;
    label(labels, sizeof labels, "outcome", stage_names[end]);
    if (first->has_amount)
        amount(out, "amounts", labels, end_ms, first->amount);
    amount(out, "open", market_label, end_ms, -1);
}

static void model_life_sums(const struct model_life *life, int64_t expired_minute, struct sums *out)
{
    const struct thing *first = life->stages[PLACED], *d = life->stages[DELIVERED],
                       *c = life->stages[CANCELLED];
    char market[4096] = "", both[4096] = "";
    label(market, sizeof market, "market", first->market);
    label(both, sizeof both, "category", first->category);
    label(both, sizeof both, "market", first->market);
    if (d)
        hist(out, "delivery", both, d->time_ms, d->time_ms - first->time_ms);
    if (d && first->has_promised)
        hist(out, "eta", market, d->time_ms, d->time_ms - first->promised_ms);
    model_steps(life, first->market, out);
    amount(out, "open", market, first->time_ms, 1);
    if (d && (!c || d->time_ms <= c->time_ms))
        model_end(first, DELIVERED, d->time_ms, market, out);
    else if (c)
        model_end(first, CANCELLED, c->time_ms, market, out);
    else if ((first->time_ms + EXPIRE) / MINUTE < expired_minute)
        model_end(first, N_STAGES, first->time_ms + EXPIRE, market, out);
}

static void take_best(struct model_life *life, int stage, const struct thing *t)
{
    if (!life->stages[stage] || is_better(t, life->stages[stage]))
        life->stages[stage] = t;
}

/* As long as a lifecycle like this holds entities, in so many parts. */
static int64_t span_ms(void)
{
    return 1 + (EXPIRE + LATE + dedupe_span_ms(LATE)) / 16;
}

static int64_t span_of(int64_t time_ms)
{
    return time_ms / span_ms();
}

/* Of a span only the best count. */
static bool is_one_of_the_best(const struct model *m, const struct thing *t, int stage)
{
    int better = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct thing *other = &m->things[i];
        better += other->entity == t->entity && reaches(other, stage) &&
                  span_of(other->time_ms) == span_of(t->time_ms) && is_better(other, t);
    }
    return better < FACTS_BEST;
}

/* Returns how many count for nothing. */
static size_t find_the_best(struct model *m)
{
    size_t others = 0;
    for (size_t i = 0; i < m->n; i++) {
        m->things[i].counts = 0;
        for (int s = 0; s < N_STAGES; s++)
            if (reaches(&m->things[i], s) && is_one_of_the_best(m, &m->things[i], s))
                m->things[i].counts |= 1u << s;
        others += m->things[i].counts == 0 && m->things[i].kind != TOUCHED;
    }
    return others;
}

static bool counts(const struct thing *t, int stage)
{
    return t->counts >> stage & 1;
}

static const struct thing *next_first(const struct model *m, int entity, const struct thing *after)
{
    const struct thing *next = NULL;
    for (size_t i = 0; i < m->n; i++) {
        const struct thing *t = &m->things[i];
        if (t->entity != entity || !counts(t, PLACED))
            continue;
        if (after &&
            (t->time_ms < after->time_ms || (t->time_ms == after->time_ms && t->id <= after->id)))
            continue;
        if (!next || t->time_ms < next->time_ms ||
            (t->time_ms == next->time_ms && t->id < next->id))
            next = t;
    }
    return next;
}

#define MODEL_LIVES 1024

static size_t model_lives(const struct model *m, int entity, struct model_life lives[MODEL_LIVES])
{
    size_t n = 0;
    for (const struct thing *f = next_first(m, entity, NULL); f; f = next_first(m, entity, f)) {
        if (n == 0 || f->time_ms > lives[n - 1].stages[PLACED]->time_ms + EXPIRE) {
            assert_true(n < MODEL_LIVES);
            lives[n++] = (struct model_life){{NULL}};
        }
        take_best(&lives[n - 1], PLACED, f);
    }
    for (size_t i = 0; i < m->n; i++)
        for (int s = PAID; s < N_STAGES && m->things[i].entity == entity; s++)
            for (size_t l = 0; l < n && counts(&m->things[i], s); l++)
                if (llabs(m->things[i].time_ms - lives[l].stages[PLACED]->time_ms) <= EXPIRE) {
                    take_best(&lives[l], s, &m->things[i]);
                    break;
                }
    return n;
}

static void model_entity(
    const struct model *m, int entity, int64_t expired_minute, struct sums *out)
{
    struct model_life lives[MODEL_LIVES];
    size_t n = model_lives(m, entity, lives);
    for (size_t l = 0; l < n; l++)
        model_life_sums(&lives[l], expired_minute, out);
}

/* Lives that go on, and entities with facts of which none is a first. */
static void model_counts(
    const struct model *m, int entity, int64_t expired_minute, uint64_t *open, uint64_t *incomplete)
{
    struct model_life lives[MODEL_LIVES];
    size_t n = model_lives(m, entity, lives);
    bool any = false;
    for (size_t l = 0; l < n; l++)
        *open += !lives[l].stages[DELIVERED] && !lives[l].stages[CANCELLED] &&
                 (lives[l].stages[PLACED]->time_ms + EXPIRE) / MINUTE >= expired_minute;
    for (size_t i = 0; i < m->n && n == 0; i++)
        any |= m->things[i].entity == entity && m->things[i].kind != TOUCHED;
    *incomplete += any;
}

/* ---- the ingestion ---- */

struct run {
    uint64_t seed, random;
    char folder[FOLDER_MAX], config_file[FOLDER_MAX + 16];
    struct config config;
    struct store_options options;
    struct store *store;
    struct rollup_runner *rollups;
    struct lifecycle_runner *runner;
    struct crew *crew;
    size_t expire_max, memory_bytes, label_bytes;
    int64_t horizon; /* committed */
    bool limited;    /* how many series there may be changes with every opening */
    bool refuses;    /* label sets too: with values that are too long */
    bool crowded;    /* a few entities have ever so many events at once */
    size_t n_others; /* events of which there were better ones, when it was checked last */
    struct model model;
    struct thing *queue; /* what comes */
    size_t n_queue, queue_cap;
    struct thing *batch;
    size_t n_batch, batch_cap;
    char longs[3][1000];
};

static uint64_t next_random(struct run *r)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return r->random * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

static int64_t below(struct run *r, int64_t n)
{
    return (int64_t)(next_random(r) % (uint64_t)n);
}

static bool chance(struct run *r, int percent)
{
    return below(r, 100) < percent;
}

static void set_limits(struct run *r)
{
    struct limits *l = &r->options.limits;
    l->series_per_metric = chance(r, 70) ? (uint64_t)(1 + below(r, 6)) : 0;
    l->label_value_bytes = r->refuses && chance(r, 60) ? 500 : 0;
}

static void open_store(struct run *r)
{
    struct err err;
    if (r->limited)
        set_limits(r);
    if (!store_open(&r->options, &r->store, &err))
        fail_msg("seed %" PRIu64 ": %s", r->seed, err.text);
    r->rollups = rollup_runner_new(&r->config.streams);
    r->runner = lifecycle_runner_new(
        r->store, &r->config.streams, 0, r->horizon, r->rollups, r->memory_bytes);
    lifecycle_runner_bound(r->runner, r->expire_max, r->label_bytes);
    rollup_runner_bound(r->rollups, r->label_bytes);
}

static void close_store(struct run *r)
{
    lifecycle_runner_free(&r->runner);
    rollup_runner_free(&r->rollups);
    store_close(&r->store);
}

/* more: rollups, which nobody looks at. */
static void begin(struct run *r, uint64_t seed, int more)
{
    struct err_list errors;
    *r = (struct run){.seed = seed, .random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    folder_make("lifecycle", r->folder);
    snprintf(r->config_file, sizeof r->config_file, "%s/larder.yml", r->folder);
    FILE *f = fopen(r->config_file, "w");
    assert_non_null(f);
    fputs(config_text, f);
    for (int i = 0; i < more; i++)
        fprintf(f, "  more_%d: {kind: level, from: order, at: open, by: [market]}\n", i);
    fclose(f);
    if (!config_load(r->config_file, NULL, 0, &r->config, &errors))
        fail_msg("%s", errors.items[0].text);
    err_list_fini(&errors);
    r->options =
        (struct store_options){.path = r->folder, .state_bytes = chance(r, 50) ? 65536 : 0};
    r->memory_bytes = chance(r, 50) ? 4096 : 1 << 20; /* some entities are at hand, or all */
    r->label_bytes = chance(r, 50) ? (size_t)(1 + below(r, 20000)) : 1 << 20; /* likewise */
    r->expire_max = chance(r, 50) ? (size_t)(2 + below(r, 5)) : 50000;
    r->crew = crew_new(1 + seed % 3);
    r->horizon = INT64_MIN;
    for (int i = 0; i < 3; i++) {
        memset(r->longs[i], 'x', sizeof r->longs[i] - 1);
        r->longs[i][500] = (char)('a' + i);
    }
    open_store(r);
}

static void end(struct run *r)
{
    close_store(r);
    crew_free(&r->crew);
    folder_remove(r->folder);
    config_free(&r->config);
    free(r->model.things);
    free(r->queue);
    free(r->batch);
}

static size_t field(const struct contract *c, const char *name)
{
    for (size_t i = 0; i < c->n_fields; i++)
        if (slice_is(c->fields[i].name, name))
            return i;
    fail_msg("no field %s", name);
    return 0;
}

static void set_text(struct event *e, const char *name, const char *value)
{
    e->v[field(e->contract, name)] =
        (struct field_value){.present = *value, .str = slice_from(value)};
}

static void set_number(struct event *e, const char *name, bool present, int64_t value)
{
    e->v[field(e->contract, name)] = (struct field_value){.present = present, .num = value};
}

/* Takes the event in, as the ingestion does. */
static void feed(struct run *r, const struct thing *t)
{
    size_t stream = t->kind == PAID;
    struct event e = {
        .contract = &r->config.streams.streams[stream].contract, .time_ms = t->time_ms};
    char key[32], id[32];
    uint32_t stages;
    struct err err;
    snprintf(key, sizeof key, "o%d", t->entity);
    snprintf(id, sizeof id, "%" PRIx64, t->id);
    set_text(&e, "order_id", key);
    set_text(&e, "id", id);
    set_number(&e, "at", true, t->time_ms);
    if (t->kind != PAID) {
        set_text(&e, "type", stage_names[t->kind]);
        set_text(&e, "market", t->market);
        set_text(&e, "category", t->category);
        set_number(&e, "revision", t->revision != 0, t->revision);
        set_number(&e, "promised_at", t->has_promised, t->promised_ms);
        set_number(&e, "amount", t->has_amount, t->amount);
    }
    assert_true(lifecycle_stages(r->runner, stream, &e, &stages));
    for (int s = 0; s < N_STAGES; s++)
        assert_int_equal(stages >> s & 1, reaches(t, s));
    if (!stages)
        return;
    struct entity_found found = {.key = lifecycle_key(r->runner, &e, stages)};
    struct life_entry entry;
    if (!entities_get(lifecycle_entities(r->runner), found.key, &entry.entity, &err) ||
        !lifecycle_enter(r->runner, &e, stages, &found, &entry, &err))
        fail_msg("seed %" PRIu64 ": %s", r->seed, err.text);
    if (rollup_event(r->rollups, stream, &e) == REFUSED_NOT)
        lifecycle_add(r->runner, &e, stages, &entry, t->id);
}

/* False: it was aborted; what was to be written still is. */
static bool try_commit(struct run *r, bool abort)
{
    struct err err;
    struct txn *txn = txn_begin(r->store);
    bool ok = rollup_runner_write(r->rollups, txn, &err) && lifecycle_write(r->runner, txn, &err);
    if (!ok)
        fail_msg("seed %" PRIu64 ": %s", r->seed, err.text);
    if (abort) {
        txn_abort(&txn);
        rollup_runner_unwrite(r->rollups);
        return false;
    }
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("seed %" PRIu64 ": %s", r->seed, err.text);
    rollup_runner_clear(r->rollups);
    lifecycle_clear(r->runner);
    return true;
}

static void settle(struct run *r, int64_t watermark, int64_t horizon)
{
    struct err err;
    if (!lifecycle_settle(r->runner, r->crew, watermark, horizon, &err))
        fail_msg("seed %" PRIu64 ": %s", r->seed, err.text);
}

/* Adds what was committed to the model: each id once. */
static void remember(struct run *r)
{
    struct model *m = &r->model;
    for (size_t i = 0; i < r->n_batch; i++) {
        size_t k = 0;
        while (k < m->n && m->things[k].id != r->batch[i].id)
            k++;
        if (k < m->n)
            continue;
        GROW(m->things, m->cap, m->n + 1);
        m->things[m->n++] = r->batch[i];
    }
    r->n_batch = 0;
}

static void enqueue(struct run *r, const struct thing *t)
{
    GROW(r->queue, r->queue_cap, r->n_queue + 1);
    r->queue[r->n_queue++] = *t;
}

/* The last that is taken is as old as dedupe allows. */
static bool is_late(const struct run *r, int64_t time_ms)
{
    if (r->crowded)
        return dedupe_is_gone(LATE, r->horizon, time_ms);
    return r->horizon != INT64_MIN && time_ms < r->horizon - LATE;
}

/* A batch of what comes, in any order. horizon: what comes says that it is complete up to there.
 * crash: the batch is never committed, and comes again. */
static void run_batch_to(struct run *r, int64_t watermark, int64_t horizon, bool crash)
{
    size_t n = r->n_queue ? (size_t)below(r, 1 + (int64_t)(chance(r, 50) ? 5 : r->n_queue)) : 0;
    for (size_t i = 0; i < n && r->n_queue; i++) {
        size_t at = (size_t)below(r, (int64_t)r->n_queue);
        struct thing t = r->queue[at];
        r->queue[at] = r->queue[--r->n_queue];
        if (is_late(r, t.time_ms))
            continue;
        feed(r, &t);
        GROW(r->batch, r->batch_cap, r->n_batch + 1);
        r->batch[r->n_batch++] = t;
    }
    settle(r, watermark, horizon);
    while (chance(r, 20))
        try_commit(r, true);
    if (crash) {
        for (size_t i = 0; i < r->n_batch; i++)
            enqueue(r, &r->batch[i]);
        r->n_batch = 0;
        close_store(r);
        open_store(r);
        return;
    }
    try_commit(r, false);
    remember(r);
    r->horizon = horizon;
}

static void run_batch(struct run *r, int64_t watermark, bool crash)
{
    run_batch_to(r, watermark, watermark, crash);
}

/* ---- what the store holds ---- */

static void read_cells(
    const struct columns *c, const char *name, const char *labels, struct sums *out)
{
    for (size_t k = 0; k < c->n; k++) {
        if (c->kind != KIND_HISTOGRAM) {
            sums_add(out, c->amount[k], "%s%s@%" PRId64, name, labels, c->t[k]);
            continue;
        }
        sums_add(out, c->sum[k], "%s%s@%" PRId64 " sum", name, labels, c->t[k]);
        for (uint32_t b = c->bucket_at[k]; b < c->bucket_at[k + 1]; b++)
            sums_add(out, c->bucket[b].count, "%s%s@%" PRId64 " %d", name, labels, c->t[k],
                c->bucket[b].key);
    }
}

static void read_metric(struct run *r, const char *name, struct sums *out)
{
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), slice_from(name), NULL};
    struct snapshot *s = snapshot_get(r->store);
    struct plan *plan;
    struct arena arena;
    struct columns columns;
    struct err err;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        char labels[4096] = "", key[64], value[1100];
        struct labels l = plan_labels(plan, i);
        for (size_t k = 0; k < l.n; k++) {
            snprintf(key, sizeof key, "%.*s", SLICE_FMT(l.items[k].name));
            snprintf(value, sizeof value, "%.*s", SLICE_FMT(l.items[k].value));
            if (strcmp(key, "__name__") != 0)
                label(labels, sizeof labels, key, value);
        }
        assert_true(plan_columns(plan, i, &arena, &columns, &err));
        read_cells(&columns, name, labels, out);
    }
    snapshot_put(&s);
    arena_fini(&arena);
}

/* Labels left out: "open,market=a@5" is "open@5". */
static void add_total(const struct sum *sum, struct sums *out)
{
    const char *labels = strchr(sum->cell, ','), *at = strrchr(sum->cell, '@');
    sums_add(out, sum->amount, "%.*s%s", (int)((labels ? labels : at) - sum->cell), sum->cell, at);
}

static void check_totals(uint64_t seed, const struct sums *got, const struct sums *want)
{
    struct sums a = {0}, b = {0};
    for (size_t i = 0; i < got->n; i++)
        add_total(&got->items[i], &a);
    for (size_t i = 0; i < want->n; i++)
        add_total(&want->items[i], &b);
    sums_merge(&a);
    sums_merge(&b);
    assert_sums(seed, &a, &b);
    sums_free(&a);
    sums_free(&b);
}

/* Counts: what is in a series of its own, or has folded, is some of what the label set has. */
static void check_counts(uint64_t seed, const struct sums *got, const struct sums *want)
{
    for (size_t i = 0; i < got->n; i++) {
        const struct sum *g = &got->items[i];
        bool folded = strstr(g->cell, ",overflow=true@");
        struct sum *w = bsearch(g, want->items, want->n, sizeof *g, compare_sums);
        if (strstr(g->cell, " sum") || strncmp(g->cell, "open", 4) == 0)
            continue;
        if (g->amount < 0 || (!folded && (!w || g->amount > w->amount)))
            fail_msg("seed %" PRIu64 ": %.300s = %lld, of %lld", seed, g->cell,
                (long long)g->amount, w ? (long long)w->amount : 0);
    }
}

static void check_limited(struct run *r, const struct sums *got, const struct sums *want)
{
    check_counts(r->seed, got, want);
    if (!r->refuses)
        check_totals(r->seed, got, want);
}

static int64_t oldest_of(const struct model *m)
{
    int64_t oldest = INT64_MAX;
    for (size_t i = 0; i < m->n; i++)
        oldest = m->things[i].time_ms < oldest ? m->things[i].time_ms : oldest;
    return oldest;
}

/* Once entities may have been forgotten, one may come again without the first that it had. */
static void check_held(struct run *r, int64_t expired_minute)
{
    struct lifecycle_counts stats;
    uint64_t open = 0, incomplete = 0;
    lifecycle_counted(r->runner, &stats);
    for (int i = 0; i < ENTITIES; i++)
        model_counts(&r->model, i, expired_minute, &open, &incomplete);
    bool all = r->model.n == 0 || expired_minute == INT64_MIN ||
               expired_minute * MINUTE < oldest_of(&r->model) + EXPIRE + LATE;
    if (stats.open != open || stats.incomplete + stats.forgotten < incomplete ||
        (all && (stats.incomplete != incomplete || stats.forgotten)))
        fail_msg("seed %" PRIu64 ": %" PRIu64 " open, %" PRIu64 " incomplete, %" PRIu64
                 " forgotten; the model has %" PRIu64 " and %" PRIu64,
            r->seed, stats.open, stats.incomplete, stats.forgotten, open, incomplete);
}

static void check(struct run *r)
{
    static const char *const names[] = {"delivery", "eta", "steps", "outcomes", "amounts", "open"};
    struct sums got = {0}, want = {0};
    int64_t expired = lifecycle_expired_ms(r->runner);
    r->n_others = find_the_best(&r->model);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        read_metric(r, names[i], &got);
    for (int i = 0; i < ENTITIES; i++)
        model_entity(&r->model, i, expired == INT64_MIN ? INT64_MIN : expired / MINUTE, &want);
    sums_merge(&got);
    sums_merge(&want);
    if (r->limited)
        check_limited(r, &got, &want);
    else
        assert_sums(r->seed, &got, &want);
    sums_free(&got);
    sums_free(&want);
    check_held(r, expired == INT64_MIN ? INT64_MIN : expired / MINUTE);
}

/* ---- random runs ---- */

/* Many are about the full hour, before and after which an event is late. */
static int64_t crowded_time(struct run *r, int64_t now)
{
    if (chance(r, 40))
        return now - below(r, 10 * MINUTE);
    return now - now % HOUR - HOUR * below(r, 2) + below(r, 8 * MINUTE) - 4 * MINUTE;
}

static struct thing make_thing(struct run *r, int64_t now)
{
    const char *const markets[] = {"", "a", "ab", "b", r->longs[0], r->longs[1], r->longs[2]};
    const char *const categories[] = {"", "b", "bc", "c", r->longs[0]};
    int hot = r->crowded ? 100 : 30;
    struct thing t = {.entity = (int)(chance(r, hot) ? below(r, 3) : below(r, ENTITIES)),
        .kind = (int)below(r, N_STAGES),
        .id = next_random(r),
        .time_ms = now - below(r, LATE),
        .market = markets[below(r, 7)],
        .category = categories[below(r, 5)],
        .has_promised = chance(r, 70),
        .has_amount = chance(r, 70),
        .amount = below(r, 5000)};
    if (chance(r, 50))
        t.time_ms -= t.time_ms % MINUTE; /* many of one time */
    if (chance(r, 40))
        t.kind = PLACED;
    if (t.kind != PAID && chance(r, 20))
        t.revision = below(r, 4) - 1;
    if (r->crowded)
        t.time_ms = crowded_time(r, now);
    t.promised_ms = t.time_ms + below(r, HOUR) - HOUR / 4;
    return t;
}

enum run_kind { PLAIN, LIMITED, REFUSES, CROWDED, IDLES };

/* Returns how many events did not count in the end. */
static size_t random_run(uint64_t seed, enum run_kind kind)
{
    struct run r;
    bool limited = kind == LIMITED || kind == REFUSES;
    begin(&r, seed, 0);
    r.crowded = kind == CROWDED;
    if (limited) {
        close_store(&r);
        r.limited = limited;
        r.refuses = kind == REFUSES;
        open_store(&r);
    }
    int64_t now = BEGIN + (limited ? 20 * HOUR : 0), horizon = INT64_MIN, watermark = horizon;
    int batches = (int)(5 + below(&r, r.crowded ? 10 : 60));
    for (int b = 0; b < batches; b++) {
        now += chance(&r, 10) ? below(&r, 3 * HOUR) : below(&r, r.crowded ? HOUR : 10 * MINUTE);
        for (int64_t i = below(&r, r.crowded ? 400 : 40); i > 0; i--) {
            struct thing t = make_thing(&r, now);
            enqueue(&r, &t);
            if (chance(&r, 10))
                enqueue(&r, &t);
        }
        int64_t to = now - below(&r, HOUR);
        if (r.crowded) /* lives are forgotten up to a full hour */
            to = now - now % HOUR - HOUR * below(&r, 2) + LATE;
        if (chance(&r, 60) && to > horizon)
            horizon = to;
        watermark = horizon > watermark ? horizon : watermark;
        if (kind == IDLES && chance(&r, 10) && watermark != INT64_MIN)
            watermark += below(&r, 30 * HOUR);
        bool crash = chance(&r, 10);
        run_batch_to(&r, watermark, horizon, crash);
        if (chance(&r, 30)) {
            struct err err;
            if (!store_maintain(r.store, INT64_MIN, &err))
                fail_msg("seed %" PRIu64 ": %s", seed, err.text);
        }
        if (!crash && !lifecycle_is_behind(r.runner) && chance(&r, 30))
            check(&r);
        if (chance(&r, 10)) {
            close_store(&r);
            open_store(&r);
        }
    }
    while (r.n_queue)
        run_batch_to(&r, watermark, horizon, false);
    for (int64_t to = horizon; to < now + 2 * HOUR; to = horizon) {
        horizon = chance(&r, 50) ? now + 2 * HOUR : to == INT64_MIN ? now : to + HOUR;
        watermark = horizon > watermark ? horizon : watermark;
        do
            run_batch_to(&r, watermark, horizon, false);
        while (lifecycle_is_behind(r.runner));
        check(&r);
    }
    end(&r);
    return r.n_others;
}

static void random_runs(enum run_kind kind)
{
    size_t others = 0;
    const char *seed = getenv("LARDER_SEED"), *runs = getenv("LARDER_RUNS");
    uint64_t first = seed ? strtoull(seed, NULL, 10) : 1, n = runs ? strtoull(runs, NULL, 10) : 40;
    print_message("seeds %" PRIu64 " to %" PRIu64 "\n", first, first + n - 1);
    for (uint64_t i = 0; i < n; i++)
        others += random_run(first + i, kind);
    assert_true(kind != CROWDED || others > 20 * n);
}

static void test_random(void **state)
{
    (void)state;
    random_runs(PLAIN);
}

/* A stream that was idle is complete up to now; what is sent then belongs to lives that have
 * expired, and is still known. */
static void test_random_with_idle_streams(void **state)
{
    (void)state;
    random_runs(IDLES);
}

/* Label sets fold and have series of their own again, over days and restarts: what is taken back
 * comes from where it was put. */
static void test_random_with_limits(void **state)
{
    (void)state;
    random_runs(LIMITED);
}

/* Some are refused, and taken later: of what was refused nothing is taken back. */
static void test_random_with_refusals(void **state)
{
    (void)state;
    random_runs(REFUSES);
}

/* Of too many events of a stage at once the best count, whichever came first, and whatever was
 * forgotten meanwhile. */
static void test_random_with_too_many(void **state)
{
    (void)state;
    random_runs(CROWDED);
}

/* ---- corrections of what has folded ---- */

static void batch_of(struct run *r, const struct thing *things, size_t n)
{
    for (size_t i = 0; i < n; i++)
        feed(r, &things[i]);
    settle(r, INT64_MIN, INT64_MIN);
    assert_true(try_commit(r, false));
}

static void assert_outcomes(struct run *r, const char *const *cells, size_t n)
{
    struct sums got = {0};
    read_metric(r, "outcomes", &got);
    sums_merge(&got);
    for (size_t i = 0; i < got.n || i < n; i++) {
        char text[256];
        snprintf(text, sizeof text, "%s = %lld", i < got.n ? got.items[i].cell : "",
            i < got.n ? (long long)got.items[i].amount : 0);
        assert_string_equal(text, i < n ? cells[i] : "nothing more");
    }
    sums_free(&got);
}

static void reopen_with(struct run *r, uint64_t series, uint32_t value_bytes)
{
    close_store(r);
    r->options.limits.series_per_metric = series;
    r->options.limits.label_value_bytes = value_bytes;
    open_store(r);
}

#define EVENING (BEGIN + 24 * HOUR - 10 * MINUTE)
#define MORNING (EVENING + 20 * MINUTE)

static struct thing event_of(int entity, int kind, int64_t time_ms, const char *market)
{
    static uint64_t ids;
    return (struct thing){.entity = entity,
        .kind = kind,
        .time_ms = time_ms,
        .id = ++ids,
        .market = market,
        .category = ""};
}

/* a has a series; b and c fold in the evening, and have their own in the morning, when a correction
 * moves what folded. */
static void test_corrections_of_what_has_folded(void **state)
{
    struct run r;
    (void)state;
    begin(&r, 1, 0);
    reopen_with(&r, 1, 0);
    struct thing evening[] = {event_of(1, PLACED, EVENING, "a"),
        event_of(1, DELIVERED, EVENING, ""), event_of(2, PLACED, EVENING, "b"),
        event_of(2, DELIVERED, EVENING + MINUTE, ""), event_of(3, PLACED, EVENING, "c"),
        event_of(3, DELIVERED, EVENING + MINUTE, "")};
    batch_of(&r, evening, 6);
    static const char *const folded[] = {"outcomes,market=a,outcome=delivered@1700092200000 = 1",
        "outcomes,overflow=true@1700092200000 = 2"};
    assert_outcomes(&r, folded, 2);
    /* The same day: b was cancelled before. */
    struct thing cancelled = event_of(2, CANCELLED, EVENING + 1000, "");
    batch_of(&r, &cancelled, 1);
    assert_outcomes(&r, folded, 2);
    reopen_with(&r, 0, 0);
    /* The next day, with room, once a transaction has shown that it has come. */
    struct thing tick = event_of(7, PLACED, MORNING, "a");
    batch_of(&r, &tick, 1);
    struct thing morning[] = {event_of(4, PLACED, MORNING, "b"),
        event_of(4, CANCELLED, MORNING, ""), event_of(5, PLACED, MORNING, "c"),
        event_of(5, DELIVERED, MORNING, "")};
    batch_of(&r, morning, 4);
    static const char *const own[] = {"outcomes,market=a,outcome=delivered@1700092200000 = 1",
        "outcomes,market=b,outcome=cancelled@1700093400000 = 1",
        "outcomes,market=c,outcome=delivered@1700093400000 = 1",
        "outcomes,overflow=true@1700092200000 = 2"};
    assert_outcomes(&r, own, 4);
    /* Both of the evening were placed at another time: they leave the overflow series, and nothing
     * else does. */
    reopen_with(&r, 0, 0);
    struct thing moved[] = {
        event_of(2, PLACED, EVENING + 5000, "b"), event_of(3, PLACED, EVENING + 5000, "c")};
    moved[0].revision = moved[1].revision = 1;
    batch_of(&r, moved, 2);
    static const char *const last[] = {"outcomes,market=a,outcome=delivered@1700092200000 = 1",
        "outcomes,market=b,outcome=cancelled@1700092205000 = 1",
        "outcomes,market=b,outcome=cancelled@1700093400000 = 1",
        "outcomes,market=c,outcome=delivered@1700092205000 = 1",
        "outcomes,market=c,outcome=delivered@1700093400000 = 1"};
    assert_outcomes(&r, last, 5);
    /* And from there they are taken back as ever. */
    moved[0] = event_of(2, PLACED, EVENING, "a");
    moved[0].revision = 2;
    batch_of(&r, moved, 1);
    static const char *const end_of_it[] = {"outcomes,market=a,outcome=cancelled@1700092200000 = 1",
        "outcomes,market=a,outcome=delivered@1700092200000 = 1",
        "outcomes,market=b,outcome=cancelled@1700093400000 = 1",
        "outcomes,market=c,outcome=delivered@1700092205000 = 1",
        "outcomes,market=c,outcome=delivered@1700093400000 = 1"};
    assert_outcomes(&r, end_of_it, 5);
    end(&r);
}

/* Of a label set that was refused there is nothing to take back, also once it is taken. */
static void test_corrections_of_what_was_refused(void **state)
{
    struct run r;
    (void)state;
    begin(&r, 1, 0);
    reopen_with(&r, 0, 100);
    struct thing before[] = {event_of(1, PLACED, EVENING, "a"), event_of(1, DELIVERED, EVENING, ""),
        event_of(2, PLACED, EVENING, r.longs[0]), event_of(2, DELIVERED, EVENING + MINUTE, "")};
    batch_of(&r, before, 4);
    static const char *const first[] = {"outcomes,market=a,outcome=delivered@1700092200000 = 1"};
    assert_outcomes(&r, first, 1);
    reopen_with(&r, 0, 0);
    struct thing moved = event_of(2, PLACED, EVENING + 5000, "b");
    moved.revision = 1;
    batch_of(&r, &moved, 1);
    static const char *const last[] = {"outcomes,market=a,outcome=delivered@1700092200000 = 1",
        "outcomes,market=b,outcome=delivered@1700092205000 = 1"};
    assert_outcomes(&r, last, 2);
    end(&r);
}

/* One entity with as many records as there may be, and a life in each. One more is left out, and
 * counted. */
static void test_full_entity(void **state)
{
    struct run r;
    (void)state;
    begin(&r, 1, 40);
    int n = (int)(FACT_KEY_BYTES / fact_record_bytes(&r.config.streams.lifecycles[0].layout));
    assert_in_range(n, 100, FACT_RECORDS_MAX - 1);
    for (int i = 0; i < n; i++)
        for (int kind = PLACED; kind < N_STAGES; kind++) {
            struct thing t = event_of(0, kind, BEGIN + i * 2 * HOUR + kind * MINUTE, "a");
            if (kind != TOUCHED && kind != ACCEPTED)
                enqueue(&r, &t);
        }
    while (r.n_queue)
        run_batch(&r, INT64_MIN, false);
    check(&r);
    struct thing more = event_of(0, PLACED, BEGIN - 2 * HOUR, "a");
    feed(&r, &more);
    settle(&r, INT64_MIN, INT64_MIN);
    assert_true(try_commit(&r, false));
    struct lifecycle_counts stats;
    lifecycle_counted(r.runner, &stats);
    assert_int_equal(stats.dropped, 1);
    check(&r);
    end(&r);
}

/* An entity that comes again and again has as many lives as it likes: what nothing can change any
 * more is forgotten. Each round it is opened anew, now and then from disk, and some of its events
 * come late. */
static void test_many_lives(void **state)
{
    struct run r;
    struct lifecycle_counts stats;
    (void)state;
    begin(&r, 3, 0);
    for (int i = 0; i < 3 * FACTS_BEST; i++) {
        int64_t at = BEGIN + i * HOUR;
        struct thing things[] = {event_of(1, DELIVERED, at + 20 * MINUTE, ""),
            event_of(1, PLACED, at + i * 1000, "a"), event_of(1, PLACED, at + i * 1000 + 7, "b"),
            event_of(2, PAID, at, ""), event_of(2, ACCEPTED, at, ""), event_of(3, PLACED, at, "c")};
        for (int k = 0; k < 5 + (i % 3 == 0); k++)
            enqueue(&r, &things[k]);
        while (r.n_queue)
            run_batch(&r, r.horizon, false);
        run_batch(&r, at, false);
        while (lifecycle_is_behind(r.runner))
            run_batch(&r, at, false);
        if (i % 7 == 0) {
            close_store(&r);
            open_store(&r);
        }
        check(&r);
    }
    lifecycle_counted(r.runner, &stats);
    assert_int_equal(stats.dropped, 0);
    end(&r);
}

/* What may be forgotten and what may come lie in one span, in which only the best count: nothing of
 * it goes yet. */
static void test_span_that_goes(void **state)
{
    struct run r;
    (void)state;
    begin(&r, 1, 0);
    r.crowded = true;
    int64_t hour = BEGIN; /* in the middle of a span, and the earliest that comes later */
    while (hour % span_ms() < 90000 || hour % span_ms() > span_ms() - 60000)
        hour += HOUR;
    int64_t watermark = hour + LATE + HOUR;
    struct thing t = event_of(1, PLACED, hour - EXPIRE - MINUTE, "a");
    enqueue(&r, &t);
    for (int i = 0; i < FACTS_BEST; i++) {
        t = event_of(1, ACCEPTED, hour - MINUTE - 1 - i, "");
        enqueue(&r, &t);
    }
    while (r.n_queue)
        run_batch(&r, INT64_MIN, false);
    do
        run_batch(&r, watermark, false);
    while (lifecycle_is_behind(r.runner));
    t = event_of(1, PLACED, hour + 20 * MINUTE, "a");
    enqueue(&r, &t);
    t = event_of(1, ACCEPTED, hour + 1, "");
    assert_false(is_late(&r, t.time_ms));
    assert_int_equal(span_of(t.time_ms), span_of(hour - MINUTE - FACTS_BEST));
    enqueue(&r, &t);
    while (r.n_queue)
        run_batch(&r, watermark, false);
    check(&r);
    assert_int_equal(r.n_others, 1);
    end(&r);
}

/* ---- another config ---- */

static void load_with(struct run *r, const char *set)
{
    struct err_list errors;
    config_free(&r->config);
    if (!config_load(r->config_file, &set, 1, &r->config, &errors))
        fail_msg("%s", errors.items[0].text);
    err_list_fini(&errors);
}

/* How long generations are follows from it: entities are found all the same, and held. */
static void test_late_changes(void **state)
{
    static const char *const lates[] = {"streams.orders.late=10d", "streams.orders.late=30m",
        "streams.orders.late=3d", "streams.orders.late=30m"};
    struct run r;
    (void)state;
    begin(&r, 1, 0);
    int64_t watermark = BEGIN;
    for (int i = 0; i < 12; i++) {
        close_store(&r);
        load_with(&r, lates[i % 4]);
        open_store(&r);
        watermark += 2 * MINUTE;
        struct thing things[] = {event_of(i, PLACED, watermark + MINUTE, "a"),
            event_of(i ? i - 1 : 21, DELIVERED, watermark + MINUTE, ""),
            event_of(20, PAID, watermark, "")};
        for (int k = 0; k < 3; k++)
            enqueue(&r, &things[k]);
        while (r.n_queue)
            run_batch(&r, watermark, false);
        check(&r);
    }
    while (watermark < BEGIN + 3 * HOUR) {
        watermark += 7 * MINUTE;
        run_batch(&r, watermark, false);
        while (lifecycle_is_behind(r.runner))
            run_batch(&r, watermark, false);
        check(&r);
    }
    end(&r);
}

/* What lives were put out as must follow from them as they are read. */
static void test_other_rules(void **state)
{
    static const struct {
        const char *set;
        bool fits;
    } cases[] = {{"lifecycles.order.expire=1h", false},
        {"lifecycles.order.ends=[delivered]", false}, {"streams.orders.late=2h", true},
        {"streams.orders.fields.amount.digits=3", false}, {"lifecycles.order.expire=30m", true}};
    struct run r;
    struct err err;
    (void)state;
    begin(&r, 1, 0);
    struct thing t = event_of(1, PLACED, BEGIN, "a");
    batch_of(&r, &t, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config other;
        struct err_list errors;
        if (!config_load(r.config_file, &cases[i].set, 1, &other, &errors))
            fail_msg("%s: %s", cases[i].set, errors.items[0].text);
        if (lifecycle_fits(r.store, &other.streams, 0, &err) != cases[i].fits)
            fail_msg("%s: it %s", cases[i].set, cases[i].fits ? "does not fit" : "fits");
        err_list_fini(&errors);
        config_free(&other);
    }
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_with_idle_streams),
        cmocka_unit_test(test_random_with_limits),
        cmocka_unit_test(test_random_with_refusals),
        cmocka_unit_test(test_random_with_too_many),
        cmocka_unit_test(test_corrections_of_what_has_folded),
        cmocka_unit_test(test_corrections_of_what_was_refused),
        cmocka_unit_test(test_full_entity),
        cmocka_unit_test(test_many_lives),
        cmocka_unit_test(test_span_that_goes),
        cmocka_unit_test(test_late_changes),
        cmocka_unit_test(test_other_rules),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
