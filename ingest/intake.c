#include "ingest/intake.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "ingest/crew.h"
#include "ingest/dedupe.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/lifecycle/lifecycle_run.h"
#include "ingest/prepare.h"
#include "ingest/rollup_run.h"

/* Records whose memory is asked for ahead of the one that is judged. */
#define AHEAD 8

/* A partition whose next record waits for its schema. */
struct parked {
    struct partition *partition;
    struct schema_ref schema;
};

struct intake {
    const struct streams *streams;
    struct kafka_source *source;
    struct rollup_runner *runner;
    struct registry *registry; /* NULL: no stream is Avro */
    struct dedupe **dedupes;   /* by stream; NULL: its events have no id */
    size_t filters_left;       /* bytes that they may still take */
    struct lifecycle_runner **lifecycles;
    struct crew *crew;
    struct preparer *preparer;
    struct parked *parked;
    size_t n_parked, parked_cap;
    struct intake_stats stats; /* without what was prepared */
    /* of the records that were taken and are counted now */
    uint32_t *counted;          /* their numbers in the slice */
    struct life_entry *entries; /* by number and lifecycle */
    size_t n_counted, cap;
};

/* ---- life ---- */

static void begin_dedupe(struct intake *in, struct store *store, size_t i)
{
    const struct stream *stream = &in->streams->streams[i];
    int64_t frontier, watermark;
    if (stream->contract.event_id < 0)
        return;
    if (!store_clock(store, stream->name, &frontier, &watermark))
        watermark = INT64_MIN;
    in->dedupes[i] =
        dedupe_new(store, stream->name, stream->contract.late_ms, watermark, &in->filters_left);
}

struct intake *intake_new(struct store *store, const struct streams *streams,
    struct kafka_source *source, size_t workers, size_t memory_bytes)
{
    struct intake *in = xcalloc(1, sizeof *in);
    in->streams = streams;
    in->source = source;
    in->filters_left = memory_bytes / 2;
    in->runner = rollup_runner_new(streams);
    in->dedupes = xcalloc(streams->n_streams, sizeof(void *));
    if (streams->registry)
        in->registry = registry_new(streams->registry);
    for (size_t i = 0; i < streams->n_streams; i++)
        begin_dedupe(in, store, i);
    in->lifecycles = xcalloc(streams->n_lifecycles + 1, sizeof(void *));
    for (size_t i = 0; i < streams->n_lifecycles; i++)
        in->lifecycles[i] = lifecycle_runner_new(
            store, streams, i, in->runner, memory_bytes / 2 / streams->n_lifecycles);
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
    registry_free(&in->registry);
    rollup_runner_free(&in->runner);
    free(in->dedupes);
    free(in->lifecycles);
    free(in->parked);
    free(in->counted);
    free(in->entries);
    free(in);
}

/* ---- waiting for schemas ---- */

static void park(struct intake *in, const struct kafka_record *r, const struct decoder_wait *wait)
{
    char schema[SCHEMA_REF_TEXT], why[ERR_TEXT_MAX + 512];
    snprintf(why, sizeof why, "partition %s waits for schema %s%s%s", r->partition->name,
        schema_ref_text(&wait->schema, schema), wait->why.text[0] ? ": " : "", wait->why.text);
    log_info("%s", why);
    kafka_source_park(in->source, r->partition, r->offset, why);
    GROW(in->parked, in->parked_cap, in->n_parked + 1);
    in->parked[in->n_parked++] = (struct parked){r->partition, wait->schema};
}

void intake_resume(struct intake *intake)
{
    const struct avro_schema *schema;
    for (size_t i = 0; i < intake->n_parked;) {
        struct parked *p = &intake->parked[i];
        if (registry_get(intake->registry, &p->schema, &schema, NULL) == REGISTRY_WAIT) {
            i++;
            continue;
        }
        kafka_source_unpark(intake->source, p->partition);
        *p = intake->parked[--intake->n_parked];
    }
}

/* ---- one event ---- */

static enum refusal judge_time(const struct kafka_record *r, const struct event *event)
{
    const struct contract *c = event->contract;
    int64_t arrival = c->arrival_partition ? r->partition->newest_ms : r->timestamp_ms;
    /* History produced anew is older than its records; what is newer would make all the rest late.
     */
    if (c->arrival_partition && r->timestamp_ms != INT64_MIN &&
        event->time_ms > r->timestamp_ms + c->ahead_ms)
        return REFUSED_AHEAD;
    return arrival == INT64_MIN ? REFUSED_NOT : contract_judge_time(c, event->time_ms, arrival);
}

/* What becomes of a record. */
enum outcome { TAKEN, REFUSED, DUPLICATE, CONFLICT, WAITS, NOTHING };

static enum outcome judge_id(
    const struct dedupe *dedupe, const struct prepared *x, enum refusal *why)
{
    switch (dedupe_judge(dedupe, &x->id, &x->known)) {
    case DEDUPE_NEW: return TAKEN;
    case DEDUPE_SEEN: return DUPLICATE;
    case DEDUPE_CONFLICT: return CONFLICT;
    case DEDUPE_GONE: *why = REFUSED_LATE; return REFUSED;
    }
    unreachable("there are no other answers");
}

static enum outcome judge_event(const struct intake *in, const struct kafka_record *r,
    const struct prepared *x, enum refusal *why)
{
    const struct dedupe *dedupe = in->dedupes[r->partition->stream];
    *why = judge_time(r, x->event);
    if (*why)
        return REFUSED;
    enum outcome outcome = dedupe ? judge_id(dedupe, x, why) : TAKEN;
    if (outcome != TAKEN)
        return outcome;
    *why = x->why;
    return *why ? REFUSED : TAKEN;
}

static enum outcome judge(const struct intake *in, const struct kafka_record *r,
    const struct prepared *x, enum refusal *why)
{
    if (r->partition->parked)
        return NOTHING;
    switch (x->kind) {
    case PREPARED_NOT: break;
    case PREPARED_NOTHING: return NOTHING;
    case PREPARED_WAITS: return WAITS;
    case PREPARED_REFUSED: *why = x->why; return REFUSED;
    case PREPARED_EVENT: return judge_event(in, r, x, why);
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

static void take(
    struct intake *in, size_t i, const struct kafka_record *r, const struct prepared *x)
{
    struct dedupe *dedupe = in->dedupes[r->partition->stream];
    if (dedupe)
        dedupe_add(dedupe, &x->id);
    if (x->event->time_ms > r->partition->newest_ms)
        r->partition->newest_ms = x->event->time_ms;
    in->counted[in->n_counted++] = (uint32_t)i;
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
    const struct dedupe *dedupe = in->dedupes[r->partition->stream];
    if (x->kind != PREPARED_EVENT)
        return;
    if (dedupe)
        dedupe_prefetch_added(dedupe, x->id.hash);
    for (size_t l = 0; l < in->streams->n_lifecycles; l++)
        if (x->lives[l].stages)
            entities_prefetch_entered(lifecycle_entities(in->lifecycles[l]), &x->lives[l].found);
}

/* What a record waits for may have come meanwhile: then it is to be prepared again. */
static bool wait_at(struct intake *in, const struct kafka_record *r)
{
    struct decoder_wait wait = {0};
    preparer_ask(in->preparer, r, &wait);
    if (wait.waits)
        park(in, r, &wait);
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
        enum refusal why = REFUSED_NOT;
        if (*done + AHEAD < n)
            ask_ahead(in, r + AHEAD, x + AHEAD);
        enum outcome outcome = judge(in, r, x, &why);
        if (outcome == WAITS && !wait_at(in, r))
            return true;
        if (outcome == TAKEN && !enter(in, *done, x, err))
            return false;
        if (outcome == TAKEN)
            take(in, *done, r, x);
        if (why == REFUSED_SCHEMA)
            preparer_ask(in->preparer, r, &(struct decoder_wait){0});
        count_outcome(r, outcome, why);
    }
    return true;
}

/* ---- what was taken is counted ---- */

static void count_in_rollups(struct intake *in)
{
    int64_t t0 = clock_thread_cpu_ns();
    for (size_t k = 0; k < in->n_counted; k++) {
        const struct prepared *x = preparer_at(in->preparer, in->counted[k]);
        if (k + AHEAD < in->n_counted) {
            const struct prepared *y = preparer_at(in->preparer, in->counted[k + AHEAD]);
            rollup_runner_prefetch(in->runner, y->hits, y->n_hits);
        }
        rollup_runner_count(in->runner, x->event, x->hits, x->n_hits);
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
        ok = judge_all(in, records + *taken, ready, &done, err);
        in->stats.judge_ns += clock_thread_cpu_ns() - t0;
        crew_run(in->crew, 2, 1, count_part, in);
        *taken += done;
    }
    return ok;
}

/* ---- the batch ---- */

/* The slowest of the lifecycle's streams. */
static int64_t lifecycle_watermark(
    const struct intake *in, size_t lifecycle, const int64_t *watermarks)
{
    const struct lifecycle *l = &in->streams->lifecycles[lifecycle];
    int64_t least = INT64_MAX;
    for (int s = 0; s < l->rules.n_stages; s++) {
        int64_t w = watermarks[l->stages[s].stream];
        least = w < least ? w : least;
    }
    return least;
}

bool intake_settle(struct intake *intake, const int64_t *watermarks, struct err *err)
{
    for (size_t i = 0; i < intake->streams->n_lifecycles; i++)
        if (!lifecycle_settle(
                intake->lifecycles[i], lifecycle_watermark(intake, i, watermarks), err))
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

bool intake_write(
    struct intake *intake, struct txn *txn, const int64_t *watermarks, struct err *err)
{
    if (!rollup_runner_write(intake->runner, txn, err))
        return false;
    for (size_t s = 0; s < intake->streams->n_streams; s++)
        if (intake->dedupes[s] && !dedupe_write(intake->dedupes[s], txn, watermarks[s], err))
            return false;
    for (size_t i = 0; i < intake->streams->n_lifecycles; i++)
        if (!lifecycle_write(intake->lifecycles[i], txn, err))
            return false;
    return true;
}

void intake_unwrite(struct intake *intake)
{
    rollup_runner_unwrite(intake->runner);
}

void intake_clear(struct intake *intake)
{
    rollup_runner_clear(intake->runner);
    for (size_t s = 0; s < intake->streams->n_streams; s++)
        if (intake->dedupes[s])
            dedupe_clear(intake->dedupes[s]);
    for (size_t i = 0; i < intake->streams->n_lifecycles; i++)
        lifecycle_clear(intake->lifecycles[i]);
}

size_t intake_cells(const struct intake *intake)
{
    return rollup_runner_cells(intake->runner);
}

void intake_lifecycle(const struct intake *intake, size_t lifecycle, struct lifecycle_counts *out)
{
    struct lifecycle_stats stats;
    lifecycle_stats(intake->lifecycles[lifecycle], &stats);
    *out = (struct lifecycle_counts){.name = intake->streams->lifecycles[lifecycle].name,
        .facts = stats.facts,
        .outside = stats.outside,
        .dropped = stats.dropped,
        .expired = stats.expired,
        .corrections = stats.corrections};
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
    out->refused_cells = rollup_runner_refused(intake->runner);
}
