#include "cmd/replays.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "ingest/follow.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/replay/replay_exchange.h"

#define HEAD_BYTES  (UINT64_C(256) << 20)
#define STATE_BYTES (UINT64_C(64) << 20)
#define LOOK_MS     100
#define NEAR_MIN    20000 /* so few records are left: worth a pause */
#define PAUSE_MS    15000 /* the first ingestion waits no longer */
#define AGAIN_MS    5000 /* after a pause that was for nothing, and twice as long after each other */
#define PAUSES_MAX  6    /* that were for nothing: it gives up */
#define STUCK_MS    30000 /* it stands still for a reason, and no longer than that */
#define RATE_MS     1000

/* The thread's, but for what the lock of replays guards. */
struct replays {
    const struct config *start;
    struct store *first;
    replay_pause_f *pause;
    void *ctx;
    pthread_mutex_t lock; /* guards status, thread_runs and in_force */
    struct hash128 in_force;
    struct replay_status status;
    bool thread_runs;
    pthread_t thread;
    atomic_bool stop, canceled;
    struct replay_order order;
    /* While it runs. */
    struct config config;
    struct rollup rollup;
    struct streams streams; /* the config's, with this rollup alone and the topics that it needs */
    struct stream *stream_list;
    struct store *second;
    struct ingest *ingest;
    int64_t rate_ms;
    int64_t stuck_ms; /* since when it stands still; 0: it does not */
    unsigned pauses;  /* that were for nothing */
    int64_t again_ms; /* not before */
    /* What holds it up, each "" when it does not: the first that there is, is told. */
    char stuck[ERR_TEXT_MAX], unkept[ERR_TEXT_MAX], unpaused[ERR_TEXT_MAX];
};

/* ---- folders ---- */

static void folder_of(const struct replays *r, char out[1024])
{
    snprintf(out, 1024, "%s.replay", r->start->store_path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static bool remove_folder(const struct replays *r, struct err *err)
{
    char path[1024];
    struct stat st;
    folder_of(r, path);
    bool there = stat(path, &st) == 0;
    if ((!there && errno != ENOENT) ||
        (there && nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0))
        return err_sys(err, "cannot remove %s", path);
    return true;
}

/* ---- what the store keeps ---- */

static bool keep_order(struct replays *r, struct err *err)
{
    struct txn *txn = txn_begin(r->first);
    replay_order_write(&r->order, txn);
    if (txn_commit(&txn, NULL, err))
        return true;
    txn_abort(&txn);
    return false;
}

/* ---- the second ingestion ---- */

static const struct rollup *find_rollup(const struct streams *streams, struct slice name)
{
    for (size_t i = 0; i < streams->n_rollups; i++)
        if (slice_eq(streams->rollups[i].def.name, name))
            return &streams->rollups[i];
    return NULL;
}

static bool needs_stream(const struct replays *r, size_t stream)
{
    if (r->rollup.stream >= 0)
        return r->rollup.stream == (int)stream;
    const struct lifecycle *l = &r->config.streams.lifecycles[r->rollup.lifecycle];
    for (size_t s = 0; s < l->rules.n_stages; s++)
        if (l->stages[s].stream == (int)stream)
            return true;
    return false;
}

static void choose_streams(struct replays *r)
{
    const struct streams *all = &r->config.streams;
    r->stream_list = xcalloc(all->n_streams, sizeof *r->stream_list);
    for (size_t s = 0; s < all->n_streams; s++) {
        r->stream_list[s] = all->streams[s];
        r->stream_list[s].start = START_EARLIEST;
        r->stream_list[s].skip_out_of_range = false;
        r->stream_list[s].dead_letters = SLICE("");
        if (!needs_stream(r, s))
            r->stream_list[s].n_topics = 0;
    }
    r->streams = *all;
    r->streams.streams = r->stream_list;
    r->streams.rollups = &r->rollup;
    r->streams.n_rollups = 1;
    r->streams.n_former = 0;
    if (r->rollup.stream >= 0)
        r->streams.n_lifecycles = 0;
}

static struct hash128 in_force(struct replays *r)
{
    mutex_lock(&r->lock);
    struct hash128 hash = r->in_force;
    mutex_unlock(&r->lock);
    return hash;
}

static bool check_outdated(struct replays *r, struct err *err)
{
    return hash128_eq(in_force(r), r->order.config) ||
           err_set(err, ERR_INVALID,
               "another config has come into force since it began: begin it again");
}

/* The file may say something else than what is in force; then it is to be taken over first. */
static bool load(struct replays *r, struct err *err)
{
    struct err_list errors;
    const struct config *c = r->start;
    bool ok = config_load(c->file, c->overrides, c->n_overrides, &r->config, &errors);
    if (!ok)
        *err = errors.items[0];
    err_list_fini(&errors);
    if (!ok)
        return false;
    if (!hash128_eq(r->config.ingested, r->order.config))
        return err_set(err, ERR_INVALID,
            "%s says something else than what is in force: SIGHUP takes it over", c->file);
    const struct rollup *rollup = find_rollup(&r->config.streams, slice_from(r->order.rollup));
    if (!rollup)
        return err_set(err, ERR_NOT_FOUND, "there is no rollup '%s'", r->order.rollup);
    if (rollup->def.kind == KIND_GAUGE)
        return err_set(err, ERR_UNSUPPORTED,
            "not supported yet: replay of a gauge, whose cells have no inverse");
    r->rollup = *rollup;
    choose_streams(r);
    return true;
}

static void unload(struct replays *r)
{
    config_free(&r->config);
    free(r->stream_list);
    r->stream_list = NULL;
}

static bool start_second(struct replays *r, struct err *err)
{
    char path[1024];
    struct store_options store = {
        .head_bytes = HEAD_BYTES, .state_bytes = STATE_BYTES, .limits = r->start->limits};
    struct ingest_options options = {.kafka = r->config.kafka,
        .n_kafka = r->config.n_kafka,
        .streams = &r->streams,
        .shard = r->config.shard,
        .follows = r->first,
        .workers = 1,
        .memory_bytes = STATE_BYTES};
    folder_of(r, path);
    store.path = path;
    return (r->second || store_open(&store, &r->second, err)) &&
           ingest_start(r->second, &options, &r->ingest, err);
}

/* ---- the exchange, in the first ingestion's thread ---- */

static struct replay_exchange exchange_of(const struct replays *r)
{
    return (struct replay_exchange){.first = r->first,
        .second = r->second,
        .streams = &r->streams,
        .rollup = &r->rollup,
        .retention = &r->start->retention};
}

static bool await_level(struct replays *r, struct err *err)
{
    int64_t begin_ms = clock_mono_ns() / 1000000;
    while (ingest_level_ms(r->ingest) <= begin_ms) {
        if (atomic_load(&r->stop) || atomic_load(&r->canceled))
            return err_set(err, ERR_CANCELED, "stopped");
        if (clock_mono_ns() / 1000000 > begin_ms + PAUSE_MS)
            return err_set(err, ERR_TIMEOUT,
                "the replay was not level with the ingestion within %d s", PAUSE_MS / 1000);
        clock_sleep_ms(20);
    }
    return true;
}

static bool take_place_level(struct replays *r, struct err *err)
{
    struct replay_exchange exchange = exchange_of(r);
    if (!check_outdated(r, err) || !await_level(r, err))
        return false;
    ingest_stop(&r->ingest);
    if (!replay_exchange_is_even(&exchange))
        return err_set(err, ERR_TIMEOUT, "lives have not expired as far in the replay");
    return replay_exchange_do(&exchange, &r->order, err);
}

static bool take_place(void *ctx, struct err *err)
{
    struct replays *r = ctx;
    int64_t begin_ms = clock_mono_ns() / 1000000;
    bool ok = take_place_level(r, err);
    log_info("replay of %s: the ingestion has waited %lld ms for it", r->order.rollup,
        (long long)(clock_mono_ns() / 1000000 - begin_ms));
    return ok;
}

/* What takes the longest while the ingestion waits is done once before, for nothing, so that it is
 * known how long that is. The stores are nearly what they will be. */
static bool rehearse(struct replays *r, struct err *err)
{
    struct replay_exchange exchange = exchange_of(r);
    int64_t begin_ms = clock_mono_ns() / 1000000;
    size_t cells = replay_exchange_rehearse(&exchange, &r->order);
    int64_t took_ms = clock_mono_ns() / 1000000 - begin_ms;
    log_info("replay of %s: %zu cells differ, which took %lld ms", r->order.rollup, cells,
        (long long)took_ms);
    return took_ms <= PAUSE_MS ||
           err_set(err, ERR_LIMIT,
               "the ingestion would have to wait %lld s for it: leave older windows alone, with "
               "--from",
               (long long)(took_ms / 1000));
}

/* ---- the thread ---- */

static void keep_text(char to[ERR_TEXT_MAX], const char *text)
{
    snprintf(to, ERR_TEXT_MAX, "%s", text);
}

static void tell_trouble(struct replays *r)
{
    const char *text = r->stuck[0] ? r->stuck : r->unkept[0] ? r->unkept : r->unpaused;
    mutex_lock(&r->lock);
    keep_text(r->status.text, text);
    mutex_unlock(&r->lock);
}

static void note_progress(struct replays *r, int64_t mono_ms)
{
    uint64_t done, all;
    if (mono_ms < r->rate_ms + RATE_MS)
        return;
    follow_progress(r->second, r->first, &r->streams, &done, &all);
    mutex_lock(&r->lock);
    struct replay_status *s = &r->status;
    double rate = r->rate_ms && done > s->records_read
                      ? (double)(done - s->records_read) * 1e3 / (double)(mono_ms - r->rate_ms)
                      : 0;
    s->records_per_second =
        s->records_per_second > 0 ? (s->records_per_second * 3 + rate) / 4 : rate;
    s->records_read = done;
    s->records = all;
    mutex_unlock(&r->lock);
    r->rate_ms = mono_ms;
}

static void maintain(struct replays *r)
{
    struct err err = {0};
    bool more = false;
    bool ok = store_maintain_step(r->second, ingest_passed_ms(r->ingest), &more, &err);
    if (!ok && !r->unkept[0])
        log_warn("replay of %s: maintenance failed and will be tried again: %s", r->order.rollup,
            err.text);
    keep_text(r->unkept, ok ? "" : err.text);
}

/* So little is left that the first ingestion may wait for it. */
static bool is_near(const struct replays *r)
{
    int64_t near = (int64_t)r->status.records_per_second;
    return ingest_behind(r->ingest) <= (near > NEAR_MIN ? near : NEAR_MIN);
}

/* True: it is over, since that will not change, or has been so too often. */
static bool failed_for_good(struct replays *r, const struct err *err)
{
    bool passes =
        err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE || err->code == ERR_NO_SPACE;
    if (err->code == ERR_CANCELED) /* it is to be stopped, and goes on later, or is given up */
        return false;
    if (!passes || ++r->pauses >= PAUSES_MAX)
        return true;
    r->again_ms = clock_mono_ns() / 1000000 + (AGAIN_MS << (r->pauses - 1));
    keep_text(r->unpaused, err->text);
    log_info("replay of %s: %s; it is tried again", r->order.rollup, err->text);
    return false;
}

/* True: it is over. */
static bool try_to_end(struct replays *r, struct err *err)
{
    if (clock_mono_ns() / 1000000 < r->again_ms || !is_near(r))
        return false;
    bool done = rehearse(r, err) && r->pause(r->ctx, take_place, r, &r->stop, err);
    if (done || failed_for_good(r, err))
        return true;
    err->code = ERR_OK;
    return !r->ingest && !start_second(r, err);
}

/* True: it will not go on by itself. What only holds it up is told. */
static bool is_stuck(struct replays *r, struct err *err)
{
    struct ingest_stats stats;
    size_t n = r->streams.n_streams, halted = 0;
    int64_t mono_ms = clock_mono_ns() / 1000000;
    struct stream_stats *streams = xcalloc(n, sizeof *streams);
    ingest_stats(r->ingest, &stats, streams, n);
    for (size_t i = 0; i < n; i++)
        halted += streams[i].halted;
    free(streams);
    bool waits = halted || (stats.trouble[0] && ingest_behind(r->ingest) > 0);
    if (!waits || r->stuck_ms == 0)
        r->stuck_ms = waits ? mono_ms : 0;
    keep_text(r->stuck, waits ? stats.trouble : "");
    if (!halted && !(waits && stats.connected && mono_ms - r->stuck_ms > STUCK_MS))
        return false;
    return err_set(err, ERR_UNAVAILABLE, "%s",
               stats.trouble[0] ? stats.trouble : "a partition is halted") ||
           true;
}

/* *err ERR_OK: it was done, or is to be stopped. */
static void replay(struct replays *r, struct err *err)
{
    while (!atomic_load(&r->stop) && !atomic_load(&r->canceled)) {
        if (!check_outdated(r, err) || is_stuck(r, err) || try_to_end(r, err))
            return;
        maintain(r);
        tell_trouble(r);
        note_progress(r, clock_mono_ns() / 1000000);
        clock_sleep_ms(LOOK_MS);
    }
}

/* What became of it. One that was stopped runs: it goes on later. */
static void settle(struct replays *r, const struct err *err)
{
    struct replay_order *order = &r->order;
    struct err failed = {0};
    if (order->state == REPLAY_RUNS && err->code != ERR_OK)
        order->state = REPLAY_FAILED;
    else if (order->state == REPLAY_RUNS && atomic_load(&r->canceled))
        order->state = REPLAY_CANCELED;
    if (order->state == REPLAY_RUNS)
        return;
    snprintf(order->text, sizeof order->text, "%s", err->text);
    if (order->state != REPLAY_DONE && !keep_order(r, &failed))
        log_error("replay of %s: %s", order->rollup, failed.text);
    if (!remove_folder(r, &failed))
        log_error("replay of %s: %s", order->rollup, failed.text);
}

static void tell(const struct replay_order *order)
{
    switch (order->state) {
    case REPLAY_DONE: log_info("replay of %s: done", order->rollup); break;
    case REPLAY_CANCELED: log_info("replay of %s: canceled", order->rollup); break;
    case REPLAY_FAILED: log_error("replay of %s: %s", order->rollup, order->text); break;
    default: break;
    }
}

/* The lock is held. */
static void show_order(struct replays *r)
{
    struct replay_status *s = &r->status;
    const struct replay_order *order = &r->order;
    s->state = order->state;
    snprintf(s->rollup, sizeof s->rollup, "%s", order->rollup);
    s->whole_after_ms = order->whole_after_ms;
    s->cells = order->cells;
    snprintf(s->text, sizeof s->text, "%s", order->text);
    if (s->state == REPLAY_DONE)
        s->records_read = s->records;
}

static void *run(void *arg)
{
    struct replays *r = arg;
    struct err err = {0};
    if (check_outdated(r, &err) && load(r, &err) && start_second(r, &err))
        replay(r, &err);
    ingest_stop(&r->ingest);
    if (r->second)
        store_close(&r->second);
    unload(r);
    settle(r, &err);
    tell(&r->order);
    mutex_lock(&r->lock);
    show_order(r);
    mutex_unlock(&r->lock);
    return NULL;
}

/* ---- life ---- */

struct replays *replays_new(const struct config *config, struct hash128 in_force,
    struct store *store, replay_pause_f *pause, void *ctx)
{
    struct replays *r = xcalloc(1, sizeof *r);
    r->start = config;
    r->in_force = in_force;
    r->first = store;
    r->pause = pause;
    r->ctx = ctx;
    mutex_init(&r->lock);
    return r;
}

void replays_free(struct replays **replays)
{
    struct replays *r = *replays;
    *replays = NULL;
    if (!r)
        return;
    atomic_store(&r->stop, true);
    if (r->thread_runs)
        thread_join(r->thread);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* The lock is held. */
static void start_thread(struct replays *r)
{
    if (r->thread_runs)
        thread_join(r->thread); /* it has ended */
    r->status = (struct replay_status){0};
    show_order(r);
    r->rate_ms = 0;
    r->stuck_ms = r->again_ms = 0;
    r->pauses = 0;
    r->stuck[0] = r->unkept[0] = r->unpaused[0] = 0;
    atomic_store(&r->canceled, false);
    r->thread_runs = true;
    thread_start(&r->thread, "replay", run, r);
}

void replays_resume(struct replays *replays)
{
    struct replays *r = replays;
    struct err err = {0};
    mutex_lock(&r->lock);
    if (!replay_order_read(r->first, &r->order, &err))
        log_error("replay: %s", err.text);
    if (r->order.state == REPLAY_RUNS) {
        log_info("replay of %s goes on", r->order.rollup);
        start_thread(r);
    } else {
        if (!remove_folder(r, &err))
            log_error("replay: %s", err.text);
        show_order(r);
    }
    mutex_unlock(&r->lock);
}

static bool begin(struct replays *r, struct slice rollup, int64_t from_ms, struct err *err)
{
    struct replay_order order = {.state = REPLAY_RUNS,
        .from_ms = from_ms,
        .config = r->in_force,
        .whole_after_ms = INT64_MIN};
    if (r->status.state == REPLAY_RUNS)
        return err_set(err, ERR_BUSY, "the replay of %s runs", r->status.rollup);
    if (rollup.len >= sizeof order.rollup)
        return err_set(err, ERR_INVALID, "a name of more than %zu bytes", sizeof order.rollup - 1);
    snprintf(order.rollup, sizeof order.rollup, "%.*s", SLICE_FMT(rollup));
    struct replay_order before = r->order;
    r->order = order;
    /* The thread reads the file as well; what is wrong with it is better told at once. */
    struct replay_exchange exchange = exchange_of(r);
    bool fits = load(r, err) && replay_exchange_may(&exchange, from_ms, err);
    unload(r);
    /* One that stayed would hold the positions of before. */
    if (!fits || !remove_folder(r, err) || !keep_order(r, err)) {
        r->order = before;
        return false;
    }
    start_thread(r);
    return true;
}

bool replays_start(struct replays *replays, struct slice rollup, int64_t from_ms, struct err *err)
{
    mutex_lock(&replays->lock);
    bool ok = begin(replays, rollup, from_ms, err);
    mutex_unlock(&replays->lock);
    return ok;
}

bool replays_cancel(struct replays *replays, struct err *err)
{
    mutex_lock(&replays->lock);
    bool runs = replays->status.state == REPLAY_RUNS;
    if (runs)
        atomic_store(&replays->canceled, true);
    mutex_unlock(&replays->lock);
    return runs || err_set(err, ERR_NOT_FOUND, "no replay runs");
}

void replays_in_force(struct replays *replays, struct hash128 config)
{
    mutex_lock(&replays->lock);
    replays->in_force = config;
    mutex_unlock(&replays->lock);
}

void replays_status(struct replays *replays, struct replay_status *out)
{
    mutex_lock(&replays->lock);
    *out = replays->status;
    mutex_unlock(&replays->lock);
}
