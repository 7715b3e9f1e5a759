/*
 * Labels of many series, in order of the labels.
 *
 * Series share most of their pairs. So the distinct pairs are sorted by their text, once, and get a
 * rank; then a series is a short row of ranks, and rows compare as integers. The lock is held only
 * while rows and addresses of strings are copied.
 */
#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/catalog/catalog_priv.h"

#define AT_ONCE 1024 /* series or pairs that are copied under one lock */

struct described_pair {
    struct label label;
    size_t first, end; /* its uses, in description.uses */
    uint32_t id;
};

struct described {
    uint32_t *row; /* pair ids, then places in the order of text */
    uint32_t n, id;
    const struct metric_def *def;
};

struct description {
    struct described *series;
    size_t n;
    uint32_t *rows; /* of all series */
    size_t n_rows, rows_cap;
    uint64_t *uses; /* pair id << 32 | where in rows; by pair id */
    struct described_pair *pairs;
    size_t n_pairs, pairs_cap;
    uint64_t removals; /* of the catalogue when the rows were copied */
};

static void description_fini(struct description *d)
{
    free(d->series);
    free(d->rows);
    free(d->uses);
    free(d->pairs);
    *d = (struct description){0};
}

/* Copies the rows of up to AT_ONCE series; there is room for them. */
static void copy_some(
    struct catalog *catalog, const uint32_t *ids, size_t n_ids, struct description *d)
{
    enum { AHEAD = 8 };
    catalog_lock_read(catalog);
    for (size_t i = 0; i < n_ids; i++) {
        if (i + 2 * AHEAD < n_ids)
            catalog_prefetch(catalog, ids[i + 2 * AHEAD]);
        if (i + AHEAD < n_ids)
            __builtin_prefetch(catalog_row_of(catalog, ids[i + AHEAD]).pairs);
        struct catalog_row row = catalog_row_of(catalog, ids[i]);
        if (!row.pairs)
            continue;
        d->series[d->n++] =
            (struct described){.n = row.n, .id = ids[i], .def = catalog->metrics[row.metric]};
        memcpy(d->rows + d->n_rows, row.pairs, row.n * sizeof *d->rows);
        d->n_rows += row.n;
    }
    catalog_unlock(catalog);
}

/* Memory is made outside the lock. */
static void copy_rows(
    struct catalog *catalog, const uint32_t *ids, size_t n_ids, struct description *d)
{
    size_t at = 0;
    d->series = xreallocarray(NULL, n_ids, sizeof *d->series);
    catalog_lock_read(catalog);
    d->removals = catalog->removals;
    catalog_unlock(catalog);
    for (size_t i = 0; i < n_ids; i += AT_ONCE) {
        size_t n = n_ids - i < AT_ONCE ? n_ids - i : AT_ONCE;
        GROW(d->rows, d->rows_cap, d->n_rows + n * LABELS_MAX);
        copy_some(catalog, ids + i, n, d);
    }
    for (size_t i = 0; i < d->n; at += d->series[i++].n)
        d->series[i].row = d->rows + at;
}

/* By the upper half, stable: three passes over 11 bits each. Returns where the result is: one of
 * the two arrays. */
static uint64_t *radix_sort(uint64_t *keys, uint64_t *spare, size_t n)
{
    for (int shift = 32; shift < 64; shift += 11) {
        size_t counts[2048] = {0}, sum = 0;
        for (size_t i = 0; i < n; i++)
            counts[keys[i] >> shift & 2047]++;
        for (size_t i = 0; i < 2048; i++) {
            size_t c = counts[i];
            counts[i] = sum;
            sum += c;
        }
        for (size_t i = 0; i < n; i++)
            spare[counts[keys[i] >> shift & 2047]++] = keys[i];
        uint64_t *swap = keys;
        keys = spare;
        spare = swap;
    }
    return keys;
}

/* The distinct pairs, and where each is used. */
static void find_pairs(struct description *d)
{
    uint64_t *keys = xreallocarray(NULL, d->n_rows, sizeof *keys);
    uint64_t *spare = xreallocarray(NULL, d->n_rows, sizeof *spare);
    ensure(d->n_rows <= UINT32_MAX);
    for (size_t i = 0; i < d->n_rows; i++)
        keys[i] = (uint64_t)d->rows[i] << 32 | i;
    d->uses = radix_sort(keys, spare, d->n_rows);
    free(d->uses == keys ? spare : keys);
    for (size_t i = 0; i < d->n_rows; i++) {
        uint32_t id = (uint32_t)(d->uses[i] >> 32);
        if (d->n_pairs == 0 || d->pairs[d->n_pairs - 1].id != id) {
            GROW(d->pairs, d->pairs_cap, d->n_pairs + 1);
            d->pairs[d->n_pairs++] = (struct described_pair){.first = i, .id = id};
        }
        d->pairs[d->n_pairs - 1].end = i + 1;
    }
}

static struct label label_of(const struct catalog *catalog, uint32_t pair)
{
    return (struct label){
        catalog->names[catalog_pair_at(catalog, pair)->name].name, catalog_value(catalog, pair)};
}

/* False: series were removed since the rows were copied, so that pairs may be gone. */
static bool copy_strings(struct catalog *catalog, struct description *d)
{
    enum { AHEAD = 8 };
    bool ok = true;
    for (size_t i = 0; ok && i < d->n_pairs;) {
        size_t end = d->n_pairs - i < AT_ONCE ? d->n_pairs : i + AT_ONCE;
        catalog_lock_read(catalog);
        ok = catalog->removals == d->removals;
        for (; ok && i < end; i++) {
            if (i + AHEAD < end)
                __builtin_prefetch(catalog_pair_at(catalog, d->pairs[i + AHEAD].id));
            d->pairs[i].label = label_of(catalog, d->pairs[i].id);
            __builtin_prefetch(d->pairs[i].label.value.ptr); /* they are sorted next */
        }
        catalog_unlock(catalog);
    }
    return ok;
}

static int by_text(const void *a, const void *b)
{
    const struct label *x = &((const struct described_pair *)a)->label;
    const struct label *y = &((const struct described_pair *)b)->label;
    int c = x->name.ptr == y->name.ptr ? 0 : slice_cmp(x->name, y->name);
    return c ? c : slice_cmp(x->value, y->value);
}

/* Order of rows, which is that of labels_cmp: pair by pair, shorter first. */
static int by_row(const void *a, const void *b)
{
    const struct described *x = a, *y = b;
    for (uint32_t i = 0; i < x->n && i < y->n; i++)
        if (x->row[i] != y->row[i])
            return x->row[i] < y->row[i] ? -1 : 1;
    return (x->n > y->n) - (x->n < y->n);
}

static void sort(struct description *d)
{
    qsort(d->pairs, d->n_pairs, sizeof *d->pairs, by_text);
    for (size_t i = 0; i < d->n_pairs; i++)
        for (size_t u = d->pairs[i].first; u < d->pairs[i].end; u++)
            d->rows[(uint32_t)d->uses[u]] = (uint32_t)i;
    qsort(d->series, d->n, sizeof *d->series, by_row);
}

static bool emit(const struct description *d, struct arena *arena, struct catalog_entry **out)
{
    struct label *items = arena_array(arena, d->n_rows, sizeof *items);
    *out = arena_array(arena, d->n, sizeof **out);
    if (!items || !*out)
        return false;
    for (size_t i = 0; i < d->n; i++) {
        const struct described *s = &d->series[i];
        (*out)[i] = (struct catalog_entry){s->id, s->def, {items, s->n}};
        for (uint32_t k = 0; k < s->n; k++)
            *items++ = d->pairs[s->row[k]].label;
    }
    return true;
}

/* Everything but what is emitted: the series that are not dead, in order. */
static void describe(
    struct catalog *catalog, const uint32_t *ids, size_t n_ids, struct description *d)
{
    do {
        description_fini(d);
        copy_rows(catalog, ids, n_ids, d);
        find_pairs(d);
    } while (!copy_strings(catalog, d));
    if (d->n > 0)
        sort(d);
}

void catalog_order(struct catalog *catalog, uint32_t *ids, size_t *n)
{
    struct description d = {0};
    if (*n == 0)
        return;
    describe(catalog, ids, *n, &d);
    for (size_t i = 0; i < d.n; i++)
        ids[i] = d.series[i].id;
    *n = d.n;
    description_fini(&d);
}

bool catalog_describe(struct catalog *catalog, const uint32_t *ids, size_t n_ids,
    struct arena *arena, struct catalog_entry **out, size_t *n)
{
    struct description d = {0};
    *out = NULL;
    *n = 0;
    if (n_ids == 0)
        return true;
    describe(catalog, ids, n_ids, &d);
    bool ok = true;
    if (d.n > 0) {
        ok = emit(&d, arena, out);
        *n = ok ? d.n : 0;
    }
    description_fini(&d);
    return ok;
}
