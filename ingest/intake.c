#include "ingest/intake.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "ingest/crew.h"
#include "ingest/dedupe.h"
#include "ingest/exemplars/exemplars.h"
#include "ingest/letters/letters.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/lifecycle/lifecycle_run.h"
#include "ingest/prepare.h"
#include "ingest/rollup_run.h"

/* What one transaction may hold, and a slice more: cells, bytes of labels that are new, bytes of
 * entities, and exemplars. With what lives that expire add (lifecycle_run.c) and with letters
 * (letters.h) it stays below TRANSACTION_BYTES_MAX. */
#define BATCH_CELLS       500000
#define BATCH_LABEL_BYTES (8u << 20)
#define BATCH_LIFE_BYTES  (24u << 20)
#define BATCH_EXEMPLARS   20000
/* Records whose memory is asked for ahead of the one that is judged. */
#define AHEAD 8

/* A partition whose next record waits for its schema, or for room in the outbox. */
struct parked {
    struct partition *partition;
    bool for_room;
    struct schema_ref schema;
};

struct intake {
    struct store *store;
    const struct streams *streams;
    struct kafka_source *source;
    struct rollup_runner *runner;
    struct registry *registry; /* NULL: no stream is Avro */
    struct dedupe **dedupes;   /* by stream; NULL: its events have no id, and none comes again */
    size_t filters_left;       /* bytes that they may still take */
    struct lifecycle_runner **lifecycles;
    struct exemplars *exemplars;
    struct letters *letters;        /* NULL: no stream sends any */
    struct lateness *lateness;      /* by stream */
    int64_t *watermarks, *horizons; /* likewise, as settled last */
    bool *has_lives;                /* likewise: some stage of a lifecycle is of its events */
    struct crew *crew;
    struct preparer *preparer;
    struct parked *parked;
    size_t n_parked, parked_cap;
    struct intake_stats stats; /* without what was prepared and published */
    _Atomic int64_t publish_ns;
    /* of the records that were taken and are counted now */
    const struct kafka_record *slice;
    uint32_t *counted;          /* their numbers in the slice */
    struct life_entry *entries; /* by number and lifecycle */
    size_t n_counted, cap;
};

/* An event of a batch, when all are of entities of their own: their facts, as they are and as they
 * are written, and the transaction with its frame; a life that expires. */
#define EVENT_MEMORY     1280
#define EXPIRE_MEMORY    1024
#define EXPIRE_MAX       50000
#define BATCH_EVENTS_MIN 1000
#define BATCH_EVENTS_MAX 100000

uint32_t intake_batch_events(uint64_t memory_bytes)
{
    uint64_t n = memory_bytes / EVENT_MEMORY;
    if (n < BATCH_EVENTS_MIN)
        return BATCH_EVENTS_MIN;
    return n < BATCH_EVENTS_MAX ? (uint32_t)n : BATCH_EVENTS_MAX;
}

/* ---- life ---- */

static bool has_stage(const struct streams *streams, size_t stream)
{
    for (size_t l = 0; l < streams->n_lifecycles; l++)
        for (size_t s = 0; s < streams->lifecycles[l].rules.n_stages; s++)
            if (streams->lifecycles[l].stages[s].stream == (int)stream)
                return true;
    return false;
}

static int64_t watermark_of(struct store *store, struct slice clock)
{
    int64_t frontier, watermark;
    return store_clock(store, clock, &frontier, &watermark) ? watermark : INT64_MIN;
}

static void begin_stream(struct intake *in, struct store *store, size_t i)
{
    const struct stream *stream = &in->streams->streams[i];
    in->watermarks[i] = watermark_of(store, stream->name);
    in->horizons[i] = watermark_of(store, stream->horizon_clock);
    in->has_lives[i] = has_stage(in->streams, i);
    if (stream->contract.event_id < 0 && !stream->retry.len)
        return;
    in->dedupes[i] = dedupe_new(
        store, stream->name, stream->contract.late_ms, in->horizons[i], &in->filters_left);
}

/* Of the lifecycle's streams. */
static int64_t slowest_of(const struct intake *in, size_t lifecycle, const int64_t *by_stream)
{
    const struct lifecycle *l = &in->streams->lifecycles[lifecycle];
    int64_t least = INT64_MAX;
    for (int s = 0; s < l->rules.n_stages; s++) {
        int64_t w = by_stream[l->stages[s].stream];
        least = w < least ? w : least;
    }
    return least;
}

/* Of streams that keep their names. */
static void keep_lateness(struct intake *in, const struct intake *before)
{
    for (size_t i = 0; i < in->streams->n_streams; i++)
        for (size_t k = 0; k < before->streams->n_streams; k++)
            if (slice_eq(in->streams->streams[i].name, before->streams->streams[k].name))
                in->lateness[i] = before->lateness[k];
}

/* Schemas that are known need no registry that answers. */
static struct registry *registry_of(const struct streams *streams, struct intake *before)
{
    struct registry *registry = before ? before->registry : NULL;
    if (!streams->registry)
        return NULL;
    if (!registry || !registry_is(registry, streams->registry))
        return registry_new(streams->registry);
    before->registry = NULL;
    return registry;
}

void intake_give_back(struct intake *intake, struct intake *before)
{
    if (before->registry || !before->streams->registry)
        return;
    before->registry = intake->registry;
    intake->registry = NULL;
}

/* Of its part of the memory. */
static void begin_lifecycle(struct intake *in, struct store *store, size_t i, size_t memory_bytes)
{
    size_t expire = memory_bytes / EXPIRE_MEMORY;
    in->lifecycles[i] = lifecycle_runner_new(
        store, in->streams, i, slowest_of(in, i, in->horizons), in->runner, memory_bytes / 8 * 3);
    lifecycle_runner_bound(in->lifecycles[i],
        expire < BATCH_EVENTS_MIN ? BATCH_EVENTS_MIN
        : expire < EXPIRE_MAX     ? expire
                                  : EXPIRE_MAX,
        memory_bytes / 24);
}

struct intake *intake_new(struct store *store, const struct streams *streams,
    struct kafka_source *source, size_t workers, size_t memory_bytes, struct intake *before)
{
    struct intake *in = xcalloc(1, sizeof *in);
    in->store = store;
    in->streams = streams;
    in->source = source;
    in->filters_left = memory_bytes / 2;
    in->runner = rollup_runner_new(streams);
    rollup_runner_bound(in->runner, memory_bytes / 12);
    in->dedupes = xcalloc(streams->n_streams, sizeof(void *));
    in->registry = registry_of(streams, before);
    in->lateness = xcalloc(streams->n_streams, sizeof *in->lateness);
    in->watermarks = xcalloc(streams->n_streams, sizeof *in->watermarks);
    in->horizons = xcalloc(streams->n_streams, sizeof *in->horizons);
    in->has_lives = xcalloc(streams->n_streams, sizeof *in->has_lives);
    for (size_t i = 0; i < streams->n_streams; i++)
        begin_stream(in, store, i);
    if (before)
        keep_lateness(in, before);
    in->letters = letters_new(store, streams);
    in->exemplars = exemplars_new(store, streams);
    in->lifecycles = xcalloc(streams->n_lifecycles + 1, sizeof(void *));
    for (size_t i = 0; i < streams->n_lifecycles; i++)
        begin_lifecycle(in, store, i, memory_bytes / streams->n_lifecycles);
    in->crew = crew_new(workers);
    in->preparer = preparer_new(&(struct prepare_options){.streams = streams,
        .registry = in->registry,
        .crew = in->crew,
        .dedupes = in->dedupes,
        .lifecycles = in->lifecycles,
        .rollups = in->runner});
    return in;
}

void intake_free(struct intake **intake)
{
    struct intake *in = *intake;
    *intake = NULL;
    if (!in)
        return;
    preparer_free(&in->preparer);
    crew_free(&in->crew);
    for (size_t i = 0; i < in->streams->n_streams; i++)
        dedupe_free(&in->dedupes[i]);
    for (size_t i = 0; i < in->streams->n_lifecycles; i++)
        lifecycle_runner_free(&in->lifecycles[i]);
    letters_free(&in->letters);
    exemplars_free(&in->exemplars);
    registry_free(&in->registry);
    rollup_runner_free(&in->runner);
    free(in->dedupes);
    free(in->lifecycles);
    free(in->lateness);
    free(in->watermarks);
    free(in->horizons);
    free(in->has_lives);
    free(in->parked);
    free(in->counted);
    free(in->entries);
    free(in);
}

/* ---- waiting for schemas, and for room ---- */

static void park(
    struct intake *in, const struct kafka_record *r, const struct parked *parked, const char *why)
{
    kafka_source_park(in->source, r->partition, r->offset, why);
    GROW(in->parked, in->parked_cap, in->n_parked + 1);
    in->parked[in->n_parked++] = *parked;
}

static void await_schema(
    struct intake *in, const struct kafka_record *r, const struct decoder_wait *wait)
{
    char schema[SCHEMA_REF_TEXT], why[ERR_TEXT_MAX + 512];
    snprintf(why, sizeof why, "partition %s waits for schema %s%s%s", r->partition->name,
        schema_ref_text(&wait->schema, schema), wait->why.text[0] ? ": " : "", wait->why.text);
    log_info("%s", why);
    park(in, r, &(struct parked){r->partition, false, wait->schema}, why);
}

static void await_room(struct intake *in, const struct kafka_record *r, enum letter_room room)
{
    char why[PARTITION_NAME_MAX + 128];
    bool full = room == LETTER_OUTBOX_FULL;
    snprintf(why, sizeof why, "partition %s waits: %s", r->partition->name,
        full ? "the outbox of its stream's dead letters is full"
             : "a batch holds no more dead letters");
    log_line(full ? LOG_ERROR : LOG_DEBUG, "%s", why);
    park(in, r, &(struct parked){.partition = r->partition, .for_room = true}, why);
}

static bool goes_on(struct intake *in, const struct parked *p)
{
    const struct avro_schema *schema;
    if (p->for_room)
        return letters_have_room(in->letters, p->partition->stream);
    return registry_get(in->registry, &p->schema, &schema, NULL) != REGISTRY_WAIT;
}

void intake_resume(struct intake *intake)
{
    for (size_t i = 0; i < intake->n_parked;) {
        struct parked *p = &intake->parked[i];
        if (!goes_on(intake, p)) {
            i++;
            continue;
        }
        kafka_source_unpark(intake->source, p->partition);
        *p = intake->parked[--intake->n_parked];
    }
}

/* ---- one event ---- */

/* What becomes of a record. */
enum outcome { TAKEN, REFUSED, DUPLICATE, CONFLICT, WAITS, NOTHING };

/* Its hour is over. */
static enum outcome refuse_gone(struct refusal_case *out)
{
    out->reason = REFUSED_LATE;
    out->arrival_ms = INT64_MIN;
    return REFUSED;
}

static enum outcome judge_id(
    const struct dedupe *dedupe, const struct prepared *x, struct refusal_case *out)
{
    switch (dedupe_judge(dedupe, &x->id, &x->known)) {
    case DEDUPE_NEW: return TAKEN;
    case DEDUPE_SEEN: return DUPLICATE;
    case DEDUPE_CONFLICT: return CONFLICT;
    case DEDUPE_GONE: return refuse_gone(out);
    }
    unreachable("there are no other answers");
}

/* Without an id it comes once. But what a lifecycle knew of its entity may be gone, as ids are. */
static enum outcome judge_age(
    const struct intake *in, size_t stream, int64_t time_ms, struct refusal_case *out)
{
    int64_t late_ms = in->streams->streams[stream].contract.late_ms;
    bool gone = in->has_lives[stream] && dedupe_is_gone(late_ms, in->horizons[stream], time_ms);
    return gone ? refuse_gone(out) : TAKEN;
}

static enum outcome judge_event(const struct intake *in, const struct kafka_record *r,
    const struct prepared *x, struct refusal_case *out)
{
    size_t stream = r->partition->stream;
    const struct dedupe *dedupe = x->may_repeat ? in->dedupes[stream] : NULL;
    out->time_ms = x->event->time_ms;
    /* What is sent anew has its past in another partition. */
    out->reason = contract_judge_time(x->event->contract, out->time_ms, record_timestamp_ms(r),
        r->partition->retried ? INT64_MIN : r->partition->newest_ms, &out->arrival_ms);
    if (out->reason)
        return REFUSED;
    enum outcome outcome =
        dedupe ? judge_id(dedupe, x, out) : judge_age(in, stream, x->event->time_ms, out);
    if (outcome != TAKEN)
        return outcome;
    out->reason = x->why;
    return out->reason ? REFUSED : TAKEN;
}

static enum outcome judge(const struct intake *in, const struct kafka_record *r,
    const struct prepared *x, struct refusal_case *out)
{
    *out = (struct refusal_case){.field = -1, .value_bytes = r->value.len};
    if (r->partition->parked)
        return NOTHING;
    switch (x->kind) {
    case PREPARED_NOT: break;
    case PREPARED_NOTHING: return NOTHING;
    case PREPARED_WAITS: return WAITS;
    case PREPARED_REFUSED:
        out->reason = x->why;
        out->field = x->field;
        return REFUSED;
    case PREPARED_EVENT: return judge_event(in, r, x, out);
    }
    unreachable("a record is judged when it is prepared");
}

/* The event's entities become part of the batch, so that nothing can fail when it is counted. */
static bool enter(struct intake *in, size_t i, const struct prepared *x, struct err *err)
{
    size_t n = in->streams->n_lifecycles;
    for (size_t l = 0; l < n; l++)
        if (x->lives[l].stages && !lifecycle_enter(in->lifecycles[l], x->event, x->lives[l].stages,
                                      &x->lives[l].found, &in->entries[i * n + l], err))
            return false;
    return true;
}

static void note_lateness(struct intake *in, const struct kafka_record *r, int64_t time_ms)
{
    struct lateness *lateness = &in->lateness[r->partition->stream];
    lateness->corrections += time_ms <= in->watermarks[r->partition->stream];
    int64_t timestamp_ms = record_timestamp_ms(r);
    if (timestamp_ms != INT64_MIN)
        lateness_add(lateness, timestamp_ms, time_ms);
}

/* Of what came before too: else the order of partitions would say what is late in them. */
static void note_newest(
    const struct kafka_record *r, enum outcome outcome, const struct prepared *x)
{
    bool known = outcome == DUPLICATE || outcome == CONFLICT;
    if ((outcome == TAKEN || known) && x->event->time_ms > r->partition->newest_ms)
        r->partition->newest_ms = x->event->time_ms;
}

static void take(
    struct intake *in, size_t i, const struct kafka_record *r, const struct prepared *x)
{
    if (x->may_repeat)
        dedupe_add(in->dedupes[r->partition->stream], &x->id);
    note_lateness(in, r, x->event->time_ms);
    in->counted[in->n_counted++] = (uint32_t)i;
}

/* Returns what becomes of it: without room for its letter it is to be read again. */
static enum outcome refuse(
    struct intake *in, const struct kafka_record *r, const struct refusal_case *refused)
{
    enum letter_room room = letters_take(in->letters, r, refused);
    if (room == LETTER_TAKEN)
        return REFUSED;
    await_room(in, r, room);
    return NOTHING;
}

static void count_outcome(const struct kafka_record *r, enum outcome outcome, enum refusal why)
{
    struct tally *tally = &r->partition->tally;
    switch (outcome) {
    case TAKEN: tally->accepted++; break;
    case REFUSED: tally->refused[why]++; break;
    case DUPLICATE: tally->duplicates++; break;
    case CONFLICT: tally->conflicts++; break;
    case NOTHING: tally->tombstones += !r->partition->parked; return;
    case WAITS: return;
    }
    tally->bytes += r->value.len;
}

/* What the batch knows of a record that is judged soon. */
static void ask_ahead(
    const struct intake *in, const struct kafka_record *r, const struct prepared *x)
{
    if (x->kind == PREPARED_EVENT && x->may_repeat)
        dedupe_prefetch_added(in->dedupes[r->partition->stream], x->id.hash);
}

/* What a record waits for may have come meanwhile: then it is to be prepared again. */
static bool wait_at(struct intake *in, const struct kafka_record *r)
{
    struct decoder_wait wait = {0};
    preparer_ask(in->preparer, r, &wait);
    if (wait.waits)
        await_schema(in, r, &wait);
    return wait.waits;
}

/* Judges the first n prepared records; *done: so many of them. */
static bool judge_all(
    struct intake *in, const struct kafka_record *records, size_t n, size_t *done, struct err *err)
{
    in->n_counted = 0;
    for (*done = 0; *done < n; ++*done) {
        const struct kafka_record *r = &records[*done];
        const struct prepared *x = preparer_at(in->preparer, *done);
        struct refusal_case refused;
        if (*done + AHEAD < n)
            ask_ahead(in, r + AHEAD, x + AHEAD);
        enum outcome outcome = judge(in, r, x, &refused);
        if (outcome == WAITS && !wait_at(in, r))
            return true;
        if (outcome == TAKEN && !enter(in, *done, x, err))
            return false;
        if (outcome == TAKEN)
            take(in, *done, r, x);
        note_newest(r, outcome, x);
        if (refused.reason == REFUSED_SCHEMA)
            preparer_ask(in->preparer, r, &(struct decoder_wait){0});
        if (outcome == REFUSED)
            outcome = refuse(in, r, &refused);
        count_outcome(r, outcome, refused.reason);
    }
    return true;
}

/* ---- what was taken is counted ---- */

static void keep_exemplars(struct intake *in, const struct prepared *x)
{
    for (size_t i = 0; i < x->n_hits; i++)
        exemplars_add(in->exemplars, rollup_runner_rollup(in->runner, x->hits[i].rollup), x->event,
            x->hits[i].value);
}

static void count_in_rollups(struct intake *in)
{
    int64_t t0 = clock_thread_cpu_ns();
    for (size_t k = 0; k < in->n_counted; k++) {
        const struct prepared *x = preparer_at(in->preparer, in->counted[k]);
        if (k + AHEAD < in->n_counted) {
            const struct prepared *y = preparer_at(in->preparer, in->counted[k + AHEAD]);
            rollup_runner_prefetch(in->runner, y->hits, y->n_hits);
        }
        size_t stream = in->slice[in->counted[k]].partition->stream;
        rollup_runner_count(in->runner, stream, x->event, x->hits, x->n_hits);
        if (exemplars_want(x->event))
            keep_exemplars(in, x);
    }
    in->stats.rollup_ns += clock_thread_cpu_ns() - t0;
}

static void count_in_lives(struct intake *in)
{
    int64_t t0 = clock_thread_cpu_ns();
    size_t n = in->streams->n_lifecycles;
    for (size_t k = 0; k < in->n_counted; k++) {
        size_t i = in->counted[k];
        const struct prepared *x = preparer_at(in->preparer, i);
        for (size_t l = 0; l < n; l++)
            if (x->lives[l].stages)
                lifecycle_add(in->lifecycles[l], x->event, x->lives[l].stages,
                    &in->entries[i * n + l], x->id.hash.lo);
    }
    in->stats.lifecycle_ns += clock_thread_cpu_ns() - t0;
}

/* Two items: neither touches what the other one does. */
static void count_part(void *ctx, size_t member, size_t from, size_t to)
{
    struct intake *in = ctx;
    (void)member;
    for (size_t part = from; part < to; part++) {
        if (part == 0)
            count_in_rollups(in);
        else
            count_in_lives(in);
    }
}

static void begin_slice(struct intake *in, size_t n)
{
    for (size_t s = 0; s < in->streams->n_streams; s++)
        if (in->dedupes[s])
            dedupe_open(in->dedupes[s]);
    for (size_t l = 0; l < in->streams->n_lifecycles; l++)
        entities_open(lifecycle_entities(in->lifecycles[l]));
    if (n <= in->cap)
        return;
    in->cap = n;
    in->counted = xreallocarray(in->counted, n, sizeof *in->counted);
    in->entries =
        xreallocarray(in->entries, n * (in->streams->n_lifecycles + 1), sizeof *in->entries);
}

bool intake_records(struct intake *intake, const struct kafka_record *records, size_t n,
    size_t *taken, struct err *err)
{
    struct intake *in = intake;
    bool ok = true;
    begin_slice(in, n);
    for (*taken = 0; ok && *taken < n;) {
        size_t ready, done;
        if (!preparer_run(in->preparer, records + *taken, n - *taken, &ready, err))
            return false;
        int64_t t0 = clock_thread_cpu_ns();
        in->slice = records + *taken;
        ok = judge_all(in, records + *taken, ready, &done, err);
        in->stats.judge_ns += clock_thread_cpu_ns() - t0;
        crew_run(in->crew, 2, 1, count_part, in);
        *taken += done;
    }
    return ok;
}

/* ---- the batch ---- */

bool intake_settle(
    struct intake *intake, const int64_t *watermarks, const int64_t *horizons, struct err *err)
{
    size_t bytes = intake->streams->n_streams * sizeof *watermarks;
    memcpy(intake->watermarks, watermarks, bytes);
    memcpy(intake->horizons, horizons, bytes);
    for (size_t i = 0; i < intake->streams->n_lifecycles; i++)
        if (!lifecycle_settle(intake->lifecycles[i], intake->crew,
                slowest_of(intake, i, watermarks), slowest_of(intake, i, horizons), err))
            return false;
    return true;
}

bool intake_is_behind(const struct intake *intake)
{
    bool behind = false;
    for (size_t i = 0; i < intake->streams->n_lifecycles; i++)
        behind |= lifecycle_is_behind(intake->lifecycles[i]);
    return behind;
}

int64_t intake_expired_ms(const struct intake *intake, size_t lifecycle)
{
    return lifecycle_expired_ms(intake->lifecycles[lifecycle]);
}

bool intake_write(struct intake *intake, struct txn *txn, struct err *err)
{
    const int64_t *horizons = intake->horizons;
    if (!rollup_runner_write(intake->runner, txn, err))
        return false;
    for (size_t s = 0; s < intake->streams->n_streams; s++)
        if (intake->dedupes[s] && !dedupe_write(intake->dedupes[s], txn, horizons[s], err))
            return false;
    for (size_t i = 0; i < intake->streams->n_lifecycles; i++)
        if (!lifecycle_write(intake->lifecycles[i], txn, err))
            return false;
    if (crew_members(intake->crew) > 1)
        txn_leave_cells(txn);
    return exemplars_write(intake->exemplars, txn, horizons, err) &&
           letters_write(intake->letters, txn, err);
}

void intake_unwrite(struct intake *intake)
{
    rollup_runner_unwrite(intake->runner);
}

static void clear_ids(struct intake *in)
{
    for (size_t s = 0; s < in->streams->n_streams; s++)
        if (in->dedupes[s])
            dedupe_clear(in->dedupes[s]);
}

static void clear_lives(struct intake *in)
{
    rollup_runner_clear(in->runner);
    for (size_t i = 0; i < in->streams->n_lifecycles; i++)
        lifecycle_clear(in->lifecycles[i]);
}

/* Two items, as count_part. */
static void clear_part(void *ctx, size_t member, size_t from, size_t to)
{
    (void)member;
    for (size_t part = from; part < to; part++)
        (part == 0 ? clear_lives : clear_ids)(ctx);
}

/* Beside the next batch: of all this it touches the store and its own count. */
static void publish(void *ctx)
{
    struct intake *in = ctx;
    int64_t t0 = clock_thread_cpu_ns();
    while (store_publish(in->store))
        ;
    atomic_fetch_add(&in->publish_ns, clock_thread_cpu_ns() - t0);
}

void intake_clear(struct intake *intake)
{
    crew_run(intake->crew, 2, 1, clear_part, intake);
    letters_clear(intake->letters);
    exemplars_clear(intake->exemplars);
    if (crew_members(intake->crew) > 1)
        crew_aside(intake->crew, publish, intake);
}

struct letters *intake_letters(const struct intake *intake)
{
    return intake->letters;
}

bool intake_waits_for_room(const struct intake *intake, size_t stream)
{
    for (size_t i = 0; i < intake->n_parked; i++)
        if (intake->parked[i].for_room && intake->parked[i].partition->stream == stream)
            return true;
    return false;
}

size_t intake_cells(const struct intake *intake)
{
    return rollup_runner_cells(intake->runner);
}

bool intake_is_full(const struct intake *intake)
{
    size_t life_bytes = 0;
    for (size_t i = 0; i < intake->streams->n_lifecycles; i++)
        life_bytes += lifecycle_batch_bytes(intake->lifecycles[i]);
    return intake_cells(intake) >= BATCH_CELLS || life_bytes >= BATCH_LIFE_BYTES ||
           rollup_runner_new_label_bytes(intake->runner) >= BATCH_LABEL_BYTES ||
           exemplars_pending(intake->exemplars) >= BATCH_EXEMPLARS;
}

void intake_lateness(const struct intake *intake, size_t stream, struct lateness *out)
{
    *out = intake->lateness[stream];
}

void intake_lifecycle(const struct intake *intake, size_t lifecycle, struct lifecycle_counts *out)
{
    lifecycle_counted(intake->lifecycles[lifecycle], out);
}

void intake_stats(const struct intake *intake, struct intake_stats *out)
{
    struct prepare_times times;
    preparer_times(intake->preparer, &times);
    *out = intake->stats;
    out->decode_ns += times.decode_ns;
    out->dedupe_ns += times.dedupe_ns;
    out->lifecycle_ns += times.lifecycle_ns;
    out->rollup_ns += times.rollup_ns;
    out->publish_ns = atomic_load(&intake->publish_ns);
    out->refused_cells = rollup_runner_refused(intake->runner);
    out->label_bytes = rollup_runner_label_bytes(intake->runner);
    for (size_t i = 0; i < intake->streams->n_lifecycles; i++)
        out->label_bytes += lifecycle_label_bytes(intake->lifecycles[i]);
}
