/*
 * Label names and values: see metadata.h.
 *
 * A value counts when one of its series has a cell in the range. Values are tried in byte order, a
 * wave of them at a time: of each the first series that matches is looked at, then, for those that
 * had none, the next ones. So as many series are looked at as there are values in the answer, as a
 * rule, and not as there are series.
 *
 *     values, a heap by text   ->   wave: a b c ...   ->   one series of each   ->   presence
 *
 * Names likewise: a series is looked at when it has a name that is not known yet.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/metadata.h"
#include "store/presence.h"
#include "store/snapshot_priv.h"

/* The first wave, and the first look at series for their names: what a short answer needs. */
#define FIRST_LOOK 16

/* Ids that all matchers match; *ids NULL when there are no matchers, and so all do. */
static bool select_ids(struct store *store, const struct listing *l, struct arena *arena,
    uint32_t **ids, size_t *n, bool *all, struct err *err)
{
    size_t n_matchers;
    const struct matcher **m =
        matchers_of(arena, l->scope, l->matchers, l->n_matchers, &n_matchers);
    *ids = NULL;
    *n = 0;
    *all = n_matchers == 0;
    if (!m)
        return snapshot_full(err);
    return *all ||
           catalog_select_until(&store->catalog, m, n_matchers, l->cancel, arena, ids, n, err);
}

/* ---- values ---- */

struct value {
    struct slice text;
    uint32_t pair;
    uint32_t at, end; /* its uses; of all series: at is the least id that was not looked at */
    bool has;
};

struct values {
    struct store *store;
    struct presence presence;
    struct arena arena;
    struct value *heap;
    size_t n, cap;
    struct catalog_use *uses; /* of the series that match, by pair, then id; NULL: all series */
    size_t n_uses;
};

static bool is_less(const struct value *a, const struct value *b)
{
    return slice_cmp(a->text, b->text) < 0;
}

static void sink(struct value *heap, size_t n, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_less(&heap[child + 1], &heap[child]))
            child++;
        if (!is_less(&heap[child], &heap[at]))
            return;
        struct value v = heap[at];
        heap[at] = heap[child];
        heap[child] = v;
    }
}

static struct value pop(struct values *v)
{
    struct value least = v->heap[0];
    v->heap[0] = v->heap[--v->n];
    sink(v->heap, v->n, 0);
    return least;
}

static void add_value(struct values *v, const struct value *value)
{
    GROW(v->heap, v->cap, v->n + 1);
    v->heap[v->n++] = *value;
}

static int by_pair(const void *a, const void *b)
{
    const struct catalog_use *x = a, *y = b;
    return x->pair != y->pair ? (x->pair > y->pair) - (x->pair < y->pair)
                              : (x->id > y->id) - (x->id < y->id);
}

static void find_all(struct values *v, struct slice name)
{
    struct catalog_values *next = xmalloc(sizeof *next);
    for (int64_t last = -1; catalog_values_next(&v->store->catalog, name, last, next);)
        for (size_t i = 0; i < next->n; i++) {
            last = next->pairs[i];
            add_value(v, &(struct value){.text = next->text[i], .pair = next->pairs[i]});
        }
    free(next);
}

static void find_of(struct values *v, struct slice name, const uint32_t *ids, size_t n)
{
    v->uses = xreallocarray(NULL, n + 1, sizeof *v->uses);
    v->n_uses = catalog_uses(&v->store->catalog, name, ids, n, v->uses);
    if (v->n_uses)
        qsort(v->uses, v->n_uses, sizeof *v->uses, by_pair);
    for (size_t i = 0; i < v->n_uses;) {
        size_t end = i;
        while (end < v->n_uses && v->uses[end].pair == v->uses[i].pair)
            end++;
        add_value(v, &(struct value){.text = v->uses[i].text,
                         .pair = v->uses[i].pair,
                         .at = (uint32_t)i,
                         .end = (uint32_t)end});
        i = end;
    }
}

/* The next series of a value, at most max; 0: there are no more. */
static size_t take_ids(struct values *v, struct value *value, uint32_t *out, size_t max)
{
    size_t n = 0;
    if (v->uses) {
        for (; n < max && value->at < value->end; value->at++)
            out[n++] = v->uses[value->at].id;
        return n;
    }
    n = catalog_pair_ids(&v->store->catalog, value->pair, value->at, out, max);
    if (n)
        value->at = out[n - 1] + 1;
    return n;
}

/* Whose a series is in a look. */
struct owner {
    uint32_t id, value;
};

static int by_id(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* One look, at up to `each` series of every value of the wave that has none yet. *open: how many
 * had series left to look at. */
static bool look(
    struct values *v, struct value *wave, size_t n, size_t each, size_t *open, struct err *err)
{
    uint32_t ids[PRESENCE_BATCH];
    struct owner owners[PRESENCE_BATCH];
    struct present *found;
    size_t n_ids = 0, n_found;
    *open = 0;
    for (size_t i = 0; i < n && n_ids < PRESENCE_BATCH; i++) {
        size_t room = PRESENCE_BATCH - n_ids;
        size_t taken =
            wave[i].has ? 0 : take_ids(v, &wave[i], ids + n_ids, each < room ? each : room);
        for (size_t k = 0; k < taken; k++, n_ids++)
            owners[n_ids] = (struct owner){ids[n_ids], (uint32_t)i};
        *open += taken > 0;
    }
    if (n_ids == 0)
        return true;
    qsort(owners, n_ids, sizeof *owners, by_id);
    if (!presence_look(&v->presence, ids, n_ids, &found, &n_found, err))
        return false;
    for (size_t i = 0; i < n_found; i++) {
        const struct owner *owner =
            bsearch(&(struct owner){found[i].id, 0}, owners, n_ids, sizeof *owners, by_id);
        wave[owner->value].has |= found[i].has;
    }
    return true;
}

static bool try_wave(struct values *v, struct value *wave, size_t n, struct err *err)
{
    size_t open = n;
    for (size_t each = 1; open > 0; each = each < PRESENCE_BATCH ? each * 2 : each)
        if (!look(v, wave, n, each, &open, err))
            return false;
    return true;
}

static bool emit(struct values *v, text_f *each, void *ctx, struct err *err)
{
    struct value wave[PRESENCE_BATCH / 2];
    bool more = true;
    if (v->n > 1)
        for (size_t i = v->n / 2; i-- > 0;)
            sink(v->heap, v->n, i);
    for (size_t width = FIRST_LOOK; more && v->n > 0; width *= 2) {
        size_t n = 0;
        width = width < PRESENCE_BATCH / 2 ? width : PRESENCE_BATCH / 2;
        while (n < width && v->n > 0)
            wave[n++] = pop(v);
        if (!try_wave(v, wave, n, err))
            return false;
        for (size_t i = 0; more && i < n; i++)
            more = !wave[i].has || each(ctx, wave[i].text);
    }
    return true;
}

bool store_label_values(struct store *store, const struct listing *listing, struct slice name,
    text_f *each, void *ctx, struct err *err)
{
    struct values v = {.store = store};
    uint32_t *ids;
    size_t n;
    bool all;
    unsigned pin = catalog_pin(&store->catalog);
    arena_init(&v.arena, 0);
    presence_begin(&v.presence, store, listing);
    bool ok = select_ids(store, listing, &v.arena, &ids, &n, &all, err);
    if (ok && all)
        find_all(&v, name);
    else if (ok)
        find_of(&v, name, ids, n);
    ok = ok && emit(&v, each, ctx, err);
    presence_end(&v.presence);
    arena_fini(&v.arena);
    catalog_unpin(&store->catalog, pin);
    free(v.heap);
    free(v.uses);
    return ok;
}

/* ---- names ---- */

struct names {
    struct slice *names; /* by id; the catalogue's for good; .ptr NULL: no series has it any more */
    bool *known;         /* it counts */
    size_t n, open;      /* how many are not known */
};

static void learn(struct names *names, struct labels labels)
{
    for (size_t i = 0; i < labels.n; i++)
        for (size_t k = 0; k < names->n; k++)
            if (names->names[k].ptr == labels.items[i].name.ptr && !names->known[k]) {
                names->known[k] = true;
                names->open--;
            }
}

/* ids NULL: all series. */
static bool find_names(struct store *store, const struct listing *listing, const uint32_t *ids,
    size_t n, struct names *names, struct err *err)
{
    uint32_t batch[PRESENCE_BATCH];
    struct presence presence;
    struct present *found;
    size_t n_batch = 1, n_found, at = 0;
    bool ok = true;
    presence_begin(&presence, store, listing);
    for (size_t width = FIRST_LOOK; ok && names->open > 0 && n_batch > 0; width *= 2) {
        width = width < PRESENCE_BATCH ? width : PRESENCE_BATCH;
        n_batch = catalog_with_other_names(
            &store->catalog, ids, n, &at, names->known, names->n, batch, width);
        ok = n_batch == 0 || presence_look(&presence, batch, n_batch, &found, &n_found, err);
        for (size_t i = 0; ok && n_batch > 0 && i < n_found; i++)
            if (found[i].has)
                learn(names, found[i].labels);
    }
    presence_end(&presence);
    return ok;
}

static int by_text(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

bool store_label_names(
    struct store *store, const struct listing *listing, text_f *each, void *ctx, struct err *err)
{
    struct names names = {0};
    struct arena arena;
    uint32_t *ids;
    size_t n, kept = 0;
    bool all;
    arena_init(&arena, 0);
    names.n = catalog_names(&store->catalog, &names.names);
    names.known = xcalloc(names.n, sizeof *names.known);
    for (size_t i = 0; i < names.n; i++)
        names.open += names.names[i].ptr != NULL;
    bool ok = select_ids(store, listing, &arena, &ids, &n, &all, err) &&
              ((!all && n == 0) || find_names(store, listing, ids, n, &names, err));
    for (size_t i = 0; i < names.n; i++)
        if (names.known[i])
            names.names[kept++] = names.names[i];
    if (kept)
        qsort(names.names, kept, sizeof *names.names, by_text);
    for (size_t i = 0; ok && i < kept && each(ctx, names.names[i]); i++)
        ;
    arena_fini(&arena);
    free(names.names);
    free(names.known);
    return ok;
}
