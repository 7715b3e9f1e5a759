/* Which facts of an entity are kept, in any order, and how they are stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/lifecycle/facts.h"

#define SPAN 1000
#define MANY 400

static const struct fact_layout layout = {.n_stages = 3, .revisions = true, .captures = {1, 0, 2}};

struct kept {
    struct arena arena;
    struct facts facts;
};

static void begin(struct kept *k)
{
    *k = (struct kept){0};
    arena_init(&k->arena, 0);
}

static int64_t below(uint64_t *seed, int64_t n)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (int64_t)((*seed >> 33) % (uint64_t)n);
}

static int64_t captured[MANY][2];

static void make_facts(struct fact facts[MANY], uint64_t *seed)
{
    for (int i = 0; i < MANY; i++) {
        captured[i][0] = i;
        captured[i][1] = -i;
        facts[i] = (struct fact){.stage = (uint8_t)below(seed, 3),
            .time_ms = below(seed, 6 * SPAN) - 2 * SPAN,
            .revision = below(seed, 3),
            .id = (uint64_t)i,
            .captured = captured[i]};
        facts[i].labels = facts[i].stage == 0 ? (uint64_t)i + 5 : 0;
        facts[i].has = facts[i].stage == 0 ? 1 : facts[i].stage == 2 ? 3 : 0;
    }
}

static void shuffle(struct fact facts[MANY], uint64_t *seed)
{
    for (size_t i = MANY; i-- > 1;) {
        size_t k = (size_t)below(seed, (int64_t)i + 1);
        struct fact kept = facts[i];
        facts[i] = facts[k];
        facts[k] = kept;
    }
}

static bool is_there(const struct facts *facts, const struct fact *f)
{
    for (size_t i = 0; i < facts->n; i++) {
        const struct fact *g = &facts->items[i];
        if (g->id != f->id)
            continue;
        assert_int_equal(g->stage, f->stage);
        assert_int_equal(g->time_ms, f->time_ms);
        assert_int_equal(g->revision, f->revision);
        assert_int_equal(g->labels, f->labels);
        assert_int_equal(g->has, f->has);
        for (size_t c = 0; c < layout.captures[f->stage]; c++)
            assert_int_equal(g->captured[c], f->captured[c]);
        return true;
    }
    return false;
}

static int64_t span_of(int64_t time_ms)
{
    return (time_ms + 10 * SPAN) / SPAN;
}

/* Those of which fewer than FACTS_BEST are better. */
static size_t check(const struct facts *facts, const struct fact all[MANY])
{
    size_t n = 0;
    for (size_t i = 0; i < MANY; i++) {
        size_t better = 0;
        for (size_t k = 0; k < MANY; k++)
            better += all[k].stage == all[i].stage &&
                      span_of(all[k].time_ms) == span_of(all[i].time_ms) &&
                      fact_is_better(&all[k], &all[i]);
        assert_int_equal(is_there(facts, &all[i]), better < FACTS_BEST);
        n += better < FACTS_BEST;
    }
    assert_int_equal(facts->n, n);
    return n;
}

/* As the next batch finds it. */
static void store_and_read(struct kept *k)
{
    struct facts read = {0};
    size_t bytes = fact_record_bytes(&layout), n = facts_records(k->facts.items, k->facts.n);
    uint8_t *records = arena_array(&k->arena, n, bytes);
    facts_encode(k->facts.items, k->facts.n, &layout, records);
    assert_int_equal(facts_count(records), n);
    for (size_t i = 0; i < n; i++)
        assert_true(facts_decode(&read, &layout, i, records + i * bytes, &k->arena));
    assert_int_equal(read.n, k->facts.n);
    k->facts = read;
    k->facts.shared = true;
}

static void test_any_order(void **state)
{
    (void)state;
    uint64_t seed = 1;
    static struct fact all[MANY];
    for (int round = 0; round < 50; round++) {
        struct kept k;
        size_t n[4] = {0};
        begin(&k);
        make_facts(all, &seed);
        shuffle(all, &seed);
        for (size_t i = 0; i < MANY; i++) {
            n[facts_add(&k.facts, &layout, SPAN, &all[i], &k.arena)]++;
            assert_int_equal(
                facts_add(&k.facts, &layout, SPAN, &all[i], &k.arena) == FACT_REPLACED, false);
            if (below(&seed, 40) == 0)
                store_and_read(&k);
        }
        size_t kept = check(&k.facts, all);
        assert_int_equal(n[FACT_ADDED], kept);
        assert_int_equal(n[FACT_KNOWN], 0);
        assert_true(n[FACT_REPLACED] > 0 && n[FACT_LEFT_OUT] > 0);
        arena_fini(&k.arena);
    }
}

/* Who has the facts as they were before keeps them. */
static void test_shared(void **state)
{
    (void)state;
    uint64_t seed = 7;
    static struct fact all[MANY], before[MANY];
    struct kept k;
    begin(&k);
    make_facts(all, &seed);
    for (size_t i = 0; i < MANY / 2; i++)
        facts_add(&k.facts, &layout, SPAN, &all[i], &k.arena);
    const struct fact *items = k.facts.items;
    size_t n = k.facts.n;
    memcpy(before, items, n * sizeof *items);
    k.facts.shared = true;
    for (size_t i = MANY / 2; i < MANY; i++)
        facts_add(&k.facts, &layout, SPAN, &all[i], &k.arena);
    check(&k.facts, all);
    for (size_t i = 0; i < n; i++)
        assert_memory_equal(&items[i], &before[i], offsetof(struct fact, record));
    arena_fini(&k.arena);
}

/* A fact stays in its record; what goes leaves its place. */
static void test_records(void **state)
{
    (void)state;
    struct kept k;
    int64_t none[2] = {0};
    begin(&k);
    struct fact f = {.stage = 1, .captured = none};
    for (int i = 0; i < 5; i++) {
        f.id = (uint64_t)i;
        f.time_ms = i * SPAN;
        assert_int_equal(facts_add(&k.facts, &layout, SPAN, &f, &k.arena), FACT_ADDED);
        assert_int_equal(k.facts.items[i].record, i);
    }
    k.facts.items[1] = k.facts.items[4];
    k.facts.n = 3; /* records 0, 4 and 2 */
    assert_int_equal(facts_records(k.facts.items, k.facts.n), 5);
    store_and_read(&k);
    for (int i = 0; i < 3; i++) {
        f.id = (uint64_t)(10 + i);
        assert_int_equal(facts_add(&k.facts, &layout, SPAN, &f, &k.arena), FACT_ADDED);
    }
    assert_int_equal(k.facts.items[3].record, 1);
    assert_int_equal(k.facts.items[4].record, 3);
    assert_int_equal(k.facts.items[5].record, 5);
    assert_int_equal(facts_add(&k.facts, &layout, SPAN, &f, &k.arena), FACT_KNOWN);
    arena_fini(&k.arena);
}

/* However many spans there are. */
static void test_room(void **state)
{
    (void)state;
    static const struct fact_layout wide = {.n_stages = 16,
        .revisions = true,
        .captures = {8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8}};
    const struct fact_layout *const layouts[] = {&layout, &wide};
    int64_t none[8] = {0};
    for (int l = 0; l < 2; l++) {
        struct kept k;
        begin(&k);
        size_t room = FACT_KEY_BYTES / fact_record_bytes(layouts[l]);
        room = room < FACT_RECORDS_MAX ? room : FACT_RECORDS_MAX;
        for (size_t i = 0; i < FACT_RECORDS_MAX + 10; i++) {
            struct fact f = {.id = i, .time_ms = (int64_t)i * SPAN, .captured = none};
            enum fact_fate fate = facts_add(&k.facts, layouts[l], SPAN, &f, &k.arena);
            assert_int_equal(fate, i < room ? FACT_ADDED : FACT_LEFT_OUT);
        }
        arena_fini(&k.arena);
    }
}

static void test_damage(void **state)
{
    (void)state;
    struct kept k;
    uint8_t record[256] = {0};
    begin(&k);
    assert_int_equal(facts_count(record), 0);
    assert_false(facts_decode(&k.facts, &layout, 0, record, &k.arena)); /* how many? */
    record[0] = 1;
    assert_true(facts_decode(&k.facts, &layout, 0, record, &k.arena));
    assert_false(facts_decode(&k.facts, &layout, 1, record, &k.arena)); /* it is the first */
    record[2] = 8;
    assert_false(facts_decode(&k.facts, &layout, 0, record, &k.arena)); /* of no stage */
    record[1] = 255;
    assert_int_equal(facts_count(record), 0);
    assert_int_equal(k.facts.n, 0);
    arena_fini(&k.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
