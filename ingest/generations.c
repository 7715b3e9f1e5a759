#include "ingest/generations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rfc3339.h"
#include "base/settings.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/lifecycle/lifecycle_run.h"
#include "ingest/partition.h"
#include "ingest/rollup_run.h"
#include "ingest/rollups_config.h"
#include "ingest/source_names.h"
#include "ingest/stream_topics.h"

#define MINUTE_MS INT64_C(60000)
#define END_BYTES 64 /* of a generation without a definition */
_Static_assert(ROLLUP_GAPS_MAX == GENERATIONS_MAX + 1, "one before all, and each former one");

struct entry {
    struct rollup_history history; /* n 0: until it is settled */
    const struct rollup *now;      /* NULL: it is not in the config */
    bool changed;
};

struct generations {
    struct store *store;
    const struct streams *config;
    struct streams streams;
    struct rollup *rollups;    /* of streams: the config's, each with its term */
    struct rollup_term *terms; /* by rollup */
    struct rollup_histories stored;
    struct entry *entries; /* those of the config first, in its order */
    size_t n_entries, n_now;
    int64_t *newest_ms; /* by stream: the greatest event time that was read */
};

/* ---- how far was read ---- */

static void note_newest(struct generations *g, int stream, int64_t ms)
{
    if (stream >= 0 && ms > g->newest_ms[stream])
        g->newest_ms[stream] = ms;
}

static int stream_named(const struct streams *streams, struct slice name)
{
    for (size_t s = 0; s < streams->n_streams; s++)
        if (slice_eq(streams->streams[s].name, name))
            return (int)s;
    return -1;
}

/* It counts for the stream that has its topic now, and for the one that it was read for, which has
 * lost it perhaps by the same change. */
static void note_source(
    struct generations *g, const struct stream_topics *topics, struct slice name)
{
    struct source_state state;
    if (!store_source(g->store, name, &state) || state.newest_ms == INT64_MIN)
        return;
    struct slice before = partition_stream(slice_of(state.state, state.state_len));
    note_newest(g, stream_topics_of(topics, name), state.newest_ms);
    note_newest(g, stream_named(g->config, before), state.newest_ms);
}

static void read_positions(struct generations *g)
{
    struct source_names names;
    struct stream_topics *topics = stream_topics_new(g->config);
    g->newest_ms = xcalloc(g->config->n_streams + 1, sizeof *g->newest_ms);
    for (size_t s = 0; s < g->config->n_streams; s++)
        g->newest_ms[s] = INT64_MIN;
    source_names_read(g->store, SLICE(""), &names);
    for (size_t i = 0; i < names.n; i++)
        note_source(g, topics, names.items[i]);
    source_names_free(&names);
    stream_topics_free(&topics);
}

/* Lives have ended by expiry up to here, which may be later than any event. */
static int64_t expired_ms(struct store *store, struct slice lifecycle)
{
    int64_t minute = lifecycle_expiry(store, lifecycle).minute, ms;
    if (minute == INT64_MIN)
        return INT64_MIN;
    return __builtin_mul_overflow(minute + 1, MINUTE_MS, &ms) ? INT64_MIN : ms;
}

/* No cell of the rollup lies later than the window of this time; INT64_MIN: there is none. */
static int64_t read_up_to(const struct generations *g, const struct rollup *rollup)
{
    if (rollup->stream >= 0)
        return g->newest_ms[rollup->stream];
    const struct lifecycle *l = &g->config->lifecycles[rollup->lifecycle];
    int64_t newest = expired_ms(g->store, l->name);
    for (size_t s = 0; s < l->rules.n_stages; s++) {
        int64_t ms = g->newest_ms[l->stages[s].stream];
        newest = ms > newest ? ms : newest;
    }
    return newest;
}

static int64_t greatest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool names_lifecycle(const struct generations *g, struct slice name)
{
    char source[LIFECYCLE_NAME_MAX + 16];
    struct source_state state;
    snprintf(source, sizeof source, "lifecycle/%.*s", SLICE_FMT(name));
    return store_source(g->store, slice_from(source), &state);
}

/* The same of a definition that makes no sense with the config any more. INT64_MIN: its stream is
 * not read any more either. The streams of a lifecycle that is gone are not known: all count. */
static int64_t read_up_to_for(const struct generations *g, struct slice from)
{
    int stream = stream_named(g->config, from);
    int64_t newest = INT64_MIN;
    if (stream >= 0)
        return g->newest_ms[stream];
    if (!names_lifecycle(g, from))
        return INT64_MIN;
    for (size_t s = 0; s < g->config->n_streams; s++)
        newest = greatest(newest, g->newest_ms[s]);
    return newest == INT64_MIN ? newest : greatest(newest, expired_ms(g->store, from));
}

/* ---- histories ---- */

static const struct rollup *former_rollup(
    const struct generations *g, struct slice name, const struct generation *generation)
{
    const struct streams *c = g->config;
    for (size_t i = c->n_rollups - c->n_former; i < c->n_rollups; i++) {
        const struct rollup *r = &c->rollups[i];
        if (r->former == generation->number && slice_eq(r->def.name, name) &&
            hash128_eq(r->meaning, generation->meaning))
            return r;
    }
    return NULL;
}

static void tell(const struct entry *e)
{
    const struct generation *last = &e->history.items[e->history.n - 1];
    char at[RFC3339_MAX];
    if (last->after_ms == INT64_MIN)
        return;
    rfc3339_format(last->after_ms, at);
    if (last->none)
        log_info("rollup %.*s: ends with the window of %s", SLICE_FMT(e->history.name), at);
    else
        log_info("rollup %.*s: generation %u, for windows after %s", SLICE_FMT(e->history.name),
            last->number, at);
}

static bool has_been_of_lives(const struct generations *g, const struct entry *e)
{
    const struct rollup_history *h = &e->history;
    if (e->now && e->now->lifecycle >= 0)
        return true;
    for (size_t i = 0; i < h->n; i++) {
        const struct rollup *former = former_rollup(g, h->name, &h->items[i]);
        if (former && former->lifecycle >= 0)
            return true;
    }
    return false;
}

/* Of lives none is forgotten for it. */
static bool append(
    const struct generations *g, struct entry *e, const struct generation *next, struct err *err)
{
    struct rollup_history longer = e->history;
    bool bound = !next->none && has_been_of_lives(g, e);
    bool full = longer.n >= (bound ? GENERATIONS_MAX - 1 : GENERATIONS_MAX);
    if (full && !bound)
        memmove(longer.items, longer.items + 1, --longer.n * sizeof longer.items[0]);
    if (!full || !bound)
        longer.items[longer.n++] = *next;
    if (bound && longer.n > 1 && (full || !rollup_history_fits(&longer, END_BYTES)))
        return err_set(err, ERR_LIMIT,
            "rollup %.*s: of a lifecycle no definition may be forgotten, and there is no room for "
            "one more than its %zu; give the changed one another name",
            SLICE_FMT(longer.name), e->history.n);
    rollup_history_trim(&longer);
    e->history = longer;
    return true;
}

/* What the config says is another definition than the last one, of which nothing was read yet, or
 * windows up to *after_ms. */
static bool begin_generation(
    const struct generations *g, struct entry *e, int64_t after_ms, struct err *err)
{
    struct rollup_history *h = &e->history;
    struct generation *last = h->n ? &h->items[h->n - 1] : NULL;
    struct generation next = {.number = last ? last->number : 1, .none = !e->now};
    bool unread = last && after_ms <= last->after_ms;
    next.after_ms = unread ? last->after_ms : after_ms;
    if (e->now) {
        next.meaning = e->now->meaning;
        next.text = e->now->text;
    }
    if (unread)
        h->n--;
    else
        next.number += last != NULL;
    if (!append(g, e, &next, err))
        return false;
    e->changed = true;
    tell(e);
    return true;
}

/* Its help, say: what decides about nothing is kept when there is room. */
static void take_text(struct entry *e)
{
    struct rollup_history newer = e->history;
    struct generation *last = &newer.items[newer.n - 1];
    if (slice_eq(last->text, e->now->text))
        return;
    last->text = e->now->text;
    e->changed = rollup_history_fits(&newer, END_BYTES);
    if (e->changed)
        e->history = newer;
}

/* No window of the last definition that was begun ends later; INT64_MIN: none was, or nothing of
 * its streams is read any more. */
static int64_t end_of_lost(const struct generations *g, const struct generation *last)
{
    struct arena arena;
    struct err_list ignored = {0};
    struct yaml_node *node;
    const struct yaml_node *value;
    struct err err;
    int64_t newest = INT64_MIN, every = EVERY_DEFAULT_MS;
    arena_init(&arena, 0);
    struct settings settings = {&ignored, &arena};
    if (yaml_parse(last->text, "the store", &arena, &node, &err) && node->type == YAML_MAPPING) {
        if ((value = yaml_get(node, "from")) && value->type == YAML_SCALAR)
            newest = read_up_to_for(g, value->text);
        if ((value = yaml_get(node, "every")))
            settings_duration(&settings, value, "'every'", &every);
    }
    err_list_fini(&ignored);
    arena_fini(&arena);
    return newest == INT64_MIN ? newest : window_end(newest, every);
}

/* The config does not have it any more. When its stream is not read any more either, it goes on as
 * it was when that comes back. */
static bool settle_removed(struct generations *g, struct entry *e, struct err *err)
{
    const struct generation *last = &e->history.items[e->history.n - 1];
    const struct rollup *before = last->none ? NULL : former_rollup(g, e->history.name, last);
    int64_t after = INT64_MIN;
    if (before) {
        int64_t newest = read_up_to(g, before);
        after = newest == INT64_MIN ? newest : window_end(newest, before->def.every_ms);
    } else if (!last->none) {
        after = end_of_lost(g, last);
    }
    return (!before && after == INT64_MIN) || begin_generation(g, e, after, err);
}

static bool settle(struct generations *g, struct entry *e, struct err *err)
{
    struct rollup_history *h = &e->history;
    const struct rollup *now = e->now;
    struct generation *last = h->n ? &h->items[h->n - 1] : NULL;
    const struct rollup *before = last && !last->none ? former_rollup(g, h->name, last) : NULL;
    if (!now)
        return settle_removed(g, e, err);
    if (last && !last->none && hash128_eq(last->meaning, now->meaning)) {
        take_text(e);
        return true;
    }
    int64_t newest = greatest(read_up_to(g, now), before ? read_up_to(g, before) : INT64_MIN);
    /* A folder that knows no generations has made its cells by what the config says. */
    bool first = g->stored.n == 0 || newest == INT64_MIN;
    int64_t after = first ? INT64_MIN : window_end(newest, now->def.every_ms);
    return begin_generation(g, e, after, err);
}

static void list_entries(struct generations *g)
{
    const struct streams *c = g->config;
    g->n_now = c->n_rollups - c->n_former;
    g->entries = xcalloc(g->n_now + g->stored.n + 1, sizeof *g->entries);
    for (size_t i = 0; i < g->n_now; i++) {
        struct entry *e = &g->entries[g->n_entries++];
        e->now = &c->rollups[i];
        e->history.name = c->rollups[i].def.name;
    }
    for (size_t i = 0; i < g->stored.n; i++) {
        const struct rollup_history *h = &g->stored.items[i];
        size_t k = 0;
        while (k < g->n_now && !slice_eq(h->name, g->entries[k].history.name))
            k++;
        if (k == g->n_now)
            k = g->n_entries++;
        g->entries[k].history = *h;
        if (g->entries[k].now) /* its name is told, for longer than the list is kept */
            g->entries[k].history.name = g->entries[k].now->def.name;
    }
}

/* ---- terms ---- */

static struct rollup_term *term_of(struct generations *g, const struct rollup *rollup)
{
    size_t i = (size_t)(rollup - g->config->rollups);
    g->rollups[i].term = &g->terms[i];
    return &g->terms[i];
}

static void add_gap(struct rollup_term *term, int64_t after_ms, int64_t until_ms, enum gap reason)
{
    term->gaps[term->n_gaps++] = (struct rollup_gap){after_ms, until_ms, reason};
}

static void fill_terms(struct generations *g, const struct entry *e)
{
    const struct rollup_history *h = &e->history;
    struct rollup_term none, *now = e->now ? term_of(g, e->now) : &none;
    now->n_gaps = 0;
    now->after_ms = h->items[h->n - 1].after_ms;
    now->until_ms = INT64_MAX;
    if (h->items[0].after_ms != INT64_MIN)
        add_gap(now, INT64_MIN, h->items[0].after_ms,
            h->items[0].number == 1 ? GAP_ABSENT : GAP_FORGOTTEN);
    for (size_t i = 0; i + 1 < h->n; i++) {
        const struct generation *x = &h->items[i];
        const struct rollup *former = x->none ? NULL : former_rollup(g, h->name, x);
        int64_t until = h->items[i + 1].after_ms;
        if (!former) {
            add_gap(now, x->after_ms, until, x->none ? GAP_ABSENT : GAP_FORGOTTEN);
            continue;
        }
        struct rollup_term *term = term_of(g, former);
        term->after_ms = x->after_ms;
        term->until_ms = until;
    }
}

/* A former rollup that no list has any more has no window. */
static void make_terms(struct generations *g)
{
    const struct streams *c = g->config;
    g->streams = *c;
    g->rollups = xcalloc(c->n_rollups + 1, sizeof *g->rollups);
    g->terms = xcalloc(c->n_rollups + 1, sizeof *g->terms);
    if (c->n_rollups)
        memcpy(g->rollups, c->rollups, c->n_rollups * sizeof *g->rollups);
    g->streams.rollups = g->rollups;
    for (size_t i = c->n_rollups - c->n_former; i < c->n_rollups; i++)
        term_of(g, &c->rollups[i])->after_ms = INT64_MAX;
    for (size_t i = 0; i < g->n_entries; i++)
        fill_terms(g, &g->entries[i]);
}

void rollup_leave_out(const struct rollup *rollup, int64_t end_ms)
{
    struct rollup_term *term = rollup->term;
    for (size_t i = 0; term && i < term->n_gaps; i++)
        if (end_ms > term->gaps[i].after_ms && end_ms <= term->gaps[i].until_ms)
            atomic_fetch_add(&term->left_out[term->gaps[i].reason], 1);
}

/* ---- what it is for ---- */

bool generations_new(
    struct store *store, const struct streams *config, struct generations **out, struct err *err)
{
    struct generations *g = xcalloc(1, sizeof *g);
    *out = NULL;
    g->store = store;
    g->config = config;
    if (!rollup_histories_read(store, &g->stored, err)) {
        free(g);
        return false;
    }
    read_positions(g);
    list_entries(g);
    bool ok = true;
    for (size_t i = 0; ok && i < g->n_entries; i++)
        ok = settle(g, &g->entries[i], err);
    if (!ok) {
        generations_free(&g);
        return false;
    }
    make_terms(g);
    *out = g;
    return true;
}

void generations_free(struct generations **generations)
{
    struct generations *g = *generations;
    *generations = NULL;
    if (!g)
        return;
    rollup_histories_fini(&g->stored);
    free(g->entries);
    free(g->newest_ms);
    free(g->rollups);
    free(g->terms);
    free(g);
}

bool generations_again(struct generations *generations, struct err *err)
{
    struct generations *g = generations, *next;
    if (!generations_new(g->store, g->config, &next, err))
        return false;
    for (size_t i = 0; i < g->config->n_rollups; i++) {
        g->terms[i].after_ms = next->terms[i].after_ms;
        g->terms[i].until_ms = next->terms[i].until_ms;
        g->terms[i].n_gaps = next->terms[i].n_gaps;
        memcpy(g->terms[i].gaps, next->terms[i].gaps, sizeof g->terms[i].gaps);
    }
    struct rollup_histories stored = g->stored;
    struct entry *entries = g->entries;
    g->stored = next->stored;
    g->entries = next->entries;
    g->n_entries = next->n_entries;
    next->stored = stored;
    next->entries = entries;
    generations_free(&next);
    return true;
}

const struct streams *generations_streams(const struct generations *generations)
{
    return &generations->streams;
}

void generations_write(struct generations *generations, struct txn *txn)
{
    for (size_t i = 0; i < generations->n_entries; i++)
        if (generations->entries[i].changed)
            rollup_history_write(&generations->entries[i].history, txn);
}

void generations_written(struct generations *generations)
{
    for (size_t i = 0; i < generations->n_entries; i++)
        generations->entries[i].changed = false;
}

size_t generations_stats(
    const struct generations *generations, struct generation_stats *out, size_t n)
{
    for (size_t i = 0; i < generations->n_now && i < n; i++) {
        const struct rollup_history *h = &generations->entries[i].history;
        const struct generation *last = &h->items[h->n - 1];
        out[i] = (struct generation_stats){.rollup = h->name,
            .clock = generations->entries[i].now->def.clock,
            .number = last->number,
            .after_ms = rollup_history_begin(h, generations->entries[i].now->def.every_ms)};
        for (int k = 0; k < GAPS; k++)
            out[i].left_out[k] = atomic_load(&generations->terms[i].left_out[k]);
    }
    return generations->n_now;
}
