/*
 * Selecting series.
 *
 *     resolve   every matcher becomes a set of pairs that a series must have one of, or none of.
 *               Equalities and regular expressions that are lists of words look their pairs up;
 *               others are tried on every value of their label, with the lock released meanwhile.
 *     gather    the series of the smallest set that must be had.
 *     filter    what the other sets say: by walking a pair's list beside the candidates when it is
 *               not much longer than they are many, else by looking at the candidates' rows.
 *
 * Work under the lock is counted; it is released and taken again in between. Series that come
 * meanwhile do no harm: lists grow at their ends only. When series were removed meanwhile, the
 * selection starts again.
 */
#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/catalog/catalog_priv.h"

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

/* A matcher, resolved. */
struct choice {
    bool needs;      /* a pair of the set; else the series must have none of them */
    uint32_t *pairs; /* ascending */
    size_t n, cap;
    uint64_t *bits;  /* of a set of more than a few: by pair id less the first */
    uint64_t series; /* that have a pair of the set */
    bool done;       /* it says nothing more */
};

/* One selection, and the lock. */
struct selection {
    struct catalog *catalog;
    struct choice *choices;
    size_t n_choices, n_series;
    uint64_t removals; /* of the catalogue when it began */
    unsigned work;     /* done since the lock was taken */
    uint64_t *bits;    /* of a union, by series id */
    size_t n_bits;
    const atomic_bool *cancel;
    bool canceled, restart;
};

/* About half a millisecond, at 10 to 50 ns for a unit. What is looked up anywhere in memory is
 * several. */
#define WORK_MAX  16384
#define WORK_PAIR 4
#define WORK_ROW  6
#define WORK_SEEK 4

/* It ends as if it had to start again. */
static bool is_canceled(struct selection *s)
{
    s->canceled |= s->cancel && atomic_load_explicit(s->cancel, memory_order_relaxed);
    return s->canceled;
}

static bool breathe(struct selection *s, unsigned work)
{
    s->work += work;
    if (s->work < WORK_MAX)
        return true;
    catalog_unlock(s->catalog);
    catalog_lock_read(s->catalog);
    s->work = 0;
    s->restart = s->catalog->removals != s->removals || is_canceled(s);
    return !s->restart;
}

/* ---- resolve ---- */

static void choice_add(struct choice *c, uint32_t pair)
{
    GROW(c->pairs, c->cap, c->n + 1);
    c->pairs[c->n++] = pair;
}

/* Looks up the words; false when the matcher is none of those that name their values. */
static bool resolve_words(
    const struct catalog *catalog, const struct matcher *m, uint32_t name, struct choice *out)
{
    bool regex = m->op == MATCH_REGEX || m->op == MATCH_NOT_REGEX;
    size_t n = 1;
    const struct slice *words = regex ? regex_words(m->regex, &n) : &m->value;
    if (!words)
        return false;
    for (size_t i = 0; i < n; i++)
        if (words[i].len == 0) /* accepts, or refuses, series without the label */
            return false;
    out->needs = m->op == MATCH_EQUAL || m->op == MATCH_REGEX;
    for (size_t i = 0; i < n && name != MAP_NONE; i++) {
        uint32_t pair = catalog_find_pair(catalog, name, words[i]);
        if (pair != MAP_NONE)
            choice_add(out, pair);
    }
    return true;
}

void catalog_next_values(
    const struct catalog *catalog, uint32_t name, int64_t last, struct catalog_values *out)
{
    const struct catalog_name *nm = &catalog->names[name];
    size_t lo = 0, hi = nm->n_pairs;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if ((int64_t)nm->pairs[mid] <= last)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (out->n = 0; lo < nm->n_pairs && out->n < CATALOG_VALUES; lo++, out->n++) {
        out->pairs[out->n] = nm->pairs[lo];
        out->text[out->n] = catalog_value(catalog, nm->pairs[lo]);
    }
}

/* Tries the matcher on every value of its label. */
static void resolve_values(
    struct selection *s, const struct matcher *m, uint32_t name, struct choice *out)
{
    struct catalog_values *values = xmalloc(sizeof *values);
    int64_t last = -1;
    out->needs = !matcher_matches(m, SLICE(""));
    for (values->n = name == MAP_NONE ? 0 : 1; values->n > 0 && !is_canceled(s);) {
        catalog_lock_read(s->catalog);
        catalog_next_values(s->catalog, name, last, values);
        catalog_unlock(s->catalog);
        for (size_t i = 0; i < values->n; i++) {
            last = values->pairs[i];
            if (matcher_matches(m, values->text[i]) == out->needs)
                choice_add(out, values->pairs[i]);
        }
    }
    free(values);
}

#define FEW_PAIRS 4

/* Sums up a resolved set. */
static bool weigh(struct selection *s, struct choice *c)
{
    for (size_t i = 0; i < c->n; i++) {
        c->series += catalog_pair_at(s->catalog, c->pairs[i])->series.n;
        if (!breathe(s, WORK_PAIR))
            return false;
    }
    return true;
}

/* Outside the lock. */
static void sort_pairs(struct choice *c)
{
    if (c->n)
        qsort(c->pairs, c->n, sizeof *c->pairs, id_cmp);
    if (c->n > FEW_PAIRS) {
        size_t words = (c->pairs[c->n - 1] - c->pairs[0]) / 64 + 1;
        c->bits = xcalloc(words, sizeof *c->bits);
        for (size_t i = 0; i < c->n; i++)
            c->bits[(c->pairs[i] - c->pairs[0]) / 64] |= 1ull << ((c->pairs[i] - c->pairs[0]) % 64);
    }
    c->done = !c->needs && c->n == 0;
}

static void resolve(struct selection *s, const struct matcher *m, struct choice *out)
{
    catalog_lock_read(s->catalog);
    uint32_t name = catalog_find_name(s->catalog, m->name);
    bool words = resolve_words(s->catalog, m, name, out);
    catalog_unlock(s->catalog);
    if (!words)
        resolve_values(s, m, name, out);
    sort_pairs(out);
}

/* ---- gather ---- */

struct ids {
    uint32_t *ids;
    size_t n;
};

/* Ids of one list, ascending. */
static bool gather_list(struct selection *s, uint32_t pair, struct ids *out)
{
    const struct id_list *list = &catalog_pair_at(s->catalog, pair)->series;
    struct id_cursor cursor = id_cursor_new(&s->catalog->pool, list);
    out->ids = xreallocarray(NULL, list->n + 1, sizeof *out->ids);
    for (size_t n; (n = id_cursor_take(&cursor, out->ids + out->n, 1024)) > 0;) {
        out->n += n;
        if (out->ids[out->n - 1] >= s->n_series)
            break;
        if (!breathe(s, 512))
            return false;
    }
    while (out->n > 0 && out->ids[out->n - 1] >= s->n_series)
        out->n--;
    return true;
}

/* Ids of many lists: a label has one value in a series, so none comes twice, and a bit each puts
 * them in order. */
static bool gather_union(struct selection *s, const struct choice *c)
{
    uint64_t *bits = xcalloc(s->n_series / 64 + 1, sizeof *bits);
    size_t n = 0;
    for (size_t i = 0; i < c->n && !s->restart; i++) {
        const struct id_list *list = &catalog_pair_at(s->catalog, c->pairs[i])->series;
        struct id_cursor cursor = id_cursor_new(&s->catalog->pool, list);
        breathe(s, WORK_PAIR + WORK_SEEK);
        for (uint32_t id; !s->restart && id_cursor_next(&cursor, &id) && id < s->n_series;) {
            bits[id / 64] |= 1ull << (id % 64);
            if (++n % 256 == 0)
                breathe(s, 256);
        }
    }
    s->bits = bits;
    s->n_bits = n;
    return !s->restart;
}

/* What gather_union has left, outside the lock. */
static void list_bits(struct selection *s, struct ids *out)
{
    out->ids = xreallocarray(NULL, s->n_bits + 1, sizeof *out->ids);
    for (size_t w = 0; w <= s->n_series / 64; w++)
        for (uint64_t word = s->bits[w]; word; word &= word - 1)
            out->ids[out->n++] = (uint32_t)(w * 64 + (size_t)__builtin_ctzll(word));
}

static bool gather_all(struct selection *s, struct ids *out)
{
    out->ids = xreallocarray(NULL, s->n_series + 1, sizeof *out->ids);
    for (size_t id = 0; id < s->n_series; id++) {
        if (catalog_has(s->catalog, (uint32_t)id))
            out->ids[out->n++] = (uint32_t)id;
        if (id % 1024 == 0 && !breathe(s, 512))
            return false;
    }
    return true;
}

/* ---- filter ---- */

static bool filter_by_list(struct selection *s, uint32_t pair, bool needs, struct ids *ids)
{
    const struct id_list *list = &catalog_pair_at(s->catalog, pair)->series;
    struct id_cursor cursor = id_cursor_new(&s->catalog->pool, list);
    size_t kept = 0, n = ids->n;
    uint32_t at = 0;
    bool more = id_cursor_next(&cursor, &at);
    for (size_t i = 0; i < n; i++) {
        if (more && at < ids->ids[i])
            more = id_cursor_seek(&cursor, ids->ids[i], &at);
        if ((more && at == ids->ids[i]) == needs)
            ids->ids[kept++] = ids->ids[i];
        if (i % 256 == 255 && !breathe(s, 256 * WORK_SEEK))
            return false;
    }
    ids->n = kept;
    return true;
}

static bool in_set(const struct choice *c, uint32_t pair)
{
    if (c->bits) {
        uint32_t i = pair - c->pairs[0];
        return pair >= c->pairs[0] && pair <= c->pairs[c->n - 1] &&
               (c->bits[i / 64] >> (i % 64) & 1);
    }
    for (size_t i = 0; i < c->n; i++)
        if (c->pairs[i] == pair)
            return true;
    return false;
}

static bool row_accepted(const struct selection *s, struct catalog_row row)
{
    for (size_t i = 0; i < s->n_choices; i++) {
        const struct choice *c = &s->choices[i];
        bool has = false;
        for (uint32_t k = 0; !c->done && !has && k < row.n; k++)
            has = in_set(c, row.pairs[k]);
        if (!c->done && has != c->needs)
            return false;
    }
    return row.pairs != NULL;
}

static bool filter_by_rows(struct selection *s, struct ids *ids)
{
    enum { AHEAD = 8 };
    size_t kept = 0, n = ids->n;
    for (size_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            __builtin_prefetch(catalog_row_of(s->catalog, ids->ids[i + AHEAD]).pairs);
        if (row_accepted(s, catalog_row_of(s->catalog, ids->ids[i])))
            ids->ids[kept++] = ids->ids[i];
        if (i % 256 == 255 && !breathe(s, 256 * WORK_ROW))
            return false;
    }
    ids->n = kept;
    return true;
}

/* Walking a list costs a few ns for each of its ids, a row some ten for each candidate. */
#define LIST_TO_ROWS 16

static bool filter(struct selection *s, struct ids *ids)
{
    bool rest = false;
    for (size_t i = 0; i < s->n_choices; i++) {
        struct choice *c = &s->choices[i];
        if (c->done)
            continue;
        if (c->n != 1 || c->series > (uint64_t)ids->n * LIST_TO_ROWS) {
            rest = true;
            continue;
        }
        if (!filter_by_list(s, c->pairs[0], c->needs, ids))
            return false;
        c->done = true;
    }
    return !rest || filter_by_rows(s, ids);
}

/* ---- all of it ---- */

/* The smallest set of those that a series must have a pair of; NULL when there is none. The lock is
 * held, here and below; false: it has to start again. */
static bool find_smallest(struct selection *s, struct choice **out)
{
    *out = NULL;
    for (size_t i = 0; i < s->n_choices; i++) {
        struct choice *c = &s->choices[i];
        if (!weigh(s, c))
            return false;
        if (c->needs && (!*out || c->series < (*out)->series))
            *out = c;
    }
    return true;
}

static bool gather(struct selection *s, struct choice *from, struct ids *out)
{
    if (!from)
        return gather_all(s, out);
    from->done = true;
    if (from->n == 1)
        return gather_list(s, from->pairs[0], out);
    if (!gather_union(s, from))
        return false;
    catalog_unlock(s->catalog);
    list_bits(s, out);
    catalog_lock_read(s->catalog);
    s->work = 0;
    return s->catalog->removals == s->removals;
}

static bool run(struct selection *s, struct ids *out)
{
    struct choice *smallest;
    if (!find_smallest(s, &smallest))
        return false;
    if (smallest && smallest->series == 0)
        return true;
    return gather(s, smallest, out) && filter(s, out);
}

/* False: it has to start again, or was canceled. */
static bool try_select(struct catalog *catalog, const struct matcher *const *matchers, size_t n,
    const atomic_bool *cancel, struct ids *out)
{
    struct selection s = {.catalog = catalog, .n_choices = n, .cancel = cancel};
    s.choices = xcalloc(n, sizeof *s.choices);
    catalog_lock_read(catalog);
    s.n_series = catalog->n_series;
    s.removals = catalog->removals;
    catalog_unlock(catalog);
    for (size_t i = 0; i < n && !is_canceled(&s); i++)
        resolve(&s, matchers[i], &s.choices[i]);
    catalog_lock_read(catalog);
    bool ok = !is_canceled(&s) && catalog->removals == s.removals && run(&s, out);
    catalog_unlock(catalog);
    for (size_t i = 0; i < n; i++) {
        free(s.choices[i].pairs);
        free(s.choices[i].bits);
    }
    free(s.choices);
    free(s.bits);
    return ok;
}

bool catalog_select(struct catalog *catalog, const struct matcher *const *matchers,
    size_t n_matchers, struct arena *arena, uint32_t **out, size_t *n, struct err *err)
{
    return catalog_select_until(catalog, matchers, n_matchers, NULL, arena, out, n, err);
}

bool catalog_select_until(struct catalog *catalog, const struct matcher *const *matchers,
    size_t n_matchers, const atomic_bool *cancel, struct arena *arena, uint32_t **out, size_t *n,
    struct err *err)
{
    struct ids ids = {0};
    unsigned pin = catalog_pin(catalog);
    *out = NULL;
    *n = 0;
    bool canceled = false;
    while (!canceled && !try_select(catalog, matchers, n_matchers, cancel, &ids)) {
        free(ids.ids);
        ids = (struct ids){0};
        canceled = cancel && atomic_load_explicit(cancel, memory_order_relaxed);
    }
    catalog_unpin(catalog, pin);
    if (canceled)
        return err_set(err, ERR_CANCELED, "query was canceled");
    if (ids.n > 0 && (*out = arena_array(arena, ids.n, sizeof **out))) {
        memcpy(*out, ids.ids, ids.n * sizeof **out);
        *n = ids.n;
    }
    free(ids.ids);
    return *n == ids.n ||
           err_set(err, ERR_LIMIT, "selecting series needs more memory than the query is allowed");
}
