#include "ingest/rollup_history.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "ingest/source_names.h"

#define PREFIX  "rollup/"
#define VERSION 1

/* ---- reading ---- */

static void read_generation(struct reader *r, struct arena *arena, struct generation *out)
{
    out->number = (uint32_t)read_varint(r);
    out->after_ms = (int64_t)read_le64(r);
    out->none = read_u8(r) != 0;
    out->meaning.lo = read_le64(r);
    out->meaning.hi = read_le64(r);
    out->text = arena_slice(arena, read_lstr(r));
}

static bool read_history(
    const struct source_state *state, struct arena *arena, struct rollup_history *out)
{
    struct reader r = reader_of(slice_of(state->state, state->state_len));
    bool known = read_varint(&r) == VERSION;
    uint64_t n = read_varint(&r);
    if (!known || n == 0 || n > GENERATIONS_MAX)
        return false;
    for (out->n = 0; out->n < n; out->n++) {
        read_generation(&r, arena, &out->items[out->n]);
        if (out->n > 0 && out->items[out->n].after_ms <= out->items[out->n - 1].after_ms)
            return false;
    }
    return !r.failed;
}

/* "rollup/0" is a partition of a topic: no metric's name begins with a digit. */
static bool is_rollup(struct slice source)
{
    size_t at = sizeof PREFIX - 1;
    return source.len > at && !(source.ptr[at] >= '0' && source.ptr[at] <= '9');
}

static bool read_all(struct store *store, const struct source_names *names,
    struct rollup_histories *out, struct err *err)
{
    struct source_state state;
    for (size_t i = 0; i < names->n; i++) {
        struct slice name = names->items[i];
        if (!is_rollup(name))
            continue;
        GROW(out->items, out->cap, out->n + 1);
        struct rollup_history *h = &out->items[out->n++];
        *h = (struct rollup_history){0};
        ensure(store_source(store, name, &state));
        h->name = arena_slice(
            &out->arena, slice_of(name.ptr + sizeof PREFIX - 1, name.len - (sizeof PREFIX - 1)));
        if (!read_history(&state, &out->arena, h))
            return err_set(err, ERR_CORRUPT,
                "rollup %.*s: the list of its generations does not read", SLICE_FMT(h->name));
    }
    return true;
}

bool rollup_histories_read(struct store *store, struct rollup_histories *out, struct err *err)
{
    struct source_names names;
    *out = (struct rollup_histories){0};
    arena_init(&out->arena, 0);
    source_names_read(store, SLICE(PREFIX), &names);
    bool ok = read_all(store, &names, out, err);
    source_names_free(&names);
    if (!ok)
        rollup_histories_fini(out);
    return ok;
}

void rollup_histories_fini(struct rollup_histories *histories)
{
    arena_fini(&histories->arena);
    free(histories->items);
    *histories = (struct rollup_histories){0};
}

struct rollup_history *rollup_history_find(struct rollup_histories *histories, struct slice name)
{
    for (size_t i = 0; i < histories->n; i++)
        if (slice_eq(histories->items[i].name, name))
            return &histories->items[i];
    return NULL;
}

/* ---- writing ---- */

void rollup_history_extend(struct rollup_history *history, int64_t after_ms)
{
    struct rollup_history *h = history;
    struct generation last = h->items[h->n - 1];
    size_t n = 0;
    if (after_ms >= last.after_ms)
        return;
    for (size_t i = 0; i + 1 < h->n; i++) {
        struct generation g = h->items[i];
        bool over = g.after_ms >= after_ms;
        if (over && g.none)
            continue;
        if (over)
            g.after_ms = after_ms++;
        h->items[n++] = g;
    }
    last.after_ms = after_ms;
    h->items[n++] = last;
    h->n = n;
}

int64_t rollup_history_begin(const struct rollup_history *history, int64_t every_ms)
{
    int64_t after = history->items[history->n - 1].after_ms;
    if (after < INT64_MIN + GENERATIONS_MAX)
        return INT64_MIN;
    int64_t rest = (after % every_ms + every_ms) % every_ms;
    return rest < GENERATIONS_MAX ? after - rest : after;
}

static void write_generation(const struct generation *g, struct buf *out)
{
    buf_varint(out, g->number);
    buf_le64(out, (uint64_t)g->after_ms);
    buf_u8(out, g->none);
    buf_le64(out, g->meaning.lo);
    buf_le64(out, g->meaning.hi);
    buf_lstr(out, g->text);
}

static void encode(const struct rollup_history *h, struct buf *out)
{
    buf_clear(out);
    buf_varint(out, VERSION);
    buf_varint(out, h->n);
    for (size_t i = 0; i < h->n; i++)
        write_generation(&h->items[i], out);
}

bool rollup_history_fits(const struct rollup_history *history, size_t more)
{
    struct buf state;
    buf_init(&state, 0);
    encode(history, &state);
    bool fits = state.len + more <= SOURCE_STATE_MAX;
    buf_fini(&state);
    return fits;
}

void rollup_history_trim(struct rollup_history *history)
{
    while (history->n > 1 && !rollup_history_fits(history, 0))
        memmove(history->items, history->items + 1, --history->n * sizeof history->items[0]);
    if (!rollup_history_fits(history, 0))
        history->items[0].text = SLICE("");
}

bool rollup_history_write(const struct rollup_history *history, struct txn *txn)
{
    struct buf name, state;
    buf_init(&name, 0);
    buf_init(&state, 0);
    buf_str(&name, PREFIX);
    buf_slice(&name, history->name);
    encode(history, &state);
    ensure(state.len <= SOURCE_STATE_MAX);
    bool ok = txn_source(
        txn, buf_view(&name), history->items[history->n - 1].number, INT64_MIN, buf_view(&state));
    buf_fini(&name);
    buf_fini(&state);
    return ok;
}
