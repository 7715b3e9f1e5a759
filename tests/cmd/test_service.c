/*
 * The service made from a config: what the config allows queries is what the server holds them to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "cmd/ask.h"
#include "cmd/service.h"
#include "tests/store/support/folder.h"

#define T0 INT64_C(1700000000000)

struct fixture {
    char folder[64];
    struct config config;
    struct service *service;
    struct buf answer;
};

/* Two series of one metric, a sample each: what an earlier run of the service left. */
static void fill(const char *path)
{
    struct metric_def up = {.name = SLICE("up"), .kind = KIND_SAMPLE};
    struct store_options options = {.path = path};
    struct store *store;
    struct err err = {0};
    assert_true(store_open(&options, &store, &err));
    struct txn *txn = txn_begin(store);
    for (int i = 0; i < 2; i++) {
        uint32_t metric, id;
        struct label l[2] = {
            {SLICE("__name__"), SLICE("up")}, {SLICE("job"), i ? SLICE("b") : SLICE("a")}};
        assert_true(txn_metric(txn, &up, &metric, &err));
        assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
        txn_sample(txn, id, T0, 1);
    }
    assert_true(txn_commit(&txn, NULL, &err));
    store_close(&store);
}

static void start(struct fixture *f, const char *limit)
{
    char path[128], file[96];
    struct err_list errors;
    struct err err = {0};
    folder_new("service", f->folder, sizeof f->folder);
    snprintf(file, sizeof file, "%s/larder.yml", f->folder);
    snprintf(path, sizeof path, "store.path=%s/data", f->folder);
    FILE *empty = fopen(file, "w");
    assert_non_null(empty);
    fclose(empty);
    const char *overrides[] = {path, "http.listen=127.0.0.1:0", limit};
    assert_true(config_load(file, overrides, 3, &f->config, &errors));
    err_list_fini(&errors);
    fill(f->config.store_path);
    if (!service_start(&f->config, &f->service, &err))
        fail_msg("%s", err.text);
    buf_init(&f->answer, 0);
}

static void stop(struct fixture *f)
{
    char command[128];
    service_stop(&f->service);
    config_free(&f->config);
    buf_fini(&f->answer);
    snprintf(command, sizeof command, "rm -r %s", f->folder);
    assert_int_equal(system(command), 0);
}

/* The status of the answer to a query over 101 steps. */
static long ask(struct fixture *f, const char *query)
{
    char url[64];
    long status = 0;
    struct err err = {0};
    struct buf form;
    buf_init(&form, 0);
    buf_clear(&f->answer);
    ask_field(&form, "query", slice_from(query));
    ask_field(&form, "start", SLICE("1700000000"));
    ask_field(&form, "end", SLICE("1700000100"));
    ask_field(&form, "step", SLICE("1"));
    snprintf(url, sizeof url, "http://127.0.0.1:%d", service_port(f->service));
    if (!ask_post(url, "/api/v1/query_range", buf_view(&form), 20000, &f->answer, &status, &err))
        fail_msg("%s", err.text);
    buf_fini(&form);
    return status;
}

/* The query passes without the limit, and with it is refused by an error that says `text`. */
static void check(const char *limit, const char *query, long status, const char *text)
{
    struct fixture f = {0};
    start(&f, "query.queue=7");
    assert_int_equal(ask(&f, query), 200);
    stop(&f);
    start(&f, limit);
    long got = ask(&f, query);
    if (got != status || !strstr(buf_cstr(&f.answer), text))
        fail_msg("%s: %ld %s", limit, got, buf_cstr(&f.answer));
    stop(&f);
}

static void test_query_limits(void **state)
{
    (void)state;
    check("query.max_series=1", "up", 422, "series");
    check("query.max_samples=100", "up", 422, "allowed are 100 points");
    check("query.memory=1MiB", "count_over_time(up[1h:50ms])", 422, "1048576");
    check("query.timeout=1ms", "quantile_over_time(0.5, up[10m:50ms])", 503, "timed out");
}

/* Time passes as the sources say, but for a producer that lives in the future. */
static void test_passed(void **state)
{
    (void)state;
    assert_int_equal(service_passed_ms(T0 - 1, T0), T0 - 1);
    assert_int_equal(service_passed_ms(INT64_MIN, T0), INT64_MIN);
    assert_int_equal(service_passed_ms(T0 + 1, T0), T0);
    assert_int_equal(service_passed_ms(INT64_MAX, T0), T0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_limits), cmocka_unit_test(test_passed)};
    return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
