#include "cmd/replays.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rfc3339.h"
#include "base/thread.h"
#include "ingest/follow.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/lifecycle/lifecycle_run.h"
#include "ingest/replay_net.h"
#include "ingest/rollup_history.h"
#include "ingest/rollup_run.h"
#include "store/metadata.h"
#include "store/transaction.h"

#define HEAD_BYTES  (UINT64_C(256) << 20)
#define STATE_BYTES (UINT64_C(64) << 20)
#define LOOK_MS     100
#define NEAR_MIN    20000 /* so few records are left: worth a pause */
#define PAUSE_MS    15000 /* the first ingestion waits no longer */
#define AGAIN_MS    5000 /* after a pause that was for nothing, and twice as long after each other */
#define PAUSES_MAX  6    /* that were for nothing: it gives up */
#define STUCK_MS    30000 /* it stands still for a reason, and no longer than that */
#define RATE_MS     1000
#define DAY_MS      INT64_C(86400000)

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

static void remove_folder(const struct replays *r)
{
    char path[1024];
    struct stat st;
    folder_of(r, path);
    if (stat(path, &st) == 0 && nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        log_error("replay: cannot remove %s", path);
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

static bool lives_have_expired_alike(const struct replays *r)
{
    if (r->rollup.stream >= 0)
        return true;
    struct slice name = r->streams.lifecycles[r->rollup.lifecycle].name;
    struct expiry a = lifecycle_expiry(r->first, name), b = lifecycle_expiry(r->second, name);
    return a.minute == b.minute && a.key == b.key;
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

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Retention takes raw cells, and counts from what is sealed, which the frontier has passed. */
static int64_t retention_after(const struct replays *r)
{
    const struct retention *all = &r->start->retention;
    int64_t raw_ms = all->raw_ms, frontier, watermark;
    for (size_t i = 0; i < all->n_metrics; i++)
        if (slice_eq(all->metrics[i].metric, r->rollup.def.name) && all->metrics[i].raw_ms)
            raw_ms = all->metrics[i].raw_ms;
    if (raw_ms == 0 || raw_ms == RETENTION_FOR_EVER ||
        !store_clock(r->first, r->rollup.def.clock, &frontier, &watermark) || frontier == INT64_MIN)
        return INT64_MIN;
    return window_end(frontier - raw_ms, DAY_MS);
}

/* Windows with later ends are whole: in the topics, and in what retention leaves raw. A lifecycle's
 * are when all that was open then began within what is there. */
static int64_t whole_after(const struct replays *r, const struct follow_span *span)
{
    int64_t after = span->whole_after_ms;
    if (r->rollup.stream < 0 && after != INT64_MIN)
        after += r->streams.lifecycles[r->rollup.lifecycle].rules.expire_ms;
    after = later(after, r->order.from_ms);
    if (after != INT64_MIN)
        after = window_end(after, r->rollup.def.every_ms);
    return later(after, retention_after(r));
}

static bool note_one(void *ctx, struct labels labels, const struct metric_def *def)
{
    (void)labels, (void)def;
    *(bool *)ctx = true;
    return false;
}

/* A life of before the boundary is counted up there and down behind it: by two definitions, in
 * series that would never come to zero again. */
static bool fits_open(
    const struct replays *r, struct store *store, int64_t after_ms, struct err *err)
{
    bool has = false;
    struct matcher matcher = {MATCH_EQUAL, SLICE(LABEL_METRIC_NAME), r->rollup.def.name, NULL};
    struct listing listing = {
        .matchers = &matcher, .n_matchers = 1, .from_ms = INT64_MIN, .to_ms = after_ms};
    if (r->rollup.at != ROLLUP_AT_OPEN || after_ms == INT64_MIN)
        return true;
    if (!store_list_series(store, &listing, note_one, &has, err))
        return false;
    char at[RFC3339_MAX];
    rfc3339_format(after_ms, at);
    return !has || err_set(err, ERR_UNSUPPORTED,
                       "%s counts lives from their beginning to their end (at: open): it is made "
                       "anew only as a whole, and windows up to %s would stay as they are",
                       r->order.rollup, at);
}

static bool too_many(struct err *err)
{
    return err_set(err, ERR_LIMIT,
        "more cells would change than one transaction holds (%u, of %u MiB): leave older windows "
        "alone, with --from",
        TRANSACTION_CELLS_MAX, TRANSACTION_BYTES_MAX >> 20);
}

/* One transaction: the cells, whose windows they are, and that the replay is over. */
static bool commit_net(struct replays *r, const struct replay_net *net,
    struct rollup_history *history, int64_t after_ms, struct err *err)
{
    uint64_t refused;
    struct replay_order done = r->order;
    if (replay_net_cells(net) > TRANSACTION_CELLS_MAX)
        return too_many(err);
    done.state = REPLAY_DONE;
    done.whole_after_ms = after_ms;
    done.cells = replay_net_cells(net);
    struct txn *txn = txn_begin(r->first);
    rollup_history_extend(history, after_ms, r->rollup.stream < 0);
    rollup_history_write(history, txn);
    replay_order_write(&done, txn);
    if (!replay_net_write(net, txn, &refused, err) || !txn_commit(&txn, NULL, err)) {
        txn_abort(&txn);
        return err->code == ERR_LIMIT ? too_many(err) : false;
    }
    r->order = done;
    if (refused)
        log_warn("replay of %s: a limit refused the label sets of %llu cells", r->order.rollup,
            (unsigned long long)refused);
    return true;
}

static bool exchange(struct replays *r, struct err *err)
{
    struct follow_span span = follow_span_of(r->second, r->first, &r->streams);
    struct rollup_histories all;
    struct replay_net *net = NULL;
    int64_t after = whole_after(r, &span);
    if (span.newest_ms == INT64_MIN || after >= span.newest_ms)
        return err_set(err, ERR_NOT_FOUND,
            "nothing to replay: of no window do the topics still hold all that was read");
    if (!fits_open(r, r->first, after, err) || !fits_open(r, r->second, after, err) ||
        !rollup_histories_read(r->first, &all, err))
        return false;
    struct rollup_history *h = rollup_history_find(&all, slice_from(r->order.rollup));
    bool ok = (h && hash128_eq(h->items[h->n - 1].meaning, r->rollup.meaning)) ||
              err_set(err, ERR_INVALID, "the store does not know the rollup as it is in force");
    ok = ok && replay_net_new(r->first, r->second, &r->rollup.def, after, INT64_MAX, &net, err) &&
         commit_net(r, net, h, after, err);
    replay_net_free(&net);
    rollup_histories_fini(&all);
    return ok;
}

static bool take_place(void *ctx, struct err *err)
{
    struct replays *r = ctx;
    if (!check_outdated(r, err) || !await_level(r, err))
        return false;
    ingest_stop(&r->ingest);
    if (!lives_have_expired_alike(r))
        return err_set(err, ERR_TIMEOUT, "lives have not expired as far in the replay");
    return exchange(r, err);
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
    bool passes = err->code == ERR_TIMEOUT || err->code == ERR_CANCELED ||
                  err->code == ERR_UNAVAILABLE || err->code == ERR_NO_SPACE;
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
    if (r->pause(r->ctx, take_place, r, &r->stop, err) || failed_for_good(r, err))
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
    remove_folder(r);
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
        remove_folder(r);
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
    bool fits = load(r, err) && fits_open(r, r->first, later(from_ms, retention_after(r)), err);
    unload(r);
    if (fits)
        remove_folder(r);
    if (!fits || !keep_order(r, err)) {
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
