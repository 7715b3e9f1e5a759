#include "ingest/lifecycle/lives.h"

#include <string.h>

#include "base/ensure.h"

bool fact_is_better(const struct fact *a, const struct fact *b)
{
    if (a->revision != b->revision)
        return a->revision > b->revision;
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms;
    return a->id < b->id;
}

int64_t life_until(const struct life_rules *rules, const struct life *life)
{
    int64_t until;
    ensure(life->stages[0] != NULL); /* a life has a beginning */
    return __builtin_add_overflow(life->stages[0]->time_ms, rules->expire_ms, &until) ? INT64_MAX
                                                                                      : until;
}

static void take(struct life *life, const struct fact *fact)
{
    const struct fact **best = &life->stages[fact->stage];
    if (!*best || fact_is_better(fact, *best))
        *best = fact;
}

static bool is_before(const struct fact *a, const struct fact *b)
{
    return a->time_ms != b->time_ms ? a->time_ms < b->time_ms : a->id < b->id;
}

/* The facts of the first stage in order of time; they are few. */
static size_t sort_firsts(const struct fact *facts, size_t n, const struct fact **out)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (facts[i].stage != 0)
            continue;
        size_t at = m++;
        for (; at > 0 && is_before(&facts[i], out[at - 1]); at--)
            out[at] = out[at - 1];
        out[at] = &facts[i];
    }
    return m;
}

static size_t begin_lives(
    const struct life_rules *rules, const struct fact *facts, size_t n, struct life *out)
{
    const struct fact *firsts[FACTS_MAX];
    size_t m = sort_firsts(facts, n, firsts), lives = 0;
    for (size_t i = 0; i < m; i++) {
        if (lives == 0 || firsts[i]->time_ms > life_until(rules, &out[lives - 1])) {
            if (lives == LIVES_MAX)
                break;
            out[lives++] = (struct life){.end = -1};
        }
        take(&out[lives - 1], firsts[i]);
    }
    return lives;
}

/* The first time that belongs to the life. */
static int64_t life_since(const struct life_rules *rules, const struct life *life)
{
    int64_t since;
    return __builtin_sub_overflow(life->stages[0]->time_ms, rules->expire_ms, &since) ? INT64_MIN
                                                                                      : since;
}

static void find_end(const struct life_rules *rules, struct life *life)
{
    for (int s = 0; s < rules->n_stages; s++) {
        const struct fact *fact = life->stages[s];
        if (fact && (rules->ends & (UINT32_C(1) << s)) &&
            (life->end < 0 || fact->time_ms < life->stages[life->end]->time_ms))
            life->end = s;
    }
}

/* Where a fact of that time belongs; n: nowhere. */
static size_t life_at(
    const struct life_rules *rules, const struct life *lives, size_t n, int64_t time_ms)
{
    size_t at = 0;
    while (at < n && time_ms > life_until(rules, &lives[at]))
        at++;
    return at < n && time_ms >= life_since(rules, &lives[at]) ? at : n;
}

bool lives_have(const struct life_rules *rules, const struct fact *facts, size_t n, int64_t time_ms)
{
    struct life lives[LIVES_MAX];
    size_t found = begin_lives(rules, facts, n, lives);
    return life_at(rules, lives, found, time_ms) < found;
}

size_t lives_of(const struct life_rules *rules, const struct fact *facts, size_t n,
    struct life *out, size_t *outside)
{
    ensure(n <= FACTS_MAX);
    size_t lives = begin_lives(rules, facts, n, out);
    *outside = 0;
    for (size_t i = 0; i < n; i++) {
        if (facts[i].stage == 0)
            continue;
        size_t at = life_at(rules, out, lives, facts[i].time_ms);
        if (at < lives)
            take(&out[at], &facts[i]);
        else
            ++*outside;
    }
    for (size_t i = 0; i < lives; i++)
        find_end(rules, &out[i]);
    return lives;
}

/* Whether a fact at that time, on which no life hangs, is out of reach of all that can come. */
static bool is_far(const struct life_rules *rules, int64_t time_ms, int64_t since_ms)
{
    int64_t until;
    return !__builtin_add_overflow(time_ms, rules->expire_ms, &until) && until < since_ms;
}

/* Lives stand in order, and what is earlier than the end of one that goes is its own, or nobody's.
 */
size_t lives_forget(
    const struct life_rules *rules, struct fact *facts, size_t n, int64_t since_ms, size_t *lives)
{
    struct life all[LIVES_MAX];
    bool goes[FACTS_MAX];
    int64_t gone = INT64_MIN;
    size_t outside, gone_lives = 0, left = 0;
    *lives = lives_of(rules, facts, n, all, &outside);
    for (; gone_lives < *lives && life_until(rules, &all[gone_lives]) < since_ms; gone_lives++)
        gone = life_until(rules, &all[gone_lives]);
    for (size_t i = 0; i < n; i++) {
        const struct fact *f = &facts[i];
        bool lost = f->stage != 0 && life_at(rules, all, *lives, f->time_ms) == *lives;
        goes[i] =
            (gone_lives > 0 && f->time_ms <= gone) || (lost && is_far(rules, f->time_ms, since_ms));
    }
    for (size_t i = 0; i < n; i++) /* the lives point at them no more */
        if (!goes[i])
            facts[left++] = facts[i];
    return left;
}
