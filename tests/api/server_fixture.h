/*
 * The whole server over a store in memory, asked over real connections.
 */
#ifndef TESTS_API_SERVER_FIXTURE_H
#define TESTS_API_SERVER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdatomic.h>

#include "api/server.h"
#include "base/mem.h"
#include "cmd/ask.h"
#include "tests/api/raw_client.h"

/* A multiple of 5 s; everything in the store happens before it. */
#define T0      INT64_C(1700000000000)
#define T0_TEXT "1700000000"

struct fixture {
    struct store *store;
    struct server *server;
    int port;
    struct buf answer, form;
    atomic_bool waits; /* more_metrics: until this is false */
    atomic_bool waiting;
};

/* ---- the data ---- */

static struct metric_def orders = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6},
    .help = {"Orders \"by\" market.", 19},
    .unit = {"orders", 6}};
static struct metric_def levels = {.name = {"orders_open", 11},
    .kind = KIND_LEVEL,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6}};
static struct metric_def up = {.name = {"up", 2}, .kind = KIND_SAMPLE};
static struct metric_def delay = {.name = {"delay_seconds", 13},
    .kind = KIND_HISTOGRAM,
    .schema = 0,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6}};

static inline uint32_t series(
    struct txn *txn, struct metric_def *def, const char *name, const char *value)
{
    uint32_t metric, id;
    struct err err = {0};
    struct label l[2] = {{SLICE("__name__"), def->name}, {slice_from(name), slice_from(value)}};
    assert_true(txn_metric(txn, def, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

static inline void fill(struct store *store)
{
    struct err err = {0};
    struct txn *txn = txn_begin(store);
    uint32_t zrh = series(txn, &orders, "market", "zrh"),
             ber = series(txn, &orders, "market", "ber");
    for (int64_t t = T0 - 600000 + 5000; t <= T0; t += 5000) {
        txn_add(txn, zrh, t, 1);
        txn_add(txn, ber, t, 2);
    }
    txn_add(txn, series(txn, &levels, "market", "zrh"), T0 - 86400000, 5);
    uint32_t job = series(txn, &up, "job", "a\"\n\xc3\xa9");
    for (int64_t t = T0 - 600000; t <= T0; t += 15000)
        txn_sample(txn, job, t, 1.5);
    txn_sample(txn, series(txn, &up, "a.b", "dotted"), T0 - 1000, 0);
    struct hist_bucket buckets[] = {{1, 3}, {3, 4}};
    struct hist_cell cell = {.sum = 25, .n = 2, .buckets = buckets};
    txn_histogram(txn, series(txn, &delay, "market", "zrh"), T0 - 5000, &cell);
    txn_clock(txn, SLICE("orders"), T0, T0);
    assert_true(txn_commit(&txn, NULL, &err));
}

/* ---- fixture ---- */

static const unsigned char page[] = "<!doctype html>";
static const struct asset pages[] = {{"/", "text/html; charset=utf-8", page, sizeof page - 1}};

static inline void more_metrics(void *ctx, struct buf *out)
{
    struct fixture *f = ctx;
    while (atomic_load(&f->waits)) {
        atomic_store(&f->waiting, true);
        clock_sleep_ms(1);
    }
    buf_str(out, "more_metrics 1\n");
}

static inline int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct err err = {0};
    struct store_options options = {0};
    assert_true(store_open(&options, &f->store, &err));
    fill(f->store);
    struct server_options server = {
        .address = "127.0.0.1",
        .store = f->store,
        .pages = pages,
        .n_pages = 1,
        .metrics = more_metrics,
        .metrics_ctx = f,
    };
    assert_true(server_start(&server, &f->server, &err));
    f->port = server_port(f->server);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    server_stop(&f->server);
    store_close(&f->store);
    buf_fini(&f->answer);
    buf_fini(&f->form);
    free(f);
    return 0;
}

/* Name and value pairs, ended by NULL, to f->form. */
static inline const char *form(struct fixture *f, const char *name, ...)
{
    va_list ap;
    va_start(ap, name);
    buf_clear(&f->form);
    for (; name; name = va_arg(ap, const char *))
        ask_field(&f->form, name, slice_from(va_arg(ap, const char *)));
    va_end(ap);
    return buf_cstr(&f->form);
}

/* GETs path with the form in the URL, and POSTs it: both must give the same. */
static inline void ask(struct fixture *f, const char *path, int status, const char *want)
{
    char target[4096];
    snprintf(target, sizeof target, "%s?%s", path, buf_cstr(&f->form));
    for (int post = 0; post < 2; post++) {
        int got = post ? client_post(f->port, path, buf_cstr(&f->form), &f->answer)
                       : client_get(f->port, target, &f->answer);
        const char *body = client_body(&f->answer);
        if (got != status || (want && strcmp(body, want) != 0))
            fail_msg("%s %s: %d %s\nwanted: %d %s", path, f->form.ptr, got, body, status,
                want ? want : "");
    }
}

/* GET only. */
static inline void get(struct fixture *f, const char *target, int status, const char *want)
{
    int got = client_get(f->port, target, &f->answer);
    const char *body = client_body(&f->answer);
    if (got != status || (want && strcmp(body, want) != 0))
        fail_msg("%s: %d %s\nwanted: %d %s", target, got, body, status, want ? want : "");
}

/* The answer as JSON; the caller frees. */
static inline json_t *parsed(struct fixture *f)
{
    json_error_t where;
    json_t *json = json_loads(client_body(&f->answer), 0, &where);
    if (!json)
        fail_msg("no JSON: %s: %s", where.text, client_body(&f->answer));
    return json;
}

static inline void assert_has(struct fixture *f, const char *text)
{
    if (!strstr(buf_cstr(&f->answer), text))
        fail_msg("no \"%s\" in: %s", text, f->answer.ptr);
}

#endif
