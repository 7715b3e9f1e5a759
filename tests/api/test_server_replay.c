/*
 * The server while its store replays the log: what the log does not touch is answered, the rest
 * waits, and health, readiness and metrics say how it stands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/store_priv.h"
#include "tests/api/raw_client.h"
#include "tests/store/support/folder.h"

/* Sealed, and in the log alone. */
#define OLD      INT64_C(1700000000000)
#define NEW      (OLD + 24 * INT64_C(3600000))
#define OLD_TEXT "1700000000"
#define NEW_TEXT "1700086400"

struct fixture {
    char dir[64], crashed[80];
    struct store *store;
    struct server *server;
    int port;
    struct buf answer;
    atomic_bool go;
};

static void commit(struct store *store, int64_t t, double v)
{
    struct metric_def up = {.name = SLICE("up"), .kind = KIND_SAMPLE};
    struct label l[1] = {{SLICE("__name__"), SLICE("up")}};
    struct err err = {0};
    uint32_t metric, id;
    struct txn *txn = txn_begin(store);
    assert_true(txn_metric(txn, &up, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 1}, &id, &err));
    assert_true(txn_sample(txn, id, t, v));
    assert_true(txn_commit(&txn, NULL, &err));
}

static void hold(void *ctx, uint64_t lsn, uint64_t last)
{
    struct fixture *f = ctx;
    while (lsn < last && !atomic_load(&f->go))
        clock_sleep_ms(1);
}

/* The folder of a store that was killed. */
static void make_folder(struct fixture *f)
{
    struct store_options options = {.path = f->dir};
    struct err err = {0};
    folder_new("server", f->dir, sizeof f->dir);
    snprintf(f->crashed, sizeof f->crashed, "%s-crashed", f->dir);
    assert_true(store_open(&options, &f->store, &err));
    commit(f->store, OLD, 1);
    assert_true(store_maintain(f->store, OLD + 7200000, &err));
    commit(f->store, NEW - 1000, 2);
    commit(f->store, NEW, 3);
    folder_copy(f->dir, f->crashed);
    store_close(&f->store);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    make_folder(f);
    struct store_options options = {.path = f->crashed,
        .answer_early = true,
        .early_waiters = 1,
        .replayed = hold,
        .replayed_ctx = f};
    struct err err = {0};
    assert_true(store_open(&options, &f->store, &err));
    struct server_options server = {.address = "127.0.0.1", .store = f->store, .workers = 2};
    assert_true(server_start(&server, &f->server, &err));
    f->port = server_port(f->server);
    buf_init(&f->answer, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->go, true);
    server_stop(&f->server);
    store_close(&f->store);
    buf_fini(&f->answer);
    folder_remove(f->dir);
    folder_remove(f->crashed);
    free(f);
    return 0;
}

static void get(struct fixture *f, const char *path, int status, const char *text)
{
    int got = client_get(f->port, path, &f->answer);
    if (got != status || !strstr(buf_cstr(&f->answer), text))
        fail_msg("%s: %d %s", path, got, buf_cstr(&f->answer));
}

struct asking {
    int port, status;
    atomic_bool done;
    struct buf answer;
};

static void *ask_new(void *arg)
{
    struct asking *a = arg;
    a->status = client_get(a->port, "/api/v1/query?query=up&time=" NEW_TEXT, &a->answer);
    atomic_store(&a->done, true);
    return NULL;
}

/* Until a snapshot waits for the replay. */
static void await_waiting(struct store *store)
{
    for (bool waits = false; !waits; usleep(500)) {
        mutex_lock(&store->replay.mutex);
        waits = store->replay.waiting > 0;
        mutex_unlock(&store->replay.mutex);
    }
}

static void test_it_answers_what_it_can(void **state)
{
    struct fixture *f = *state;
    struct asking a = {.port = f->port};
    pthread_t thread;
    get(f, "/-/healthy", 200, "Larder is healthy.\n");
    get(f, "/-/ready", 200, "Larder is ready.\n");
    get(f, "/metrics", 200, "\nlarder_ready 1\n");
    get(f, "/metrics", 200, "\nlarder_store_replaying 1\n");
    get(f, "/metrics", 200, "\nlarder_store_lsn 3\n");
    get(f, "/api/v1/query?query=up&time=" OLD_TEXT, 200, "\"1\"");
    buf_init(&a.answer, 0);
    thread_start(&thread, "asks", ask_new, &a);
    await_waiting(f->store);
    assert_false(atomic_load(&a.done));
    /* One worker waits, and the other is there for who does not have to. */
    get(f, "/api/v1/query?query=up&time=" NEW_TEXT, 503, "the log is being replayed");
    get(f, "/api/v1/query?query=up&time=" NEW_TEXT "&timeout=50ms", 503, "Retry-After: 1");
    get(f, "/api/v1/query?query=up&time=" OLD_TEXT, 200, "\"1\"");
    atomic_store(&f->go, true);
    thread_join(thread);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(buf_cstr(&a.answer), "\"3\""));
    buf_fini(&a.answer);
    struct err err = {0};
    while (!store_await_replay(f->store, 1000, &err))
        assert_int_equal(err.code, ERR_TIMEOUT);
    get(f, "/metrics", 200, "\nlarder_store_replaying 0\n");
    get(f, "/metrics", 200, "\nlarder_store_replayed_lsn 3\n");
}

static void test_who_waits_times_out(void **state)
{
    struct fixture *f = *state;
    get(f, "/api/v1/query?query=up&time=" NEW_TEXT "&timeout=50ms", 503, "timed out");
}

/* As SIGTERM during a start: those that wait are told, and the store closes. */
static void test_stopping(void **state)
{
    struct fixture *f = *state;
    struct asking a = {.port = f->port};
    pthread_t thread;
    buf_init(&a.answer, 0);
    thread_start(&thread, "asks", ask_new, &a);
    await_waiting(f->store);
    server_stop(&f->server);
    thread_join(thread);
    assert_int_not_equal(a.status, 200);
    buf_fini(&a.answer);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_it_answers_what_it_can),
        T(test_who_waits_times_out),
        T(test_stopping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
