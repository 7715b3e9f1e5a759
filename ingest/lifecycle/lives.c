#include "ingest/lifecycle/lives.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"

#define GONE UINT16_MAX /* a fact that goes, for a moment */

void lives_fini(struct lives *lives)
{
    free(lives->items);
    *lives = (struct lives){0};
}

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

/* The facts of the first stage in order of time, in which nearly all stand already. */
static size_t sort_firsts(const struct fact *facts, size_t n, const struct fact **out)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (facts[i].stage != 0)
            continue;
        ensure(m < FIRSTS_MAX);
        size_t at = m++;
        for (; at > 0 && is_before(&facts[i], out[at - 1]); at--)
            out[at] = out[at - 1];
        out[at] = &facts[i];
    }
    return m;
}

static void begin_lives(
    const struct life_rules *rules, const struct fact *facts, size_t n, struct lives *out)
{
    const struct fact *firsts[FIRSTS_MAX];
    size_t m = sort_firsts(facts, n, firsts);
    out->n = 0;
    for (size_t i = 0; i < m; i++) {
        if (out->n == 0 || firsts[i]->time_ms > life_until(rules, &out->items[out->n - 1])) {
            GROW(out->items, out->cap, out->n + 1);
            out->items[out->n++] = (struct life){.end = -1};
        }
        take(&out->items[out->n - 1], firsts[i]);
    }
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

/* Where a fact of that time belongs; NULL: nowhere. */
static struct life *life_at(
    const struct life_rules *rules, const struct lives *lives, int64_t time_ms)
{
    size_t low = 0, high = lives->n;
    while (low < high) { /* the first one that it does not pass */
        size_t mid = low + (high - low) / 2;
        if (time_ms > life_until(rules, &lives->items[mid]))
            low = mid + 1;
        else
            high = mid;
    }
    bool belongs = low < lives->n && time_ms >= life_since(rules, &lives->items[low]);
    return belongs ? &lives->items[low] : NULL;
}

void lives_of(const struct life_rules *rules, const struct fact *facts, size_t n, struct lives *out)
{
    begin_lives(rules, facts, n, out);
    out->outside = 0;
    for (size_t i = 0; i < n; i++) {
        struct life *life = facts[i].stage == 0 ? NULL : life_at(rules, out, facts[i].time_ms);
        if (life)
            take(life, &facts[i]);
        else
            out->outside += facts[i].stage != 0;
    }
    for (size_t i = 0; i < out->n; i++)
        find_end(rules, &out->items[i]);
}

/* Whether a fact at that time, on which no life hangs, is out of reach of all that can come. */
static bool is_far(const struct life_rules *rules, int64_t time_ms, int64_t since_ms)
{
    int64_t until;
    return !__builtin_add_overflow(time_ms, rules->expire_ms, &until) && until < since_ms;
}

/* Whether it goes that is of no life that stays. Lives stand in order, and what is earlier than the
 * end of one that goes is its own, or nobody's. gone_ms: the end of the last that goes. */
static bool goes(const struct life_rules *rules, const struct lives *lives, const struct fact *f,
    int64_t gone_ms, int64_t since_ms)
{
    if (gone_ms != INT64_MIN && f->time_ms <= gone_ms)
        return true;
    return f->stage != 0 && is_far(rules, f->time_ms, since_ms) &&
           !life_at(rules, lives, f->time_ms);
}

size_t lives_forget(const struct life_rules *rules, struct fact *facts, size_t n, int64_t since_ms,
    struct lives *lives)
{
    int64_t gone_ms = INT64_MIN;
    size_t left = 0, from = 0;
    lives_of(rules, facts, n, lives);
    for (; from < lives->n && life_until(rules, &lives->items[from]) < since_ms; from++)
        gone_ms = life_until(rules, &lives->items[from]);
    for (size_t i = 0; i < n; i++)
        if (goes(rules, lives, &facts[i], gone_ms, since_ms))
            facts[i].record = GONE;
    for (size_t i = 0; i < n; i++) /* the lives point at them no more */
        if (facts[i].record != GONE)
            facts[left++] = facts[i];
    return left;
}
