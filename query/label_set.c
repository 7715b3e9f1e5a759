#include "query/label_set.h"

#include <string.h>

#include "query/quote.h"

static bool is_named(const struct label_pick *pick, struct slice name)
{
    for (size_t i = 0; i < pick->n; i++)
        if (slice_eq(pick->names[i], name))
            return true;
    return false;
}

static bool stays(const struct label_pick *pick, struct slice name)
{
    if (pick->keep)
        return is_named(pick, name);
    return !is_named(pick, name) && !(pick->drop_name && slice_is(name, LABEL_METRIC_NAME));
}

static size_t pick_into(struct labels labels, const struct label_pick *pick, struct label *out)
{
    size_t n = 0;
    for (size_t i = 0; i < labels.n; i++)
        if (stays(pick, labels.items[i].name))
            out[n++] = labels.items[i];
    return n;
}

bool labels_pick(
    struct arena *arena, struct labels labels, const struct label_pick *pick, struct labels *out)
{
    size_t n = 0;
    for (size_t i = 0; i < labels.n; i++)
        n += stays(pick, labels.items[i].name);
    *out = labels;
    if (n == labels.n)
        return true;
    struct label *items = arena_array(arena, n, sizeof *items);
    if (!items)
        return false;
    *out = (struct labels){items, pick_into(labels, pick, items)};
    return true;
}

bool labels_with(struct arena *arena, struct labels labels, struct slice name, struct slice value,
    struct labels *out)
{
    struct label *items = arena_array(arena, labels.n + 1, sizeof *items);
    if (!items)
        return false;
    size_t n = 0, i = 0;
    for (; i < labels.n && slice_cmp(labels.items[i].name, name) < 0; i++)
        items[n++] = labels.items[i];
    if (value.len)
        items[n++] = (struct label){name, value};
    if (i < labels.n && slice_eq(labels.items[i].name, name))
        i++;
    for (; i < labels.n; i++)
        items[n++] = labels.items[i];
    *out = (struct labels){items, n};
    return true;
}

void labels_text(struct labels labels, struct buf *out)
{
    buf_char(out, '{');
    for (size_t i = 0; i < labels.n; i++) {
        if (i)
            buf_str(out, ", ");
        if (label_name_is_plain(labels.items[i].name))
            buf_slice(out, labels.items[i].name);
        else
            quote_text(labels.items[i].name, out);
        buf_char(out, '=');
        quote_text(labels.items[i].value, out);
    }
    buf_char(out, '}');
}

/* ---- numbering ---- */

void label_ids_init(struct label_ids *ids, struct arena *arena)
{
    *ids = (struct label_ids){.arena = arena};
    map_init(&ids->map);
}

void label_ids_fini(struct label_ids *ids)
{
    map_fini(&ids->map);
}

static bool set_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct label_ids *ids = ctx;
    const struct labels *labels = key;
    struct labels have = ids->sets[id];
    if (have.n != labels->n)
        return false;
    for (size_t i = 0; i < have.n; i++)
        if (!slice_eq(have.items[i].name, labels->items[i].name) ||
            !slice_eq(have.items[i].value, labels->items[i].value))
            return false;
    return true;
}

static bool sets_grow(struct label_ids *ids)
{
    if (ids->n < ids->cap)
        return true;
    size_t cap = ids->cap ? ids->cap * 2 : 16;
    struct labels *sets = arena_array(ids->arena, cap, sizeof *sets);
    if (!sets)
        return false;
    if (ids->n)
        memcpy(sets, ids->sets, ids->n * sizeof *sets);
    ids->sets = sets;
    ids->cap = cap;
    return true;
}

/* borrowed: the items are the scratch array, which a new set must not keep. */
static bool put(struct label_ids *ids, struct labels labels, bool borrowed, uint32_t *id)
{
    uint64_t hash = labels_hash(labels);
    *id = map_find(&ids->map, hash, set_matches, ids, &labels);
    if (*id != MAP_NONE)
        return true;
    if (!sets_grow(ids))
        return false;
    if (borrowed && labels.n) {
        struct label *items = arena_array(ids->arena, labels.n, sizeof *items);
        if (!items)
            return false;
        memcpy(items, labels.items, labels.n * sizeof *items);
        labels.items = items;
    }
    *id = (uint32_t)ids->n;
    ids->sets[ids->n++] = labels;
    map_insert(&ids->map, hash, *id);
    return true;
}

bool label_ids_put(struct label_ids *ids, struct labels labels, uint32_t *id)
{
    return put(ids, labels, false, id);
}

bool label_ids_pick(
    struct label_ids *ids, struct labels labels, const struct label_pick *pick, uint32_t *id)
{
    if (labels.n > ids->scratch_cap) {
        ids->scratch_cap = labels.n * 2;
        ids->scratch = arena_array(ids->arena, ids->scratch_cap, sizeof *ids->scratch);
        if (!ids->scratch) {
            ids->scratch_cap = 0;
            return false;
        }
    }
    return put(ids, (struct labels){ids->scratch, pick_into(labels, pick, ids->scratch)}, true, id);
}
