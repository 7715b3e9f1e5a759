#include "cmd/replays.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rfc3339.h"
#include "base/thread.h"
#include "ingest/follow.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/replay_net.h"
#include "ingest/rollup_history.h"
#include "ingest/rollup_run.h"
#include "store/metadata.h"
#include "store/transaction.h"

#define PREFIX      "replay/" /* of the source that says that one runs */
#define HEAD_BYTES  (UINT64_C(256) << 20)
#define STATE_BYTES (UINT64_C(64) << 20)
#define LOOK_MS     100
#define NEAR_MIN    20000 /* so few records are left: worth a pause */
#define PAUSE_MS    15000 /* the first ingestion waits no longer */
#define AGAIN_MS    5000  /* after a pause that was for nothing */
#define STUCK_MS    30000 /* it stands still for a reason, and no longer than that */
#define RATE_MS     1000
#define DAY_MS      INT64_C(86400000)

/* What is to be done, as the store keeps it. */
struct order {
    char rollup[256];
    int64_t from_ms;
    struct hash128 meaning; /* of the definition that it is by */
};

/* The thread's, but for what the lock of replays guards. */
struct replays {
    const struct config *start;
    struct store *first;
    replay_pause_f *pause;
    void *ctx;
    pthread_mutex_t lock; /* guards status, and thread_runs */
    struct replay_status status;
    bool thread_runs;
    pthread_t thread;
    atomic_bool stop, canceled, outdated;
    struct order order;
    /* While it runs. */
    struct config config;
    struct rollup rollup;
    struct streams streams; /* the config's, with this rollup alone and the topics that it needs */
    struct stream *stream_list;
    struct store *second;
    struct ingest *ingest;
    int64_t rate_ms;
    int64_t stuck_ms; /* since when it stands still; 0: it does not */
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

static void write_order(const struct order *order, bool runs, struct txn *txn)
{
    struct buf name, state;
    buf_init(&name, 0);
    buf_init(&state, 0);
    buf_printf(&name, PREFIX "%s", order->rollup);
    buf_le64(&state, (uint64_t)order->from_ms);
    buf_le64(&state, order->meaning.lo);
    buf_le64(&state, order->meaning.hi);
    txn_source(txn, buf_view(&name), runs, INT64_MIN, buf_view(&state));
    buf_fini(&name);
    buf_fini(&state);
}

static bool keep_order(struct replays *r, bool runs, struct err *err)
{
    struct txn *txn = txn_begin(r->first);
    write_order(&r->order, runs, txn);
    if (txn_commit(&txn, NULL, err))
        return true;
    txn_abort(&txn);
    return false;
}

struct orders {
    struct order items[16];
    size_t n;
};

static void keep_name(void *ctx, struct slice name)
{
    struct orders *orders = ctx;
    if (!slice_starts(name, SLICE(PREFIX)) || orders->n == 16)
        return;
    struct order *order = &orders->items[orders->n];
    struct slice rollup = slice_of(name.ptr + sizeof PREFIX - 1, name.len - (sizeof PREFIX - 1));
    if (rollup.len < sizeof order->rollup) {
        snprintf(order->rollup, sizeof order->rollup, "%.*s", SLICE_FMT(rollup));
        orders->n++;
    }
}

/* Whether the store says that it is to run. */
static bool read_order(struct store *store, struct order *order)
{
    char name[sizeof order->rollup + sizeof PREFIX];
    struct source_state state;
    snprintf(name, sizeof name, PREFIX "%s", order->rollup);
    if (!store_source(store, slice_from(name), &state) || state.next != 1)
        return false;
    struct reader bytes = reader_of(slice_of(state.state, state.state_len));
    order->from_ms = (int64_t)read_le64(&bytes);
    order->meaning.lo = read_le64(&bytes);
    order->meaning.hi = read_le64(&bytes);
    return !bytes.failed;
}

/* The definition that is in force; false: none is. */
static bool meaning_in_force(
    struct store *store, struct slice rollup, struct hash128 *out, struct err *err)
{
    struct rollup_histories all;
    if (!rollup_histories_read(store, &all, err))
        return false;
    const struct rollup_history *h = rollup_history_find(&all, rollup);
    bool found = h && !h->items[h->n - 1].none;
    if (found)
        *out = h->items[h->n - 1].meaning;
    rollup_histories_fini(&all);
    return found || err_set(err, ERR_NOT_FOUND, "there is no rollup '%.*s'", SLICE_FMT(rollup));
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

/* The file may say something else than what is in force; then it is to be taken over first. */
static bool load(struct replays *r, struct err *err)
{
    struct err_list errors;
    const struct config *c = r->start;
    struct hash128 meaning;
    bool ok = config_load(c->file, c->overrides, c->n_overrides, &r->config, &errors);
    if (!ok)
        *err = errors.items[0];
    err_list_fini(&errors);
    if (!ok || !meaning_in_force(r->first, slice_from(r->order.rollup), &meaning, err))
        return false;
    const struct rollup *rollup = find_rollup(&r->config.streams, slice_from(r->order.rollup));
    if (!rollup || !hash128_eq(rollup->meaning, meaning))
        return err_set(err, ERR_INVALID,
            "rollup %s is not in force as %s has it: SIGHUP takes it over", r->order.rollup,
            c->file);
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

static bool same_source(const struct replays *r, const char *name)
{
    struct source_state a, b;
    bool has_a = store_source(r->first, slice_from(name), &a);
    bool has_b = store_source(r->second, slice_from(name), &b);
    if (!has_a || !has_b)
        return has_a == has_b;
    /* Expiry's key stands behind the layout's fingerprint, which is another one where former
     * generations need fields. */
    return a.next == b.next && a.state_len >= 16 && b.state_len >= 16 &&
           memcmp(a.state + 8, b.state + 8, 8) == 0;
}

static bool lives_have_expired_alike(const struct replays *r)
{
    char name[LIFECYCLE_NAME_MAX + 16];
    if (r->rollup.stream >= 0)
        return true;
    const struct lifecycle *l = &r->streams.lifecycles[r->rollup.lifecycle];
    snprintf(name, sizeof name, "lifecycle/%.*s", SLICE_FMT(l->name));
    return same_source(r, name);
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
    if (replay_net_cells(net) > TRANSACTION_CELLS_MAX)
        return too_many(err);
    struct txn *txn = txn_begin(r->first);
    rollup_history_extend(history, after_ms, r->rollup.stream < 0);
    rollup_history_write(history, txn);
    write_order(&r->order, false, txn);
    if (!replay_net_write(net, txn, &refused, err) || !txn_commit(&txn, NULL, err)) {
        txn_abort(&txn);
        return err->code == ERR_LIMIT ? too_many(err) : false;
    }
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
    bool ok = h &&
              replay_net_new(r->first, r->second, &r->rollup.def, after, INT64_MAX, &net, err) &&
              commit_net(r, net, h, after, err);
    if (ok) {
        mutex_lock(&r->lock);
        r->status.cells = replay_net_cells(net);
        r->status.whole_after_ms = after;
        mutex_unlock(&r->lock);
    }
    replay_net_free(&net);
    rollup_histories_fini(&all);
    return ok;
}

static bool take_place(void *ctx, struct err *err)
{
    struct replays *r = ctx;
    struct hash128 meaning;
    if (!meaning_in_force(r->first, slice_from(r->order.rollup), &meaning, err))
        return false;
    if (!hash128_eq(meaning, r->order.meaning) || atomic_load(&r->outdated))
        return err_set(
            err, ERR_INVALID, "another config has come into force since it began: begin it again");
    if (!await_level(r, err))
        return false;
    ingest_stop(&r->ingest);
    if (!lives_have_expired_alike(r))
        return err_set(err, ERR_TIMEOUT, "lives have not expired as far in the replay");
    return exchange(r, err);
}

/* ---- the thread ---- */

static void note(struct replays *r, const char *text)
{
    mutex_lock(&r->lock);
    snprintf(r->status.text, sizeof r->status.text, "%s", text);
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
    if (!store_maintain_step(r->second, ingest_passed_ms(r->ingest), &more, &err))
        note(r, err.text);
}

/* So little is left that the first ingestion may wait for it. */
static bool is_near(const struct replays *r)
{
    int64_t near = (int64_t)r->status.records_per_second;
    return ingest_behind(r->ingest) <= (near > NEAR_MIN ? near : NEAR_MIN);
}

/* True: it is over. */
static bool try_to_end(struct replays *r, int64_t *again_ms, struct err *err)
{
    int64_t mono_ms = clock_mono_ns() / 1000000;
    if (mono_ms < *again_ms || !is_near(r))
        return false;
    if (r->pause(r->ctx, take_place, r, &r->stop, err))
        return true;
    *again_ms = clock_mono_ns() / 1000000 + AGAIN_MS;
    bool later_perhaps = err->code == ERR_TIMEOUT || err->code == ERR_CANCELED ||
                         err->code == ERR_UNAVAILABLE || err->code == ERR_NO_SPACE;
    if (!later_perhaps)
        return true;
    note(r, err->text);
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
    note(r, waits ? stats.trouble : "");
    if (!halted && !(waits && stats.connected && mono_ms - r->stuck_ms > STUCK_MS))
        return false;
    return err_set(err, ERR_UNAVAILABLE, "%s",
               stats.trouble[0] ? stats.trouble : "a partition is halted") ||
           true;
}

/* *err ERR_OK: it was done, or is to be stopped. */
static void replay(struct replays *r, struct err *err)
{
    int64_t again_ms = 0;
    while (!atomic_load(&r->stop) && !atomic_load(&r->canceled)) {
        if (is_stuck(r, err) || try_to_end(r, &again_ms, err))
            return;
        maintain(r);
        note_progress(r, clock_mono_ns() / 1000000);
        clock_sleep_ms(LOOK_MS);
    }
}

static enum replay_state end_state(struct replays *r, const struct err *err)
{
    struct order order = r->order;
    if (err->code != ERR_OK)
        return REPLAY_FAILED;
    if (!read_order(r->first, &order))
        return REPLAY_DONE;
    return atomic_load(&r->canceled) ? REPLAY_CANCELED : REPLAY_RUNS;
}

/* A replay that failed or was given up leaves nothing; one that was stopped goes on later. */
static void clear_away(struct replays *r, enum replay_state state)
{
    struct err err = {0};
    if (state == REPLAY_RUNS)
        return;
    if (state != REPLAY_DONE && !keep_order(r, false, &err))
        log_error("replay of %s: %s", r->order.rollup, err.text);
    remove_folder(r);
}

static void tell(const struct replays *r, enum replay_state state, const struct err *err)
{
    switch (state) {
    case REPLAY_DONE: log_info("replay of %s: done", r->order.rollup); break;
    case REPLAY_CANCELED: log_info("replay of %s: canceled", r->order.rollup); break;
    case REPLAY_FAILED: log_error("replay of %s: %s", r->order.rollup, err->text); break;
    default: break;
    }
}

static void *run(void *arg)
{
    struct replays *r = arg;
    struct err err = {0};
    if (load(r, &err) && start_second(r, &err))
        replay(r, &err);
    ingest_stop(&r->ingest);
    if (r->second)
        store_close(&r->second);
    unload(r);
    enum replay_state state = end_state(r, &err);
    clear_away(r, state);
    tell(r, state, &err);
    mutex_lock(&r->lock);
    r->status.state = state;
    if (state == REPLAY_DONE)
        r->status.records_read = r->status.records;
    snprintf(r->status.text, sizeof r->status.text, "%s", err.text);
    mutex_unlock(&r->lock);
    return NULL;
}

/* ---- life ---- */

struct replays *replays_new(
    const struct config *config, struct store *store, replay_pause_f *pause, void *ctx)
{
    struct replays *r = xcalloc(1, sizeof *r);
    r->start = config;
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
    r->status = (struct replay_status){.state = REPLAY_RUNS, .whole_after_ms = INT64_MIN};
    snprintf(r->status.rollup, sizeof r->status.rollup, "%s", r->order.rollup);
    r->rate_ms = 0;
    r->stuck_ms = 0;
    atomic_store(&r->canceled, false);
    atomic_store(&r->outdated, false);
    r->thread_runs = true;
    thread_start(&r->thread, "replay", run, r);
}

void replays_resume(struct replays *replays)
{
    struct orders orders = {0};
    store_each_source(replays->first, keep_name, &orders);
    mutex_lock(&replays->lock);
    for (size_t i = 0; i < orders.n; i++)
        if (read_order(replays->first, &orders.items[i])) {
            replays->order = orders.items[i];
            log_info("replay of %s goes on", replays->order.rollup);
            start_thread(replays);
            break;
        }
    if (replays->status.state == REPLAY_NONE)
        remove_folder(replays);
    mutex_unlock(&replays->lock);
}

static bool begin(struct replays *r, struct slice rollup, int64_t from_ms, struct err *err)
{
    struct order order = {.from_ms = from_ms};
    if (r->status.state == REPLAY_RUNS)
        return err_set(err, ERR_BUSY, "the replay of %s runs", r->order.rollup);
    if (rollup.len >= sizeof order.rollup)
        return err_set(err, ERR_INVALID, "a name of more than %zu bytes", sizeof order.rollup - 1);
    snprintf(order.rollup, sizeof order.rollup, "%.*s", SLICE_FMT(rollup));
    if (!meaning_in_force(r->first, rollup, &order.meaning, err))
        return false;
    r->order = order;
    /* The thread reads the file as well; what is wrong with it is better told at once. */
    bool fits = load(r, err) && fits_open(r, r->first, later(from_ms, retention_after(r)), err);
    unload(r);
    if (!fits)
        return false;
    remove_folder(r);
    if (!keep_order(r, true, err))
        return false;
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

void replays_outdate(struct replays *replays)
{
    atomic_store(&replays->outdated, true);
}

void replays_status(struct replays *replays, struct replay_status *out)
{
    mutex_lock(&replays->lock);
    *out = replays->status;
    mutex_unlock(&replays->lock);
}
