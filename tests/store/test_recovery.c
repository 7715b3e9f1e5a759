/* Starts after every kind of end: clean stops, crashes, torn and damaged files. */
#include "store/read.h"

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

#include "base/ensure.h"
#include "base/log.h"
#include "store/checkpoint.h"
#include "store/definitions.h"
#include "store/state/state.h"
#include "store/store_priv.h"
#include "tests/store/support/folder.h"

#define BLOCK 7200000

static struct metric_def orders = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6},
    .help = {"Orders.", 7}};

struct fixture {
    char dir[64], crashed[80], base[80];
    struct store *store;
    struct store_options options;
};

static void open_store(struct fixture *f)
{
    struct err err = {0};
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

/* The store goes on with what a kill -9 at this moment would have left. */
static void crash(struct fixture *f)
{
    folder_copy(f->dir, f->crashed);
    store_close(&f->store);
    folder_copy(f->crashed, f->dir);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    /* Thousands of starts: in memory, where a sync costs nothing, when there is such a folder. */
    folder_new("recovery", f->dir, sizeof f->dir);
    snprintf(f->crashed, sizeof f->crashed, "%s-crashed", f->dir);
    snprintf(f->base, sizeof f->base, "%s-base", f->dir);
    f->options.path = f->dir;
    open_store(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    folder_remove(f->dir);
    folder_remove(f->crashed);
    folder_remove(f->base);
    free(f);
    return 0;
}

static uint32_t series(struct txn *txn, const char *market)
{
    uint32_t metric, id;
    struct err err = {0};
    struct label l[2] = {{SLICE("__name__"), orders.name}, {SLICE("market"), slice_from(market)}};
    assert_true(txn_metric(txn, &orders, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

static void add(struct store *store, const char *market, int64_t end, int amount)
{
    struct err err = {0};
    struct txn *txn = txn_begin(store);
    txn_add(txn, series(txn, market), end, amount);
    txn_source(txn, SLICE("orders/0"), amount, end, SLICE("s"));
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

static void maintain(struct fixture *f)
{
    struct err err = {0};
    if (!store_maintain(f->store, 0, &err))
        fail_msg("%s", err.text);
}

/* The sum of all cells of a market. */
static int64_t total(struct store *store, const char *market)
{
    struct matcher m[2] = {{MATCH_EQUAL, SLICE("__name__"), orders.name, NULL},
        {MATCH_EQUAL, SLICE("market"), slice_from(market), NULL}};
    struct snapshot *s = snapshot_get(store);
    struct plan *plan;
    struct columns c = {0};
    struct arena arena;
    struct err err = {0};
    int128 sum = 0;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, m, 2, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    if (!snapshot_fetch(s, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < plan_n(plan); i++) {
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += c.amount[k];
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return (int64_t)sum;
}

static int64_t position(struct store *store)
{
    struct source_state s;
    return store_source(store, SLICE("orders/0"), &s) ? s.next : -1;
}

/* ---- stops ---- */

static void test_a_clean_stop_leaves_nothing_to_replay(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES], wal[128];
    for (int i = 1; i <= 10; i++)
        add(f->store, i % 2 ? "berlin" : "paris", i * 5000, i);
    store_close(&f->store);
    snprintf(wal, sizeof wal, "%s/wal", f->dir);
    assert_false(folder_last(wal, "0", path));
    assert_true(folder_last(f->dir, "checkpoint-", path));
    assert_true(folder_last(f->dir, "catalog-", path));
    for (int round = 0; round < 2; round++) {
        open_store(f);
        struct store_stats stats;
        store_stats(f->store, &stats);
        assert_int_equal(stats.lsn, 10 + round);
        assert_int_equal(stats.wal_bytes, 0);
        assert_int_equal(stats.series, 2 + (uint64_t)round);
        assert_int_equal(total(f->store, "berlin"), 25);
        assert_int_equal(total(f->store, "paris"), 30);
        add(f->store, round ? "rome" : "oslo", 5000, 7);
        store_close(&f->store);
    }
    open_store(f);
    assert_int_equal(total(f->store, "oslo") + total(f->store, "rome"), 14);
}

/* A crash before, between and after many checkpoints loses nothing and repeats nothing. */
static void test_crashes_around_checkpoints(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    f->options.checkpoint_bytes = 400;
    f->options.wal_file_bytes = 300;
    open_store(f);
    int64_t sum = 0;
    for (int i = 1; i <= 300; i++) {
        char market[16];
        snprintf(market, sizeof market, "m%d", i % 37);
        add(f->store, i % 3 ? "berlin" : market, (i % 50) * 5000, i);
        sum += i % 3 ? i : 0;
        if (i % 7 == 0)
            maintain(f);
        if (i % 20 == 0) {
            crash(f);
            open_store(f);
            assert_int_equal(total(f->store, "berlin"), sum);
            assert_int_equal(position(f->store), i);
        }
        if (i % 90 == 0) {
            store_close(&f->store);
            open_store(f);
        }
    }
}

/* ---- files that replay alone ---- */

struct alone {
    struct store *store;
    uint64_t transactions;
};

static bool apply_alone(void *ctx, const struct frame *frame, struct err *err)
{
    struct alone *a = ctx;
    struct transaction t;
    struct slice payload;
    struct buf raw = {0};
    transaction_init(&t);
    bool ok = frame_payload(frame, &raw, &payload, err) && transaction_decode(payload, &t, err) &&
              store_define(a->store, &t, err) && store_replay(a->store, &t, frame->lsn, err) &&
              state_replay(&a->store->state, &t.state, frame->lsn, err);
    a->transactions += frame->type == FRAME_TRANSACTION;
    transaction_fini(&t);
    buf_fini(&raw);
    return ok;
}

static struct hash128 id_key(int i)
{
    return (struct hash128){(uint64_t)i + 1, (uint64_t)i};
}

/* Remembers an id, in a table that is new with the first one of them. */
static void remember(struct store *store, const char *name, int i)
{
    struct err err = {0};
    uint32_t table;
    struct txn *txn = txn_begin(store);
    assert_true(txn_state_table(txn, slice_from(name), 0, &table, &err));
    txn_state_put(txn, table, 7, id_key(i), NULL);
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

static bool remembers(struct store *store, const char *name, int i)
{
    struct err err = {0};
    uint32_t table, bytes;
    bool found;
    assert_true(store_state_table(store, slice_from(name), &table, &bytes, &err));
    assert_true(store_state_get(store, table, 7, id_key(i), NULL, &found, &err));
    return found;
}

/* Of several files of the log the last alone is applied on top of the checkpoint: it names all
 * series and state tables that it needs, and gives exactly its own transactions. */
static void test_the_last_file_replays_alone(void **state)
{
    struct fixture *f = *state;
    char last[PATH_BYTES], wal[128];
    struct err err = {0};
    store_close(&f->store);
    f->options.wal_file_bytes = 500;
    open_store(f);
    add(f->store, "berlin", 5000, 1000);
    remember(f->store, "old", 1);
    store_close(&f->store); /* a checkpoint with one series and one table */
    open_store(f);
    remember(f->store, "new", 2);
    for (int i = 1; i <= 60; i++) {
        char market[16];
        snprintf(market, sizeof market, "m%d", i);
        add(f->store, market, 5000, 1);
        add(f->store, i == 60 ? "berlin" : "m1", 5000, 1);
    }
    remember(f->store, "old", 3);
    remember(f->store, "new", 4);
    folder_copy(f->dir, f->crashed);
    snprintf(wal, sizeof wal, "%s/wal", f->crashed);
    assert_true(folder_last(wal, "0", last));
    struct content shipped = content_of(last);
    folder_remove(wal); /* none of the files before it is there */
    folder_copy(f->crashed, f->base);
    snprintf(last, sizeof last, "%s/shipped.wal", f->base);
    content_put(last, shipped.ptr, shipped.len);
    free(shipped.ptr);

    struct store *other;
    struct store_options options = f->options;
    options.path = f->base;
    assert_true(store_open(&options, &other, &err));
    assert_int_equal(total(other, "berlin"), 1000);
    struct alone alone = {other, 0};
    store_lock_write(other);
    if (!wal_read_file(last, WAL_MAY_BE_TORN, apply_alone, &alone, &err))
        fail_msg("%s", err.text);
    store_unlock(other);
    assert_true(alone.transactions > 0 && alone.transactions < 60);
    assert_int_equal(total(other, "berlin"), 1001);
    assert_int_equal(total(other, "m2"), 0);
    assert_int_equal(position(other), 1);
    assert_true(remembers(other, "old", 1) && remembers(other, "old", 3));
    assert_true(!remembers(other, "new", 2) && remembers(other, "new", 4));
    struct store_stats stats;
    store_stats(other, &stats);
    assert_int_equal(stats.series, 61);
    /* What it has in memory now was never its own log. */
    other->failed = true;
    store_close(&other);
}

static bool count_frame(void *ctx, const struct frame *frame, struct err *err)
{
    (void)err;
    *(int *)ctx += frame->type == FRAME_TRANSACTION;
    return true;
}

/* A file that was shipped is whole, or refused; only the last one of a log may end in a torn frame.
 */
static void test_a_damaged_file_is_not_read(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct err err = {0};
    int n = 0;
    snprintf(path, sizeof path, "%s/wal/00000001.wal", f->dir);
    for (int i = 0; i < 6; i++)
        add(f->store, "berlin", 5000, 1);
    assert_true(wal_read_file(path, WAL_WHOLE, count_frame, &n, &err));
    assert_int_equal(n, 6);
    struct content log = content_of(path);
    size_t end = log.len;
    while (log.ptr[end - 1] == 0)
        end--;
    snprintf(path, sizeof path, "%s-shipped", f->dir);
    for (int cut = 0; cut < 2; cut++) {
        log.ptr[end - 3] ^= 1;
        content_put(path, log.ptr, cut ? end - 5 : log.len);
        n = 0;
        assert_false(wal_read_file(path, WAL_WHOLE, count_frame, &n, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
        assert_non_null(strstr(err.text, "damaged frame at byte"));
        n = 0;
        assert_true(wal_read_file(path, WAL_MAY_BE_TORN, count_frame, &n, &err));
        assert_int_equal(n, 5);
    }
    free(log.ptr);
    unlink(path);
}

/* Labels are as long as they like: what a new file of the log begins with is cut by bytes too. */
static void test_wide_definitions_are_cut(void **state)
{
    struct fixture *f = *state;
    enum { WIDE = 300, BYTES = 40000 };
    struct err err = {0};
    char *value = calloc(1, BYTES);
    memset(value, 'x', BYTES - 1);
    struct txn *txn = txn_begin(f->store);
    for (int i = 0; i < WIDE; i++) {
        snprintf(value, 9, "%08d", i);
        value[8] = 'x';
        series(txn, value);
    }
    assert_true(txn_commit(&txn, NULL, &err));
    struct definitions left = {.metrics_end = f->store->catalog.n_metrics,
        .series_end = f->store->catalog.n_series,
        .tables_end = f->store->state.n_tables};
    struct buf payload;
    size_t parts = 0;
    buf_init(&payload, 0);
    for (; definitions_next(f->store, &left, 1000000, &payload); parts++) {
        assert_true(payload.len < DEFINITIONS_BYTES + 2 * BYTES);
        buf_clear(&payload);
    }
    assert_true(parts > WIDE * BYTES / DEFINITIONS_BYTES);
    buf_fini(&payload);
    free(value);
}

/* ---- checkpoints beside a writer ---- */

#define SERIES 6000 /* the last quarter comes while checkpoints are written */
#define KNOWN  (SERIES * 3 / 4)

struct writer {
    struct store *store;
    atomic_bool stop;
    uint64_t commits;
    uint32_t known;
    int64_t sums[SERIES];
    uint32_t ids[SERIES];
};

static uint32_t series_number(struct txn *txn, uint32_t k)
{
    char market[16];
    snprintf(market, sizeof market, "m%u", k);
    return series(txn, market);
}

static void *write_on(void *ctx)
{
    struct writer *w = ctx;
    uint64_t r = 12345;
    while (!atomic_load(&w->stop)) {
        struct err err = {0};
        struct txn *txn = txn_begin(w->store);
        for (int i = 0; i < 50; i++) {
            r = r * 6364136223846793005u + 1442695040888963407u;
            uint32_t k = (uint32_t)(r >> 33) % (w->known < SERIES ? ++w->known : SERIES);
            if (w->ids[k] == UINT32_MAX)
                w->ids[k] = series_number(txn, k);
            txn_add(txn, w->ids[k], (int64_t)(r >> 40 & 7) * 5000, (int)(r & 15) + 1);
            w->sums[k] += (int)(r & 15) + 1;
        }
        ensure(txn_commit(&txn, NULL, &err));
        w->commits++;
    }
    return NULL;
}

/* While one thread commits, checkpoints are written one after the other; whatever mixture of runs
 * they caught, every series has its sum after a crash. */
static void test_checkpoints_beside_a_writer(void **state)
{
    struct fixture *f = *state;
    static struct writer w;
    pthread_t thread;
    struct err err = {0};
    uint64_t spread = 0;
    memset(&w, 0, sizeof w);
    store_close(&f->store);
    f->options.checkpoint_bytes = 1;
    f->options.wal_file_bytes = 20000;
    open_store(f);
    w.store = f->store;
    struct txn *txn = txn_begin(f->store);
    w.known = KNOWN;
    for (uint32_t i = 0; i < SERIES; i++)
        w.ids[i] = i < KNOWN ? series_number(txn, i) : UINT32_MAX;
    assert_true(txn_commit(&txn, NULL, &err));
    for (int round = 0; round < 3; round++) {
        w.store = f->store;
        atomic_store(&w.stop, false);
        assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
        for (int i = 0; i < 6; i++) {
            bool more;
            if (!store_maintain_step(f->store, 0, &more, &err))
                fail_msg("%s", err.text);
            usleep(3000);
        }
        atomic_store(&w.stop, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        spread += f->store->lsn - f->store->manifest.checkpoint_lsn;
        crash(f);
        open_store(f);
        for (int i = 0; i < SERIES; i += 7) {
            char market[16];
            snprintf(market, sizeof market, "m%d", i);
            assert_int_equal(total(f->store, market), w.sums[i]);
        }
    }
    print_message("# %llu commits, %llu of them after the last checkpoints\n",
        (unsigned long long)w.commits, (unsigned long long)spread);
}

/* ---- damage ---- */

/* The bytes of a log file that are not the zeros behind it. */
static size_t written(const struct content *c)
{
    size_t n = c->len;
    while (n && c->ptr[n - 1] == 0)
        n--;
    return n;
}

static uint64_t catalog_bytes_of(const char *folder)
{
    char path[PATH_BYTES];
    struct stat st;
    assert_true(folder_last(folder, "catalog-", path));
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

static void describe(struct store *store, int metric, const char *help)
{
    struct metric_def def = orders;
    struct err err = {0};
    char name[32];
    uint32_t id;
    snprintf(name, sizeof name, "metric_%d", metric);
    def.name = slice_from(name);
    def.help = slice_from(help);
    struct txn *txn = txn_begin(store);
    assert_true(txn_metric(txn, &def, &id, &err));
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

/* Descriptions that change write what has changed, and do not make the file grow for ever. */
static void test_descriptions_take_little(void **state)
{
    struct fixture *f = *state;
    enum { METRICS = 300 };
    for (int i = 0; i < METRICS; i++)
        describe(f->store, i, "first");
    f->store->options.checkpoint_bytes = 1;
    maintain(f);
    uint64_t bytes = catalog_bytes_of(f->dir), most = 0;
    for (int i = 0; i < 400; i++) {
        describe(f->store, i % 3, i % 2 ? "one" : "two");
        maintain(f);
        uint64_t now = catalog_bytes_of(f->dir);
        if (i == 0)
            assert_true(now < bytes + 200);
        most = now > most ? now : most;
        if (i % 100 == 50) {
            store_close(&f->store);
            open_store(f);
            f->store->options.checkpoint_bytes = 1;
        }
    }
    assert_true(most < 4 * bytes);
    crash(f);
    open_store(f);
    for (int i = 0; i < METRICS; i++) {
        char name[32];
        snprintf(name, sizeof name, "metric_%d", i);
        uint32_t id = catalog_find_metric(&f->store->catalog, slice_from(name));
        int last = 399 - (399 - i) % 3; /* when it was described last */
        const char *want = i >= 3 ? "first" : last % 2 ? "one" : "two";
        assert_true(slice_is(f->store->catalog.metrics[id]->help, want));
    }
}

static bool is_there(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    assert_true(path_join(path, folder, name, NULL));
    return access(path, F_OK) == 0;
}

/* Whoever only looks makes no store where there is none, and no folder that is missing. */
static void test_inspecting_makes_nothing(void **state)
{
    struct fixture *f = *state;
    struct store *store;
    struct err err = {0};
    struct store_options options = {.path = f->crashed, .inspect = true};
    assert_false(store_open(&options, &store, &err));
    assert_int_not_equal(access(f->crashed, F_OK), 0);
    assert_int_equal(mkdir(f->crashed, 0777), 0);
    assert_false(store_open(&options, &store, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_false(is_there(f->crashed, "CURRENT"));
    add(f->store, "oslo", 5000, 1);
    store_close(&f->store);
    folder_copy(f->dir, f->crashed);
    char seg[PATH_BYTES];
    assert_true(path_join(seg, f->crashed, "seg", NULL));
    assert_int_equal(rmdir(seg), 0);
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    assert_int_equal(total(store, "oslo"), 1);
    store_close(&store);
    assert_false(is_there(f->crashed, "seg"));
    open_store(f);
}

static void test_a_torn_tail_is_cut(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct store_stats stats;
    snprintf(path, sizeof path, "%s/wal/00000001.wal", f->dir);
    add(f->store, "berlin", 5000, 1);
    add(f->store, "berlin", 5000, 2);
    crash(f);
    struct content log = content_of(path);
    log.ptr[written(&log) - 1] ^= 4;
    content_put(path, log.ptr, log.len);
    free(log.ptr);
    open_store(f);
    store_stats(f->store, &stats);
    assert_int_equal(stats.torn_frames, 1);
    assert_int_equal(stats.lsn, 1);
    assert_int_equal(total(f->store, "berlin"), 1);
    assert_int_equal(position(f->store), 1);
    add(f->store, "berlin", 5000, 5);
    crash(f);
    open_store(f);
    store_stats(f->store, &stats);
    assert_int_equal(stats.torn_frames, 0);
    assert_int_equal(total(f->store, "berlin"), 6);
}

static void test_damage_before_a_valid_frame_stops(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/wal/00000001.wal", f->dir);
    add(f->store, "berlin", 5000, 1);
    add(f->store, "berlin", 5000, 2);
    crash(f);
    struct content log = content_of(path);
    log.ptr[50] ^= 4;
    content_put(path, log.ptr, log.len);
    assert_false(store_open(&f->options, &f->store, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.text, "00000001.wal"));
    assert_non_null(strstr(err.text, "byte 20"));
    log.ptr[50] ^= 4;
    content_put(path, log.ptr, log.len);
    free(log.ptr);
    open_store(f);
    assert_int_equal(total(f->store, "berlin"), 3);
}

/* Whatever is cut from the log's end, what is left is a prefix of the transactions. */
static void test_truncation_gives_a_prefix(void **state)
{
    struct fixture *f = *state;
    char path[128];
    for (int i = 0; i < 5; i++)
        add(f->store, "berlin", 5000, 1 << i);
    crash(f);
    folder_copy(f->dir, f->base);
    snprintf(path, sizeof path, "%s/wal/00000001.wal", f->dir);
    struct content log = content_of(path);
    int64_t before = 31;
    for (size_t len = written(&log) + 10; len-- > 0;) {
        content_put(path, log.ptr, len);
        open_store(f);
        int64_t now = total(f->store, "berlin");
        assert_true(now <= before && ((now + 1) & now) == 0);
        assert_int_equal(position(f->store), now ? (now + 1) / 2 : -1);
        before = now;
        store_close(&f->store);
        folder_copy(f->base, f->dir);
    }
    assert_int_equal(before, 0);
    free(log.ptr);
    open_store(f);
}

/* A store with all kinds of files: several log files, a checkpoint, a catalogue, a segment. */
static void make_files(struct fixture *f)
{
    struct err err = {0};
    store_close(&f->store);
    f->options.wal_file_bytes = 200;
    open_store(f);
    add(f->store, "berlin", 5000, 1);
    add(f->store, "paris", 5000, 2);
    assert_true(store_maintain(f->store, BLOCK, &err)); /* sealed */
    add(f->store, "berlin", BLOCK + 5000, 4);
    store_close(&f->store); /* a checkpoint */
    open_store(f);
    for (int i = 0; i < 4; i++)
        add(f->store, i % 2 ? "oslo" : "berlin", BLOCK + 10000, 8);
    crash(f);
    /* Fewer of the zeros behind the log's frames: they are copied a thousand times. */
    for (int i = 1; i < 20; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/wal/%08d.wal", f->dir, i);
        if (access(path, F_OK) != 0)
            continue;
        struct content c = content_of(path);
        size_t n = written(&c) + 100;
        content_put(path, c.ptr, n < c.len ? n : c.len);
        free(c.ptr);
    }
    folder_copy(f->dir, f->base);
}

/* Every bit of the file is turned in turn: the start fails and names the file, or all is there; the
 * last transaction may be missing where the log's last frame is hit. */
static uint64_t flip_all(struct fixture *f, const char *prefix)
{
    bool last_of_log = strncmp(prefix, "wal/", 4) == 0;
    uint64_t refused = 0;
    char folder[128], in_base[PATH_BYTES], path[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s%s", f->base, last_of_log ? "/wal" : "");
    assert_true(folder_last(folder, last_of_log ? prefix + 4 : prefix, in_base));
    assert_true(path_join(path, f->dir, in_base + strlen(f->base) + 1, NULL));
    struct content c = content_of(in_base);
    size_t n = last_of_log ? written(&c) + 3 : c.len;
    for (size_t i = 0; i < n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct err err = {0};
            folder_copy(f->base, f->dir);
            c.ptr[i] ^= (char)(1 << bit);
            content_put(path, c.ptr, c.len);
            c.ptr[i] ^= (char)(1 << bit);
            if (!store_open(&f->options, &f->store, &err)) {
                /* ERR_IO: CURRENT names a file that is not there. */
                assert_true(err.code == ERR_CORRUPT || err.code == ERR_IO);
                assert_non_null(strstr(err.text, f->dir));
                refused++;
                continue;
            }
            struct store_stats stats;
            store_stats(f->store, &stats);
            int64_t oslo = total(f->store, "oslo");
            assert_int_equal(total(f->store, "berlin"), 21);
            assert_int_equal(total(f->store, "paris"), 2);
            assert_true(oslo == 16 || (last_of_log && oslo == 8 && stats.torn_frames == 1));
            store_close(&f->store);
        }
    }
    free(c.ptr);
    return refused;
}

static void test_bit_flips(void **state)
{
    struct fixture *f = *state;
    make_files(f);
    uint64_t log = flip_all(f, "wal/0"), manifest = flip_all(f, "manifest-");
    uint64_t checkpoint = flip_all(f, "checkpoint-"), catalog = flip_all(f, "catalog-");
    uint64_t current = flip_all(f, "CURRENT");
    print_message(
        "# refused starts: log %d, manifest %d, checkpoint %d, catalogue %d, CURRENT %d\n",
        (int)log, (int)manifest, (int)checkpoint, (int)catalog, (int)current);
    assert_true(log && manifest && checkpoint && catalog && current);
    folder_copy(f->base, f->dir);
    open_store(f);
}

/* Any file but the log's last, cut anywhere, is refused; so is a missing one. */
static void test_truncation_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *prefixes[] = {"checkpoint-", "catalog-"};
    char path[PATH_BYTES];
    make_files(f);
    for (size_t k = 0; k < 2; k++) {
        assert_true(folder_last(f->dir, prefixes[k], path));
        struct content c = content_of(path);
        for (size_t len = 0; len < c.len; len++) {
            struct err err = {0};
            content_put(path, c.ptr, len);
            assert_false(store_open(&f->options, &f->store, &err));
            assert_int_equal(err.code, ERR_CORRUPT);
            assert_non_null(strstr(err.text, prefixes[k]));
        }
        assert_int_equal(unlink(path), 0);
        struct err err = {0};
        assert_false(store_open(&f->options, &f->store, &err));
        assert_non_null(strstr(err.text, prefixes[k]));
        content_put(path, c.ptr, c.len);
        free(c.ptr);
    }
    open_store(f);
    assert_int_equal(total(f->store, "berlin"), 21);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_clean_stop_leaves_nothing_to_replay),
        TEST(test_crashes_around_checkpoints),
        TEST(test_the_last_file_replays_alone),
        TEST(test_a_damaged_file_is_not_read),
        TEST(test_wide_definitions_are_cut),
        TEST(test_checkpoints_beside_a_writer),
        TEST(test_descriptions_take_little),
        TEST(test_inspecting_makes_nothing),
        TEST(test_a_torn_tail_is_cut),
        TEST(test_damage_before_a_valid_frame_stops),
        TEST(test_truncation_gives_a_prefix),
        TEST(test_bit_flips),
        TEST(test_truncation_is_refused),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
