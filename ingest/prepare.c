#include "ingest/prepare.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "ingest/letters/letters.h"
#include "ingest/lifecycle/lifecycle.h"

/* Records that a member takes at a time. */
#define PART 128
/* Memory of a member for one slice: what is left unprepared comes with the next call. */
#define ROOM_BYTES (4 * DECODER_SCRATCH)

struct hand {
    struct decoder **decoders; /* by stream */
    struct arena arena;
    struct prepare_times times;
    size_t failed;  /* the first record of this call that the store has not answered for, */
    struct err err; /* and why */
};

struct preparer {
    struct prepare_options options;
    struct hand *hands; /* by member */
    struct arena asked;
    /* of the slice */
    const struct kafka_record *records;
    struct event *events;
    struct prepared *prepared;
    struct prepared_life *lives;
    size_t cap;
};

/* ---- life ---- */

struct preparer *preparer_new(const struct prepare_options *options)
{
    struct preparer *p = xcalloc(1, sizeof *p);
    const struct streams *streams = options->streams;
    size_t members = crew_members(options->crew);
    p->options = *options;
    arena_init(&p->asked, ROOM_BYTES);
    p->hands = xcalloc(members, sizeof *p->hands);
    for (size_t m = 0; m < members; m++) {
        arena_init(&p->hands[m].arena, ROOM_BYTES);
        p->hands[m].decoders = xcalloc(streams->n_streams, sizeof(void *));
        for (size_t s = 0; s < streams->n_streams; s++)
            p->hands[m].decoders[s] = decoder_new(&streams->streams[s], options->registry, m > 0);
    }
    return p;
}

void preparer_free(struct preparer **preparer)
{
    struct preparer *p = *preparer;
    *preparer = NULL;
    if (!p)
        return;
    for (size_t m = 0; m < crew_members(p->options.crew); m++) {
        for (size_t s = 0; s < p->options.streams->n_streams; s++)
            decoder_free(&p->hands[m].decoders[s]);
        free(p->hands[m].decoders);
        arena_fini(&p->hands[m].arena);
    }
    free(p->hands);
    arena_fini(&p->asked);
    free(p->events);
    free(p->prepared);
    free(p->lives);
    free(p);
}

/* ---- the steps ---- */

static void no_answer(struct hand *hand, struct prepared *x, size_t i, const struct err *err)
{
    x->kind = PREPARED_NOT;
    if (i >= hand->failed)
        return;
    hand->failed = i;
    hand->err = *err;
}

/* Without an id of its own an event is told by its origin. */
static struct dedupe_id id_of(const struct kafka_record *r, const struct event *event)
{
    char place[PARTITION_NAME_MAX + 24];
    struct slice id = record_origin(r);
    if (event->contract->event_id >= 0)
        id = event->v[event->contract->event_id].str;
    else if (!id.ptr)
        id = slice_of(place,
            (size_t)snprintf(place, sizeof place, "%s/%" PRId64, r->partition->name, r->offset));
    return (struct dedupe_id){
        hash128(id.ptr, id.len), crc32c(0, r->value.ptr, r->value.len), event->time_ms};
}

static void decode(
    const struct preparer *p, struct hand *hand, const struct kafka_record *r, struct prepared *x)
{
    const struct stream *stream = &p->options.streams->streams[r->partition->stream];
    struct decoder_wait wait;
    if (r->partition->parked || !r->value.ptr) {
        x->kind = PREPARED_NOTHING;
        return;
    }
    if (r->value.len > EVENT_BYTES_MAX) {
        x->kind = PREPARED_REFUSED;
        x->why = REFUSED_MALFORMED;
        return;
    }
    if (hand->arena.used_bytes > ROOM_BYTES / 2)
        return;
    x->why = decoder_decode(
        hand->decoders[r->partition->stream], r, &hand->arena, x->event, &x->field, &wait);
    x->kind = wait.waits ? PREPARED_WAITS : x->why ? PREPARED_REFUSED : PREPARED_EVENT;
    if (x->kind != PREPARED_EVENT)
        return;
    x->id = id_of(r, x->event);
    x->may_repeat = stream->contract.event_id >= 0 || r->partition->retried;
}

/* Where to look for its id; NULL: it is new. */
static struct dedupe *dedupe_of(const struct preparer *p, size_t i)
{
    const struct prepared *x = &p->prepared[i];
    bool looks = x->kind == PREPARED_EVENT && x->may_repeat;
    return looks ? p->options.dedupes[p->records[i].partition->stream] : NULL;
}

static void decode_all(struct preparer *p, struct hand *hand, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        struct prepared *x = &p->prepared[i];
        *x = (struct prepared){.field = -1,
            .event = &p->events[i],
            .lives = &p->lives[i * p->options.streams->n_lifecycles]};
        decode(p, hand, &p->records[i], x);
        if (dedupe_of(p, i))
            dedupe_prefetch(dedupe_of(p, i), x->id.hash);
    }
}

static void look_for_ids(struct preparer *p, struct hand *hand, size_t from, size_t to)
{
    struct err err;
    for (size_t i = from; i < to; i++)
        if (p->prepared[i].kind == PREPARED_EVENT && dedupe_of(p, i))
            dedupe_prefetch_stored(dedupe_of(p, i), p->prepared[i].id.hash);
    for (size_t i = from; i < to; i++) {
        struct prepared *x = &p->prepared[i];
        const struct dedupe *dedupe = dedupe_of(p, i);
        if (dedupe && !dedupe_look(dedupe, x->id.hash, &x->known, &err))
            no_answer(hand, x, i, &err);
    }
}

/* Which stages the events reach, and whose they are. */
static void find_stages(struct preparer *p, size_t number, size_t from, size_t to)
{
    const struct lifecycle_runner *lifecycle = p->options.lifecycles[number];
    for (size_t i = from; i < to; i++) {
        struct prepared *x = &p->prepared[i];
        struct prepared_life *life = &x->lives[number];
        life->stages = 0;
        if (x->kind != PREPARED_EVENT)
            continue;
        if (!lifecycle_stages(
                lifecycle, p->records[i].partition->stream, x->event, &life->stages)) {
            x->why = REFUSED_RANGE;
            life->stages = 0;
        }
        if (!life->stages)
            continue;
        life->found.key = lifecycle_key(lifecycle, x->event, life->stages);
        entities_prefetch(lifecycle_entities(lifecycle), life->found.key);
    }
}

/* What is not at hand is asked for, and found when others have been looked at. */
static void look_for_entities(
    struct preparer *p, struct hand *hand, size_t number, size_t from, size_t to)
{
    const struct entities *entities = lifecycle_entities(p->options.lifecycles[number]);
    size_t stored[PART], n = 0;
    struct err err;
    for (size_t i = from; i < to; i++) {
        struct prepared_life *life = &p->prepared[i].lives[number];
        if (!life->stages || entities_at_hand(entities, life->found.key, &life->found))
            continue;
        entities_prefetch_stored(entities, life->found.key);
        stored[n++] = i;
    }
    for (size_t k = 0; k < n; k++) {
        struct prepared *x = &p->prepared[stored[k]];
        struct entity_found *found = &x->lives[number].found;
        if (!entities_find(entities, found->key, &hand->arena, found, &err))
            no_answer(hand, x, stored[k], &err);
    }
}

static void find_hits(struct preparer *p, struct hand *hand, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        struct prepared *x = &p->prepared[i];
        size_t stream = p->records[i].partition->stream;
        x->n_hits = 0;
        if (x->kind != PREPARED_EVENT)
            continue;
        x->hits = arena_array(
            &hand->arena, rollup_runner_hits(p->options.rollups, stream) + 1, sizeof *x->hits);
        if (!x->hits)
            x->kind = PREPARED_NOT;
        else if (rollup_runner_look(p->options.rollups, stream, x->event, x->hits, &x->n_hits))
            x->why = REFUSED_RANGE;
    }
    for (size_t i = from; i < to; i++)
        rollup_runner_find(p->options.rollups, p->prepared[i].hits, p->prepared[i].n_hits);
}

static void prepare_part(struct preparer *p, struct hand *hand, size_t from, size_t to)
{
    struct prepare_times *t = &hand->times;
    int64_t t0 = clock_thread_cpu_ns();
    decode_all(p, hand, from, to);
    int64_t t1 = clock_thread_cpu_ns();
    look_for_ids(p, hand, from, to);
    int64_t t2 = clock_thread_cpu_ns();
    for (size_t l = 0; l < p->options.streams->n_lifecycles; l++) {
        find_stages(p, l, from, to);
        look_for_entities(p, hand, l, from, to);
    }
    int64_t t3 = clock_thread_cpu_ns();
    find_hits(p, hand, from, to);
    t->decode_ns += t1 - t0;
    t->dedupe_ns += t2 - t1;
    t->lifecycle_ns += t3 - t2;
    t->rollup_ns += clock_thread_cpu_ns() - t3;
}

static void work(void *ctx, size_t member, size_t from, size_t to)
{
    struct preparer *p = ctx;
    for (size_t at = from; at < to; at += PART)
        prepare_part(p, &p->hands[member], at, to - at < PART ? to : at + PART);
}

/* ---- the slice ---- */

static void make_room(struct preparer *p, size_t n)
{
    if (n <= p->cap)
        return;
    p->cap = n;
    p->events = xreallocarray(p->events, n, sizeof *p->events);
    p->prepared = xreallocarray(p->prepared, n, sizeof *p->prepared);
    p->lives =
        xreallocarray(p->lives, n * (p->options.streams->n_lifecycles + 1), sizeof *p->lives);
}

static const struct err *why_not(const struct preparer *p, size_t i)
{
    for (size_t m = 0; m < crew_members(p->options.crew); m++)
        if (p->hands[m].failed == i)
            return &p->hands[m].err;
    unreachable("a record alone always finds room");
}

/* Returns how many are prepared, from the first on. */
static size_t prepare(struct preparer *p, size_t n)
{
    size_t ready = 0;
    for (size_t m = 0; m < crew_members(p->options.crew); m++) {
        arena_reset(&p->hands[m].arena);
        p->hands[m].failed = SIZE_MAX;
    }
    crew_run(p->options.crew, n, PART, work, p);
    while (ready < n && p->prepared[ready].kind != PREPARED_NOT)
        ready++;
    return ready;
}

bool preparer_run(struct preparer *preparer, const struct kafka_record *records, size_t n,
    size_t *ready, struct err *err)
{
    struct preparer *p = preparer;
    make_room(p, n);
    p->records = records;
    *ready = prepare(p, n);
    if (n > 1 && *ready == 0) /* what the others of its part took left no room, perhaps */
        *ready = prepare(p, 1);
    if (n > 0 && *ready == 0)
        *err = *why_not(p, 0);
    return n == 0 || *ready > 0;
}

struct prepared *preparer_at(const struct preparer *preparer, size_t i)
{
    return &preparer->prepared[i];
}

enum refusal preparer_ask(
    struct preparer *preparer, const struct kafka_record *record, struct decoder_wait *wait)
{
    struct event event;
    arena_reset(&preparer->asked);
    return decoder_decode(preparer->hands[0].decoders[record->partition->stream], record,
        &preparer->asked, &event, NULL, wait);
}

void preparer_times(const struct preparer *preparer, struct prepare_times *out)
{
    *out = (struct prepare_times){0};
    for (size_t m = 0; m < crew_members(preparer->options.crew); m++) {
        const struct prepare_times *t = &preparer->hands[m].times;
        out->decode_ns += t->decode_ns;
        out->dedupe_ns += t->dedupe_ns;
        out->lifecycle_ns += t->lifecycle_ns;
        out->rollup_ns += t->rollup_ns;
    }
}
