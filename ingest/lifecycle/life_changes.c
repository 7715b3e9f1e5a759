#include "ingest/lifecycle/life_changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"

/* Entities that a member takes at a time. */
#define PART 64

/* What a member has found, one entity's outputs behind the other's. */
struct hand {
    struct life_outputs all, one;
    struct lives lives;
};

/* Where an entity's outputs are: `at` in those of the hand, which grow. */
struct found {
    struct life_change change;
    size_t hand, at;
};

struct life_changes {
    const struct life_rollups *rollups;
    const struct entities *entities;
    struct hand hands[CREW_MAX]; /* by member */
    struct found *found;
    size_t cap;
    /* of the call */
    size_t from;
    struct expiry was, is;
};

struct life_changes *life_changes_new(
    const struct life_rollups *rollups, const struct entities *entities)
{
    struct life_changes *c = xcalloc(1, sizeof *c);
    c->rollups = rollups;
    c->entities = entities;
    return c;
}

void life_changes_free(struct life_changes **changes)
{
    struct life_changes *c = *changes;
    *changes = NULL;
    if (!c)
        return;
    for (size_t i = 0; i < CREW_MAX; i++) {
        free(c->hands[i].all.items);
        free(c->hands[i].one.items);
        lives_fini(&c->hands[i].lives);
    }
    free(c->found);
    free(c);
}

/* Of the lives that so many facts have. */
static struct life_tally tally_of(const struct life_rules *rules, const struct lives *lives,
    size_t facts, struct hash128 key, struct expiry expiry)
{
    struct life_tally tally = {.incomplete = lives->n == 0 && facts > 0};
    for (size_t i = 0; i < lives->n; i++) {
        const struct life *life = &lives->items[i];
        if (life->end >= 0)
            continue;
        bool over = life_has_expired(life_until(rules, life), key, expiry);
        tally.expired += over;
        tally.open += !over;
    }
    return tally;
}

/* The outputs are in hand->one then. */
static void find_change(const struct life_changes *c, struct hand *hand, const struct entity *e,
    struct life_change *out)
{
    const struct life_rules *rules = &c->rollups->lifecycle->rules;
    struct lives *lives = &hand->lives;
    struct life_outputs *outputs = &hand->one;
    *out = (struct life_change){0};
    outputs->n = 0;
    lives_of(rules, e->before, e->n_before, lives);
    out->before = tally_of(rules, lives, e->n_before, e->key, c->was);
    out->before.incomplete = !e->had_lives && (out->before.incomplete || e->was_incomplete);
    out->outside_before = lives->outside;
    life_outputs_add(c->rollups, lives->items, lives->n, e->key, c->was, true, outputs);
    size_t n_before = outputs->n;
    lives_of(rules, e->facts.items, e->facts.n, lives);
    out->now = tally_of(rules, lives, e->facts.n, e->key, c->is);
    if (!e->changed) /* what it has forgotten is still stored */
        out->now.incomplete = out->before.incomplete;
    out->outside = lives->outside;
    life_outputs_add(c->rollups, lives->items, lives->n, e->key, c->is, false, outputs);
    life_outputs_cancel(outputs, n_before);
    out->ended = out->now.open + out->now.expired == 0;
    out->n = outputs->n;
}

static void keep_outputs(struct hand *hand)
{
    struct life_outputs *all = &hand->all, *one = &hand->one;
    if (one->n == 0)
        return;
    GROW(all->items, all->cap, all->n + one->n);
    memcpy(all->items + all->n, one->items, one->n * sizeof *one->items);
    all->n += one->n;
}

static void find_part(void *ctx, size_t member, size_t from, size_t to)
{
    struct life_changes *c = ctx;
    struct hand *hand = &c->hands[member];
    for (size_t i = from; i < to; i++) {
        struct found *found = &c->found[i];
        found->hand = member;
        found->at = hand->all.n;
        find_change(c, hand, entities_at(c->entities, c->from + i), &found->change);
        keep_outputs(hand);
    }
}

void life_changes_find(struct life_changes *changes, struct crew *crew, size_t from, size_t to,
    struct expiry was, struct expiry is)
{
    struct life_changes *c = changes;
    c->from = from;
    c->was = was;
    c->is = is;
    GROW(c->found, c->cap, to - from);
    for (size_t i = 0; i < CREW_MAX; i++)
        c->hands[i].all.n = 0;
    crew_run(crew, to - from, PART, find_part, c);
}

void life_changes_at(const struct life_changes *changes, size_t entity, struct life_change *out)
{
    const struct found *found = &changes->found[entity - changes->from];
    *out = found->change;
    out->outputs = out->n ? changes->hands[found->hand].all.items + found->at : NULL;
}

void life_changes_of(struct life_changes *changes, size_t entity, struct expiry was,
    struct expiry is, struct life_change *out)
{
    struct hand *hand = &changes->hands[0];
    changes->was = was;
    changes->is = is;
    find_change(changes, hand, entities_at(changes->entities, entity), out);
    out->outputs = hand->one.items;
}
