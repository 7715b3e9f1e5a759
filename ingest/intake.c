#include "ingest/intake.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "ingest/decoder.h"
#include "ingest/dedupe.h"
#include "ingest/letters/letters.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/lifecycle/lifecycle_run.h"
#include "ingest/rollup_run.h"

#define SCRATCH_BYTES (4 * DECODER_SCRATCH)
/* One event in so many is timed step by step: a clock read costs as much as a rollup. */
#define TIMED_EVERY   32
#define SAMPLE_NS_MAX 50000

/* A partition whose next record waits for its schema, or for room in the outbox. */
struct parked {
    struct partition *partition;
    bool for_room;
    struct schema_ref schema;
};

struct intake {
    const struct streams *streams;
    struct kafka_source *source;
    struct rollup_runner *runner;
    struct registry *registry; /* NULL: no stream is Avro */
    struct decoder **decoders; /* by stream */
    struct dedupe **dedupes;   /* by stream; NULL: its events have no id, and none comes again */
    struct lifecycle_runner **lifecycles;
    struct letters *letters;     /* NULL: no stream sends any */
    struct refusal_case refused; /* the last event that was */
    struct parked *parked;
    size_t n_parked, parked_cap;
    struct arena scratch;
    struct event event;
    uint64_t events; /* seen in this run, to pick the timed ones */
    struct intake_stats stats;
};

/* ---- life ---- */

static void begin_stream(struct intake *in, struct store *store, size_t i)
{
    const struct stream *stream = &in->streams->streams[i];
    int64_t frontier, watermark;
    in->decoders[i] = decoder_new(stream, in->registry);
    if (stream->contract.event_id < 0 && !stream->retry.len)
        return;
    if (!store_clock(store, stream->name, &frontier, &watermark))
        watermark = INT64_MIN;
    in->dedupes[i] = dedupe_new(store, stream->name, stream->contract.late_ms, watermark);
}

struct intake *intake_new(
    struct store *store, const struct streams *streams, struct kafka_source *source)
{
    struct intake *in = xcalloc(1, sizeof *in);
    in->streams = streams;
    in->source = source;
    in->runner = rollup_runner_new(streams);
    arena_init(&in->scratch, SCRATCH_BYTES);
    in->decoders = xcalloc(streams->n_streams, sizeof(void *));
    in->dedupes = xcalloc(streams->n_streams, sizeof(void *));
    if (streams->registry)
        in->registry = registry_new(streams->registry);
    for (size_t i = 0; i < streams->n_streams; i++)
        begin_stream(in, store, i);
    in->letters = letters_new(store, streams);
    in->lifecycles = xcalloc(streams->n_lifecycles + 1, sizeof(void *));
    for (size_t i = 0; i < streams->n_lifecycles; i++)
        in->lifecycles[i] = lifecycle_runner_new(store, streams, i, in->runner);
    return in;
}

void intake_free(struct intake **intake)
{
    struct intake *in = *intake;
    *intake = NULL;
    if (!in)
        return;
    for (size_t i = 0; i < in->streams->n_streams; i++) {
        decoder_free(&in->decoders[i]);
        dedupe_free(&in->dedupes[i]);
    }
    for (size_t i = 0; i < in->streams->n_lifecycles; i++)
        lifecycle_runner_free(&in->lifecycles[i]);
    letters_free(&in->letters);
    registry_free(&in->registry);
    rollup_runner_free(&in->runner);
    arena_fini(&in->scratch);
    free(in->decoders);
    free(in->dedupes);
    free(in->lifecycles);
    free(in->parked);
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

static const struct stream *stream_of(const struct intake *in, const struct kafka_record *r)
{
    return &in->streams->streams[r->partition->stream];
}

/* *arrival_ms: what it was measured against. */
static enum refusal judge_time(const struct stream *stream, const struct kafka_record *r,
    const struct event *event, int64_t *arrival_ms)
{
    const struct contract *c = event->contract;
    int64_t timestamp_ms = record_timestamp_ms(stream, r);
    *arrival_ms = timestamp_ms;
    if (c->arrival_partition) {
        /* History produced anew is older than its records; what is newer would make all the rest
         * late. */
        if (timestamp_ms != INT64_MIN && event->time_ms > timestamp_ms + c->ahead_ms)
            return REFUSED_AHEAD;
        /* What is sent anew has its past in another partition. */
        *arrival_ms = record_is_retried(stream, r) ? INT64_MIN : r->partition->newest_ms;
    }
    return *arrival_ms == INT64_MIN ? REFUSED_NOT
                                    : contract_judge_time(c, event->time_ms, *arrival_ms);
}

/* Without an id of its own an event is told by its origin. */
static struct dedupe_id id_of(
    const struct stream *stream, const struct kafka_record *r, const struct event *event)
{
    char place[PARTITION_NAME_MAX + 24];
    struct slice id = record_origin(stream, r);
    if (event->contract->event_id >= 0)
        id = event->v[event->contract->event_id].str;
    else if (!id.ptr)
        id = slice_of(place,
            (size_t)snprintf(place, sizeof place, "%s/%" PRId64, r->partition->name, r->offset));
    return (struct dedupe_id){
        hash128(id.ptr, id.len), crc32c(0, r->value.ptr, r->value.len), event->time_ms};
}

/* What became of a record. */
enum outcome { TAKEN, REFUSED, DUPLICATE, CONFLICT, WAITS, UNKNOWN };

static enum outcome judge_id(
    struct dedupe *dedupe, const struct dedupe_id *id, enum refusal *why, struct err *err)
{
    enum dedupe_answer answer;
    if (!dedupe_ask(dedupe, id, &answer, err))
        return UNKNOWN;
    switch (answer) {
    case DEDUPE_NEW: return TAKEN;
    case DEDUPE_SEEN: return DUPLICATE;
    case DEDUPE_CONFLICT: return CONFLICT;
    case DEDUPE_GONE: *why = REFUSED_LATE; return REFUSED;
    }
    unreachable("there are no other answers");
}

/* Which stages of which lifecycles the event reaches; what is known of its entities is looked up,
 * so that nothing can fail when it is counted. */
static enum outcome judge_stages(
    struct intake *in, size_t stream, uint32_t *stages, enum refusal *why, struct err *err)
{
    for (size_t i = 0; i < in->streams->n_lifecycles; i++) {
        if (!lifecycle_stages(in->lifecycles[i], stream, &in->event, &stages[i])) {
            *why = REFUSED_RANGE;
            return REFUSED;
        }
        if (stages[i] && !lifecycle_look(in->lifecycles[i], &in->event, stages[i], err))
            return UNKNOWN;
    }
    return TAKEN;
}

static enum outcome count_event(
    struct intake *in, const struct kafka_record *r, enum refusal *why, struct err *err)
{
    const struct stream *contract_of = stream_of(in, r);
    size_t stream = r->partition->stream;
    /* Of events without an id only those that are sent anew may come twice. */
    bool once = contract_of->contract.event_id < 0 && !record_is_retried(contract_of, r);
    struct dedupe *dedupe = once ? NULL : in->dedupes[stream];
    uint32_t stages[LIFECYCLES_MAX];
    *why = judge_time(contract_of, r, &in->event, &in->refused.arrival_ms);
    if (*why)
        return REFUSED;
    struct dedupe_id id = id_of(contract_of, r, &in->event);
    enum outcome outcome = dedupe ? judge_id(dedupe, &id, why, err) : TAKEN;
    if (outcome == REFUSED)
        in->refused.arrival_ms = INT64_MIN; /* its hour is over */
    if (outcome == TAKEN)
        outcome = judge_stages(in, stream, stages, why, err);
    if (outcome != TAKEN)
        return outcome;
    *why = rollup_runner_event(in->runner, stream, &in->event);
    if (*why)
        return REFUSED;
    for (size_t i = 0; i < in->streams->n_lifecycles; i++)
        if (stages[i])
            lifecycle_take(in->lifecycles[i], &in->event, stages[i], id.hash.lo);
    if (dedupe)
        dedupe_add(dedupe, &id);
    if (in->event.time_ms > r->partition->newest_ms)
        r->partition->newest_ms = in->event.time_ms;
    return TAKEN;
}

/* A sample that was interrupted says nothing. */
static void note_sample(struct intake *in, int64_t decode_ns, int64_t rollup_ns)
{
    if (decode_ns + rollup_ns < SAMPLE_NS_MAX) {
        in->stats.decode_ns += (double)decode_ns;
        in->stats.rollup_ns += (double)rollup_ns;
    }
}

static enum outcome take_event(
    struct intake *in, const struct kafka_record *r, enum refusal *why, struct err *err)
{
    size_t stream = r->partition->stream;
    bool timed = in->events++ % TIMED_EVERY == 0;
    struct decoder_wait wait = {0};
    int64_t t0 = timed ? clock_mono_ns() : 0;
    *why = decoder_decode(
        in->decoders[stream], r, &in->scratch, &in->event, &in->refused.field, &wait);
    int64_t t1 = timed ? clock_mono_ns() : 0;
    if (wait.waits) {
        await_schema(in, r, &wait);
        return WAITS;
    }
    enum outcome outcome = *why ? REFUSED : count_event(in, r, why, err);
    if (timed)
        note_sample(in, t1 - t0, clock_mono_ns() - t1);
    return outcome;
}

/* False: there is no room for its letter, and it is to be read again. */
static bool refuse(struct intake *in, const struct kafka_record *r, enum refusal why)
{
    in->refused.reason = why;
    in->refused.value_bytes = r->value.len;
    in->refused.time_ms = in->event.time_ms;
    enum letter_room room = letters_take(in->letters, r, &in->refused);
    if (room != LETTER_TAKEN)
        await_room(in, r, room);
    return room == LETTER_TAKEN;
}

bool intake_record(struct intake *intake, const struct kafka_record *record, struct err *err)
{
    struct intake *in = intake;
    struct tally *tally = &record->partition->tally;
    enum refusal why = REFUSED_MALFORMED;
    enum outcome outcome = REFUSED;
    if (record->partition->parked)
        return true;
    if (!record->value.ptr) {
        tally->tombstones++;
        return true;
    }
    in->refused.field = -1;
    if (record->value.len <= EVENT_BYTES_MAX)
        outcome = take_event(in, record, &why, err);
    if (outcome == REFUSED && !refuse(in, record, why))
        outcome = WAITS;
    switch (outcome) {
    case TAKEN: tally->accepted++; break;
    case REFUSED: tally->refused[why]++; break;
    case DUPLICATE: tally->duplicates++; break;
    case CONFLICT: tally->conflicts++; break;
    case WAITS: arena_reset(&in->scratch); return true;
    case UNKNOWN: arena_reset(&in->scratch); return false;
    }
    tally->bytes += record->value.len;
    if (in->scratch.used_bytes > SCRATCH_BYTES / 2)
        arena_reset(&in->scratch);
    return true;
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
    return letters_write(intake->letters, txn, err);
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
    letters_clear(intake->letters);
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
    *out = intake->stats;
    out->refused_cells = rollup_runner_refused(intake->runner);
}
