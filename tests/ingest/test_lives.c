/* Lives from facts: cases by hand, and random sets in random orders against a slow, plain model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/lifecycle/lives.h"

enum { PLACED, ACCEPTED, DELIVERED, CANCELLED, STAGES };

#define HOUR 3600000

static const struct life_rules rules = {
    .expire_ms = 6 * HOUR, .ends = 1u << DELIVERED | 1u << CANCELLED, .n_stages = STAGES};

static struct fact fact(int stage, int64_t time_ms, int64_t revision, uint64_t id)
{
    return (struct fact){
        .stage = (uint8_t)stage, .time_ms = time_ms, .revision = revision, .id = id};
}

#define LIVES_MAX 16
static struct lives room;

static size_t lives_in(const struct fact *facts, size_t n, struct life *out, size_t *outside)
{
    lives_of(&rules, facts, n, &room);
    assert_true(room.n <= LIVES_MAX);
    for (size_t i = 0; i < room.n; i++)
        out[i] = room.items[i];
    *outside = room.outside;
    return room.n;
}

static void test_ordinary(void **state)
{
    (void)state;
    struct fact facts[] = {fact(DELIVERED, 2 * HOUR, 0, 3), fact(PLACED, 0, 0, 1),
        fact(ACCEPTED, HOUR, 0, 2), fact(ACCEPTED, HOUR / 2, 0, 9)};
    struct life lives[LIVES_MAX];
    size_t outside;
    assert_int_equal(lives_in(facts, 4, lives, &outside), 1);
    assert_int_equal(outside, 0);
    assert_ptr_equal(lives[0].stages[PLACED], &facts[1]);
    assert_ptr_equal(lives[0].stages[ACCEPTED], &facts[3]); /* the earlier one */
    assert_int_equal(lives[0].end, DELIVERED);
    assert_int_equal(life_until(&rules, &lives[0]), 6 * HOUR);
}

static void test_bounds(void **state)
{
    (void)state;
    struct fact facts[] = {fact(PLACED, 0, 0, 1), fact(DELIVERED, 6 * HOUR, 0, 2),
        fact(CANCELLED, 6 * HOUR + 1, 0, 3)};
    struct life lives[LIVES_MAX];
    size_t outside;
    assert_int_equal(lives_in(facts, 3, lives, &outside), 1);
    assert_int_equal(lives[0].end, DELIVERED);
    assert_null(lives[0].stages[CANCELLED]);
    assert_int_equal(outside, 1);
    /* A first that late begins the next life, which an end before it may end. */
    struct fact again[] = {fact(PLACED, 0, 0, 1), fact(PLACED, 6 * HOUR + 5, 0, 4),
        fact(CANCELLED, 6 * HOUR + 1, 0, 3)};
    assert_int_equal(lives_in(again, 3, lives, &outside), 2);
    assert_int_equal(lives[0].end, -1);
    assert_int_equal(lives[1].end, CANCELLED);
    assert_int_equal(outside, 0);
    /* At the very bound it is the same life. */
    again[1].time_ms = 6 * HOUR;
    assert_int_equal(lives_in(again, 3, lives, &outside), 1);
}

static void test_revisions(void **state)
{
    (void)state;
    /* The later revision is the first, so the life is longer, and the second delivery is in it. */
    struct fact facts[] = {fact(PLACED, 0, 1, 1), fact(PLACED, 3 * HOUR, 2, 2),
        fact(DELIVERED, 8 * HOUR, 2, 3), fact(DELIVERED, 5 * HOUR, 1, 4)};
    struct life lives[LIVES_MAX];
    size_t outside;
    assert_int_equal(lives_in(facts, 4, lives, &outside), 1);
    assert_ptr_equal(lives[0].stages[PLACED], &facts[1]);
    assert_ptr_equal(lives[0].stages[DELIVERED], &facts[2]);
    /* Without it the first delivery is the one that counts. */
    struct fact less[] = {facts[0], facts[2], facts[3]};
    assert_int_equal(lives_in(less, 3, lives, &outside), 1);
    assert_ptr_equal(lives[0].stages[DELIVERED], &less[2]);
    assert_int_equal(outside, 1);
}

static void test_without_first(void **state)
{
    (void)state;
    struct fact facts[] = {fact(DELIVERED, 0, 0, 1), fact(ACCEPTED, 1, 0, 2)};
    struct life lives[LIVES_MAX];
    size_t outside;
    assert_int_equal(lives_in(facts, 2, lives, &outside), 0);
    assert_int_equal(outside, 2);
    assert_int_equal(lives_in(facts, 0, lives, &outside), 0);
}

static void test_far_times(void **state)
{
    (void)state;
    struct fact facts[] = {fact(PLACED, INT64_MAX - 5, 0, 1), fact(DELIVERED, INT64_MAX, 0, 2),
        fact(PLACED, INT64_MIN, 0, 3)};
    struct life lives[LIVES_MAX];
    size_t outside;
    assert_int_equal(lives_in(facts, 3, lives, &outside), 2);
    assert_int_equal(lives[1].end, DELIVERED);
}

/* ---- the model: which facts are of which life, asked one by one ---- */

/* The best fact of the stage among those marked; NULL: none. */
static const struct fact *best(
    const struct fact *facts, const int *life, size_t n, int l, int stage)
{
    const struct fact *b = NULL;
    for (size_t i = 0; i < n; i++)
        if (life[i] == l && facts[i].stage == stage) {
            const struct fact *f = &facts[i];
            bool better =
                !b || f->revision > b->revision ||
                (f->revision == b->revision &&
                    (f->time_ms < b->time_ms || (f->time_ms == b->time_ms && f->id < b->id)));
            b = better ? f : b;
        }
    return b;
}

static int model(const struct fact *facts, size_t n, int *life)
{
    int lives = 0;
    for (size_t i = 0; i < n; i++)
        life[i] = -1;
    for (;;) { /* the earliest first that is of no life yet */
        size_t next = n;
        for (size_t i = 0; i < n; i++)
            if (facts[i].stage == PLACED && life[i] < 0 &&
                (next == n || facts[i].time_ms < facts[next].time_ms ||
                    (facts[i].time_ms == facts[next].time_ms && facts[i].id < facts[next].id)))
                next = i;
        if (next == n)
            break;
        const struct fact *first = lives ? best(facts, life, n, lives - 1, PLACED) : NULL;
        if (!first || facts[next].time_ms > first->time_ms + rules.expire_ms)
            lives++;
        life[next] = lives - 1;
    }
    for (size_t i = 0; i < n; i++)
        for (int l = 0; facts[i].stage != PLACED && life[i] < 0 && l < lives; l++)
            if (llabs(facts[i].time_ms - best(facts, life, n, l, PLACED)->time_ms) <=
                rules.expire_ms)
                life[i] = l;
    return lives;
}

static void check(const struct fact *facts, size_t n)
{
    int life[16];
    struct life lives[LIVES_MAX];
    size_t outside, without = 0;
    int expected = model(facts, n, life);
    assert_int_equal(lives_in(facts, n, lives, &outside), expected);
    for (size_t i = 0; i < n; i++)
        without += life[i] < 0;
    assert_int_equal(outside, without);
    for (int l = 0; l < expected; l++) {
        const struct fact *end = NULL;
        for (int s = 0; s < STAGES; s++)
            assert_ptr_equal(lives[l].stages[s], best(facts, life, n, l, s));
        for (int s = DELIVERED; s <= CANCELLED; s++)
            if (lives[l].stages[s] && (!end || lives[l].stages[s]->time_ms < end->time_ms))
                end = lives[l].stages[s];
        assert_int_equal(lives[l].end, end ? end->stage : -1);
    }
}

static uint64_t next_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void test_random(void **state)
{
    (void)state;
    const char *text = getenv("LARDER_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : 1;
    printf("# seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 20000; round++) {
        struct fact facts[12], shuffled[12];
        size_t n = next_random(&seed) % 12 + 1;
        for (size_t i = 0; i < n; i++)
            facts[i] =
                fact((int)(next_random(&seed) % STAGES), (int64_t)(next_random(&seed) % 24) * HOUR,
                    (int64_t)(next_random(&seed) % 2), i * 7 % 12);
        check(facts, n);
        /* Another order, the same lives. */
        struct life a[LIVES_MAX], b[LIVES_MAX];
        size_t outside_a, outside_b;
        memcpy(shuffled, facts, sizeof facts);
        for (size_t i = n; i-- > 1;) {
            size_t k = next_random(&seed) % (i + 1);
            struct fact kept = shuffled[i];
            shuffled[i] = shuffled[k];
            shuffled[k] = kept;
        }
        size_t lives = lives_in(facts, n, a, &outside_a);
        assert_int_equal(lives_in(shuffled, n, b, &outside_b), lives);
        assert_int_equal(outside_a, outside_b);
        for (size_t l = 0; l < lives; l++)
            for (int s = 0; s < STAGES; s++) {
                const struct fact *x = a[l].stages[s], *y = b[l].stages[s];
                assert_true(x ? y && x->id == y->id : !y);
            }
    }
}

static bool is_same(const struct life *a, const struct life *b)
{
    for (int s = 0; s < STAGES; s++)
        if (a->stages[s] ? !b->stages[s] || a->stages[s]->id != b->stages[s]->id
                         : b->stages[s] != NULL)
            return false;
    return a->end == b->end;
}

/* An entity that comes again and again. */
static void test_many(void **state)
{
    static struct fact facts[2 * FIRSTS_MAX];
    (void)state;
    for (int i = 0; i < FIRSTS_MAX; i++) { /* the latest first */
        facts[i] = fact(PLACED, (FIRSTS_MAX - i) * (int64_t)7 * HOUR, 0, 1);
        facts[FIRSTS_MAX + i] = fact(DELIVERED, facts[i].time_ms + HOUR, 0, 2);
    }
    lives_of(&rules, facts, 2 * FIRSTS_MAX, &room);
    assert_int_equal(room.n, FIRSTS_MAX);
    assert_int_equal(room.outside, 0);
    for (size_t i = 0; i < room.n; i++) {
        assert_ptr_equal(room.items[i].stages[PLACED], &facts[FIRSTS_MAX - 1 - i]);
        assert_ptr_equal(room.items[i].stages[DELIVERED], &facts[2 * FIRSTS_MAX - 1 - i]);
        assert_int_equal(room.items[i].end, DELIVERED);
    }
}

/* What was forgotten has no part in what may still come, nor that in it. */
static void test_forgetting(void **state)
{
    (void)state;
    uint64_t seed = 11;
    size_t forgotten = 0, kept = 0;
    for (int round = 0; round < 20000; round++) {
        struct fact all[16], some[16];
        struct life was[LIVES_MAX], want[LIVES_MAX], got[LIVES_MAX];
        size_t n = next_random(&seed) % 10 + 1, m = n + next_random(&seed) % 6, outside;
        int64_t since = (int64_t)(next_random(&seed) % 40) * HOUR;
        for (size_t i = 0; i < m; i++) {
            int64_t hour = (int64_t)(next_random(&seed) % 48);
            all[i] = fact((int)(next_random(&seed) % STAGES), hour * HOUR,
                (int64_t)(next_random(&seed) % 3), i);
            if (i >= n && all[i].time_ms < since) /* it does not come any more */
                all[i].time_ms = since + hour * HOUR / 4;
        }
        memcpy(some, all, sizeof all);
        size_t lives = lives_in(all, n, was, &outside);
        size_t left = lives_forget(&rules, some, n, since, &room);
        assert_int_equal(room.n, lives);
        size_t gone = 0;
        while (gone < lives && life_until(&rules, &was[gone]) < since)
            gone++;
        memcpy(some + left, all + n, (m - n) * sizeof *all);
        lives = lives_in(all, m, want, &outside);
        assert_int_equal(lives_in(some, left + m - n, got, &outside), lives - gone);
        for (size_t i = 0; i < lives; i++)
            assert_true(is_same(&want[i], i < gone ? &was[i] : &got[i - gone]));
        forgotten += n - left;
        kept += left;
    }
    assert_true(forgotten > 20000 && kept > 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ordinary),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_revisions),
        cmocka_unit_test(test_without_first),
        cmocka_unit_test(test_far_times),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_forgetting),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lives_fini(&room);
    return failed;
}
