#include "ingest/ingest.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "ingest/follow.h"
#include "ingest/generations.h"
#include "ingest/horizon.h"
#include "ingest/intake.h"
#include "ingest/kafka_source.h"
#include "ingest/letters/letter_sender.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/lifecycle/lifecycle_run.h"
#include "ingest/partition.h"
#include "ingest/source/source_orders.h"
#include "ingest/source_names.h"

#define COMMIT_MS       50
#define BUSY_EVENTS     8000 /* a batch that has so many when it is due may take as long again */
#define POLL_RECORDS    2000
#define WORKERS         2
#define MEMORY_BYTES    (UINT64_C(128) << 20)
#define POLL_MS         5
#define DISCOVER_MS     10000 /* new partitions are looked for */
#define RETRY_MS        2000  /* while a topic or broker is missing */
#define METADATA_MS     1000
#define CLOCKS_MS       500 /* clocks are committed at least so often while they move */
#define HINT_MS         5000
#define HINT_LAST_MS    1000 /* an end waits so long for the broker to hear of it */
#define COMMIT_RETRY_MS 500
#define SLOW_SLICE_MS   50
#define RELOAD_LOOK_MS  100
#define FOLLOW_MS       300 /* it is looked so often whether the other one has read on */

/*
 * Threads: the ingest thread owns everything but `desk`, at which any thread may ask, and `shared`
 * and `reload`, which `lock` guards: a copy of the statistics for whoever asks, renewed with every
 * batch, and another config that is to be taken over.
 */
enum reload_state { RELOAD_NONE, RELOAD_ASKED, RELOAD_RUNS, RELOAD_DONE, RELOAD_REFUSED };

struct ingest {
    struct store *store, *follows;
    const struct streams *streams;
    uint32_t commit_ms, batch_events;
    struct generations *generations; /* streams is theirs */
    struct kafka_source *source;
    struct intake *intake;
    struct source_desk *desk;         /* what operators ask waits here */
    struct letter_sender *sender;     /* NULL: no stream sends dead letters */
    char fenced[LETTER_INSTANCE_MAX]; /* who must not send any more; "": nobody */
    struct ingest_options options;    /* that it runs by */
    struct kafka_record records[POLL_RECORDS];
    int64_t *watermarks, *horizons;   /* by stream */
    struct stream_stats *streams_now; /* by stream */
    struct ingest_stats now;
    struct ingest_stats before;    /* of `now`, what intakes have done that are gone */
    int64_t settled_ns, commit_ns; /* CPU time of settling lives, and of committing */
    size_t batch;                  /* events of the open batch */
    int64_t batch_ms, discover_ms, asked_ms, hint_ms, clocks_ms; /* monotonic */
    char trouble[ERR_TEXT_MAX];                                  /* of commits */
    pthread_t thread;
    atomic_bool stop;
    _Atomic int64_t passed_ms, level_ms, told_behind;
    int64_t follow_ms; /* monotonic */
    int64_t behind;    /* records, as of the last look at the clocks; INT64_MAX: not known */
    struct follower *follower; /* NULL: it follows nobody */
    pthread_mutex_t lock;
    struct {
        struct ingest_stats stats;
        struct stream_stats *streams;
        struct lifecycle_counts *lifecycles;
        size_t n_streams, n_lifecycles;
        const struct generations *generations;
        struct partition_stats *partitions;
        size_t n_partitions, partitions_cap;
    } shared;
    atomic_bool reload_asked; /* the state is RELOAD_ASKED */
    struct {
        enum reload_state state;
        const struct ingest_options *options; /* NULL: it is a pause, for f */
        ingest_pause_f *f;
        void *ctx;
        struct works *made; /* of the thread that asks, which frees what the old config's was */
        struct err err;
    } reload;
    pthread_cond_t reload_ended;
};

/* What is made of a config, and goes with it. */
struct works {
    struct generations *generations;
    const struct streams *streams; /* theirs */
    struct kafka_source *source;
    struct intake *intake;
    int64_t *watermarks, *horizons;
    struct stream_stats *streams_now;
};

/* The wall clock says what "now" is, and may be set; intervals are measured on the one that only
 * goes on. */
static int64_t mono_now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

/* ---- clocks ---- */

static bool runs(const struct partition *p)
{
    return !p->halted && !p->marks.paused && !p->marks.given_up;
}

/* The partitions of the stream, others left out; only those that are read when running. */
static size_t stream_partitions(
    struct ingest *in, size_t stream, bool running, const struct partition **out)
{
    struct partition *const *all;
    size_t n = kafka_source_partitions(in->source, &all), m = 0;
    for (size_t i = 0; i < n; i++)
        if (all[i]->stream == stream && (!running || runs(all[i])))
            out[m++] = all[i];
    return m;
}

/* -1: not known. */
static int64_t lag_of(const struct partition *p)
{
    int64_t next = p->passed > p->next ? p->passed : p->next < 0 ? 0 : p->next;
    return p->end < 0 ? -1 : p->end > next ? p->end - next : 0;
}

static void sum_partitions(
    const struct partition *const *partitions, size_t n, struct stream_stats *out)
{
    struct tally sum = {0};
    bool behind = false;
    for (size_t i = 0; i < n; i++) {
        const struct partition *p = partitions[i];
        int64_t lag = lag_of(p);
        tally_add(&sum, &p->tally);
        out->lost += p->marks.lost;
        if (p->marks.given_up)
            continue;
        out->partitions++;
        out->halted += p->halted;
        out->paused += p->marks.paused;
        behind |= !p->caught_up;
        if (lag < 0 || out->lag_messages < 0)
            out->lag_messages = -1;
        else
            out->lag_messages += lag;
    }
    out->caught_up = out->partitions && !behind;
    out->accepted = sum.accepted;
    out->tombstones = sum.tombstones;
    out->bytes = sum.bytes;
    out->duplicates = sum.duplicates;
    out->conflicts = sum.conflicts;
    memcpy(out->refused, sum.refused, sizeof out->refused);
}

static void follow(
    struct ingest *in, const struct stream *stream, size_t s, struct stream_stats *out)
{
    int64_t behind = follower_behind(in->follower, s);
    follow_clocks(in->follows, stream, behind == 0, &out->frontier_ms, &out->watermark_ms);
    in->behind = behind == INT64_MAX || in->behind == INT64_MAX ? INT64_MAX : in->behind + behind;
}

/* What was said once holds, when partitions say less, or nothing yet after a start. */
static void keep_clocks(const struct ingest *in, struct stream_stats *out)
{
    int64_t frontier, watermark;
    if (!store_clock(in->store, out->name, &frontier, &watermark))
        return;
    out->frontier_ms = frontier > out->frontier_ms ? frontier : out->frontier_ms;
    out->watermark_ms = watermark > out->watermark_ms ? watermark : out->watermark_ms;
}

static void refresh_horizons(struct ingest *in, const int64_t *complete, const int64_t *newest)
{
    size_t n = in->streams->n_streams;
    int64_t *now = xcalloc(n, sizeof *now), frontier, kept;
    horizons(in->streams, complete, newest, now);
    for (size_t s = 0; s < n; s++) {
        if (!store_clock(in->store, in->streams->streams[s].horizon_clock, &frontier, &kept))
            kept = INT64_MIN;
        in->streams_now[s].horizon_ms = kept > now[s] ? kept : now[s];
    }
    free(now);
}

/* INT64_MIN: nothing was read of them. */
static int64_t newest_of(const struct partition *const *partitions, size_t n)
{
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < n; i++)
        newest = partitions[i]->newest_ms > newest ? partitions[i]->newest_ms : newest;
    return newest;
}

static void refresh_streams(struct ingest *in)
{
    in->behind = 0;
    if (in->follower)
        follower_look(in->follower, in->source, clock_now_ms());
    struct partition *const *all;
    const struct partition **mine =
        xcalloc(kafka_source_partitions(in->source, &all), sizeof(void *));
    int64_t *complete = xcalloc(in->streams->n_streams, sizeof *complete);
    int64_t *newest = xcalloc(in->streams->n_streams, sizeof *newest);
    int64_t least = INT64_MAX;
    for (size_t s = 0; s < in->streams->n_streams; s++) {
        const struct stream *stream = &in->streams->streams[s];
        struct stream_stats *out = &in->streams_now[s];
        int64_t frontier, passed;
        *out = (struct stream_stats){.name = stream->name,
            .frontier_ms = INT64_MIN,
            .watermark_ms = INT64_MIN,
            .horizon_ms = INT64_MIN};
        size_t n = stream_partitions(in, s, false, mine);
        sum_partitions(mine, n, out);
        intake_lateness(in->intake, s, &out->lateness);
        /* A topic that is not known yet may hold anything. */
        if (kafka_source_knows(in->source, s))
            partitions_clocks(mine, n, stream->watermark_bound_ms, stream->idle_after_ms,
                &out->frontier_ms, &out->watermark_ms);
        newest[s] = newest_of(mine, n);
        complete[s] = out->watermark_ms;
        keep_clocks(in, out);
        if (in->follows)
            follow(in, stream, s, out);
        n = stream_partitions(in, s, true, mine);
        partitions_clocks(
            mine, n, stream->watermark_bound_ms, stream->idle_after_ms, &frontier, &passed);
        if (n && passed < least)
            least = passed;
    }
    refresh_horizons(in, complete, newest);
    free(newest);
    free(complete);
    free(mine);
    atomic_store(&in->passed_ms, least == INT64_MAX ? INT64_MIN : least);
}

/* What taking the records has cost. */
static void split_steps(struct ingest *in)
{
    struct intake_stats stats;
    intake_stats(in->intake, &stats);
    in->now.ns_decode = in->before.ns_decode + (uint64_t)stats.decode_ns;
    in->now.ns_judge = in->before.ns_judge + (uint64_t)stats.judge_ns;
    in->now.ns_dedupe = in->before.ns_dedupe + (uint64_t)stats.dedupe_ns;
    in->now.ns_lifecycle =
        in->before.ns_lifecycle + (uint64_t)(stats.lifecycle_ns + in->settled_ns);
    in->now.ns_rollup = in->before.ns_rollup + (uint64_t)stats.rollup_ns;
    in->now.ns_commit = in->before.ns_commit + (uint64_t)(in->commit_ns + stats.publish_ns);
    in->now.refused_cells = in->before.refused_cells + stats.refused_cells;
}

/* The lock is held. */
static void share_streams(struct ingest *in)
{
    size_t n = in->streams->n_streams, n_lifecycles = in->streams->n_lifecycles;
    in->shared.streams = xreallocarray(in->shared.streams, n + 1, sizeof *in->shared.streams);
    in->shared.lifecycles =
        xreallocarray(in->shared.lifecycles, n_lifecycles + 1, sizeof *in->shared.lifecycles);
    memcpy(in->shared.streams, in->streams_now, n * sizeof *in->streams_now);
    for (size_t i = 0; i < n_lifecycles; i++)
        intake_lifecycle(in->intake, i, &in->shared.lifecycles[i]);
    in->shared.n_streams = n;
    in->shared.n_lifecycles = n_lifecycles;
    in->shared.generations = in->generations;
}

static void count_letters(struct ingest *in)
{
    for (size_t i = 0; i < in->streams->n_streams; i++) {
        struct outbox *outbox = letters_outbox(intake_letters(in->intake), i);
        struct stream_stats *out = &in->streams_now[i];
        if (!outbox)
            continue;
        struct outbox_stats stats;
        outbox_stats(outbox, &stats);
        out->letters = stats.letters;
        out->letters_sent = stats.sent;
        out->letters_bytes = stats.bytes;
        out->letters_bytes_max = stats.limit_bytes;
        out->letters_full = intake_waits_for_room(in->intake, i);
    }
}

/* The first that there is. */
static void write_trouble(struct ingest *in)
{
    const char *kafka = kafka_source_trouble(in->source);
    if (in->trouble[0] || kafka[0])
        snprintf(
            in->now.trouble, sizeof in->now.trouble, "%s", in->trouble[0] ? in->trouble : kafka);
    else
        letter_sender_trouble(in->sender, in->now.trouble, sizeof in->now.trouble);
}

/* The lock is held. */
static void share_partitions(struct ingest *in)
{
    struct partition *const *all;
    size_t n = kafka_source_partitions(in->source, &all);
    GROW(in->shared.partitions, in->shared.partitions_cap, n);
    in->shared.n_partitions = n;
    for (size_t i = 0; i < n; i++) {
        const struct partition *p = all[i];
        const struct stream *stream = &in->streams->streams[p->stream];
        struct partition_stats *out = &in->shared.partitions[i];
        *out = (struct partition_stats){
            .name = p->name, .stream = stream->name, .lag_messages = lag_of(p)};
        partitions_clocks(&p, 1, stream->watermark_bound_ms, stream->idle_after_ms,
            &out->frontier_ms, &out->watermark_ms);
    }
}

/* The counts of a batch are shown when it is committed, not before. */
static void share(struct ingest *in, bool committed)
{
    split_steps(in);
    in->now.connected = kafka_source_connected(in->source);
    write_trouble(in);
    count_letters(in);
    mutex_lock(&in->lock);
    in->shared.stats = in->now;
    if (committed) {
        share_streams(in);
        share_partitions(in);
    }
    mutex_unlock(&in->lock);
}

/* ---- commit ---- */

static void write_sources(struct ingest *in, struct txn *txn)
{
    struct partition *const *all;
    struct buf state;
    size_t n = kafka_source_partitions(in->source, &all);
    buf_init(&state, SOURCE_STATE_MAX);
    for (size_t i = 0; i < n; i++) {
        if (!all[i]->dirty)
            continue;
        buf_clear(&state);
        partition_encode(all[i], in->streams->streams[all[i]->stream].name, &state);
        txn_source(
            txn, slice_from(all[i]->name), all[i]->next, all[i]->newest_ms, buf_view(&state));
        if (in->follows)
            follow_write(all[i], txn);
    }
    buf_fini(&state);
}

/* Of its slowest streams; and complete no further than lives have expired. */
static void write_lifecycle_clock(struct ingest *in, struct txn *txn, size_t i)
{
    const struct lifecycle *lifecycle = &in->streams->lifecycles[i];
    int64_t expired = intake_expired_ms(in->intake, i);
    int64_t frontier = INT64_MAX, watermark = INT64_MAX;
    for (int s = 0; s < lifecycle->rules.n_stages; s++) {
        const struct stream_stats *x = &in->streams_now[lifecycle->stages[s].stream];
        frontier = x->frontier_ms < frontier ? x->frontier_ms : frontier;
        watermark = x->watermark_ms < watermark ? x->watermark_ms : watermark;
    }
    if (frontier == INT64_MIN && watermark == INT64_MIN)
        return;
    watermark = expired == INT64_MIN || watermark < expired ? watermark : expired - 1;
    txn_clock(txn, lifecycle->name, frontier, watermark);
    if (watermark > INT64_MIN + lifecycle->rules.expire_ms)
        watermark -= lifecycle->rules.expire_ms;
    txn_clock(txn, lifecycle->cohort_clock, frontier, watermark);
}

static void write_clocks(struct ingest *in, struct txn *txn)
{
    for (size_t s = 0; s < in->streams->n_streams; s++) {
        const struct stream_stats *x = &in->streams_now[s];
        if (x->frontier_ms != INT64_MIN || x->watermark_ms != INT64_MIN)
            txn_clock(txn, x->name, x->frontier_ms, x->watermark_ms);
        if (x->horizon_ms != INT64_MIN)
            txn_clock(txn, in->streams->streams[s].horizon_clock, INT64_MIN, x->horizon_ms);
    }
    for (size_t i = 0; i < in->streams->n_lifecycles; i++)
        write_lifecycle_clock(in, txn, i);
}

static void mark_committed(struct ingest *in)
{
    struct partition *const *all;
    size_t n = kafka_source_partitions(in->source, &all);
    for (size_t i = 0; i < n; i++) {
        all[i]->dirty = false;
        all[i]->committed = all[i]->next;
    }
}

/* One try. What is rolled up stays, so that the next one can write it again. */
static bool try_commit(struct ingest *in, struct err *err)
{
    int64_t t0 = clock_thread_cpu_ns();
    bool settled = intake_settle(in->intake, in->watermarks, in->horizons, err);
    in->settled_ns += clock_thread_cpu_ns() - t0;
    if (!settled)
        return false;
    struct txn *txn = txn_begin(in->store);
    bool ok = intake_write(in->intake, txn, err);
    if (ok) {
        write_sources(in, txn);
        write_clocks(in, txn);
        generations_write(in->generations, txn);
        ok = txn_commit(&txn, NULL, err);
    }
    if (!ok) {
        txn_abort(&txn);
        intake_unwrite(in->intake);
        return false;
    }
    generations_written(in->generations);
    return true;
}

static void stand_still(struct ingest *in, const struct err *err)
{
    if (strcmp(in->trouble, err->text) != 0)
        log_error("ingestion stands still: %s", err->text);
    snprintf(in->trouble, sizeof in->trouble, "%s", err->text);
    in->now.commit_failures++;
    share(in, false);
}

static bool do_errand(struct ingest *in, struct errand *errand)
{
    return source_orders_do(
        in->source, errand->request, errand->arena, errand->answer, &errand->err);
}

/* While nothing can be committed, what is there can be told. */
static void tell_operators(struct ingest *in)
{
    struct errand *errand;
    while ((errand = source_desk_take(in->desk, true)))
        source_desk_done(in->desk, errand, do_errand(in, errand));
}

/* When the store's maintenance cannot keep up, the next batch is a little later. */
static void wait_for_store(struct ingest *in)
{
    int ms = store_throttle_ms(in->store);
    in->now.throttled_ms += (uint64_t)ms;
    for (; ms > 0 && !atomic_load(&in->stop); ms -= SLOW_SLICE_MS) {
        clock_sleep_ms(ms < SLOW_SLICE_MS ? ms : SLOW_SLICE_MS);
        kafka_source_serve(in->source);
    }
}

/* What was committed is as far as the other one was at that time. */
static void note_level(struct ingest *in, int64_t looked_ms)
{
    bool level = in->behind == 0 && !intake_is_behind(in->intake);
    atomic_store(&in->level_ms, level ? looked_ms : 0);
    atomic_store(&in->told_behind, in->behind);
}

static void take_watermarks(struct ingest *in)
{
    for (size_t s = 0; s < in->streams->n_streams; s++) {
        in->watermarks[s] = in->streams_now[s].watermark_ms;
        in->horizons[s] = in->streams_now[s].horizon_ms;
    }
}

/* Tries until it works. False: it never will in this run, or the ingestion is to stop. Between two
 * tries the store is free for others: a checkpoint may make the room that is missing. */
static bool commit_batch(struct ingest *in, int64_t mono_ms)
{
    struct err err;
    struct store_stats stats;
    int64_t t0 = clock_thread_cpu_ns(), settled = in->settled_ns;
    int64_t looked_ms = mono_now_ms();
    refresh_streams(in);
    take_watermarks(in);
    while (!try_commit(in, &err)) {
        stand_still(in, &err);
        store_stats(in->store, &stats);
        if (stats.failed || err.code == ERR_LIMIT || err.code == ERR_INVALID ||
            atomic_load(&in->stop))
            return false;
        clock_sleep_ms(COMMIT_RETRY_MS);
        kafka_source_serve(in->source);
        tell_operators(in);
    }
    if (in->trouble[0])
        log_info("ingestion goes on");
    in->trouble[0] = 0;
    mark_committed(in);
    intake_clear(in->intake);
    letter_sender_wake(in->sender);
    in->now.batches += in->batch > 0;
    in->batch = 0;
    in->clocks_ms = mono_ms;
    note_level(in, looked_ms);
    in->commit_ns += clock_thread_cpu_ns() - t0 - (in->settled_ns - settled);
    share(in, true);
    wait_for_store(in);
    return true;
}

/* False: nothing can be committed any more. */
static bool serve_operator(struct ingest *in, struct errand *errand)
{
    bool changes = errand->request->action != SOURCE_LIST, ok = true;
    bool done = do_errand(in, errand);
    if (done && changes) {
        source_desk_commits(in->desk, errand);
        ok = commit_batch(in, mono_now_ms());
    }
    if (!ok)
        err_set(&errand->err, ERR_UNAVAILABLE, "it could not be committed: %s", in->trouble);
    source_desk_done(in->desk, errand, ok && done);
    return ok;
}

/* What an operator changes is no part of the open batch, which is committed before: until it is,
 * whoever asks may give up. False: nothing can be committed any more. */
static bool serve_operators(struct ingest *in)
{
    struct errand *errand;
    bool ok = true;
    tell_operators(in);
    while (ok && source_desk_waits(in->desk)) {
        ok = in->batch == 0 || commit_batch(in, mono_now_ms());
        if (ok && (errand = source_desk_take(in->desk, false)))
            ok = serve_operator(in, errand);
    }
    return ok;
}

/* ---- positions ---- */

static void partition_found(void *ctx, struct partition *p)
{
    struct ingest *in = ctx;
    struct source_state state;
    if (in->follows)
        follow_recall(in->store, p);
    if (!store_source(in->store, slice_from(p->name), &state))
        return;
    p->next = state.next;
    p->newest_ms = state.newest_ms;
    if (!partition_decode(slice_of(state.state, state.state_len), p))
        log_warn("source %s: its counts do not read; they begin anew", p->name);
    log_info("source %s: from offset %" PRId64, p->name, p->next);
}

/* What earlier runs have read is known, counted and read on without waiting for the broker's list.
 */
static void recall_partitions(struct ingest *in, int64_t now_ms)
{
    struct source_names names;
    source_names_read(in->store, SLICE(""), &names);
    for (size_t i = 0; i < names.n; i++)
        kafka_source_recall(in->source, names.items[i], now_ms, partition_found, in);
    source_names_free(&names);
}

/* ---- configs ---- */

/* Metrics are known to the store before the first event, and a config that does not fit is refused.
 */
static bool define_metrics(struct store *store, const struct streams *streams, struct err *err)
{
    struct txn *txn = txn_begin(store);
    uint32_t id;
    for (size_t i = 0; i < streams->n_rollups; i++)
        if (!txn_metric(txn, &streams->rollups[i].def, &id, err)) {
            txn_abort(&txn);
            return false;
        }
    if (txn_commit(&txn, NULL, err))
        return true;
    /* A full disk may get room again: the first batch defines them then. */
    txn_abort(&txn);
    return err->code == ERR_NO_SPACE;
}

static bool lifecycles_fit(struct store *store, const struct streams *streams, struct err *err)
{
    for (size_t i = 0; i < streams->n_lifecycles; i++)
        if (!lifecycle_fits(store, streams, i, err))
            return false;
    return true;
}

static uint64_t memory_of(const struct ingest_options *options)
{
    return options->memory_bytes ? options->memory_bytes : MEMORY_BYTES;
}

/* before: the intake that this one comes after, or NULL. What the store tells of metrics changes
 * last: a config that is refused leaves it alone. */
static bool works_make(struct store *store, const struct ingest_options *options,
    struct intake *before, struct works *out, struct err *err)
{
    *out = (struct works){0};
    if (!lifecycles_fit(store, options->streams, err) ||
        !generations_new(store, options->streams, &out->generations, err) ||
        !kafka_source_new(options, &out->source, err) ||
        !define_metrics(store, options->streams, err))
        return false;
    const struct streams *streams = out->streams = generations_streams(out->generations);
    out->intake = intake_new(store, streams, out->source,
        options->workers ? options->workers : WORKERS, memory_of(options), before);
    out->watermarks = xcalloc(streams->n_streams, sizeof *out->watermarks);
    out->horizons = xcalloc(streams->n_streams, sizeof *out->horizons);
    out->streams_now = xcalloc(streams->n_streams, sizeof *out->streams_now);
    return true;
}

static void works_free(struct works *works)
{
    intake_free(&works->intake);
    kafka_source_free(&works->source);
    generations_free(&works->generations);
    free(works->watermarks);
    free(works->horizons);
    free(works->streams_now);
    *works = (struct works){0};
}

static struct works works_of(const struct ingest *in)
{
    return (struct works){in->generations, in->streams, in->source, in->intake, in->watermarks,
        in->horizons, in->streams_now};
}

/* The ingestion runs on what *works was, and gives up what it ran on. */
static void works_swap(struct ingest *in, struct works *works, const struct ingest_options *options)
{
    struct works old = works_of(in);
    in->generations = works->generations;
    in->streams = works->streams;
    in->source = works->source;
    in->intake = works->intake;
    in->watermarks = works->watermarks;
    in->horizons = works->horizons;
    in->streams_now = works->streams_now;
    in->options = *options;
    in->commit_ms = options->commit_ms ? options->commit_ms : COMMIT_MS;
    in->batch_events =
        options->batch_events ? options->batch_events : intake_batch_events(memory_of(options));
    *works = old;
}

/* The positions that the store holds are where it goes on. */
static void begin(struct ingest *in)
{
    recall_partitions(in, clock_now_ms());
    refresh_streams(in);
    in->discover_ms = in->asked_ms = 0;
}

/* ---- the thread ---- */

static void discover(struct ingest *in, int64_t now_ms, int64_t mono_ms)
{
    bool restless = kafka_source_restless(in->source) && mono_ms >= in->asked_ms + RETRY_MS;
    if (mono_ms < in->discover_ms && !restless)
        return;
    if (in->follower)
        follower_asks(in->follower);
    bool all = kafka_source_discover(in->source, METADATA_MS, now_ms, partition_found, in);
    if (in->follower)
        follower_listed(in->follower, in->source, all);
    in->asked_ms = mono_ms;
    in->discover_ms = mono_ms + (all ? DISCOVER_MS : RETRY_MS);
}

/* Tries until all are taken in: without an answer of the store an event can neither be counted nor
 * left out. When the ingestion stops before, the next run reads them again. */
static void take_records(struct ingest *in, const struct kafka_record *records, size_t n)
{
    struct err err;
    for (size_t taken; !intake_records(in->intake, records, n, &taken, &err);) {
        records += taken;
        n -= taken;
        stand_still(in, &err);
        if (atomic_load(&in->stop)) {
            for (size_t i = 0; i < n; i++)
                if (!records[i].partition->parked)
                    kafka_source_park(
                        in->source, records[i].partition, records[i].offset, err.text);
            return;
        }
        clock_sleep_ms(COMMIT_RETRY_MS);
        kafka_source_serve(in->source);
        tell_operators(in);
    }
}

static void read_some(struct ingest *in, int64_t now_ms, int64_t mono_ms)
{
    intake_resume(in->intake);
    int64_t t0 = clock_thread_cpu_ns();
    size_t n = kafka_source_poll(in->source, POLL_MS, now_ms, in->records, POLL_RECORDS);
    if (in->follows)
        n = follow_takes(in->follows, in->records, n);
    in->now.ns_poll += (uint64_t)(clock_thread_cpu_ns() - t0);
    if (n && in->batch == 0)
        in->batch_ms = mono_ms;
    take_records(in, in->records, n);
    if (in->follows)
        follow_stop(in->source);
    in->batch += n;
}

static bool batch_is_due(const struct ingest *in, int64_t mono_ms)
{
    if (in->batch == 0 && intake_is_behind(in->intake))
        return true;
    if (in->batch == 0)
        return mono_ms - in->clocks_ms >= CLOCKS_MS;
    int64_t most_ms = in->batch < BUSY_EVENTS ? in->commit_ms : 2 * (int64_t)in->commit_ms;
    return in->batch >= in->batch_events || mono_ms - in->batch_ms >= most_ms ||
           intake_is_full(in->intake) || letters_due(intake_letters(in->intake));
}

/* Lag tools look at the one that counts. */
static void hint(struct ingest *in, int wait_ms)
{
    if (!in->follows)
        kafka_source_hint(in->source, wait_ms);
}

static bool reload_begin(struct ingest *in)
{
    mutex_lock(&in->lock);
    bool asked = in->reload.state == RELOAD_ASKED;
    if (asked)
        in->reload.state = RELOAD_RUNS;
    atomic_store(&in->reload_asked, false);
    mutex_unlock(&in->lock);
    return asked;
}

static void reload_end(struct ingest *in, bool done, const struct err *err)
{
    mutex_lock(&in->lock);
    in->reload.state = done ? RELOAD_DONE : RELOAD_REFUSED;
    in->reload.err = *err;
    pthread_cond_signal(&in->reload_ended);
    mutex_unlock(&in->lock);
}

static void start_sender(struct ingest *in)
{
    in->sender =
        letter_sender_start(in->store, &in->options, intake_letters(in->intake), in->fenced);
}

/* Generations that begin are in the store before anybody hears of them. One try: whoever asks waits
 * for it. False: it goes on as it was. */
static bool run_on(struct ingest *in, struct works *works, struct err *err)
{
    struct ingest_options options = in->options;
    struct ingest_stats before = in->before;
    int64_t settled_ns = in->settled_ns, commit_ns = in->commit_ns;
    split_steps(in);
    in->before = in->now;
    in->settled_ns = in->commit_ns = 0;
    works_swap(in, works, in->reload.options);
    begin(in);
    take_watermarks(in);
    if (try_commit(in, err)) {
        mark_committed(in);
        intake_clear(in->intake);
        share(in, true);
        return true;
    }
    works_swap(in, works, &options);
    intake_give_back(works->intake, in->intake);
    in->before = before;
    in->settled_ns = settled_ns;
    in->commit_ns = commit_ns;
    struct err why = *err;
    return err_set(err, why.code, "it could not be committed: %s", why.text);
}

/* Letters that are being sent leave the outboxes before others are made of the same tables. */
static bool change_works(struct ingest *in, struct err *err)
{
    letter_sender_stop(&in->sender, in->fenced);
    hint(in, 0);
    bool done = works_make(in->store, in->reload.options, in->intake, in->reload.made, err) &&
                run_on(in, in->reload.made, err);
    start_sender(in);
    return done;
}

static bool pause_for(struct ingest *in, struct err *err)
{
    bool ok = in->reload.f(in->reload.ctx, err);
    struct err ignored;
    mutex_lock(&in->lock);
    if (!generations_again(in->generations, ok ? err : &ignored))
        ok = false;
    mutex_unlock(&in->lock);
    return ok;
}

/* The batch is committed. */
static void take_over(struct ingest *in)
{
    struct err err = {0};
    if (!reload_begin(in))
        return;
    bool done = in->reload.options ? change_works(in, &err) : pause_for(in, &err);
    reload_end(in, done, &err);
}

static void refuse_reload(struct ingest *in)
{
    struct err err = {0};
    err_set(&err, ERR_UNAVAILABLE, "the ingestion stands still: %s", in->trouble);
    if (reload_begin(in))
        reload_end(in, false, &err);
}

static void *run(void *arg)
{
    struct ingest *in = arg;
    bool ok = true;
    while (ok && !atomic_load(&in->stop)) {
        int64_t now_ms = clock_now_ms(), mono_ms = mono_now_ms();
        if (atomic_load(&in->reload_asked)) {
            ok = commit_batch(in, mono_ms);
            if (ok && !intake_is_behind(in->intake))
                take_over(in);
            continue;
        }
        discover(in, now_ms, mono_ms);
        if (in->follows && mono_ms - in->follow_ms >= FOLLOW_MS) {
            follow_resume(in->follows, in->source, now_ms);
            in->follow_ms = mono_ms;
        }
        read_some(in, now_ms, mono_ms);
        mono_ms = mono_now_ms();
        if (batch_is_due(in, mono_ms))
            ok = commit_batch(in, mono_ms);
        ok = ok && serve_operators(in);
        if (ok && mono_ms - in->hint_ms >= HINT_MS) {
            hint(in, 0);
            in->hint_ms = mono_ms;
        }
    }
    if (ok && in->batch)
        commit_batch(in, mono_now_ms());
    hint(in, HINT_LAST_MS);
    /* Nothing can be committed any more; what librdkafka tells must not pile up all the same. */
    while (!atomic_load(&in->stop)) {
        refuse_reload(in);
        kafka_source_serve(in->source);
        tell_operators(in);
        clock_sleep_ms(COMMIT_RETRY_MS);
    }
    source_desk_close(in->desk);
    return NULL;
}

static void free_all(struct ingest *in)
{
    letter_sender_stop(&in->sender, in->fenced);
    struct works works = works_of(in);
    works_free(&works);
    follower_free(&in->follower);
    source_desk_put(&in->desk);
    free(in->shared.streams);
    free(in->shared.lifecycles);
    free(in->shared.partitions);
    pthread_cond_destroy(&in->reload_ended);
    pthread_mutex_destroy(&in->lock);
    free(in);
}

bool ingest_start(
    struct store *store, const struct ingest_options *options, struct ingest **out, struct err *err)
{
    struct ingest *in = xcalloc(1, sizeof *in);
    struct works works;
    *out = NULL;
    in->store = store;
    in->follows = options->follows;
    in->passed_ms = INT64_MIN;
    in->told_behind = INT64_MAX;
    in->desk = source_desk_new();
    mutex_init(&in->lock);
    cond_init(&in->reload_ended);
    bool made = works_make(store, options, NULL, &works, err);
    works_swap(in, &works, options);
    if (!made) {
        free_all(in);
        return false;
    }
    if (in->follows)
        in->follower = follower_new(in->follows, in->streams);
    begin(in);
    share(in, true);
    start_sender(in);
    thread_start(&in->thread, "ingest", run, in);
    *out = in;
    return true;
}

/* Waits for the end, and takes back what the ingestion has not begun. */
static enum reload_state await_reload(
    struct ingest *in, const atomic_bool *cancel, int64_t deadline_ms)
{
    while (in->reload.state == RELOAD_ASKED || in->reload.state == RELOAD_RUNS) {
        bool over = (cancel && atomic_load(cancel)) || mono_now_ms() >= deadline_ms;
        if (over && in->reload.state == RELOAD_ASKED)
            break;
        cond_wait_ms(&in->reload_ended, &in->lock, RELOAD_LOOK_MS);
    }
    enum reload_state state = in->reload.state;
    in->reload.state = RELOAD_NONE;
    atomic_store(&in->reload_asked, false);
    return state;
}

/* options: to go on with them; NULL: f is called. */
static bool ask(struct ingest *in, const struct ingest_options *options, ingest_pause_f *f,
    void *ctx, const atomic_bool *cancel, struct err *err)
{
    struct works works = {0}; /* the new ones, then the old ones */
    mutex_lock(&in->lock);
    in->reload.options = options;
    in->reload.f = f;
    in->reload.ctx = ctx;
    in->reload.made = &works;
    in->reload.state = RELOAD_ASKED;
    atomic_store(&in->reload_asked, true);
    enum reload_state state = await_reload(in, cancel, mono_now_ms() + RELOAD_WAIT_MS);
    struct err why = in->reload.err;
    mutex_unlock(&in->lock);
    works_free(&works);
    if (state == RELOAD_REFUSED)
        *err = why;
    else if (state == RELOAD_ASKED && cancel && atomic_load(cancel))
        err_set(err, ERR_CANCELED, "given up before the ingestion had come to it");
    else if (state == RELOAD_ASKED)
        err_set(err, ERR_TIMEOUT, "the ingestion could not commit its batch for %d s",
            RELOAD_WAIT_MS / 1000);
    return state == RELOAD_DONE;
}

bool ingest_reload(struct ingest *ingest, const struct ingest_options *options,
    const atomic_bool *cancel, struct err *err)
{
    return ask(ingest, options, NULL, NULL, cancel, err);
}

bool ingest_pause(
    struct ingest *ingest, ingest_pause_f *f, void *ctx, const atomic_bool *cancel, struct err *err)
{
    return ask(ingest, NULL, f, ctx, cancel, err);
}

int64_t ingest_level_ms(struct ingest *ingest)
{
    return atomic_load(&ingest->level_ms);
}

int64_t ingest_behind(struct ingest *ingest)
{
    return atomic_load(&ingest->told_behind);
}

void ingest_stop(struct ingest **ingest)
{
    struct ingest *in = *ingest;
    *ingest = NULL;
    if (!in)
        return;
    atomic_store(&in->stop, true);
    thread_join(in->thread);
    free_all(in);
}

size_t ingest_stats(
    struct ingest *ingest, struct ingest_stats *out, struct stream_stats *streams, size_t n)
{
    mutex_lock(&ingest->lock);
    size_t have = ingest->shared.n_streams;
    *out = ingest->shared.stats;
    if (n > 0 && have > 0)
        memcpy(streams, ingest->shared.streams, (n < have ? n : have) * sizeof *streams);
    mutex_unlock(&ingest->lock);
    return have;
}

void ingest_each_partition(struct ingest *ingest, partition_f *each, void *ctx)
{
    mutex_lock(&ingest->lock);
    for (size_t i = 0; i < ingest->shared.n_partitions; i++)
        each(ctx, &ingest->shared.partitions[i]);
    mutex_unlock(&ingest->lock);
}

size_t ingest_lifecycles(struct ingest *ingest, struct lifecycle_counts *out, size_t n)
{
    mutex_lock(&ingest->lock);
    size_t have = ingest->shared.n_lifecycles;
    if (n > 0 && have > 0)
        memcpy(out, ingest->shared.lifecycles, (n < have ? n : have) * sizeof *out);
    mutex_unlock(&ingest->lock);
    return have;
}

struct source_desk *ingest_desk_get(struct ingest *ingest)
{
    return source_desk_get(ingest->desk);
}

struct generation_stats *ingest_generations(struct ingest *ingest, size_t *n)
{
    mutex_lock(&ingest->lock);
    *n = generations_stats(ingest->shared.generations, NULL, 0);
    struct generation_stats *all = xcalloc(*n + 1, sizeof *all);
    generations_stats(ingest->shared.generations, all, *n);
    mutex_unlock(&ingest->lock);
    return all;
}

int64_t ingest_passed_ms(struct ingest *ingest)
{
    return atomic_load(&ingest->passed_ms);
}
