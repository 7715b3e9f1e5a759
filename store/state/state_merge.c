#include "store/state/state_merge.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/state/memtable.h"
#include "store/state/run_cursor.h"

/* Entries of a memtable are asked for so many keys ahead: they lie in the order that they came. */
#define AHEAD 16

struct source {
    struct hash128 key; /* where it stands, unless it has ended */
    bool ended;
    const struct memtable *memtable; /* or cursor */
    const uint32_t *order;
    size_t at, n;
    struct run_cursor *cursor;
};

struct state_merge {
    struct source *sources; /* newest first; few, so the least key is found by looking at each */
    size_t n, cap;
    struct hash128 last;
    bool any; /* last was given out: sources that stand on it move on first */
};

struct state_merge *state_merge_new(void)
{
    return xcalloc(1, sizeof(struct state_merge));
}

void state_merge_free(struct state_merge **merge)
{
    struct state_merge *m = *merge;
    *merge = NULL;
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++)
        run_cursor_free(&m->sources[i].cursor);
    free(m->sources);
    free(m);
}

/* Takes the key where the source stands. */
static void stand(struct source *s)
{
    s->ended = s->cursor ? run_cursor_ended(s->cursor) : s->at == s->n;
    if (s->ended)
        return;
    if (s->cursor) {
        s->key = run_cursor_key(s->cursor);
        return;
    }
    if (s->at + AHEAD < s->n)
        __builtin_prefetch(memtable_record(s->memtable, s->order[s->at + AHEAD]));
    s->key = memtable_key(s->memtable, s->order[s->at]);
}

static void add(struct state_merge *merge, struct source source)
{
    GROW(merge->sources, merge->cap, merge->n + 1);
    merge->sources[merge->n++] = source;
    stand(&merge->sources[merge->n - 1]);
}

void state_merge_memtable(
    struct state_merge *merge, const struct memtable *memtable, const uint32_t *order, size_t n)
{
    add(merge, (struct source){.memtable = memtable, .order = order, .n = n});
}

bool state_merge_run(
    struct state_merge *merge, const struct run *run, struct hash128 from, struct err *err)
{
    struct run_cursor *cursor = run_cursor_new(run);
    if (!run_cursor_seek(cursor, from, err)) {
        run_cursor_free(&cursor);
        return false;
    }
    add(merge, (struct source){.cursor = cursor});
    return true;
}

static bool advance(struct source *s, struct err *err)
{
    if (s->cursor && !run_cursor_next(s->cursor, err))
        return false;
    s->at++;
    stand(s);
    return true;
}

static void entry_of(const struct source *s, struct state_entry *out)
{
    if (s->cursor) {
        out->deleted = run_cursor_deleted(s->cursor);
        out->record = run_cursor_record(s->cursor);
    } else {
        out->deleted = memtable_gone(s->memtable, s->order[s->at]);
        out->record = memtable_record(s->memtable, s->order[s->at]);
    }
}

bool state_merge_next(struct state_merge *m, struct state_entry *out, bool *end, struct err *err)
{
    struct source *least = NULL;
    for (size_t i = 0; i < m->n; i++) {
        struct source *s = &m->sources[i];
        if (m->any && !s->ended && hash128_eq(s->key, m->last) && !advance(s, err))
            return false;
        if (!s->ended && (!least || state_key_cmp(s->key, least->key) < 0))
            least = s;
    }
    *end = !least;
    if (!least)
        return true;
    out->key = m->last = least->key;
    m->any = true;
    entry_of(least, out);
    return true;
}
