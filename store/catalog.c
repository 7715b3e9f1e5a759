#include "store/catalog.h"

#include <stdlib.h>

#include "base/checksum.h"
#include "base/ensure.h"
#include "base/mem.h"

struct pair_key {
    uint32_t name;
    struct slice value;
};

void catalog_init(struct catalog *catalog)
{
    *catalog = (struct catalog){0};
    arena_init(&catalog->strings, 0);
}

void catalog_fini(struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->n_names; i++)
        free(catalog->names[i].pairs);
    for (size_t i = 0; i < catalog->n_pairs; i++)
        free(catalog->pairs[i].series);
    free(catalog->metrics);
    free(catalog->names);
    free(catalog->pairs);
    free(catalog->series);
    map_fini(&catalog->metric_map);
    map_fini(&catalog->name_map);
    map_fini(&catalog->pair_map);
    map_fini(&catalog->series_map);
    arena_fini(&catalog->strings);
}

static bool metric_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct catalog *c = ctx;
    return slice_eq(c->metrics[id]->name, *(const struct slice *)key);
}

static bool name_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct catalog *c = ctx;
    return slice_eq(c->names[id].name, *(const struct slice *)key);
}

static bool pair_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct catalog *c = ctx;
    const struct pair_key *k = key;
    return c->pairs[id].name == k->name && slice_eq(c->pairs[id].value, k->value);
}

static bool series_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct catalog *c = ctx;
    const struct labels *labels = key;
    const struct catalog_series *s = &c->series[id];
    if (s->n_pairs != labels->n)
        return false;
    for (size_t i = 0; i < labels->n; i++) {
        const struct catalog_pair *p = &c->pairs[s->pairs[i]];
        if (!slice_eq(p->value, labels->items[i].value) ||
            !slice_eq(c->names[p->name].name, labels->items[i].name))
            return false;
    }
    return true;
}

static uint64_t slice_hash(struct slice s)
{
    return hash64(s.ptr, s.len);
}

static uint64_t pair_hash(const struct pair_key *key)
{
    return slice_hash(key->value) + key->name * 0x9e3779b97f4a7c15u;
}

uint32_t catalog_find_metric(const struct catalog *catalog, struct slice name)
{
    return map_find(&catalog->metric_map, slice_hash(name), metric_matches, catalog, &name);
}

uint32_t catalog_find_series(const struct catalog *catalog, struct labels labels)
{
    return map_find(&catalog->series_map, labels_hash(labels), series_matches, catalog, &labels);
}

static const struct metric_def *keep_metric(struct catalog *catalog, const struct metric_def *def)
{
    struct metric_def *kept = arena_alloc(&catalog->strings, sizeof *kept);
    *kept = *def;
    kept->name = arena_slice(&catalog->strings, def->name);
    kept->clock = arena_slice(&catalog->strings, def->clock);
    kept->help = arena_slice(&catalog->strings, def->help);
    kept->unit = arena_slice(&catalog->strings, def->unit);
    return kept;
}

uint32_t catalog_add_metric(struct catalog *catalog, const struct metric_def *def)
{
    ensure(catalog->n_metrics < MAP_NONE);
    uint32_t id = (uint32_t)catalog->n_metrics;
    GROW(catalog->metrics, catalog->metrics_cap, catalog->n_metrics + 1);
    catalog->metrics[catalog->n_metrics++] = keep_metric(catalog, def);
    map_insert(&catalog->metric_map, slice_hash(def->name), id);
    return id;
}

void catalog_update_metric(struct catalog *catalog, uint32_t metric, const struct metric_def *def)
{
    struct metric_def next = *catalog->metrics[metric];
    next.clock = def->clock;
    next.help = def->help;
    next.unit = def->unit;
    next.stale_after_ms = def->stale_after_ms;
    catalog->metrics[metric] = keep_metric(catalog, &next);
}

static uint32_t intern_name(struct catalog *catalog, struct slice name)
{
    uint32_t id = map_find(&catalog->name_map, slice_hash(name), name_matches, catalog, &name);
    if (id != MAP_NONE)
        return id;
    id = (uint32_t)catalog->n_names;
    GROW(catalog->names, catalog->names_cap, catalog->n_names + 1);
    catalog->names[catalog->n_names++] =
        (struct catalog_name){.name = arena_slice(&catalog->strings, name)};
    map_insert(&catalog->name_map, slice_hash(name), id);
    return id;
}

static uint32_t intern_pair(struct catalog *catalog, struct label label)
{
    struct pair_key key = {intern_name(catalog, label.name), label.value};
    uint32_t id = map_find(&catalog->pair_map, pair_hash(&key), pair_matches, catalog, &key);
    if (id != MAP_NONE)
        return id;
    id = (uint32_t)catalog->n_pairs;
    GROW(catalog->pairs, catalog->pairs_cap, catalog->n_pairs + 1);
    catalog->pairs[catalog->n_pairs++] = (struct catalog_pair){
        .name = key.name, .value = arena_slice(&catalog->strings, label.value)};
    map_insert(&catalog->pair_map, pair_hash(&key), id);
    struct catalog_name *name = &catalog->names[key.name];
    GROW(name->pairs, name->pairs_cap, name->n_pairs + 1);
    name->pairs[name->n_pairs++] = id;
    return id;
}

uint32_t catalog_add_series(struct catalog *catalog, uint32_t metric, struct labels labels)
{
    ensure(catalog->n_series < MAP_NONE);
    uint32_t id = (uint32_t)catalog->n_series;
    uint32_t *pairs = arena_array(&catalog->strings, labels.n, sizeof *pairs);
    for (size_t i = 0; i < labels.n; i++) {
        pairs[i] = intern_pair(catalog, labels.items[i]);
        struct catalog_pair *p = &catalog->pairs[pairs[i]];
        GROW(p->series, p->series_cap, p->n_series + 1);
        p->series[p->n_series++] = id;
    }
    GROW(catalog->series, catalog->series_cap, catalog->n_series + 1);
    catalog->series[catalog->n_series++] =
        (struct catalog_series){metric, (uint32_t)labels.n, pairs};
    map_insert(&catalog->series_map, labels_hash(labels), id);
    return id;
}

struct labels catalog_labels(const struct catalog *catalog, uint32_t series, struct arena *arena)
{
    const struct catalog_series *s = &catalog->series[series];
    struct label *items = arena_array(arena, s->n_pairs, sizeof *items);
    if (!items)
        return (struct labels){NULL, 0};
    for (uint32_t i = 0; i < s->n_pairs; i++) {
        const struct catalog_pair *p = &catalog->pairs[s->pairs[i]];
        items[i] = (struct label){catalog->names[p->name].name, p->value};
    }
    return (struct labels){items, s->n_pairs};
}

/* ---- selection ---- */

bool matcher_matches(const struct matcher *matcher, struct slice value)
{
    switch (matcher->op) {
    case MATCH_EQUAL: return slice_eq(matcher->value, value);
    case MATCH_NOT_EQUAL: return !slice_eq(matcher->value, value);
    case MATCH_REGEX: return regex_match(matcher->regex, value);
    case MATCH_NOT_REGEX: return !regex_match(matcher->regex, value);
    }
    unreachable("match_op");
}

/* A matcher, resolved: which pairs of its name it accepts, and whether a series without the label.
 */
struct resolved {
    uint32_t name;      /* MAP_NONE: no series has the label */
    bool absent;        /* accepts series that do not have the label */
    bool *accepts;      /* by position in the name's pairs; NULL for an equality */
    uint32_t only_pair; /* equality: the one pair, or MAP_NONE */
    size_t candidates;  /* series that have an accepted pair */
};

static bool resolve(const struct catalog *catalog, const struct matcher *m, struct arena *arena,
    struct resolved *out)
{
    *out = (struct resolved){.only_pair = MAP_NONE, .absent = matcher_matches(m, SLICE(""))};
    out->name = map_find(&catalog->name_map, slice_hash(m->name), name_matches, catalog, &m->name);
    if (out->name == MAP_NONE)
        return true;
    if (m->op == MATCH_EQUAL) {
        struct pair_key key = {out->name, m->value};
        out->only_pair = map_find(&catalog->pair_map, pair_hash(&key), pair_matches, catalog, &key);
        if (out->only_pair != MAP_NONE)
            out->candidates = catalog->pairs[out->only_pair].n_series;
        return true;
    }
    const struct catalog_name *name = &catalog->names[out->name];
    out->accepts = arena_array(arena, name->n_pairs, sizeof *out->accepts);
    if (!out->accepts)
        return false;
    for (size_t i = 0; i < name->n_pairs; i++) {
        const struct catalog_pair *p = &catalog->pairs[name->pairs[i]];
        out->accepts[i] = matcher_matches(m, p->value);
        if (out->accepts[i])
            out->candidates += p->n_series;
    }
    return true;
}

static bool series_accepted(
    const struct catalog *catalog, const struct resolved *r, const struct catalog_series *s)
{
    if (r->name == MAP_NONE)
        return r->absent;
    for (uint32_t i = 0; i < s->n_pairs; i++) {
        uint32_t pair = s->pairs[i];
        if (catalog->pairs[pair].name != r->name)
            continue;
        if (!r->accepts)
            return pair == r->only_pair;
        /* A name's pairs are in order of their ids. */
        const struct catalog_name *name = &catalog->names[r->name];
        size_t lo = 0, hi = name->n_pairs;
        while (lo < hi) {
            size_t mid = (lo + hi) / 2;
            if (name->pairs[mid] < pair)
                lo = mid + 1;
            else
                hi = mid;
        }
        return r->accepts[lo];
    }
    return r->absent;
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The series that have a pair that r accepts, ascending: a label has one value in a series, so none
 * comes twice. */
static uint32_t *candidates_of(
    const struct catalog *catalog, const struct resolved *r, struct arena *arena)
{
    uint32_t *ids = arena_array(arena, r->candidates, sizeof *ids);
    size_t n = 0;
    if (!ids)
        return NULL;
    if (!r->accepts) {
        const struct catalog_pair *p = &catalog->pairs[r->only_pair];
        for (size_t i = 0; i < p->n_series; i++)
            ids[n++] = p->series[i];
        return ids;
    }
    const struct catalog_name *name = &catalog->names[r->name];
    for (size_t i = 0; i < name->n_pairs; i++) {
        const struct catalog_pair *p = &catalog->pairs[name->pairs[i]];
        for (size_t k = 0; r->accepts[i] && k < p->n_series; k++)
            ids[n++] = p->series[k];
    }
    qsort(ids, n, sizeof *ids, by_id);
    return ids;
}

bool catalog_select(const struct catalog *catalog, const struct matcher *const *matchers,
    size_t n_matchers, struct arena *arena, uint32_t **out, size_t *n, struct err *err)
{
    const char *full = "selecting series needs more memory than the query is allowed";
    struct resolved *r = arena_array(arena, n_matchers, sizeof *r);
    size_t best = n_matchers;
    *out = NULL;
    *n = 0;
    if (!r)
        return err_set(err, ERR_LIMIT, "%s", full);
    for (size_t i = 0; i < n_matchers; i++) {
        if (!resolve(catalog, matchers[i], arena, &r[i]))
            return err_set(err, ERR_LIMIT, "%s", full);
        if (!r[i].absent && (best == n_matchers || r[i].candidates < r[best].candidates))
            best = i;
    }
    size_t n_candidates = best < n_matchers ? r[best].candidates : catalog->n_series;
    if (n_candidates == 0)
        return true;
    uint32_t *ids = best < n_matchers ? candidates_of(catalog, &r[best], arena)
                                      : arena_array(arena, n_candidates, sizeof *ids);
    if (!ids)
        return err_set(err, ERR_LIMIT, "%s", full);
    size_t kept = 0;
    for (size_t i = 0; i < n_candidates; i++) {
        uint32_t id = best < n_matchers ? ids[i] : (uint32_t)i;
        bool ok = true;
        for (size_t k = 0; ok && k < n_matchers; k++)
            ok = k == best || series_accepted(catalog, &r[k], &catalog->series[id]);
        if (ok)
            ids[kept++] = id;
    }
    *out = ids;
    *n = kept;
    return true;
}

bool catalog_matches(const struct catalog *catalog, uint32_t series,
    const struct matcher *const *matchers, size_t n_matchers)
{
    const struct catalog_series *s = &catalog->series[series];
    for (size_t i = 0; i < n_matchers; i++) {
        struct slice value = {"", 0};
        for (uint32_t k = 0; k < s->n_pairs; k++) {
            const struct catalog_pair *p = &catalog->pairs[s->pairs[k]];
            if (slice_eq(catalog->names[p->name].name, matchers[i]->name))
                value = p->value;
        }
        if (!matcher_matches(matchers[i], value))
            return false;
    }
    return true;
}
