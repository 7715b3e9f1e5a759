/*
 * What is answered while the log is replayed, what waits, and what comes of it: see
 * store/log_replay.h.
 *
 * The replay is held in its own callback, so that what is said to be answered meanwhile is, and
 * what is said to wait would give a wrong answer if it did not.
 */
#include "store/read.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/checksum.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/backup.h"
#include "store/delete.h"
#include "store/front.h"
#include "store/metadata.h"
#include "store/state/state.h"
#include "store/store_priv.h"
#include "store/wal_priv.h"
#include "tests/store/support/folder.h"

#define BLOCK INT64_C(7200000)
/* Cells lie 5 s behind the beginnings of blocks. */
#define AT(block) ((block)*BLOCK + 5000)

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* A sealed block; one that only the log has cells of, but for an early one in a segment; and one
 * behind both that nothing ever touched. */
#define OLD   10
#define LOG   20
#define NEVER 30

static struct metric_def orders = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6}};
static struct metric_def open_orders = {.name = {"orders_open", 11},
    .kind = KIND_LEVEL,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6}};

struct fixture {
    char dir[64], crashed[80], copy[80];
    struct store *store;
    struct store_options options;
    uint64_t last; /* LSN of the log */
    /* The replay stops behind that transaction, until `go`. 0: it does not. */
    uint64_t hold_at;
    atomic_bool held, go;
    atomic_int early;                /* answers beside the replay */
    _Atomic(struct store *) closing; /* or until it is canceled */
};

static void hold(void *ctx, uint64_t lsn, uint64_t last)
{
    struct fixture *f = ctx;
    assert_true(lsn <= last);
    if (lsn != f->hold_at)
        return;
    atomic_store(&f->held, true);
    for (struct store *store = NULL; !atomic_load(&f->go); usleep(500)) {
        store = atomic_load(&f->closing);
        if (store && atomic_load(&store->replay.canceled))
            break;
    }
}

static void open_store(struct fixture *f)
{
    struct err err = {0};
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

static uint32_t series(struct txn *txn, struct metric_def *def, const char *market)
{
    uint32_t metric, id;
    struct err err = {0};
    struct label l[2] = {{SLICE("__name__"), def->name}, {SLICE("market"), slice_from(market)}};
    assert_true(txn_metric(txn, def, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

static uint64_t commit(struct txn *txn)
{
    uint64_t lsn;
    struct err err = {0};
    if (!txn_commit(&txn, &lsn, &err))
        fail_msg("%s", err.text);
    return lsn;
}

static const struct hash128 key = {1, 2};

/* A transaction of everything, with one cell of each metric. */
static void add(struct fixture *f, const char *market, int64_t block, int amount)
{
    uint32_t table;
    uint8_t record[4] = {(uint8_t)amount};
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    assert_true(txn_add(txn, series(txn, &orders, market), AT(block), amount));
    assert_true(txn_add(txn, series(txn, &open_orders, market), AT(block), amount));
    assert_true(txn_clock(txn, SLICE("orders"), AT(block) + amount, AT(block)));
    assert_true(txn_source(txn, SLICE("orders/0"), amount, AT(block), SLICE("s")));
    assert_true(txn_state_table(txn, SLICE("ids"), 4, &table, &err));
    txn_state_put(txn, table, 0, key, record);
    f->last = commit(txn);
}

/* The folder becomes what a kill -9 at this moment would have left, and the store is closed. */
static void crash(struct fixture *f)
{
    folder_copy(f->dir, f->crashed);
    store_close(&f->store);
    folder_copy(f->crashed, f->dir);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = {0};
    folder_new("replay", f->dir, sizeof f->dir);
    snprintf(f->crashed, sizeof f->crashed, "%s-crashed", f->dir);
    snprintf(f->copy, sizeof f->copy, "%s-copy", f->dir);
    f->options = (struct store_options){.path = f->dir, .wal_file_bytes = 1000};
    open_store(f);
    add(f, "vienna", OLD, 1);
    assert_true(store_maintain(f->store, AT(OLD) + BLOCK, &err)); /* sealed, and still in the log */
    add(f, "vienna", LOG, 2);
    add(f, "graz", LOG, 4); /* known to the log alone */
    add(f, "vienna", LOG, 8);
    crash(f);
    f->options.answer_early = true;
    f->options.replayed = hold;
    f->options.replayed_ctx = f;
    f->hold_at = 2;
    alarm(120);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->go, true);
    store_close(&f->store);
    folder_remove(f->dir);
    folder_remove(f->crashed);
    folder_remove(f->copy);
    free(f);
    return 0;
}

static void open_held(struct fixture *f)
{
    open_store(f);
    while (!atomic_load(&f->held))
        usleep(500);
}

/* ---- questions ---- */

struct question {
    struct fixture *f;
    const char *metric;
    int64_t from, to;
    bool opening; /* what the levels stand at by `to` */
    bool sources; /* asked for first */
    int64_t patience_ms;
    bool pauses; /* between the fetch and the columns: until `goes_on` */
    atomic_bool cancel, fetched, goes_on, done;
    bool ok;
    struct err err;
    size_t n;
    int64_t sum, next;
    uint64_t lsn;
    int64_t frontier, watermark;
};

static bool sum_up(struct question *q, struct plan *plan)
{
    struct arena arena;
    bool ok = true;
    arena_init(&arena, 0);
    for (size_t i = 0; ok && i < plan_n(plan); i++) {
        struct columns c = {0};
        int128 stands = 0;
        ok = q->opening ? plan_opening_sum(plan, i, &arena, &stands, &q->err)
                        : plan_columns(plan, i, &arena, &c, &q->err);
        q->sum += (int64_t)stands;
        for (size_t k = 0; ok && k < c.n; k++)
            q->sum += (int64_t)c.amount[k];
    }
    arena_fini(&arena);
    return ok;
}

static void *ask(void *arg)
{
    struct question *q = arg;
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), slice_from(q->metric), NULL};
    struct snapshot *s = snapshot_get(q->f->store);
    struct plan *plan;
    snapshot_patience(s, q->patience_ms);
    snapshot_cancel(s, &q->cancel);
    q->ok = plan_new(s, NULL, &m, 1, NULL, &plan, &q->err);
    q->n = q->ok ? plan_n(plan) : 0;
    q->lsn = snapshot_lsn(s);
    snapshot_clock(s, SLICE("orders"), &q->frontier, &q->watermark);
    if (q->sources) {
        size_t n;
        const struct source_position *at = snapshot_sources(s, &n);
        q->next = n == 1 ? at->next : -1;
    }
    for (size_t i = 0; q->ok && i < q->n; i++) {
        if (q->opening)
            q->ok = plan_opening(plan, i, q->to, &q->err);
        else
            plan_range(plan, i, q->from, q->to);
    }
    q->ok = q->ok && snapshot_fetch(s, NULL, NULL, &q->err);
    atomic_store(&q->fetched, true);
    while (q->pauses && !atomic_load(&q->goes_on))
        usleep(500);
    q->ok = q->ok && sum_up(q, plan);
    snapshot_put(&s);
    atomic_store(&q->done, true);
    return NULL;
}

static struct question over(struct fixture *f, int64_t first_block, int64_t last_block)
{
    return (struct question){.f = f,
        .metric = "orders_total",
        .from = first_block * BLOCK,
        .to = (last_block + 1) * BLOCK};
}

/* Answered at once, exactly as the complete store would. */
static void expect_now(struct question q, int64_t sum)
{
    ask(&q);
    if (!q.ok)
        fail_msg("%s", q.err.text);
    assert_int_equal(q.sum, sum);
    assert_int_equal(q.n, 2);
    assert_int_equal(q.lsn, q.f->last);
    assert_int_equal(q.frontier, AT(LOG) + 8);
    assert_int_equal(q.watermark, AT(LOG));
}

/* Long enough for whoever does not wait to have ended. */
static void expect_waits(atomic_bool *done)
{
    usleep(60000);
    assert_false(atomic_load(done));
}

static void release(struct fixture *f)
{
    atomic_store(&f->go, true);
}

/* Until so many snapshots wait for the replay. */
static void await_waiting(struct store *store, unsigned n)
{
    for (bool wait = false; !wait; usleep(500)) {
        mutex_lock(&store->replay.mutex);
        wait = store->replay.waiting >= n;
        mutex_unlock(&store->replay.mutex);
    }
}

/* Waits for the replay, and is answered then. */
static void expect_later(struct fixture *f, struct question q, int64_t sum)
{
    pthread_t thread;
    thread_start(&thread, "asks", ask, &q);
    expect_waits(&q.done);
    release(f);
    thread_join(thread);
    if (!q.ok)
        fail_msg("%s", q.err.text);
    assert_int_equal(q.sum, sum);
    assert_int_equal(q.lsn, f->last);
}

static void test_blocks_that_the_log_does_not_touch_are_answered(void **state)
{
    struct fixture *f = *state;
    open_held(f);
    expect_now(over(f, INT64_MIN / BLOCK, LOG - 1), 1);
    expect_now(over(f, OLD, OLD), 1); /* its cells are in the log, and in a segment */
    expect_now(over(f, LOG + 1, NEVER), 0);
    struct question half = over(f, LOG, LOG);
    half.to = half.from; /* nothing is asked for */
    expect_now(half, 0);
    assert_false(atomic_load(&f->go));
}

static void test_blocks_that_it_touches_wait(void **state)
{
    struct fixture *f = *state;
    open_held(f);
    expect_later(f, over(f, LOG, LOG), 14);
    expect_now(over(f, OLD, NEVER), 15);
}

static void test_the_first_millisecond_of_a_block_waits(void **state)
{
    struct fixture *f = *state;
    open_held(f);
    struct question q = over(f, NEVER, NEVER);
    q.from = (LOG + 1) * BLOCK - 1;
    expect_later(f, q, 0);
}

static void test_a_level_waits_behind_a_touched_block(void **state)
{
    struct fixture *f = *state;
    open_held(f);
    struct question q = over(f, OLD, LOG - 1);
    q.metric = "orders_open";
    q.opening = true;
    expect_now(q, 1);
    q.to = AT(NEVER);
    expect_later(f, q, 15);
}

static void test_sources_wait(void **state)
{
    struct fixture *f = *state;
    struct question q = over(f, OLD, OLD);
    pthread_t thread;
    open_held(f);
    q.sources = true;
    thread_start(&thread, "asks", ask, &q);
    expect_waits(&q.done);
    release(f);
    thread_join(thread);
    assert_true(q.ok);
    assert_int_equal(q.next, 8);
    assert_int_equal(q.sum, 1);
}

/* After the fetch a snapshot is at the gate no more; its sources are those of its moment still. */
static void test_sources_after_the_fetch(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    size_t n;
    open_held(f);
    struct snapshot *s = snapshot_get(f->store);
    snapshot_lsn(s);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    release(f);
    while (!store_await_replay(f->store, 1000, &err))
        assert_int_equal(err.code, ERR_TIMEOUT);
    add(f, "vienna", NEVER, 16);
    const struct source_position *at = snapshot_sources(s, &n);
    assert_int_equal(n, 1);
    assert_int_equal(at->next, 8);
    snapshot_put(&s);
}

static void test_who_waits_can_be_canceled(void **state)
{
    struct fixture *f = *state;
    struct question q = over(f, LOG, LOG);
    pthread_t thread;
    open_held(f);
    thread_start(&thread, "asks", ask, &q);
    expect_waits(&q.done);
    atomic_store(&q.cancel, true);
    thread_join(thread);
    assert_false(q.ok);
    assert_int_equal(q.err.code, ERR_CANCELED);
    q = over(f, LOG, LOG);
    q.patience_ms = 30;
    ask(&q);
    assert_false(q.ok);
    assert_int_equal(q.err.code, ERR_TIMEOUT);
    q = over(f, LOG, LOG);
    q.patience_ms = 30;
    q.sources = true; /* it cannot say so, and the fetch does */
    ask(&q);
    assert_int_equal(q.next, -1);
    assert_int_equal(q.err.code, ERR_TIMEOUT);
    assert_false(atomic_load(&f->go));
}

static void test_only_so_many_wait(void **state)
{
    struct fixture *f = *state;
    struct question first = over(f, LOG, LOG), second = over(f, LOG, LOG);
    pthread_t thread;
    f->options.early_waiters = 1;
    open_held(f);
    thread_start(&thread, "asks", ask, &first);
    await_waiting(f->store, 1);
    ask(&second);
    assert_false(second.ok);
    assert_int_equal(second.err.code, ERR_UNAVAILABLE);
    expect_now(over(f, OLD, OLD), 1);
    release(f);
    thread_join(thread);
    assert_true(first.ok && first.sum == 14);
}

/* ---- metadata ---- */

static bool count_text(void *ctx, struct slice text)
{
    (void)text;
    ++*(int *)ctx;
    return true;
}

struct listing_question {
    struct fixture *f;
    struct listing listing;
    atomic_bool done, cancel;
    int n;
    bool ok;
    struct err err;
};

static void *list_values(void *arg)
{
    struct listing_question *q = arg;
    q->listing.cancel = &q->cancel;
    q->ok =
        store_label_values(q->f->store, &q->listing, SLICE("market"), count_text, &q->n, &q->err);
    atomic_store(&q->done, true);
    return NULL;
}

static void test_label_values(void **state)
{
    struct fixture *f = *state;
    struct listing_question old = {
        .f = f, .listing = {.from_ms = OLD * BLOCK, .to_ms = (OLD + 1) * BLOCK}};
    struct listing_question log = {
        .f = f, .listing = {.from_ms = OLD * BLOCK, .to_ms = (LOG + 1) * BLOCK}};
    pthread_t thread;
    open_held(f);
    list_values(&old);
    assert_true(old.ok && old.n == 1);
    thread_start(&thread, "asks", list_values, &log);
    expect_waits(&log.done);
    atomic_store(&log.cancel, true);
    thread_join(thread);
    assert_int_equal(log.err.code, ERR_CANCELED);
    log = (struct listing_question){.f = f, .listing = log.listing};
    thread_start(&thread, "asks", list_values, &log);
    expect_waits(&log.done);
    release(f);
    thread_join(thread);
    assert_true(log.ok && log.n == 2);
}

struct cardinality_question {
    struct fixture *f;
    atomic_bool done, cancel;
    bool ok;
    struct err err;
    struct cardinality c;
};

static void *count_series(void *arg)
{
    struct cardinality_question *q = arg;
    struct arena arena;
    arena_init(&arena, 0);
    q->ok = store_cardinality(q->f->store, NULL, 10, &q->cancel, &arena, &q->c, &q->err);
    arena_fini(&arena);
    atomic_store(&q->done, true);
    return NULL;
}

static void test_cardinality_waits(void **state)
{
    struct fixture *f = *state;
    struct cardinality_question q = {.f = f};
    pthread_t thread;
    open_held(f);
    thread_start(&thread, "asks", count_series, &q);
    expect_waits(&q.done);
    atomic_store(&q.cancel, true);
    thread_join(thread);
    assert_int_equal(q.err.code, ERR_CANCELED);
    q = (struct cardinality_question){.f = f};
    thread_start(&thread, "asks", count_series, &q);
    expect_waits(&q.done);
    release(f);
    thread_join(thread);
    assert_true(q.ok);
    assert_int_equal(q.c.series, 4);
    assert_int_equal(q.c.min_ms, AT(OLD));
    assert_int_equal(q.c.max_ms, (LOG + 1) * BLOCK);
}

/* ---- whoever changes something, or looks at what only payloads say ---- */

struct job {
    struct fixture *f;
    void (*run)(struct fixture *f);
    atomic_bool done;
};

static void *work(void *arg)
{
    struct job *job = arg;
    job->run(job->f);
    atomic_store(&job->done, true);
    return NULL;
}

static void write_more(struct fixture *f)
{
    add(f, "graz", LOG, 16);
    assert_int_equal(f->last, 5);
}

static void look_at_source(struct fixture *f)
{
    struct source_state *at = calloc(1, sizeof *at);
    assert_true(store_source(f->store, SLICE("orders/0"), at));
    assert_int_equal(at->next, 8);
    free(at);
}

static void look_at_state(struct fixture *f)
{
    uint32_t table, bytes;
    uint8_t record[4];
    bool found;
    struct err err = {0};
    assert_true(store_state_table(f->store, SLICE("ids"), &table, &bytes, &err));
    assert_true(store_state_get(f->store, table, 0, key, record, &found, &err));
    assert_true(found && record[0] == 8);
}

static void do_maintain(struct fixture *f)
{
    struct err err = {0};
    assert_true(store_maintain(f->store, AT(NEVER), &err));
}

static void do_back_up(struct fixture *f)
{
    uint64_t lsn;
    struct err err = {0};
    if (!store_backup(f->store, f->copy, &lsn, &err))
        fail_msg("%s", err.text);
    assert_int_equal(lsn, 4);
}

static void do_delete(struct fixture *f)
{
    struct matcher m = {MATCH_EQUAL, SLICE("market"), SLICE("graz"), NULL};
    uint64_t n;
    struct err err = {0};
    assert_true(store_delete(f->store, &m, 1, LOG * BLOCK, NEVER * BLOCK, &n, &err));
    assert_int_equal(n, 2);
}

static void expect_work_waits(struct fixture *f, void (*run)(struct fixture *f), int64_t sum)
{
    struct job job = {.f = f, .run = run};
    struct err err = {0};
    bool more = true;
    pthread_t thread;
    open_held(f);
    thread_start(&thread, "works", work, &job);
    expect_waits(&job.done);
    assert_true(store_maintain_step(f->store, AT(NEVER), &more, &err)); /* does nothing */
    assert_false(more);
    expect_now(over(f, OLD, OLD), 1);
    release(f);
    thread_join(thread);
    struct question q = over(f, LOG, LOG);
    ask(&q);
    assert_true(q.ok);
    assert_int_equal(q.sum, sum);
}

static void test_writers_wait(void **state)
{
    expect_work_waits(*state, write_more, 30);
}

static void test_who_asks_for_a_source_waits(void **state)
{
    expect_work_waits(*state, look_at_source, 14);
}

static void test_who_asks_for_state_waits(void **state)
{
    expect_work_waits(*state, look_at_state, 14);
}

static void test_maintenance_waits(void **state)
{
    expect_work_waits(*state, do_maintain, 14);
}

static void test_a_backup_waits(void **state)
{
    expect_work_waits(*state, do_back_up, 14);
}

static void test_a_deletion_waits(void **state)
{
    expect_work_waits(*state, do_delete, 10);
}

/* Nothing is written before those who wait have seen their moment. */
static void test_who_waited_sees_one_moment(void **state)
{
    struct fixture *f = *state;
    struct question q[8];
    pthread_t threads[9];
    struct job job = {.f = f, .run = write_more};
    open_held(f);
    for (int i = 0; i < 8; i++) {
        q[i] = over(f, LOG, LOG);
        q[i].sources = i % 2;
        thread_start(&threads[i], "asks", ask, &q[i]);
    }
    await_waiting(f->store, 8);
    thread_start(&threads[8], "works", work, &job);
    expect_waits(&job.done);
    release(f);
    for (int i = 0; i < 9; i++)
        thread_join(threads[i]);
    for (int i = 0; i < 8; i++) {
        assert_true(q[i].ok);
        assert_int_equal(q[i].sum, 14);
        assert_int_equal(q[i].lsn, 4);
    }
}

/* What was found in a block outlives it: it is sealed and given back before it is decoded. */
static void test_what_was_found_outlives_its_block(void **state)
{
    struct fixture *f = *state;
    struct question q = over(f, LOG, LOG);
    struct err err = {0};
    pthread_t thread;
    q.pauses = true;
    open_held(f);
    thread_start(&thread, "asks", ask, &q);
    await_waiting(f->store, 1);
    release(f);
    while (!atomic_load(&q.fetched))
        usleep(500);
    assert_true(store_maintain(f->store, AT(NEVER), &err));
    assert_int_equal(f->store->head.n_blocks, 0);
    atomic_store(&q.goes_on, true);
    thread_join(thread);
    assert_true(q.ok);
    assert_int_equal(q.sum, 14);
}

static void test_statistics_say_how_far_it_is(void **state)
{
    struct fixture *f = *state;
    struct store_stats s;
    struct err err = {0};
    open_held(f);
    store_stats(f->store, &s);
    assert_true(s.replaying);
    assert_int_equal(s.lsn, 4);
    assert_in_range(s.replayed_lsn, 1, 2);
    assert_false(store_await_replay(f->store, 1, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    release(f);
    while (!store_await_replay(f->store, 100, &err))
        assert_int_equal(err.code, ERR_TIMEOUT);
    store_stats(f->store, &s);
    assert_false(s.replaying);
    assert_int_equal(s.replayed_lsn, 4);
}

/* ---- its end ---- */

static void add_name(void *ctx, const char *dir, const char *name)
{
    char path[PATH_BYTES];
    assert_true(path_join(path, dir, name, NULL));
    struct content c = content_of(path);
    uint64_t *sum = ctx;
    *sum += hash64(name, strlen(name)) ^ hash64(c.ptr, c.len);
    free(c.ptr);
}

/* Of all files and their bytes. */
static uint64_t folder_sum(const char *dir)
{
    uint64_t sum = 0;
    struct dirent *e;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while ((e = readdir(d))) {
        char path[PATH_BYTES];
        struct stat st;
        assert_true(path_join(path, dir, e->d_name, NULL) && stat(path, &st) == 0);
        if (S_ISREG(st.st_mode))
            add_name(&sum, dir, e->d_name);
        else if (e->d_name[0] != '.')
            sum += folder_sum(path);
    }
    closedir(d);
    return sum;
}

static void test_closing_stops_it(void **state)
{
    struct fixture *f = *state;
    uint64_t before = folder_sum(f->dir);
    for (uint64_t lsn = 2; lsn < 4; lsn++) {
        f->hold_at = lsn;
        open_held(f);
        atomic_store(&f->closing, f->store);
        store_close(&f->store);
        atomic_store(&f->closing, NULL);
        atomic_store(&f->held, false);
        assert_true(folder_sum(f->dir) == before); /* no checkpoint of a half */
    }
    f->hold_at = 0;
    open_store(f);
    struct question q = over(f, LOG, LOG);
    ask(&q);
    assert_true(q.ok && q.sum == 14);
}

/* ---- damage that only the payload shows ---- */

struct rewriting {
    uint64_t lsn;
    const struct frame_front *front; /* NULL: as it is */
    struct slice payload;            /* empty: as it is */
    struct buf out, raw;
    int n;
};

static bool copy_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct rewriting *r = ctx;
    struct slice payload, front = frame->front;
    struct buf said;
    buf_init(&said, 0);
    assert_true(frame_payload(frame, &r->raw, &payload, err));
    if (frame->type == FRAME_TRANSACTION && frame->lsn == r->lsn) {
        r->n++;
        if (r->payload.len)
            payload = r->payload;
        if (r->front) {
            front_encode(r->front, &said);
            front = buf_view(&said);
        }
    }
    frame_encode(&r->out, frame->lsn, frame->type, front, payload);
    buf_fini(&said);
    return true;
}

static void rewrite_file(struct rewriting *r, const char *path)
{
    struct frame_scan scan = {
        .path = path, .magic = WAL_MAGIC, .version = WAL_VERSION, .each = copy_frame, .ctx = r};
    struct content c = content_of(path);
    size_t end;
    struct err err = {0};
    buf_clear(&r->out);
    buf_add(&r->out, c.ptr, FRAME_FILE_HEADER);
    if (!frames_scan(slice_of(c.ptr, c.len), &scan, &end, &err))
        fail_msg("%s", err.text);
    content_put(path, r->out.ptr, r->out.len);
    free(c.ptr);
}

/* The transaction gets another front, or payload, and a checksum that holds. */
static void rewrite(
    struct fixture *f, uint64_t lsn, const struct frame_front *front, struct slice payload)
{
    struct rewriting r = {.lsn = lsn, .front = front, .payload = payload};
    char dir[PATH_BYTES], path[PATH_BYTES];
    struct dirent *e;
    assert_true(path_join(dir, f->dir, "wal", NULL));
    DIR *d = opendir(dir);
    assert_non_null(d);
    buf_init(&r.out, 0);
    buf_init(&r.raw, 0);
    while ((e = readdir(d)))
        if (e->d_name[0] != '.') {
            assert_true(path_join(path, dir, e->d_name, NULL));
            rewrite_file(&r, path);
        }
    assert_int_equal(r.n, 1);
    closedir(d);
    buf_fini(&r.out);
    buf_fini(&r.raw);
}

static void expect_refused(struct fixture *f, struct question q)
{
    ask(&q);
    assert_false(q.ok);
    assert_int_equal(q.err.code, ERR_CORRUPT);
    assert_int_equal(q.lsn, f->last);
}

/* Early answers stay, and whoever needs the rest, or would write, is told why not. */
static void expect_failed(struct fixture *f)
{
    uint32_t table;
    uint64_t n;
    uint8_t record[4];
    bool more, found;
    struct err err = {0};
    struct matcher m = {MATCH_EQUAL, SLICE("market"), SLICE("graz"), NULL};
    expect_now(over(f, OLD, OLD), 1);
    expect_refused(f, over(f, LOG, LOG));
    assert_false(store_await_replay(f->store, 1, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.text, ".wal: frame at byte "));
    struct txn *txn = txn_begin(f->store);
    assert_false(txn_state_table(txn, SLICE("ids"), 4, &table, &err));
    txn_add(txn, series(txn, &orders, "vienna"), AT(LOG), 1);
    assert_false(txn_commit(&txn, NULL, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    txn_abort(&txn);
    assert_false(store_maintain_step(f->store, AT(NEVER), &more, &err));
    assert_false(store_maintain(f->store, AT(NEVER), &err));
    assert_false(store_backup(f->store, f->copy, &n, &err));
    assert_false(store_delete(f->store, &m, 1, 0, AT(NEVER), &n, &err));
    assert_false(store_state_get(f->store, 0, 0, key, record, &found, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void expect_damage(struct fixture *f, const char *text)
{
    struct err err = {0};
    struct question q = over(f, LOG, LOG);
    uint64_t before = folder_sum(f->dir);
    pthread_t thread;
    open_held(f);
    thread_start(&thread, "asks", ask, &q); /* waits, and is told */
    expect_waits(&q.done);
    release(f);
    thread_join(thread);
    assert_false(q.ok);
    assert_int_equal(q.err.code, ERR_CORRUPT);
    assert_non_null(strstr(q.err.text, text));
    expect_failed(f);
    store_close(&f->store);
    assert_true(folder_sum(f->dir) == before);
    f->options.answer_early = false;
    assert_false(store_open(&f->options, &f->store, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_string_equal(err.text, q.err.text);
    assert_true(folder_sum(f->dir) == before);
}

static void test_a_damaged_payload(void **state)
{
    struct fixture *f = *state;
    rewrite(f, 4, NULL, SLICE("\xf0\x01 is no section"));
    expect_damage(f, "section 240");
}

static void test_a_front_that_lies(void **state)
{
    struct fixture *f = *state;
    struct frame_front front = {.touched = {{{NEVER, NEVER}}, 1}};
    struct block_range log = {LOG, LOG};
    rewrite(f, 2, &front, SLICE(""));
    rewrite(f, 4, &front, SLICE(""));
    front.definitions = true;
    touched_add(&front.touched, log);
    rewrite(f, 3, &front, SLICE(""));
    f->hold_at = 0;
    open_store(f); /* all blocks are named, if by others */
    struct question q = over(f, LOG, LOG);
    ask(&q);
    assert_true(q.ok && q.sum == 14);
    store_close(&f->store);
    folder_copy(f->crashed, f->dir);
    front = (struct frame_front){.touched = {{{LOG + 1, LOG + 1}}, 1}, .definitions = true};
    for (uint64_t lsn = 2; lsn <= 4; lsn++)
        rewrite(f, lsn, &front, SLICE(""));
    f->options.answer_early = false;
    struct err err = {0};
    assert_false(store_open(&f->options, &f->store, &err));
    assert_non_null(strstr(err.text, "its front does not name"));
}

/* ---- many blocks, many readers ---- */

#define MARKETS 7
#define BLOCKS  40

static uint32_t random32(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

struct reader_thread {
    struct fixture *f;
    const int64_t *of_block;
    uint32_t seed;
    bool patient; /* waits to the end now and then; one of them at most */
};

static void *read_on(void *arg)
{
    struct reader_thread *r = arg;
    struct store_stats stats = {.replaying = true};
    while (stats.replaying) {
        int64_t first = OLD + random32(&r->seed) % BLOCKS, sum = 0;
        int64_t last = first + random32(&r->seed) % 4;
        struct question q = over(r->f, first, last);
        q.opening = random32(&r->seed) % 4 == 0;
        q.metric = q.opening ? "orders_open" : "orders_total";
        for (int64_t b = q.opening ? OLD : first; b <= last; b++)
            sum += b < OLD + BLOCKS ? r->of_block[b - OLD] : 0;
        q.patience_ms = r->patient && random32(&r->seed) % 4 == 0 ? 0 : 1;
        ask(&q);
        assert_true(q.ok || q.err.code == ERR_TIMEOUT);
        assert_true(!q.ok || q.sum == sum);
        assert_int_equal(q.lsn, r->f->last);
        store_stats(r->f->store, &stats);
        if (q.ok && stats.replaying)
            atomic_fetch_add(&r->f->early, 1);
    }
    return NULL;
}

/* It goes on as answers are given beside it. */
static void slowly(void *ctx, uint64_t lsn, uint64_t last)
{
    struct fixture *f = ctx;
    while (lsn % 100 == 0 && atomic_load(&f->early) < (int)(lsn * 20 / last))
        usleep(500);
}

static void test_readers_beside_it(void **state)
{
    struct fixture *f = *state;
    int64_t of_block[BLOCKS] = {0};
    struct reader_thread readers[4];
    pthread_t threads[4];
    uint32_t seed = 4711;
    struct err err = {0};
    f->options.answer_early = false;
    f->hold_at = 0;
    open_store(f);
    of_block[0] = 1;
    of_block[LOG - OLD] = 14;
    char market[8];
    for (int i = 0; i < 2000; i++) {
        int64_t block = random32(&seed) % BLOCKS;
        if (i >= 1000)
            block = block / 3 * 3; /* these stay in the log */
        snprintf(market, sizeof market, "m%u", random32(&seed) % MARKETS);
        add(f, market, OLD + block, (int)(i % 5));
        of_block[block] += i % 5;
        if (i == 1000)
            assert_true(store_maintain(f->store, AT(NEVER + BLOCKS), &err));
    }
    crash(f);
    f->options.answer_early = true;
    f->options.replayed = slowly;
    open_store(f);
    for (int i = 0; i < 4; i++) {
        readers[i] = (struct reader_thread){f, of_block, 1 + (uint32_t)i, i == 0};
        thread_start(&threads[i], "reads", read_on, &readers[i]);
    }
    for (int i = 0; i < 4; i++)
        thread_join(threads[i]);
    assert_true(atomic_load(&f->early) >= 10);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        TEST(test_blocks_that_the_log_does_not_touch_are_answered),
        TEST(test_blocks_that_it_touches_wait),
        TEST(test_the_first_millisecond_of_a_block_waits),
        TEST(test_a_level_waits_behind_a_touched_block),
        TEST(test_sources_wait),
        TEST(test_sources_after_the_fetch),
        TEST(test_who_waits_can_be_canceled),
        TEST(test_only_so_many_wait),
        TEST(test_label_values),
        TEST(test_cardinality_waits),
        TEST(test_writers_wait),
        TEST(test_who_asks_for_a_source_waits),
        TEST(test_who_asks_for_state_waits),
        TEST(test_maintenance_waits),
        TEST(test_a_backup_waits),
        TEST(test_a_deletion_waits),
        TEST(test_who_waited_sees_one_moment),
        TEST(test_what_was_found_outlives_its_block),
        TEST(test_statistics_say_how_far_it_is),
        TEST(test_closing_stops_it),
        TEST(test_a_damaged_payload),
        TEST(test_a_front_that_lies),
        TEST(test_readers_beside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
