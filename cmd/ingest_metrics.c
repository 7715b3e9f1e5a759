#include "cmd/ingest_metrics.h"

#include <stddef.h>
#include <stdlib.h>

#include "api/exposition.h"
#include "cmd/clock_metrics.h"
#include "ingest/lifecycle/lifecycle.h"

struct table {
    struct buf *out;
    const struct stream_stats *streams;
    size_t n;
};

/* A family with one sample per stream; value returns false where there is nothing to say yet. */
static void per_stream(const struct table *t, const char *name, const char *type, const char *help,
    bool (*value)(const struct stream_stats *, double *))
{
    exposition_family(t->out, name, type, help);
    for (size_t i = 0; i < t->n; i++) {
        struct exposition_label stream = {"stream", t->streams[i].name};
        double v;
        if (value(&t->streams[i], &v))
            exposition_sample(t->out, name, "", &stream, 1, v);
    }
}

static bool accepted(const struct stream_stats *s, double *v)
{
    *v = (double)s->accepted;
    return true;
}

static bool duplicates(const struct stream_stats *s, double *v)
{
    *v = (double)s->duplicates;
    return true;
}

static bool conflicts(const struct stream_stats *s, double *v)
{
    *v = (double)s->conflicts;
    return true;
}

static bool tombstones(const struct stream_stats *s, double *v)
{
    *v = (double)s->tombstones;
    return true;
}

static bool bytes(const struct stream_stats *s, double *v)
{
    *v = (double)s->bytes;
    return true;
}

static bool frontier(const struct stream_stats *s, double *v)
{
    *v = (double)s->frontier_ms / 1000;
    return s->frontier_ms != INT64_MIN;
}

static bool watermark(const struct stream_stats *s, double *v)
{
    *v = (double)s->watermark_ms / 1000;
    return s->watermark_ms != INT64_MIN;
}

static bool horizon(const struct stream_stats *s, double *v)
{
    *v = (double)s->horizon_ms / 1000;
    return s->horizon_ms != INT64_MIN;
}

static bool lag(const struct stream_stats *s, double *v)
{
    *v = (double)s->lag_messages;
    return s->lag_messages >= 0;
}

static bool partitions(const struct stream_stats *s, double *v)
{
    *v = s->partitions;
    return true;
}

static bool halted(const struct stream_stats *s, double *v)
{
    *v = s->halted;
    return true;
}

static bool paused(const struct stream_stats *s, double *v)
{
    *v = s->paused;
    return true;
}

static bool lost(const struct stream_stats *s, double *v)
{
    *v = (double)s->lost;
    return true;
}

static bool caught_up(const struct stream_stats *s, double *v)
{
    *v = s->caught_up;
    return true;
}

static bool sends_letters(const struct stream_stats *s)
{
    return s->letters_bytes_max > 0;
}

static bool letters_sent(const struct stream_stats *s, double *v)
{
    *v = (double)s->letters_sent;
    return sends_letters(s);
}

static bool letters_queued(const struct stream_stats *s, double *v)
{
    *v = (double)(s->letters - s->letters_sent);
    return sends_letters(s);
}

static bool letters_bytes(const struct stream_stats *s, double *v)
{
    *v = (double)s->letters_bytes;
    return sends_letters(s);
}

static bool letters_bytes_max(const struct stream_stats *s, double *v)
{
    *v = (double)s->letters_bytes_max;
    return sends_letters(s);
}

static bool letters_full(const struct stream_stats *s, double *v)
{
    *v = s->letters_full;
    return sends_letters(s);
}

static void write_letters(const struct table *t)
{
    per_stream(t, "larder_dead_letters_sent_total", "counter",
        "Refused events that are in the dead-letter topic.", letters_sent);
    per_stream(t, "larder_dead_letters_queued", "gauge",
        "Refused events in the outbox, on their way to the dead-letter topic.", letters_queued);
    per_stream(
        t, "larder_dead_letters_queued_bytes", "gauge", "What they take there.", letters_bytes);
    per_stream(t, "larder_dead_letters_queued_bytes_max", "gauge",
        "What they may take; then the stream stands still.", letters_bytes_max);
    per_stream(t, "larder_dead_letters_full", "gauge",
        "1 while the stream stands still because its outbox is full.", letters_full);
}

static void write_refused(const struct table *t)
{
    static const char name[] = "larder_events_refused_total";
    exposition_family(
        t->out, name, "counter", "Events that broke their contract, by the first reason.");
    for (size_t i = 0; i < t->n; i++)
        for (int r = REFUSED_NOT + 1; r < REFUSALS; r++) {
            struct exposition_label labels[] = {{"stream", t->streams[i].name},
                {"reason", slice_from(refusal_name((enum refusal)r))}};
            exposition_sample(t->out, name, "", labels, 2, (double)t->streams[i].refused[r]);
        }
}

static void write_streams(const struct table *t)
{
    per_stream(t, "larder_events_accepted_total", "counter",
        "Events counted since the data folder began.", accepted);
    write_refused(t);
    per_stream(t, "larder_events_duplicate_total", "counter",
        "Events whose id was accepted before; they are not counted again.", duplicates);
    per_stream(t, "larder_events_conflict_total", "counter",
        "Events whose id was accepted before with other content: the first one counts.", conflicts);
    per_stream(t, "larder_tombstones_total", "counter", "Messages without a value.", tombstones);
    per_stream(t, "larder_ingest_bytes_total", "counter", "Bytes of messages read.", bytes);
    per_stream(t, "larder_frontier_timestamp_seconds", "gauge",
        "Event time up to which the stream has been read.", frontier);
    per_stream(t, "larder_watermark_timestamp_seconds", "gauge",
        "Event time up to which the stream is complete.", watermark);
    per_stream(t, "larder_horizon_timestamp_seconds", "gauge",
        "Event time by which ids and lives are forgotten.", horizon);
    per_stream(t, "larder_ingest_lag_messages", "gauge", "Messages that are not read yet.", lag);
    per_stream(t, "larder_ingest_partitions", "gauge", "Partitions that are read.", partitions);
    per_stream(t, "larder_ingest_partitions_halted", "gauge",
        "Partitions that wait for the operator's decision.", halted);
    per_stream(t, "larder_ingest_partitions_paused", "gauge",
        "Partitions that an operator has paused.", paused);
    per_stream(t, "larder_source_lost_total", "counter",
        "Offsets that were gone, or left out by an operator, before they were read.", lost);
    per_stream(t, "larder_ingest_caught_up", "gauge",
        "1 when the ends of all partitions are reached.", caught_up);
}

static void write_lifecycles(struct ingest *ingest, struct buf *out)
{
    struct lifecycle_counts all[LIFECYCLES_MAX];
    const struct {
        const char *name, *type, *help;
        size_t at;
    } families[] = {
        {"larder_lifecycle_facts_total", "counter", "Events that reached a stage.",
            offsetof(struct lifecycle_counts, facts)},
        {"larder_lifecycle_outside_total", "counter",
            "Events that were of no life with their batch: too late, or before the first stage.",
            offsetof(struct lifecycle_counts, outside)},
        {"larder_lifecycle_dropped_total", "counter",
            "Events left out because their entity has too many of one stage, and better ones.",
            offsetof(struct lifecycle_counts, dropped)},
        {"larder_lifecycle_expired_total", "counter", "Lives that had not ended in time.",
            offsetof(struct lifecycle_counts, expired)},
        {"larder_lifecycle_corrections_total", "counter", "Cells that were taken back.",
            offsetof(struct lifecycle_counts, corrections)},
        {"larder_lifecycle_open", "gauge", "Lives that have not ended.",
            offsetof(struct lifecycle_counts, open)},
        {"larder_lifecycle_incomplete", "gauge", "Entities that are held without a first stage.",
            offsetof(struct lifecycle_counts, incomplete)},
        {"larder_lifecycle_incomplete_total", "counter",
            "Entities that were forgotten without ever having had a first stage.",
            offsetof(struct lifecycle_counts, forgotten)},
    };
    size_t n = ingest_lifecycles(ingest, all, LIFECYCLES_MAX);
    for (size_t f = 0; n > 0 && f < sizeof families / sizeof *families; f++) {
        exposition_family(out, families[f].name, families[f].type, families[f].help);
        for (size_t i = 0; i < n && i < LIFECYCLES_MAX; i++) {
            struct exposition_label name = {"lifecycle", all[i].name};
            uint64_t value;
            memcpy(&value, (const char *)&all[i] + families[f].at, sizeof value);
            exposition_sample(out, families[f].name, "", &name, 1, (double)value);
        }
    }
}

static void write_left_out(const struct generation_stats *all, size_t n, struct buf *out)
{
    static const char name[] = "larder_rollup_events_left_out_total";
    static const char *const reasons[GAPS] = {
        [GAP_ABSENT] = "absent", [GAP_FORGOTTEN] = "forgotten"};
    exposition_family(out, name, "counter",
        "Events of windows for which the rollup has no definition: there was none then, or it is "
        "not kept.");
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < GAPS; k++) {
            struct exposition_label labels[] = {
                {"rollup", all[i].rollup}, {"reason", slice_from(reasons[k])}};
            exposition_sample(out, name, "", labels, 2, (double)all[i].left_out[k]);
        }
}

static void write_generations(const struct generation_stats *all, size_t n, struct buf *out)
{
    static const char number[] = "larder_rollup_generation";
    static const char start[] = "larder_rollup_generation_start_timestamp_seconds";
    exposition_family(out, number, "gauge", "Which definition of the rollup the config has.");
    for (size_t i = 0; i < n; i++) {
        struct exposition_label name = {"rollup", all[i].rollup};
        exposition_sample(out, number, "", &name, 1, all[i].number);
    }
    exposition_family(
        out, start, "gauge", "Event time after which the rollup's newest definition holds.");
    for (size_t i = 0; i < n; i++) {
        struct exposition_label name = {"rollup", all[i].rollup};
        if (all[i].after_ms != INT64_MIN)
            exposition_sample(out, start, "", &name, 1, (double)all[i].after_ms / 1e3);
    }
    write_left_out(all, n, out);
}

static void write_steps(const struct ingest_stats *stats, struct buf *out)
{
    static const char name[] = "larder_ingest_step_seconds_total";
    const struct {
        const char *step;
        uint64_t ns;
    } steps[] = {{"poll", stats->ns_poll}, {"decode", stats->ns_decode}, {"judge", stats->ns_judge},
        {"dedupe", stats->ns_dedupe}, {"lifecycle", stats->ns_lifecycle},
        {"rollup", stats->ns_rollup}, {"commit", stats->ns_commit}};
    exposition_family(out, name, "counter", "CPU time of the ingestion's workers by step.");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct exposition_label step = {"step", slice_from(steps[i].step)};
        exposition_sample(out, name, "", &step, 1, (double)steps[i].ns / 1e9);
    }
}

static void write_whole(const struct ingest_stats *stats, struct buf *out)
{
    exposition_one(out, "larder_ingest_commits_total", "counter", "Batches committed.",
        (double)stats->batches);
    exposition_one(out, "larder_ingest_throttled_seconds_total", "counter",
        "Time waited because the store's maintenance lagged behind.",
        (double)stats->throttled_ms / 1e3);
    exposition_one(out, "larder_ingest_commit_failures_total", "counter",
        "Commits that failed and were, or will be, tried again.", (double)stats->commit_failures);
    exposition_one(out, "larder_ingest_cells_refused_total", "counter",
        "Cells left out because a limit of the store refused their label sets.",
        (double)stats->refused_cells);
    exposition_one(out, "larder_kafka_connected", "gauge",
        "1 when a broker has answered since the last failure.", stats->connected);
    write_steps(stats, out);
    static const char trouble[] = "larder_ingest_trouble";
    struct exposition_label why = {"trouble", slice_from(stats->trouble)};
    exposition_family(
        out, trouble, "gauge", "1 while something holds the ingestion up; which is in the label.");
    exposition_sample(out, trouble, "", &why, stats->trouble[0] ? 1 : 0, stats->trouble[0] != 0);
}

void ingest_metrics_write(
    struct ingest *ingest, struct store *store, int64_t now_ms, struct buf *out)
{
    struct ingest_moment moment;
    moment.n_streams = ingest_stats(ingest, &moment.stats, moment.streams, STREAMS_MAX);
    moment.rollups = ingest_generations(ingest, &moment.n_rollups);
    struct table t = {out, moment.streams, moment.n_streams};
    write_streams(&t);
    write_letters(&t);
    write_lifecycles(ingest, out);
    write_generations(moment.rollups, moment.n_rollups, out);
    write_whole(&moment.stats, out);
    clock_metrics_write(&moment, ingest, store, now_ms, out);
    free(moment.rollups);
}
