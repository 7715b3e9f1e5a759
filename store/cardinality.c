/* How many series each metric, label and pair has: see metadata.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/metadata.h"
#include "store/snapshot_priv.h"

/* So often it is looked whether the call was canceled. */
#define LOOK_MS 20

/* The greatest counts so far: a heap with the least of them on top. */
struct top {
    struct label_count *items;
    size_t n, max;
};

/* Of equal counts the one that comes first in byte order is the greater. */
static int compare(const struct label_count *a, const struct label_count *b)
{
    if (a->n != b->n)
        return a->n > b->n ? 1 : -1;
    int c = slice_cmp(b->name, a->name);
    return c ? c : slice_cmp(b->value, a->value);
}

static void swap(struct label_count *a, struct label_count *b)
{
    struct label_count x = *a;
    *a = *b;
    *b = x;
}

static void sink(struct top *top)
{
    for (size_t at = 0, child; (child = 2 * at + 1) < top->n; at = child) {
        if (child + 1 < top->n && compare(&top->items[child + 1], &top->items[child]) < 0)
            child++;
        if (compare(&top->items[child], &top->items[at]) >= 0)
            return;
        swap(&top->items[child], &top->items[at]);
    }
}

static void top_add(struct top *top, struct label_count count)
{
    if (top->n == top->max) {
        if (top->max == 0 || compare(&count, &top->items[0]) <= 0)
            return;
        top->items[0] = count;
        sink(top);
        return;
    }
    size_t at = top->n++;
    top->items[at] = count;
    for (size_t up; at > 0 && compare(&top->items[at], &top->items[up = (at - 1) / 2]) < 0; at = up)
        swap(&top->items[at], &top->items[up]);
}

static int greatest_first(const void *a, const void *b)
{
    return -compare(a, b);
}

struct counting {
    const uint32_t *counts; /* by pair */
    uint64_t *values, *bytes;
    struct slice *names; /* by label name's id; pairs' names are below n_names */
    size_t n_names;
    struct top metrics, pairs;
    uint64_t n_pairs;
};

static void count_pair(
    void *ctx, uint32_t pair, uint32_t name, struct slice name_text, struct slice value)
{
    struct counting *c = ctx;
    uint32_t n = c->counts[pair];
    if (n == 0 || name >= c->n_names)
        return;
    c->n_pairs++;
    c->values[name]++;
    c->bytes[name] += (uint64_t)n * value.len;
    top_add(&c->pairs, (struct label_count){name_text, value, n});
    if (slice_eq(name_text, SLICE(LABEL_METRIC_NAME)))
        top_add(&c->metrics, (struct label_count){value, {"", 0}, n});
}

/* Sorts a list and gives its strings to the arena. */
static bool finish(
    struct top *top, struct arena *arena, struct label_count **out, size_t *n, struct err *err)
{
    if (top->n)
        qsort(top->items, top->n, sizeof *top->items, greatest_first);
    for (size_t i = 0; i < top->n; i++) {
        top->items[i].name = arena_slice(arena, top->items[i].name);
        top->items[i].value = arena_slice(arena, top->items[i].value);
        if (!top->items[i].name.ptr || !top->items[i].value.ptr)
            return snapshot_full(err);
    }
    *out = top->items;
    *n = top->n;
    return true;
}

static bool top_init(struct top *top, size_t most, size_t there, struct arena *arena)
{
    *top = (struct top){.max = most < there ? most : there};
    top->items = arena_array(arena, top->max, sizeof *top->items);
    return top->items != NULL;
}

/* The lists by label. */
static bool count_labels(
    struct counting *c, size_t most, struct arena *arena, struct cardinality *out, struct err *err)
{
    struct top values, bytes;
    if (!top_init(&values, most, c->n_names, arena) || !top_init(&bytes, most, c->n_names, arena))
        return snapshot_full(err);
    for (size_t i = 0; i < c->n_names; i++) {
        if (c->values[i] == 0)
            continue;
        out->label_names++;
        top_add(&values, (struct label_count){c->names[i], {"", 0}, c->values[i]});
        top_add(&bytes, (struct label_count){c->names[i], {"", 0}, c->bytes[i]});
    }
    return finish(&values, arena, &out->values, &out->n_values, err) &&
           finish(&bytes, arena, &out->bytes, &out->n_bytes, err);
}

static bool count_all(struct counting *c, struct catalog *catalog, size_t n_pairs, size_t most,
    struct arena *arena, struct cardinality *out, struct err *err)
{
    if (!top_init(&c->metrics, most, n_pairs, arena) || !top_init(&c->pairs, most, n_pairs, arena))
        return snapshot_full(err);
    catalog_each_pair(catalog, n_pairs, count_pair, c);
    out->label_pairs = c->n_pairs;
    return finish(&c->metrics, arena, &out->metrics, &out->n_metrics, err) &&
           finish(&c->pairs, arena, &out->pairs, &out->n_pairs, err) &&
           count_labels(c, most, arena, out, err);
}

/* The series of a scope with matchers; *ids NULL: all. */
static bool in_scope(struct catalog *catalog, const struct scope *scope, struct arena *arena,
    uint32_t **ids, size_t *n, struct err *err)
{
    static uint32_t none[1];
    size_t n_matchers;
    const struct matcher **m = matchers_of(arena, scope, NULL, 0, &n_matchers);
    *ids = NULL;
    *n = 0;
    if (!m)
        return snapshot_full(err);
    if (n_matchers && !catalog_select(catalog, m, n_matchers, arena, ids, n, err))
        return false;
    if (n_matchers && !*ids)
        *ids = none;
    return true;
}

static void widen(struct cardinality *out, int64_t min, int64_t max)
{
    out->min_ms = min < out->min_ms ? min : out->min_ms;
    out->max_ms = max > out->max_ms ? max : out->max_ms;
}

/* What there is of cells. */
static void describe_cells(struct store *store, struct cardinality *out)
{
    out->min_ms = INT64_MAX;
    out->max_ms = INT64_MIN;
    store_lock_read(store);
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct segment_info *info = segment_info(store->segments[i].segment);
        out->chunks += store->segments[i].derived ? 0 : info->chunks;
        widen(out, info->min_t, info->max_t);
    }
    if (store->frozen) {
        const struct head_block *block = store->frozen->block;
        widen(out, block->start + 1, block->start + block->ms);
    }
    for (size_t i = 0; i < store->head.n_blocks; i++) {
        const struct head_block *block = store->head.blocks[i];
        widen(out, block->start + 1, block->start + block->ms);
    }
    store_unlock(store);
}

/* The head is as it will be: only then it is known where cells lie. */
static bool await_head(struct store *store, const atomic_bool *cancel, struct err *err)
{
    while (!store_await_replay(store, LOOK_MS, err)) {
        if (err->code != ERR_TIMEOUT)
            return false;
        if (cancel && atomic_load(cancel))
            return err_set(err, ERR_CANCELED, "query was canceled");
    }
    return true;
}

bool store_cardinality(struct store *store, const struct scope *scope, size_t most,
    const atomic_bool *cancel, struct arena *arena, struct cardinality *out, struct err *err)
{
    struct catalog *catalog = &store->catalog;
    struct counting c = {0};
    struct arena scratch;
    uint32_t *ids, *counts = NULL;
    size_t n_ids, n_pairs = 0;
    *out = (struct cardinality){0};
    if (!await_head(store, cancel, err))
        return false;
    unsigned pin = catalog_pin(catalog);
    describe_cells(store, out);
    arena_init(&scratch, 0);
    bool ok = in_scope(catalog, scope, &scratch, &ids, &n_ids, err);
    if (ok) {
        out->series = catalog_count_pairs(catalog, ids, n_ids, &counts, &n_pairs);
        c.n_names = catalog_names(catalog, &c.names);
        c.values = xcalloc(c.n_names, sizeof *c.values);
        c.bytes = xcalloc(c.n_names, sizeof *c.bytes);
        c.counts = counts;
        ok = count_all(&c, catalog, n_pairs, most, arena, out, err);
    }
    catalog_unpin(catalog, pin);
    arena_fini(&scratch);
    free(counts);
    free(c.names);
    free(c.values);
    free(c.bytes);
    return ok;
}
