#include "ingest/exemplars/exemplars.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "ingest/exemplars/exemplar.h"
#include "ingest/label_values.h"
#include "store/state/state.h"

_Static_assert(sizeof((struct trace *)0)->trace_id == EXEMPLAR_TRACE_BYTES, "a trace id");
_Static_assert(sizeof((struct trace *)0)->parent_id == EXEMPLAR_SPAN_BYTES, "a span id");

/* What the batch has found for a place. */
struct found {
    uint32_t stream;
    int64_t generation;
    struct hash128 key;
    struct exemplar exemplar;
};

struct stream_state {
    char table[STATE_TABLE_NAME_MAX + 1];
    int64_t keep_ms;     /* 0: none are kept */
    int64_t oldest;      /* generations below have been dropped */
    int64_t next_oldest; /* once the batch is committed */
    uint32_t id;         /* of the table, in the transaction that is written */
    bool written;        /* id is known there */
};

struct exemplars {
    struct store *store;
    struct stream_state *streams;
    size_t n_streams;
    struct found *found;
    size_t n_found, found_cap;
    struct map by_key;
    bool warned; /* of a table that cannot be read */
};

struct exemplars *exemplars_new(struct store *store, const struct streams *streams)
{
    struct exemplars *e = xcalloc(1, sizeof *e);
    e->store = store;
    e->n_streams = streams->n_streams;
    e->streams = xcalloc(e->n_streams + 1, sizeof *e->streams);
    for (size_t i = 0; i < e->n_streams; i++) {
        struct stream_state *s = &e->streams[i];
        exemplar_table(streams->streams[i].name, s->table);
        s->keep_ms = streams->streams[i].exemplars_ms;
        s->oldest = s->next_oldest = INT64_MIN;
    }
    map_init(&e->by_key);
    return e;
}

void exemplars_free(struct exemplars **exemplars)
{
    struct exemplars *e = *exemplars;
    *exemplars = NULL;
    if (!e)
        return;
    map_fini(&e->by_key);
    free(e->streams);
    free(e->found);
    free(e);
}

/* ---- finding ---- */

/* The event is counted, so its labels have values. */
static struct hash128 labels_of(const struct rollup *rollup, const struct event *event)
{
    struct label_values values;
    struct label l[ROLLUP_LABELS_MAX + 1];
    size_t n = 0;
    ensure(label_values_eval(rollup, event, &values) == EXPR_OK);
    l[n++] = (struct label){SLICE(LABEL_METRIC_NAME), rollup->def.name};
    for (size_t i = 0; i < rollup->n_labels; i++)
        l[n++] = (struct label){rollup->labels[i].name, values.values[i]};
    ensure(labels_sort(l, &n));
    return exemplar_labels((struct labels){l, n});
}

static bool is_found(const void *ctx, const void *key, uint32_t id)
{
    const struct exemplars *e = ctx;
    const struct found *a = &e->found[id], *b = key;
    return a->stream == b->stream && hash128_eq(a->key, b->key);
}

static void keep_found(struct exemplars *e, const struct found *found)
{
    uint32_t at = map_find(&e->by_key, found->key.lo, is_found, e, found);
    if (at == MAP_NONE) {
        GROW(e->found, e->found_cap, e->n_found + 1);
        map_insert(&e->by_key, found->key.lo, (uint32_t)e->n_found);
        e->found[e->n_found++] = *found;
    } else if (exemplar_wins(&found->exemplar, &e->found[at].exemplar)) {
        e->found[at] = *found;
    }
}

void exemplars_add(struct exemplars *exemplars, const struct rollup *rollup,
    const struct event *event, int64_t value)
{
    enum kind kind = rollup->def.kind;
    if ((kind != KIND_COUNTER && kind != KIND_HISTOGRAM) ||
        exemplars->streams[rollup->stream].keep_ms == 0)
        return;
    int64_t minute = exemplar_minute(event->time_ms);
    struct found f = {.stream = (uint32_t)rollup->stream,
        .generation = exemplar_hour(minute),
        .exemplar = {.value = value, .time_ms = event->time_ms}};
    struct exemplar *x = &f.exemplar;
    x->series = exemplar_series(labels_of(rollup, event), minute);
    memcpy(x->trace_id, event->trace.trace_id, sizeof x->trace_id);
    memcpy(x->span_id, event->trace.parent_id, sizeof x->span_id);
    f.key = exemplar_key(rollup->def.name, minute, x->series);
    keep_found(exemplars, &f);
}

size_t exemplars_pending(const struct exemplars *exemplars)
{
    return exemplars->n_found;
}

/* ---- writing ---- */

/* The first generation that is held: gone are those that ended so long before the horizon. */
static int64_t oldest_of(const struct stream_state *s, int64_t horizon_ms)
{
    int64_t passed;
    if (s->keep_ms == 0)
        return INT64_MAX;
    if (horizon_ms == INT64_MIN || __builtin_sub_overflow(horizon_ms, s->keep_ms, &passed))
        return s->oldest;
    int64_t oldest = exemplar_hour(exemplar_minute(passed));
    return oldest > s->oldest ? oldest : s->oldest;
}

/* A stream without any has no table, and needs none for this. */
static void drop_gone(const struct exemplars *e, const struct stream_state *s, struct txn *txn)
{
    uint32_t table, bytes;
    struct err err;
    if (store_state_table(e->store, slice_from(s->table), &table, &bytes, &err))
        txn_state_drop_below(txn, table, s->next_oldest);
}

static bool is_there(
    struct exemplars *e, const struct found *f, struct txn *txn, uint8_t record[EXEMPLAR_BYTES])
{
    struct err err;
    bool found;
    uint32_t table = e->streams[f->stream].id;
    if (txn_state_get(txn, table, f->generation, f->key, record, &found, &err))
        return found;
    if (!e->warned)
        log_warn("exemplars are kept as if none were there: %s", err.text);
    e->warned = true;
    return false;
}

static bool write_found(
    struct exemplars *e, const struct found *f, struct txn *txn, struct err *err)
{
    struct stream_state *s = &e->streams[f->stream];
    uint8_t record[EXEMPLAR_BYTES];
    struct exemplar there;
    if (f->generation < s->next_oldest)
        return true;
    if (!s->written && !txn_state_table(txn, slice_from(s->table), EXEMPLAR_BYTES, &s->id, err))
        return false;
    s->written = true;
    if (is_there(e, f, txn, record)) {
        exemplar_decode(record, &there);
        if (!exemplar_wins(&f->exemplar, &there))
            return true;
    }
    exemplar_encode(&f->exemplar, record);
    txn_state_put(txn, s->id, f->generation, f->key, record);
    return true;
}

bool exemplars_write(
    struct exemplars *exemplars, struct txn *txn, const int64_t *horizons, struct err *err)
{
    for (size_t i = 0; i < exemplars->n_streams; i++) {
        struct stream_state *s = &exemplars->streams[i];
        s->written = false;
        s->next_oldest = oldest_of(s, horizons[i]);
        if (s->next_oldest != s->oldest)
            drop_gone(exemplars, s, txn);
    }
    for (size_t i = 0; i < exemplars->n_found; i++)
        if (!write_found(exemplars, &exemplars->found[i], txn, err))
            return false;
    return true;
}

void exemplars_clear(struct exemplars *exemplars)
{
    for (size_t i = 0; i < exemplars->n_streams; i++)
        exemplars->streams[i].oldest = exemplars->streams[i].next_oldest;
    exemplars->n_found = 0;
    map_clear(&exemplars->by_key);
}
