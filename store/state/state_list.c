#include "store/state/state_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/state/generation.h"
#include "store/state/memtable.h"
#include "store/state/run.h"
#include "store/state/state_merge.h"

/* A step looks at so many keys for each that is wanted, deleted ones included. */
#define LOOK_FACTOR 4
#define LOOK_MIN    64

/* ---- the least keys of a memtable ---- */

struct least {
    const struct memtable *memtable;
    uint32_t *places; /* a heap, the greatest key on top; sorted in the end */
    size_t n, max;
};

static bool above(const struct least *l, uint32_t a, uint32_t b)
{
    return state_key_cmp(memtable_key(l->memtable, a), memtable_key(l->memtable, b)) > 0;
}

static void swap(uint32_t *a, uint32_t *b)
{
    uint32_t t = *a;
    *a = *b;
    *b = t;
}

static void sift_down(struct least *l, size_t i, size_t n)
{
    for (;;) {
        size_t top = i, left = 2 * i + 1;
        if (left < n && above(l, l->places[left], l->places[top]))
            top = left;
        if (left + 1 < n && above(l, l->places[left + 1], l->places[top]))
            top = left + 1;
        if (top == i)
            return;
        swap(&l->places[i], &l->places[top]);
        i = top;
    }
}

static void add_place(struct least *l, uint32_t at)
{
    if (l->n < l->max) {
        size_t i = l->n++;
        l->places[i] = at;
        for (; i && above(l, l->places[i], l->places[(i - 1) / 2]); i = (i - 1) / 2)
            swap(&l->places[i], &l->places[(i - 1) / 2]);
        return;
    }
    if (above(l, l->places[0], at)) {
        l->places[0] = at;
        sift_down(l, 0, l->n);
    }
}

static void pick(struct least *l, const struct memtable *m, struct hash128 from, size_t max)
{
    *l = (struct least){.memtable = m, .max = max};
    if (!m)
        return;
    l->places = xcalloc(max, sizeof *l->places);
    for (uint32_t at = 0; at < m->n; at++)
        if (state_key_cmp(memtable_key(m, at), from) >= 0)
            add_place(l, at);
    for (size_t n = l->n; n > 1; n--) {
        swap(&l->places[0], &l->places[n - 1]);
        sift_down(l, 0, n - 1);
    }
}

/* ---- a step ---- */

#define MEMTABLES 3

struct sources {
    struct state_merge *merge;
    struct least least[MEMTABLES];
};

/* A step takes at most `look` keys out of the merge, so of a memtable the `look` least are enough.
 */
static bool gather(const struct state_list *list, struct hash128 from, size_t look,
    struct sources *s, struct err *err)
{
    const struct state_view *v = list->view;
    const struct memtable *memtables[MEMTABLES] = {
        list->changes, v ? v->mem : NULL, v ? v->frozen : NULL};
    for (size_t i = 0; i < MEMTABLES; i++) {
        struct least *l = &s->least[i];
        pick(l, memtables[i], from, look);
        if (l->n)
            state_merge_memtable(s->merge, l->memtable, l->places, l->n);
    }
    for (size_t i = 0; v && i < v->n_runs; i++)
        if (!state_merge_run(s->merge, v->runs[i], from, err))
            return false;
    return true;
}

/* Behind the key; false: there is none. */
static bool move_behind(struct hash128 *from, struct hash128 key)
{
    *from = (struct hash128){.lo = key.lo + 1, .hi = key.hi + (key.lo == UINT64_MAX)};
    return from->lo || from->hi;
}

static void take(struct state_list *list, const struct state_entry *e)
{
    list->keys[list->n] = e->key;
    if (list->records && list->record_bytes)
        memcpy(list->records + list->n * list->record_bytes, e->record, list->record_bytes);
    list->n++;
}

static bool step(struct state_list *list, struct sources *s, size_t look, struct hash128 *from,
    bool *end, struct err *err)
{
    struct state_entry e;
    while (list->n < list->max && look--) {
        if (!state_merge_next(s->merge, &e, end, err))
            return false;
        if (*end)
            return true;
        if (!e.deleted)
            take(list, &e);
        *end = !move_behind(from, e.key);
        if (*end)
            return true;
    }
    return true;
}

bool state_list_next(struct state_list *list, struct hash128 *from, bool *end, struct err *err)
{
    size_t look = list->max < LOOK_MIN / LOOK_FACTOR ? LOOK_MIN : list->max * LOOK_FACTOR;
    struct sources s = {.merge = state_merge_new()};
    list->n = 0;
    *end = false;
    bool ok = gather(list, *from, look, &s, err) && step(list, &s, look, from, end, err);
    state_merge_free(&s.merge);
    for (size_t i = 0; i < MEMTABLES; i++)
        free(s.least[i].places);
    return ok;
}
