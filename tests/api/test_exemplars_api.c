/* /api/v1/query_exemplars over a store that has some: which are answered, and what is refused. */
#include "tests/api/server_fixture.h"

#include "api/exemplars_api.h"
#include "base/log.h"
#include "ingest/exemplars/exemplar.h"
#include "store/state/state.h"

#define PATH    "/api/v1/query_exemplars"
#define NOTHING "{\"status\":\"success\",\"data\":[]}"

static struct err err;

/* As the ingestion of the stream "orders" has kept it. */
static void keep(struct store *store, const struct metric_def *def, const char *market,
    int64_t time_ms, int64_t value, uint8_t trace)
{
    char name[STATE_TABLE_NAME_MAX + 1];
    uint8_t record[EXEMPLAR_BYTES];
    struct label l[2] = {{SLICE("__name__"), def->name}, {SLICE("market"), slice_from(market)}};
    int64_t minute = exemplar_minute(time_ms);
    struct exemplar e = {.value = value, .time_ms = time_ms};
    uint32_t table;
    e.series = exemplar_series(exemplar_labels((struct labels){l, 2}), minute);
    e.trace_id[0] = 0xab;
    e.trace_id[15] = trace;
    e.span_id[7] = 0x0f;
    exemplar_table(SLICE("orders"), name);
    struct txn *txn = txn_begin(store);
    assert_true(txn_state_table(txn, slice_from(name), EXEMPLAR_BYTES, &table, &err));
    exemplar_encode(&e, record);
    txn_state_put(
        txn, table, exemplar_hour(minute), exemplar_key(def->name, minute, e.series), record);
    assert_true(txn_commit(&txn, NULL, &err));
}

static int setup_kept(void **state)
{
    setup(state);
    struct fixture *f = *state;
    keep(f->store, &orders, "zrh", T0 - 60000, 3, 2);
    keep(f->store, &orders, "zrh", T0 - 180000 + 250, 1, 1);
    keep(f->store, &orders, "ber", T0 - 60000, 1, 3);
    keep(f->store, &delay, "zrh", T0 - 9000, 4, 4);
    return 0;
}

#define IDS(trace)                                                                                 \
    "{\"labels\":{\"trace_id\":\"ab0000000000000000000000000000" trace                             \
    "\",\"span_id\":\"000000000000000f\"},"
#define OF(name, market)                                                                           \
    "{\"seriesLabels\":{\"__name__\":\"" name "\",\"market\":\"" market "\"},\"exemplars\":["
#define ZRH_1     IDS("01") "\"value\":\"1\",\"timestamp\":1699999820.250}"
#define ZRH_2     IDS("02") "\"value\":\"3\",\"timestamp\":1699999940}"
#define BER       IDS("03") "\"value\":\"1\",\"timestamp\":1699999940}"
#define DELAY     IDS("04") "\"value\":\"4\",\"timestamp\":1699999991}"
#define DATA(...) "{\"status\":\"success\",\"data\":[" __VA_ARGS__ "]}"

static void test_selectors(void **state)
{
    struct fixture *f = *state;
    form(f, "query", "sum(rate(orders_total{market=\"zrh\"}[5m])) > 1", NULL);
    ask(f, PATH, 200, DATA(OF("orders_total", "zrh") ZRH_1 "," ZRH_2 "]}"));
    /* All selectors; what two of them match is there once. */
    form(f, "query",
        "histogram_quantile(0.9, delay_seconds) / on () topk(scalar(up), "
        "max_over_time((orders_total - orders_total{market!=\"x\"} offset 1d)[1h:1m]))",
        NULL);
    ask(f, PATH, 200,
        DATA(OF("delay_seconds", "zrh") DELAY "]}," OF("orders_total", "ber") BER
            "]}," OF("orders_total", "zrh") ZRH_1 "," ZRH_2 "]}"));
    /* None, a series that has none, kinds that have none. */
    form(f, "query", "1 + 1", NULL);
    ask(f, PATH, 200, NOTHING);
    form(f, "query", "up or orders_open or nothing", NULL);
    ask(f, PATH, 200, NOTHING);
}

static void test_range(void **state)
{
    struct fixture *f = *state;
    form(f, "query", "orders_total{market=\"zrh\"}", "start", "1699999820.25", "end",
        "1699999939.999", NULL);
    ask(f, PATH, 200, DATA(OF("orders_total", "zrh") ZRH_1 "]}"));
    form(f, "query", "orders_total{market=\"zrh\"}", "start", "1699999820.251", "end", "1699999940",
        NULL);
    ask(f, PATH, 200, DATA(OF("orders_total", "zrh") ZRH_2 "]}"));
    form(f, "query", "orders_total", "start", "1699999941", NULL);
    ask(f, PATH, 200, NOTHING);
    form(f, "query", "delay_seconds", "start", "1699999991", "end", "1699999991", NULL);
    ask(f, PATH, 200, DATA(OF("delay_seconds", "zrh") DELAY "]}"));
    /* Grafana's probe. */
    get(f, PATH "?query=test&start=1700000000000", 200, NOTHING);
    get(f, PATH "?query=orders_total&start=1700000000000&end=1700000001000", 200, NOTHING);
}

static void refused(struct fixture *f, int status, const char *type, const char *text)
{
    ask(f, PATH, status, NULL);
    json_t *json = parsed(f);
    assert_string_equal(json_string_value(json_object_get(json, "errorType")), type);
    const char *got = json_string_value(json_object_get(json, "error"));
    if (strncmp(got, text, strlen(text)) != 0)
        fail_msg("\"%s\" instead of \"%s\"", got, text);
    json_decref(json);
}

static void test_errors(void **state)
{
    struct fixture *f = *state;
    form(f, "query", "up", "start", "2", "end", "1", NULL);
    refused(f, 400, "bad_data", "end timestamp must not be before start timestamp");
    form(f, "query", "up", "start", "x", NULL);
    refused(
        f, 400, "bad_data", "invalid parameter \"start\": cannot parse \"x\" to a valid timest");
    form(f, "query", "up", "end", "x", NULL);
    refused(
        f, 400, "bad_data", "invalid parameter \"end\": cannot parse \"x\" to a valid timestamp");
    form(f, "query", "sum(", NULL);
    refused(f, 400, "bad_data", "1:5: parse error: ");
    form(f, NULL);
    refused(f, 400, "bad_data", "unknown position: parse error: no expression found in input");
    struct buf many;
    buf_init(&many, 0);
    buf_str(&many, "up");
    for (int i = 0; i < 256; i++)
        buf_str(&many, "+up");
    form(f, "query", buf_cstr(&many), NULL);
    refused(f, 400, "bad_data", "invalid parameter \"query\": more than 256 selectors");
    buf_fini(&many);
}

/* Series times minutes of the hours that are held. */
static void test_too_many(void **state)
{
    struct fixture *f = *state;
    struct txn *txn = txn_begin(f->store);
    for (int i = 0; i < 17000; i++) {
        char market[16];
        snprintf(market, sizeof market, "m%d", i);
        txn_add(txn, series(txn, &orders, "market", market), T0, 1);
    }
    assert_true(txn_commit(&txn, NULL, &err));
    form(f, "query", "orders_total{market!~\"zrh|ber\"}", "start", "1700002741", NULL);
    ask(f, PATH, 200, NOTHING); /* one minute */
    form(f, "query", "orders_total{market!~\"zrh|ber\"}", NULL);
    refused(f, 422, "execution",
        "exemplars of 17000 series take 1020000 looks, one for each of their minutes, and one "
        "request may take 1000000: ");
    form(f, "query", "orders_total{market=~\"m1..|zrh\"}", NULL);
    ask(f, PATH, 200, DATA(OF("orders_total", "zrh") ZRH_1 "," ZRH_2 "]}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_selectors, setup_kept, teardown),
        cmocka_unit_test_setup_teardown(test_range, setup_kept, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup_kept, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup_kept, teardown),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests_name("exemplars_api", tests, NULL, NULL);
}
