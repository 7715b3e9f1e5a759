#include "ingest/lifecycle/folded.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/state/state.h"
#include "store/state/state_reader.h"

#define RECORD_BYTES 1

/* An output that was put, and may not have a series of its own. */
struct noted {
    struct hash128 key;
    int64_t generation;
    struct rollup_series series;
};

/* An output that is taken back. */
struct asked {
    struct hash128 key;
    int64_t generation; /* valid when it is there */
    enum cell_fate fate;
    bool taken;
};

struct folded {
    struct store *store;
    struct rollup_runner *rollups;
    const struct life_rollups *of;
    size_t lifecycle;
    char name[STATE_TABLE_NAME_MAX + 1];
    struct state_reader *reader; /* NULL: made with the next look */
    /* of the batch */
    struct noted *noted;
    size_t n_noted, noted_cap;
    struct asked *asked;
    size_t n_asked, asked_cap;
    struct map by_key; /* of asked */
};

struct folded *folded_new(struct store *store, const struct life_rollups *of, size_t number,
    struct rollup_runner *rollups)
{
    struct folded *f = xcalloc(1, sizeof *f);
    f->store = store;
    f->rollups = rollups;
    f->of = of;
    f->lifecycle = number;
    snprintf(f->name, sizeof f->name, "lifecycle/%.*s/folded", SLICE_FMT(of->lifecycle->name));
    map_init(&f->by_key);
    return f;
}

void folded_free(struct folded **folded)
{
    struct folded *f = *folded;
    *folded = NULL;
    if (!f)
        return;
    state_reader_free(&f->reader);
    map_fini(&f->by_key);
    free(f->noted);
    free(f->asked);
    free(f);
}

/* ---- keys ---- */

/* No two outputs of one entity are equal in all of it. A rollup is known by its metric's name: its
 * number is another one when the config changes. */
static struct hash128 key_of(
    const struct folded *f, struct hash128 entity, const struct life_output *o)
{
    uint8_t text[60];
    struct slice metric = f->of->rollups[o->rollup]->def.name;
    le64_put(text, entity.lo);
    le64_put(text + 8, entity.hi);
    le64_put(text + 16, o->labels);
    le64_put(text + 24, (uint64_t)o->time_ms);
    le64_put(text + 32, (uint64_t)o->value);
    le64_put(text + 40, hash128(metric.ptr, metric.len).lo);
    le32_put(text + 48, (uint32_t)o->from);
    le32_put(text + 52, (uint32_t)o->to);
    le32_put(text + 56, (uint32_t)o->outcome);
    return hash128(text, sizeof text);
}

static bool asked_is(const void *ctx, const void *key, uint32_t id)
{
    const struct folded *f = ctx;
    return hash128_eq(f->asked[id].key, *(const struct hash128 *)key);
}

/* ---- looking up ---- */

static bool find_table(const struct folded *f, uint32_t *table)
{
    uint32_t bytes;
    struct err err;
    return store_state_table(f->store, slice_from(f->name), table, &bytes, &err);
}

static struct state_reader *table_reader(struct folded *f)
{
    uint32_t table;
    if (!f->reader)
        f->reader = state_reader_new(
            f->store, find_table(f, &table) ? table : UINT32_MAX, INT64_MIN, INT64_MAX);
    return f->reader;
}

bool folded_any(struct folded *folded)
{
    return state_reader_generations(table_reader(folded)) > 0;
}

bool folded_ask(
    struct folded *folded, struct hash128 entity, const struct life_output *output, struct err *err)
{
    struct folded *f = folded;
    struct asked asked = {.key = key_of(f, entity, output)};
    uint8_t fate[RECORD_BYTES] = {FATE_OWN};
    bool found;
    if (map_find(&f->by_key, asked.key.lo, asked_is, f, &asked.key) != MAP_NONE)
        return true;
    if (!state_reader_find(table_reader(f), asked.key, fate, &asked.generation, &found, err))
        return false;
    if (!found)
        return true;
    if (fate[0] != FATE_FOLDED && fate[0] != FATE_REFUSED)
        return err_set(err, ERR_CORRUPT, "state table %s: a record makes no sense", f->name);
    asked.fate = (enum cell_fate)fate[0];
    GROW(f->asked, f->asked_cap, f->n_asked + 1);
    map_insert(&f->by_key, asked.key.lo, (uint32_t)f->n_asked);
    f->asked[f->n_asked++] = asked;
    return true;
}

bool folded_take_back(
    struct folded *folded, struct hash128 entity, const struct life_output *output)
{
    struct folded *f = folded;
    if (f->n_asked == 0)
        return false;
    struct hash128 key = key_of(f, entity, output);
    uint32_t id = map_find(&f->by_key, key.lo, asked_is, f, &key);
    if (id == MAP_NONE)
        return false;
    f->asked[id].taken = true;
    if (f->asked[id].fate == FATE_FOLDED)
        rollup_runner_put(f->rollups,
            rollup_runner_overflow(f->rollups, f->lifecycle, output->rollup), output->time_ms,
            output->value, true);
    return true;
}

bool folded_doubts(const struct folded *folded, struct rollup_series series)
{
    return rollup_runner_doubts(folded->rollups, series);
}

void folded_note(struct folded *folded, struct hash128 entity, const struct life_output *output,
    struct rollup_series series, int64_t generation)
{
    struct folded *f = folded;
    GROW(f->noted, f->noted_cap, f->n_noted + 1);
    f->noted[f->n_noted++] = (struct noted){key_of(f, entity, output), generation, series};
}

/* ---- writing ---- */

static bool has_changes(const struct folded *f)
{
    bool some = f->n_asked > 0;
    for (size_t i = 0; i < f->n_noted && !some; i++)
        some = rollup_runner_fate(f->rollups, f->noted[i].series) != FATE_OWN;
    return some;
}

static void drop_below(struct folded *f, struct txn *txn, int64_t gone)
{
    uint32_t table;
    if (folded_any(f) && find_table(f, &table))
        txn_state_drop_below(txn, table, gone);
}

bool folded_write(struct folded *folded, struct txn *txn, int64_t gone, struct err *err)
{
    struct folded *f = folded;
    uint32_t table;
    drop_below(f, txn, gone);
    state_reader_free(&f->reader); /* the table changes */
    if (!has_changes(f))
        return true;
    if (!txn_state_table(txn, slice_from(f->name), RECORD_BYTES, &table, err))
        return false;
    for (size_t i = 0; i < f->n_asked; i++)
        if (f->asked[i].taken && f->asked[i].generation >= gone)
            txn_state_delete(txn, table, f->asked[i].generation, f->asked[i].key);
    for (size_t i = 0; i < f->n_noted; i++) {
        const struct noted *n = &f->noted[i];
        uint8_t fate = (uint8_t)rollup_runner_fate(f->rollups, n->series);
        if (fate != FATE_OWN && n->generation >= gone)
            txn_state_put(txn, table, n->generation, n->key, &fate);
    }
    return true;
}

void folded_clear(struct folded *folded)
{
    folded->n_noted = folded->n_asked = 0;
    map_clear(&folded->by_key);
}
