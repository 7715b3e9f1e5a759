#include "ingest/dedupe.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/number.h"
#include "ingest/held_filter.h"
#include "store/state/state.h"
#include "store/state/state_reader.h"

#define HOUR_MS      3600000
#define RECORD_BYTES 4
/* Hours that may be held in generations of one hour each. */
#define HELD_HOURS 24
/* Ids whose place is asked for ahead of the one that is noted. */
#define AHEAD 8
/* Of generations that were there before, with every batch: some milliseconds. A look at one costs
 * as much as so many ids. */
#define LEARN_IDS  262144
#define LEARN_LOOK 1024

struct added {
    struct hash128 hash;
    int64_t generation;
    uint32_t crc;
};

struct dedupe {
    struct store *store;
    char table[STATE_TABLE_NAME_MAX + 1]; /* and the source's that says what is gone of it */
    int64_t late_ms, span_ms;             /* of a generation that begins now */
    int64_t longest_ms;                   /* no generation was ever longer */
    int64_t oldest;                       /* the first generation that may be held */
    int64_t next_oldest;                  /* once the batch is committed */
    bool recorded;                        /* longest_ms is */
    struct held_filter *filter;
    struct state_reader *reader; /* NULL: between two batches */
    uint32_t *columns;           /* of the reader's generations; 0: it has none */
    size_t n_columns, columns_cap;
    bool learns;      /* the ids of generation `learning`, from learn_from on; */
    int64_t learning; /* until then its column is not whole. Those below are next */
    struct hash128 learn_from;
    struct added *added; /* of the batch */
    size_t n_added, added_cap;
    struct map by_hash;
};

/* A generation is numbered by the hour that it begins with, so that the numbers mean the same
 * whatever `late` becomes. */
static int64_t generation_at(int64_t time_ms, int64_t span_ms)
{
    return floor_div(time_ms, span_ms) * (span_ms / HOUR_MS);
}

/* The first one that is not gone: gone is what ends, if it is as long as can be, more than `late`
 * before the horizon. */
static int64_t oldest_of(int64_t late_ms, int64_t longest_ms, int64_t horizon_ms)
{
    int64_t passed;
    if (horizon_ms == INT64_MIN || __builtin_sub_overflow(horizon_ms, late_ms, &passed) ||
        __builtin_sub_overflow(passed, longest_ms, &passed))
        return INT64_MIN;
    return -floor_div(-passed, HOUR_MS);
}

int64_t dedupe_span_ms(int64_t late_ms)
{
    return HOUR_MS * (1 + late_ms / (HELD_HOURS * (int64_t)HOUR_MS + 1));
}

bool dedupe_is_gone(int64_t late_ms, int64_t horizon_ms, int64_t time_ms)
{
    int64_t span_ms = dedupe_span_ms(late_ms);
    return generation_at(time_ms, span_ms) < oldest_of(late_ms, span_ms, horizon_ms);
}

/* What went stays gone when `late` becomes longer, and what is longer than it would be now is not
 * dropped early when it becomes shorter. */
static void recall(struct dedupe *d)
{
    struct source_state state;
    if (!store_source(d->store, slice_from(d->table), &state))
        return;
    struct reader bytes = reader_of(slice_of(state.state, state.state_len));
    int64_t longest_ms = (int64_t)read_le64(&bytes);
    if (!bytes.failed && longest_ms >= d->longest_ms) {
        d->longest_ms = longest_ms;
        d->recorded = true;
    }
    if (state.next > d->oldest)
        d->oldest = state.next;
}

struct dedupe *dedupe_new(
    struct store *store, struct slice stream, int64_t late_ms, int64_t horizon_ms, size_t *left)
{
    struct dedupe *d = xcalloc(1, sizeof *d);
    d->store = store;
    d->late_ms = late_ms;
    d->span_ms = d->longest_ms = dedupe_span_ms(late_ms);
    d->oldest = INT64_MIN;
    snprintf(d->table, sizeof d->table, "dedupe/%.*s", SLICE_FMT(stream));
    recall(d);
    int64_t oldest = oldest_of(late_ms, d->longest_ms, horizon_ms);
    d->oldest = d->next_oldest = oldest > d->oldest ? oldest : d->oldest;
    d->learning = INT64_MAX;
    map_init(&d->by_hash);
    d->filter = held_filter_new(left);
    return d;
}

void dedupe_free(struct dedupe **dedupe)
{
    struct dedupe *d = *dedupe;
    *dedupe = NULL;
    if (!d)
        return;
    state_reader_free(&d->reader);
    held_filter_free(&d->filter);
    map_fini(&d->by_hash);
    free(d->added);
    free(d->columns);
    free(d);
}

/* ---- asking ---- */

static bool added_is(const void *ctx, const void *key, uint32_t id)
{
    const struct dedupe *d = ctx;
    return hash128_eq(d->added[id].hash, *(const struct hash128 *)key);
}

void dedupe_open(struct dedupe *dedupe)
{
    struct dedupe *d = dedupe;
    struct err err;
    uint32_t table, bytes;
    if (d->reader)
        return;
    if (!store_state_table(d->store, slice_from(d->table), &table, &bytes, &err))
        table = UINT32_MAX; /* nothing was ever written: there is nothing in it */
    d->reader = state_reader_new(d->store, table, d->oldest, INT64_MAX);
    d->n_columns = state_reader_generations(d->reader);
    GROW(d->columns, d->columns_cap, d->n_columns + 1);
    for (size_t i = 0; i < d->n_columns; i++) {
        int64_t generation = state_reader_generation(d->reader, i);
        bool whole = !(d->learns && generation == d->learning);
        d->columns[i] = whole ? held_filter_column(d->filter, generation) : 0;
    }
}

size_t dedupe_unlearnt(const struct dedupe *dedupe)
{
    size_t n = 0;
    for (size_t i = 0; i < dedupe->n_columns; i++)
        n += dedupe->columns[i] == 0;
    return n;
}

void dedupe_prefetch(const struct dedupe *dedupe, struct hash128 id)
{
    held_filter_prefetch(dedupe->filter, id);
}

/* Whether an id whose columns are these may be in generation i of the reader. */
static bool may_be_in(const struct dedupe *d, size_t i, uint32_t columns)
{
    return d->columns[i] == 0 || (d->columns[i] & columns);
}

void dedupe_prefetch_stored(const struct dedupe *dedupe, struct hash128 id)
{
    uint32_t columns = held_filter_may_have(dedupe->filter, id);
    for (size_t i = 0; i < dedupe->n_columns; i++)
        if (may_be_in(dedupe, i, columns))
            state_reader_prefetch_in(dedupe->reader, i, id);
}

bool dedupe_look(
    const struct dedupe *dedupe, struct hash128 id, struct dedupe_known *out, struct err *err)
{
    uint8_t record[RECORD_BYTES] = {0};
    uint32_t columns = held_filter_may_have(dedupe->filter, id);
    *out = (struct dedupe_known){0};
    for (size_t i = 0; i < dedupe->n_columns && !out->found; i++)
        if (may_be_in(dedupe, i, columns) &&
            !state_reader_find_in(dedupe->reader, i, id, record, &out->found, err))
            return false;
    if (out->found)
        out->crc = le32_get(record);
    return true;
}

void dedupe_prefetch_added(const struct dedupe *dedupe, struct hash128 id)
{
    map_prefetch(&dedupe->by_hash, id.lo);
}

static enum dedupe_answer known_as(const struct dedupe_id *id, uint32_t crc)
{
    return crc == id->crc ? DEDUPE_SEEN : DEDUPE_CONFLICT;
}

enum dedupe_answer dedupe_judge(
    const struct dedupe *dedupe, const struct dedupe_id *id, const struct dedupe_known *known)
{
    const struct dedupe *d = dedupe;
    uint32_t at = map_find(&d->by_hash, id->hash.lo, added_is, d, &id->hash);
    if (at != MAP_NONE)
        return known_as(id, d->added[at].crc);
    if (known->found)
        return known_as(id, known->crc);
    return generation_at(id->time_ms, d->span_ms) < d->oldest ? DEDUPE_GONE : DEDUPE_NEW;
}

void dedupe_add(struct dedupe *dedupe, const struct dedupe_id *id)
{
    struct dedupe *d = dedupe;
    GROW(d->added, d->added_cap, d->n_added + 1);
    map_insert(&d->by_hash, id->hash.lo, (uint32_t)d->n_added);
    d->added[d->n_added++] =
        (struct added){id->hash, generation_at(id->time_ms, d->span_ms), id->crc};
}

/* ---- what was there before ---- */

static bool next_to_learn(struct dedupe *d)
{
    for (size_t i = 0; d->reader && i < d->n_columns && !d->learns; i++) {
        int64_t generation = state_reader_generation(d->reader, i);
        if (generation >= d->learning || held_filter_column(d->filter, generation))
            continue;
        held_filter_begin(d->filter, generation);
        if (!held_filter_column(d->filter, generation))
            return false;
        held_filter_expect(d->filter, state_reader_keys(d->reader, i));
        d->learning = generation;
        d->learn_from = (struct hash128){0, 0};
        d->learns = true;
    }
    return d->learns;
}

/* The next ids of the generation, max at most. One that cannot be read is looked into as before. */
static size_t learn_some(
    struct dedupe *d, struct txn *txn, uint32_t table, struct hash128 *keys, size_t max)
{
    struct err err;
    size_t n = 0;
    bool end = true;
    if (!txn_state_list(txn, table, d->learning, &d->learn_from, max, keys, NULL, &n, &end, &err))
        held_filter_end(d->filter, d->learning);
    uint32_t column = held_filter_column(d->filter, d->learning);
    for (size_t i = 0; i < n && column; i++)
        held_filter_add(d->filter, keys[i], column);
    d->learns = column && !end;
    return column ? n : 0;
}

static void learn(struct dedupe *d, struct txn *txn, uint32_t table)
{
    struct hash128 *keys = NULL;
    for (size_t left = LEARN_IDS; left > 0 && next_to_learn(d);) {
        if (!keys)
            keys = xreallocarray(NULL, LEARN_IDS, sizeof *keys);
        size_t n = learn_some(d, txn, table, keys, left) + LEARN_LOOK;
        left -= n < left ? n : left;
    }
    free(keys);
}

/* ---- writing ---- */

static void record_gone(const struct dedupe *d, struct txn *txn)
{
    uint8_t state[8];
    le64_put(state, (uint64_t)d->longest_ms);
    txn_source(txn, slice_from(d->table), d->next_oldest, INT64_MIN,
        slice_of((const char *)state, sizeof state));
}

bool dedupe_write(struct dedupe *dedupe, struct txn *txn, int64_t horizon_ms, struct err *err)
{
    struct dedupe *d = dedupe;
    uint8_t record[RECORD_BYTES];
    uint32_t table;
    int64_t oldest = oldest_of(d->late_ms, d->longest_ms, horizon_ms);
    d->next_oldest = oldest > d->oldest ? oldest : d->oldest;
    if (d->n_added == 0 && d->next_oldest == d->oldest)
        return true;
    if (!txn_state_table(txn, slice_from(d->table), RECORD_BYTES, &table, err))
        return false;
    learn(d, txn, table);
    if (d->next_oldest != d->oldest)
        txn_state_drop_below(txn, table, d->next_oldest);
    if (d->next_oldest != d->oldest || !d->recorded)
        record_gone(d, txn);
    for (size_t i = 0; i < d->n_added; i++) {
        const struct added *a = &d->added[i];
        if (a->generation < d->next_oldest)
            continue;
        le32_put(record, a->crc);
        txn_state_put(txn, table, a->generation, a->hash, record);
    }
    return true;
}

static bool was_there(const struct dedupe *d, int64_t generation)
{
    for (size_t i = 0; i < d->n_columns; i++)
        if (state_reader_generation(d->reader, i) == generation)
            return true;
    return false;
}

/* A generation that is in no column, and was not there when the batch began, has begun with it. */
static uint32_t column_of(struct dedupe *d, int64_t generation)
{
    uint32_t column = held_filter_column(d->filter, generation);
    if (column || was_there(d, generation))
        return column;
    held_filter_begin(d->filter, generation);
    return held_filter_column(d->filter, generation);
}

static void note_added(struct dedupe *d)
{
    int64_t last = INT64_MIN;
    uint32_t column = 0;
    for (size_t i = 0; i < d->n_added; i++) {
        const struct added *a = &d->added[i];
        if (a->generation < d->oldest)
            continue;
        if (i + AHEAD < d->n_added)
            held_filter_prefetch(d->filter, d->added[i + AHEAD].hash);
        if (a->generation != last)
            column = column_of(d, a->generation);
        last = a->generation;
        if (column)
            held_filter_add(d->filter, a->hash, column);
    }
    held_filter_grow(d->filter);
}

void dedupe_clear(struct dedupe *dedupe)
{
    dedupe->recorded |= dedupe->n_added > 0 || dedupe->next_oldest != dedupe->oldest;
    dedupe->oldest = dedupe->next_oldest;
    held_filter_drop(dedupe->filter, dedupe->oldest);
    note_added(dedupe);
    dedupe->n_added = 0;
    map_clear(&dedupe->by_hash);
    state_reader_free(&dedupe->reader);
}
