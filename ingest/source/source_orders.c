#include "ingest/source/source_orders.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rfc3339.h"
#include "ingest/source/kafka_source_priv.h"

#define RANGE_MS 3000

/* ---- places ---- */

static bool parse_offset(struct slice text, int64_t *out)
{
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = text.ptr[i] - '0';
        if (digit < 0 || digit > 9 || n > (INT64_MAX - digit) / 10)
            return false;
        n = 10 * n + digit;
    }
    *out = n;
    return text.len > 0;
}

bool source_place_parse(struct slice text, enum source_place *place, int64_t *at)
{
    *at = 0;
    *place = PLACE_NONE;
    if (slice_is(text, "earliest"))
        *place = PLACE_EARLIEST;
    else if (slice_is(text, "latest"))
        *place = PLACE_LATEST;
    else if (rfc3339_parse(text, at))
        *place = PLACE_TIME;
    else if (parse_offset(text, at))
        *place = PLACE_OFFSET;
    return *place != PLACE_NONE;
}

/* ---- what is meant ---- */

struct chosen {
    struct partition **items;
    size_t n;
};

static bool is_meant(const struct kafka_source *s, const struct partition *p, struct slice target)
{
    return target.len == 0 || slice_is(target, p->name) ||
           slice_is(target, s->topics[p->topic].name);
}

static int by_name(const void *a, const void *b)
{
    const struct partition *p = *(struct partition *const *)a, *q = *(struct partition *const *)b;
    return p->topic == q->topic ? (p->id > q->id) - (p->id < q->id) : strcmp(p->name, q->name);
}

static bool choose(struct kafka_source *s, const struct source_request *request,
    struct arena *arena, struct chosen *out, struct err *err)
{
    out->n = 0;
    out->items = arena_array(arena, s->n_partitions + 1, sizeof(void *));
    if (!out->items)
        return err_set(err, ERR_LIMIT, "no room for %zu partitions", s->n_partitions);
    for (size_t i = 0; i < s->n_partitions; i++)
        if (is_meant(s, s->partitions[i], request->target))
            out->items[out->n++] = s->partitions[i];
    if (out->n == 0 && (request->target.len || request->action != SOURCE_LIST))
        return err_set(err, ERR_NOT_FOUND,
            "no topic or partition '%.*s' is read; a partition is called TOPIC/NUMBER",
            SLICE_FMT(request->target));
    qsort(out->items, out->n, sizeof *out->items, by_name);
    return true;
}

/* ---- rows ---- */

static const char *state_of(
    const struct kafka_source *s, const struct partition *p, const char **cause)
{
    *cause = "";
    if (p->marks.paused)
        return "paused";
    if (p->marks.given_up)
        return "given_up";
    if (p->halted) {
        *cause = p->cause;
        return "halted";
    }
    if (s->topics[p->topic].barred)
        *cause = s->shard_trouble;
    else if (p->parked)
        *cause = "its next event waits for its schema";
    else if (p->examined)
        *cause = "the broker is asked where its log begins and ends";
    else if (p->unstarted)
        *cause = "the broker is asked where it begins";
    else if (p->resting)
        *cause = "it did not read, and is tried again";
    if (**cause)
        return "waiting";
    return p->caught_up ? "caught_up" : "reading";
}

static void fill_row(const struct kafka_source *s, const struct partition *p, struct arena *arena,
    struct source_row *row)
{
    const char *cause;
    int64_t next = p->passed > p->next ? p->passed : p->next;
    *row = (struct source_row){.name = arena_slice(arena, slice_from(p->name)),
        .stream = arena_slice(arena, s->streams->streams[p->stream].name),
        .state = state_of(s, p, &cause),
        .advice = p->halted && !p->marks.paused ? partition_advice(s, p) : NULL,
        .next = p->next,
        .end = p->end,
        .lag = p->end < 0      ? -1
               : p->end > next ? p->end - (next > 0 ? next : 0)
                               : 0,
        .newest_ms = p->newest_ms,
        .marks = p->marks};
    row->cause = arena_slice(arena, slice_from(cause));
}

static bool fill_rows(const struct kafka_source *s, const struct chosen *chosen,
    struct arena *arena, struct source_answer *answer, struct err *err)
{
    answer->rows = arena_array(arena, chosen->n + 1, sizeof *answer->rows);
    if (!answer->rows)
        return err_set(err, ERR_LIMIT, "no room for %zu partitions", chosen->n);
    for (size_t i = 0; i < chosen->n; i++)
        fill_row(s, chosen->items[i], arena, &answer->rows[i]);
    answer->n = chosen->n;
    return true;
}

/* ---- changes ---- */

static void note(struct source_answer *answer, struct arena *arena, const char *text)
{
    size_t cap = answer->n_notes;
    for (size_t i = 0; i < answer->n_notes; i++)
        if (slice_is(answer->notes[i], text))
            return;
    struct slice *notes = arena_grow(arena, answer->notes, answer->n_notes, &cap, sizeof *notes);
    if (!notes)
        return;
    answer->notes = notes;
    notes[answer->n_notes++] = arena_slice(arena, slice_from(text));
}

static void record(const struct source_request *request, struct partition *p, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Durable with the partition's position, and a line of the log. */
static void record(const struct source_request *request, struct partition *p, const char *fmt, ...)
{
    char what[CHANGE_WHAT];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    marks_change(&p->marks, request->now_ms, request->who, what);
    p->dirty = true;
    log_warn("source: partition %s: %s, by %s", p->name, what, p->marks.changes[0].who);
}

static void pause_it(
    struct kafka_source *s, const struct source_request *request, struct partition *p)
{
    p->marks.paused = s->changed = true;
    p->caught_up = false;
    partition_drop(s, p);
    record(request, p, "pause at %" PRId64, p->next);
}

static void resume_it(
    struct kafka_source *s, const struct source_request *request, struct partition *p)
{
    bool halted = p->halted;
    p->marks.paused = p->marks.given_up = p->halted = false;
    p->cause[0] = 0;
    p->broken = 0;
    partition_begin_anew(s, p);
    record(request, p, "resume%s at %" PRId64, halted ? ", halted" : "", p->next);
}

/* ---- skip and seek ---- */

/* One that is to be moved. */
struct move {
    struct partition *p;
    int64_t low, high; /* its log holds these offsets, high not among them */
    int64_t from;      /* its position; of one that was never read, where its log begins */
    int64_t lost, to;  /* what is not read then, when it goes forwards */
    bool gives_up;     /* it goes nowhere: its topic is gone */
};

static bool find_place(
    struct kafka_source *s, const struct source_request *request, struct move *m, struct err *err)
{
    switch (request->place) {
    case PLACE_EARLIEST: m->to = m->low; return true;
    case PLACE_LATEST: m->to = m->high; return true;
    case PLACE_OFFSET: m->to = request->at; break;
    case PLACE_TIME: return log_offset_at(s, m->p, request->at, RANGE_MS, &m->to, err);
    case PLACE_NONE: unreachable("a move has a place");
    }
    if (m->to >= m->low && m->to <= m->high)
        return true;
    return err_set(err, ERR_INVALID,
        "partition %s: offset %" PRId64 " is not there: its log holds %" PRId64 " to %" PRId64,
        m->p->name, m->to, m->low, m->high);
}

/* The first offset behind what cannot be read. */
static bool pass_trouble(struct move *m, struct err *err)
{
    const struct partition *p = m->p;
    if (!p->halted)
        return err_set(err, ERR_INVALID,
            "partition %s is not halted; --to says up to where its records are to be left out",
            p->name);
    m->to = m->from;
    switch (p->halt) {
    case HALT_ANEW: m->to = m->high; break;
    case HALT_LOST:
    case HALT_GONE: break;
    case HALT_BROKEN:
        m->lost = p->broken_at > m->from ? p->broken_at : m->from;
        m->to = p->broken_at >= m->from ? p->broken_at + 1 : m->from;
    }
    if (m->to < m->low)
        m->to = m->low;
    if (m->to > m->high)
        m->to = m->high;
    return true;
}

static bool may_go_back(struct kafka_source *s, const struct source_request *request,
    const struct move *m, struct err *err)
{
    const struct stream *stream = &s->streams->streams[m->p->stream];
    if (request->again || stream->contract.event_id >= 0)
        return true;
    return err_set(err, ERR_INVALID,
        "partition %s: stream %.*s has no event_id, so what is read again counts again; --again "
        "says "
        "that this is meant",
        m->p->name, SLICE_FMT(stream->name));
}

/* A topic that the config names is looked for as long as it does. */
static bool may_give_up(const struct kafka_source *s, struct move *m, struct err *err)
{
    m->gives_up = true;
    return s->topics[m->p->topic].by_pattern ||
           err_set(err, ERR_INVALID,
               "partition %s: its topic is gone; one that is gone for good leaves the config",
               m->p->name);
}

static bool plan_move(
    struct kafka_source *s, const struct source_request *request, struct move *m, struct err *err)
{
    bool skips = request->action == SOURCE_SKIP;
    if (skips && request->place == PLACE_NONE && partition_is_gone(m->p))
        return may_give_up(s, m, err);
    if (!log_range(s, m->p, RANGE_MS, &m->low, &m->high, err))
        return false;
    m->from = m->lost = m->p->next >= 0 ? m->p->next : m->low;
    if (request->place == PLACE_NONE)
        return pass_trouble(m, err);
    if (!find_place(s, request, m, err))
        return false;
    bool back = m->to < m->from && m->from <= m->high;
    if (back && skips)
        return err_set(err, ERR_INVALID,
            "partition %s: offset %" PRId64 " was passed, it is read from %" PRId64
            " on; larder source seek goes back",
            m->p->name, m->to, m->from);
    return !back || may_go_back(s, request, m, err);
}

static void give_up(
    struct kafka_source *s, const struct source_request *request, struct partition *p)
{
    p->halted = false;
    p->cause[0] = 0;
    p->end = -1;
    p->marks.given_up = s->changed = true;
    record(request, p, "given up at %" PRId64, p->next);
}

static void move_it(struct kafka_source *s, const struct source_request *request,
    const struct move *m, struct arena *arena, struct source_answer *answer)
{
    struct partition *p = m->p;
    int64_t from = p->next;
    if (m->from > m->high)
        note(answer, arena,
            "the log ended before the position: if the topic was made anew, seek --to earliest "
            "reads "
            "all of it");
    else if (m->to < m->from)
        note(answer, arena,
            s->streams->streams[p->stream].contract.event_id >= 0
                ? "events whose ids are still held count once; older ones are refused: late"
                : "what is read again counts again: the stream has no event_id");
    marks_hole(&p->marks, m->lost, m->to);
    partition_move(s, p, m->to);
    record(request, p, "%s from %" PRId64 " to %" PRId64,
        request->action == SOURCE_SKIP ? "skip" : "seek", from, m->to);
}

/* All of them, or none. */
static bool move_all(struct kafka_source *s, const struct source_request *request,
    const struct chosen *chosen, struct arena *arena, struct source_answer *answer, struct err *err)
{
    if (request->place == PLACE_OFFSET && chosen->n > 1)
        return err_set(err, ERR_INVALID, "an offset is one of a single partition: TOPIC/NUMBER");
    struct move *moves = arena_array(arena, chosen->n, sizeof *moves);
    if (!moves)
        return err_set(err, ERR_LIMIT, "no room for %zu partitions", chosen->n);
    for (size_t i = 0; i < chosen->n; i++) {
        moves[i] = (struct move){.p = chosen->items[i]};
        if (!plan_move(s, request, &moves[i], err))
            return false;
    }
    for (size_t i = 0; i < chosen->n; i++) {
        if (moves[i].gives_up)
            give_up(s, request, moves[i].p);
        else
            move_it(s, request, &moves[i], arena, answer);
    }
    return true;
}

bool source_orders_do(struct kafka_source *source, const struct source_request *request,
    struct arena *arena, struct source_answer *answer, struct err *err)
{
    struct chosen chosen;
    if (!choose(source, request, arena, &chosen, err))
        return false;
    switch (request->action) {
    case SOURCE_LIST: break;
    case SOURCE_PAUSE:
        for (size_t i = 0; i < chosen.n; i++)
            pause_it(source, request, chosen.items[i]);
        break;
    case SOURCE_RESUME:
        for (size_t i = 0; i < chosen.n; i++)
            resume_it(source, request, chosen.items[i]);
        break;
    case SOURCE_SKIP:
    case SOURCE_SEEK:
        if (!move_all(source, request, &chosen, arena, answer, err))
            return false;
    }
    return fill_rows(source, &chosen, arena, answer, err);
}
