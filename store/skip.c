#include "store/skip.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

#define ROUNDS_MIN 4
#define DOUBLINGS  8

void skips_fini(struct skips *skips)
{
    free(skips->all);
    *skips = (struct skips){0};
}

static bool overlaps(const struct skipped *s, int64_t t0, int64_t t1)
{
    return s->t0 < t1 && t0 < s->t1;
}

void skips_add(struct skips *skips, int64_t t0, int64_t t1, const struct err *why)
{
    struct skipped *s = NULL;
    for (size_t i = 0; i < skips->n && !s; i++)
        if (skips->all[i].t0 == t0 && skips->all[i].t1 == t1)
            s = &skips->all[i];
    if (!s) {
        GROW(skips->all, skips->cap, skips->n + 1);
        s = &skips->all[skips->n++];
        *s = (struct skipped){.t0 = t0, .t1 = t1};
        log_error(
            "maintenance leaves (%" PRId64 ", %" PRId64 "] alone for now: %s", t0, t1, why->text);
    }
    s->until = skips->rounds +
               ((uint64_t)ROUNDS_MIN << (s->failures < DOUBLINGS ? s->failures : DOUBLINGS));
    s->failures++;
    s->why = *why;
}

const struct skipped *skips_find(const struct skips *skips, int64_t t0, int64_t t1)
{
    for (size_t i = 0; i < skips->n; i++)
        if (skips->all[i].until > skips->rounds && overlaps(&skips->all[i], t0, t1))
            return &skips->all[i];
    return NULL;
}

void skips_end_round(struct skips *skips)
{
    size_t kept = 0;
    for (size_t i = 0; i < skips->n; i++) {
        const struct skipped *s = &skips->all[i];
        if (s->until > skips->rounds)
            skips->all[kept++] = *s;
        else
            log_info("(%" PRId64 ", %" PRId64 "] can be read again", s->t0, s->t1);
    }
    skips->n = kept;
    skips->rounds++;
}
