#include "ingest/letters/contract_trial.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ingest/decoder.h"
#include "ingest/rollup_run.h"

#define SCHEMA_WAIT_MS 30000
#define SCHEMA_LOOK_MS 20

struct contract_trial {
    const struct stream *stream;
    size_t number;
    struct registry *registry; /* NULL: the stream needs none */
    struct decoder *decoder;
    struct rollup_runner *runner;
    struct rollup_hit *hits;
    struct arena scratch;
    struct event event;
};

struct contract_trial *contract_trial_new(const struct streams *streams, size_t stream)
{
    struct contract_trial *t = xcalloc(1, sizeof *t);
    t->stream = &streams->streams[stream];
    t->number = stream;
    if (t->stream->format == FORMAT_AVRO)
        t->registry = registry_new(streams->registry);
    t->decoder = decoder_new(t->stream, t->registry, true);
    t->runner = rollup_runner_new(streams);
    t->hits = xcalloc(rollup_runner_hits(t->runner, stream) + 1, sizeof *t->hits);
    arena_init(&t->scratch, 2 * DECODER_SCRATCH);
    return t;
}

void contract_trial_free(struct contract_trial **trial)
{
    struct contract_trial *t = *trial;
    *trial = NULL;
    if (!t)
        return;
    decoder_free(&t->decoder);
    rollup_runner_free(&t->runner);
    registry_free(&t->registry);
    arena_fini(&t->scratch);
    free(t->hits);
    free(t);
}

static void judge(struct contract_trial *t, int64_t at_ms, struct refusal_case *out)
{
    size_t n;
    out->field = -1;
    out->time_ms = t->event.time_ms;
    out->reason =
        contract_judge_time(&t->stream->contract, out->time_ms, at_ms, INT64_MIN, &out->arrival_ms);
    if (!out->reason)
        out->reason = rollup_runner_look(t->runner, t->number, &t->event, t->hits, &n);
}

bool contract_trial_record(struct contract_trial *trial, const struct kafka_record *record,
    int64_t at_ms, struct refusal_case *out, struct err *err)
{
    struct contract_trial *t = trial;
    struct decoder_wait wait = {0};
    int64_t end_ns = clock_mono_ns() + SCHEMA_WAIT_MS * INT64_C(1000000);
    *out = (struct refusal_case){.field = -1, .value_bytes = record->value.len};
    out->reason = REFUSED_MALFORMED;
    if (record->value.len > EVENT_BYTES_MAX)
        return true;
    for (;;) {
        arena_reset(&t->scratch);
        out->reason =
            decoder_decode(t->decoder, record, &t->scratch, &t->event, &out->field, &wait);
        if (!wait.waits)
            break;
        if (clock_mono_ns() > end_ns)
            return err_set(err, ERR_UNAVAILABLE, "no schema for an event: %s", wait.why.text);
        clock_sleep_ms(SCHEMA_LOOK_MS);
    }
    if (!out->reason)
        judge(t, at_ms, out);
    return true;
}

struct slice contract_trial_id(const struct contract_trial *trial)
{
    int field = trial->stream->contract.event_id;
    return field < 0 ? (struct slice){NULL, 0} : trial->event.v[field].str;
}
