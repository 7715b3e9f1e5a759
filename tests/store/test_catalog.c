/* The catalogue against a naive list of label sets: adding, removing, selecting, describing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/map.h"
#include "base/mem.h"
#include "store/catalog.h"

#define SERIES 3000

static uint64_t seed;

static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

/* ---- the parts ---- */

static void test_pool_reuses(void **state)
{
    struct pool pool;
    (void)state;
    pool_init(&pool);
    uint32_t a = pool_alloc(&pool, 24), big = pool_alloc(&pool, 70000);
    memset(pool_at(&pool, a), 'x', 24);
    memset(pool_at(&pool, big), 'y', 70000);
    pool_free(&pool, a, 24);
    assert_int_equal(*(char *)pool_at(&pool, a) & ~7, 0); /* only the link is left */
    assert_int_equal(pool_alloc(&pool, 20), a);
    pool_free(&pool, big, 70000);
    size_t bytes = pool_bytes(&pool);
    for (int i = 0; i < 60; i++)
        pool_alloc(&pool, 1024);
    assert_int_equal(pool_bytes(&pool), bytes);
    pool_fini(&pool);
}

static void test_id_list(void **state)
{
    (void)state;
    for (uint32_t gap = 1; gap < 3000000; gap *= 7) {
        struct pool pool;
        struct id_list list = {0};
        uint32_t ids[900], n = 0, id;
        pool_init(&pool);
        for (uint32_t at = below(5); n < 900; at += 1 + below(gap)) {
            id_list_add(&pool, &list, at);
            ids[n++] = at;
        }
        struct id_cursor c = id_cursor_new(&pool, &list);
        for (uint32_t i = 0; i < n; i++)
            assert_true(id_cursor_next(&c, &id) && id == ids[i]);
        assert_false(id_cursor_next(&c, &id));
        c = id_cursor_new(&pool, &list);
        for (uint32_t i = 0; i < n;) {
            uint32_t to = i + below(200);
            if (to >= n)
                break;
            uint32_t least = to == 0 ? 0 : ids[to - 1] + 1;
            assert_true(id_cursor_seek(&c, least, &id));
            assert_int_equal(id, ids[to]);
            i = to + 1;
        }
        assert_false(id_cursor_seek(&c, ids[n - 1] + 1, &id));
        c = id_cursor_new(&pool, &list);
        for (size_t i = 0; i < n;) { /* the three of them in turn */
            uint32_t some[300];
            size_t got = id_cursor_take(&c, some, 1 + below(300));
            assert_true(got > 0);
            assert_memory_equal(some, ids + i, got * sizeof *some);
            i += got;
            if (i < n && below(2)) {
                assert_true(id_cursor_next(&c, &id) && id == ids[i]);
                i++;
            }
            size_t to = i + below(600);
            if (to < n && below(2)) {
                assert_true(id_cursor_seek(&c, ids[to], &id) && id == ids[to]);
                i = to + 1;
            }
        }
        assert_int_equal(id_cursor_take(&c, &id, 1), 0);
        id_list_fini(&pool, &list);
        pool_fini(&pool);
    }
}

static bool always(const void *ctx, const void *key, uint32_t id)
{
    return id == *(const uint32_t *)key && ctx == NULL;
}

static void test_map_removes(void **state)
{
    static bool there[5000];
    struct map map;
    (void)state;
    map_init(&map);
    memset(there, 0, sizeof there);
    for (int i = 0; i < 60000; i++) {
        uint32_t id = below(5000);
        uint64_t hash = (id % 97) * 0x1000000001u; /* many collide */
        assert_int_equal(map_find(&map, hash, always, NULL, &id), there[id] ? id : MAP_NONE);
        if (there[id])
            map_remove(&map, hash, id);
        else
            map_insert(&map, hash, id);
        there[id] = !there[id];
    }
    map_fini(&map);
}

/* ---- against a model ---- */

struct row {
    bool dead;
    char text[5][24];
    struct label labels[5];
    size_t n;
};

static struct row rows[SERIES];
static uint32_t n_rows;

static const char *const names[5] = {"__name__", "city", "fridge", "kind", "sku"};

static void add(struct catalog *c)
{
    struct row *r = &rows[n_rows];
    *r = (struct row){0};
    for (int i = 0; i < 5; i++) {
        if (i == 0)
            snprintf(r->text[i], sizeof r->text[i], "m%u", below(6));
        else if (i == 2)
            snprintf(r->text[i], sizeof r->text[i], "fridge-%u", below(400));
        else
            snprintf(r->text[i], sizeof r->text[i], "%s%u", names[i], below(9));
        if (i == 0 || below(5))
            r->labels[r->n++] = (struct label){slice_from(names[i]), slice_from(r->text[i])};
    }
    struct labels labels = {r->labels, r->n};
    if (catalog_find_series(c, labels) != MAP_NONE)
        return;
    assert_int_equal(catalog_add_series(c, below(3), labels), n_rows);
    n_rows++;
}

static void remove_some(struct catalog *c)
{
    uint32_t ids[SERIES], from = below(n_rows), every = 1 + below(9);
    size_t n = 0;
    for (uint32_t id = from; id < n_rows && n < 200; id += every)
        if (!rows[id].dead) {
            rows[id].dead = true;
            ids[n++] = id;
        }
    catalog_remove(c, ids, n);
}

static bool model_matches(const struct row *r, const struct matcher *m, size_t n)
{
    bool ok = !r->dead;
    for (size_t i = 0; i < n; i++) {
        struct slice v = labels_get((struct labels){r->labels, r->n}, m[i].name);
        ok = ok && matcher_matches(&m[i], v.ptr ? v : SLICE(""));
    }
    return ok;
}

#define PATTERNS 9
static struct regex *regexes[PATTERNS];
static const char *const patterns[PATTERNS] = {"city1|city2", "fridge-1.*", ".*", ".+",
    "fridge-[0-3].|city3", "|kind1", "m[12]", "kind7", ".*9"};

static struct matcher random_matcher(char text[24])
{
    uint32_t name = below(6);
    struct matcher m = {.op = (enum match_op)below(4)};
    m.name = slice_from(name < 5 ? names[name] : "unknown");
    if (below(8) == 0)
        text[0] = 0;
    else if (name == 0)
        snprintf(text, 24, "m%u", below(7));
    else if (name == 2)
        snprintf(text, 24, "fridge-%u", below(410));
    else
        snprintf(text, 24, "%s%u", name < 5 ? names[name] : "x", below(10));
    m.value = slice_from(text);
    m.regex = regexes[below(PATTERNS)];
    return m;
}

static void check_selection(struct catalog *c)
{
    struct matcher m[3];
    const struct matcher *all[3];
    char text[3][24];
    size_t n = below(4), n_ids, n_entries;
    struct arena arena;
    uint32_t *ids;
    struct catalog_entry *entries;
    struct err err;
    arena_init(&arena, 0);
    for (size_t i = 0; i < n; i++) {
        m[i] = random_matcher(text[i]);
        all[i] = &m[i];
    }
    assert_true(catalog_select(c, all, n, &arena, &ids, &n_ids, &err));
    size_t k = 0;
    for (uint32_t id = 0; id < n_rows; id++) {
        bool expected = model_matches(&rows[id], m, n);
        assert_int_equal(catalog_matches(c, id, all, n), expected);
        if (expected)
            assert_true(k < n_ids && ids[k++] == id);
    }
    assert_int_equal(k, n_ids);
    assert_true(catalog_describe(c, ids, n_ids, &arena, &entries, &n_entries));
    assert_int_equal(n_entries, n_ids);
    for (size_t i = 0; i < n_entries; i++) {
        const struct row *r = &rows[entries[i].id];
        struct labels labels = {r->labels, r->n};
        assert_int_equal(labels_cmp(entries[i].labels, labels), 0);
        assert_ptr_equal(entries[i].def, catalog_def(c, entries[i].id));
        assert_int_equal(catalog_find_series(c, labels), entries[i].id);
        if (i > 0)
            assert_true(labels_cmp(entries[i - 1].labels, labels) < 0);
    }
    arena_fini(&arena);
}

static void test_like_a_list(void **state)
{
    struct catalog c;
    struct err err;
    (void)state;
    catalog_init(&c);
    for (int i = 0; i < PATTERNS; i++)
        assert_true(regex_new(slice_from(patterns[i]), &regexes[i], &err));
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "def%d", i);
        struct metric_def def = {.name = slice_from(name), .kind = KIND_SAMPLE};
        catalog_add_metric(&c, &def);
    }
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 50 && n_rows < SERIES; i++)
            add(&c);
        if (round % 7 == 6)
            remove_some(&c);
        for (int i = 0; i < 30; i++)
            check_selection(&c);
    }
    for (int i = 0; i < PATTERNS; i++)
        regex_free(&regexes[i]);
    catalog_fini(&c);
}

/* ---- memory ---- */

static void add_values(struct catalog *c, uint32_t from, uint32_t n, uint32_t *ids)
{
    for (uint32_t i = 0; i < n; i++) {
        char value[24];
        snprintf(value, sizeof value, "value-%u", from + i);
        struct label items[2] = {{SLICE("__name__"), SLICE("m")}, {SLICE("l"), slice_from(value)}};
        ids[i] = catalog_add_series(c, 0, (struct labels){items, 2});
    }
}

static void churn(struct catalog *c, uint32_t from, uint32_t n)
{
    uint32_t *ids = xreallocarray(NULL, n, sizeof *ids);
    add_values(c, from, n, ids);
    catalog_remove(c, ids, n);
    free(ids);
}

static double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* However many series go, each takes about as long as it took to come. */
static void test_removing_is_as_quick_as_adding(void **state)
{
    enum { N = 100000, LEFT = 10 };
    struct catalog c;
    struct metric_def def = {.name = SLICE("m"), .kind = KIND_SAMPLE};
    uint32_t *ids = xcalloc(N, sizeof *ids), left[LEFT + 1];
    (void)state;
    catalog_init(&c);
    catalog_add_metric(&c, &def);
    double began = cpu_seconds();
    add_values(&c, 0, N, ids);
    double adding = cpu_seconds() - began;
    began = cpu_seconds();
    catalog_remove(&c, ids, N - LEFT);
    double removing = cpu_seconds() - began;
    assert_int_equal(c.n_dead, N - LEFT);
    for (uint32_t i = 0; i < 2; i++) { /* __name__, l */
        assert_int_equal(c.names[i].n_pairs, i == 0 ? 1 : LEFT);
        assert_int_equal(
            catalog_pair_ids(&c, c.names[i].pairs[0], 0, left, LEFT + 1), i == 0 ? LEFT : 1);
        assert_int_equal(left[0], N - LEFT);
    }
    printf("# %d series: %.0f ms to add, %.0f ms to remove\n", N, 1e3 * adding, 1e3 * removing);
    assert_true(removing < 5 * adding);
    catalog_fini(&c);
    free(ids);
}

static void test_memory_is_used_again(void **state)
{
    struct catalog c;
    struct metric_def def = {.name = SLICE("m"), .kind = KIND_SAMPLE};
    (void)state;
    catalog_init(&c);
    catalog_add_metric(&c, &def);
    for (uint32_t i = 0; i < 3; i++)
        churn(&c, i * 8192, 8192);
    size_t bytes = pool_bytes(&c.pool);
    for (uint32_t i = 3; i < 20; i++)
        churn(&c, i * 8192, 8192);
    assert_int_equal(pool_bytes(&c.pool), bytes);
    catalog_fini(&c);
}

/* A start adds the ids of all series that ever were: those that come after one another take no
 * memory. */
static void test_dead_ids_take_no_memory(void **state)
{
    enum { CHUNKS = 100 };
    struct catalog c;
    struct metric_def def = {.name = SLICE("m"), .kind = KIND_SAMPLE};
    uint32_t *ids = xcalloc(CATALOG_CHUNK, sizeof *ids);
    (void)state;
    catalog_init(&c);
    catalog_add_metric(&c, &def);
    add_values(&c, 0, 10, ids);
    size_t before = catalog_bytes(&c);
    for (int i = 0; i < CHUNKS * CATALOG_CHUNK; i++)
        catalog_add_dead(&c);
    assert_true(catalog_bytes(&c) - before < CHUNKS * CATALOG_CHUNK / 2);
    assert_int_equal(c.n_series, CHUNKS * CATALOG_CHUNK + 10);
    assert_true(catalog_has(&c, 9));
    assert_false(catalog_has(&c, 10));
    add_values(&c, CATALOG_CHUNK, 10, ids); /* beside dead ones of the same chunk */
    assert_true(catalog_has(&c, ids[0]) && ids[0] == CHUNKS * CATALOG_CHUNK + 10);
    catalog_fini(&c);
    free(ids);
}

static void test_pinned_strings_stay(void **state)
{
    struct catalog c;
    struct metric_def def = {.name = SLICE("m"), .kind = KIND_SAMPLE};
    struct label items[2] = {{SLICE("__name__"), SLICE("m")}, {SLICE("who"), SLICE("Ada")}};
    uint32_t id, n_removed = 0;
    struct arena arena;
    (void)state;
    arena_init(&arena, 0);
    catalog_init(&c);
    catalog_add_metric(&c, &def);
    id = catalog_add_series(&c, 0, (struct labels){items, 2});
    unsigned pin = catalog_pin(&c);
    struct labels labels = catalog_labels(&c, id, &arena);
    catalog_remove(&c, &id, 1);
    for (; n_removed < 5; n_removed++)
        churn(&c, 100 * n_removed, 100);
    assert_true(slice_is(labels.items[1].value, "Ada"));
    catalog_unpin(&c, pin);
    churn(&c, 0, 1);
    churn(&c, 0, 1);
    assert_memory_not_equal(labels.items[1].value.ptr, "Ada", 3);
    catalog_fini(&c);
    arena_fini(&arena);
}

int main(void)
{
    seed = 20260301;
    printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_reuses),
        cmocka_unit_test(test_id_list),
        cmocka_unit_test(test_map_removes),
        cmocka_unit_test(test_like_a_list),
        cmocka_unit_test(test_removing_is_as_quick_as_adding),
        cmocka_unit_test(test_memory_is_used_again),
        cmocka_unit_test(test_dead_ids_take_no_memory),
        cmocka_unit_test(test_pinned_strings_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
