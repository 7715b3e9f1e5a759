/* The demo's business model, its JSON and its truth: repeatable, at the rate that was asked for, in
 * the order of arrival, and with a truth that a plain count of the same events confirms. */
#include "cmd/demo/demo_model.h"

#include <inttypes.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "cmd/demo/demo_json.h"
#include "cmd/demo/demo_sender.h"
#include "cmd/demo/demo_truth.h"
#include "cmd/demo/demo_world.h"
#include "tests/store/support/folder.h"

#define START_MS  1714550400000 /* 2024-05-01 08:00 UTC */
#define MINUTE_MS 60000
#define HOUR_MS   3600000

static struct demo_model *model_at(uint64_t seed, double rate, int64_t live_after_ms)
{
    struct demo_model_options options = {seed, rate, START_MS, START_MS + live_after_ms};
    return demo_model_new(&options);
}

static void same_seed_same_events(void **state)
{
    (void)state;
    struct demo_model *a = model_at(7, 200, HOUR_MS), *b = model_at(7, 200, HOUR_MS);
    struct demo_model *c = model_at(8, 200, HOUR_MS);
    struct buf key, text[3];
    buf_init(&key, 0);
    for (int i = 0; i < 3; i++)
        buf_init(&text[i], 0);
    for (int i = 0; i < 20000; i++) {
        struct demo_event x, y, z;
        demo_model_next(a, &x);
        demo_model_next(b, &y);
        demo_model_next(c, &z);
        demo_json_write(&x, 7, &key, &text[0]);
        demo_json_write(&y, 7, &key, &text[1]);
        demo_json_write(&z, 8, &key, &text[2]);
    }
    assert_true(slice_eq(buf_view(&text[0]), buf_view(&text[1])));
    assert_false(slice_eq(buf_view(&text[0]), buf_view(&text[2])));
    for (int i = 0; i < 3; i++)
        buf_fini(&text[i]);
    buf_fini(&key);
    demo_model_free(&a);
    demo_model_free(&b);
    demo_model_free(&c);
}

/* Arrivals never go back, a tenth of the rate in history, the rate when live. */
static void rate_is_kept(void **state)
{
    (void)state;
    struct demo_model *model = model_at(3, 400, 2 * HOUR_MS);
    int64_t last_ms = START_MS;
    uint64_t history = 0, live = 0;
    for (;;) {
        assert_in_range(demo_model_peek_ms(model), last_ms, INT64_MAX);
        struct demo_event event;
        demo_model_next(model, &event);
        assert_true(event.arrival_ms >= last_ms);
        last_ms = event.arrival_ms;
        if (last_ms >= START_MS + 2 * HOUR_MS + 10 * MINUTE_MS)
            break;
        if (last_ms < START_MS + 2 * HOUR_MS)
            history++;
        else
            live++;
    }
    assert_in_range(history, 2 * 3600 * 40 * 98 / 100, 2 * 3600 * 40 * 102 / 100);
    assert_in_range(live, 600 * 400 * 98 / 100, 600 * 400 * 102 / 100);
    demo_model_free(&model);
}

struct counts {
    uint64_t all, again, late, defect[DEMO_DEFECTS], topic[DEMO_TOPICS], stage[DEMO_STAGES];
    uint64_t good_late, n_late, good_punctual, n_punctual; /* ratings */
};

static void count(struct counts *counts, const struct demo_event *event)
{
    counts->all++;
    counts->defect[event->defect]++;
    if (event->defect != DEMO_SOUND)
        return;
    counts->topic[event->topic]++;
    counts->again += event->again;
    counts->late += event->arrival_ms - event->time_ms >= MINUTE_MS;
    if (event->topic == DEMO_ORDERS)
        counts->stage[event->type]++;
    assert_true(event->arrival_ms >= event->time_ms);
    assert_true(event->arrival_ms - event->time_ms <= DEMO_LATE_MAX_MS + 2 * MINUTE_MS);
}

/* Shares of everything that the model promises, and that an order's stages follow one another. */
static void business_is_plausible(void **state)
{
    (void)state;
    struct demo_model *model = model_at(11, 2000, 4 * HOUR_MS);
    struct counts c = {0};
    struct demo_event event;
    do {
        demo_model_next(model, &event);
        count(&c, &event);
    } while (event.arrival_ms < START_MS + 3 * HOUR_MS);
    double all = (double)c.all;
    assert_true((double)c.again > 0.010 * all && (double)c.again < 0.020 * all);
    assert_true((double)c.late > 0.006 * all && (double)c.late < 0.014 * all);
    for (int i = 1; i < DEMO_DEFECTS; i++)
        assert_true(c.defect[i] > 0);
    assert_true((double)(c.all - c.defect[DEMO_SOUND]) < 0.006 * all);
    for (int i = 0; i < DEMO_TOPICS; i++)
        assert_true(c.topic[i] > 0);
    double placed = (double)c.stage[DEMO_PLACED], delivered = (double)c.stage[DEMO_DELIVERED];
    assert_true(delivered > 0.85 * placed && delivered < 1.0 * placed);
    double ends = delivered + (double)c.stage[DEMO_CANCELLED] + (double)c.stage[DEMO_REJECTED];
    assert_true(ends > 0.9 * placed && ends < 1.1 * placed);
    demo_model_free(&model);
}

/* Late deliveries get worse ratings. */
static void ratings_follow_lateness(void **state)
{
    (void)state;
    struct demo_model *model = model_at(5, 5000, 4 * HOUR_MS);
    struct {
        uint64_t order;
        int64_t late_ms;
    } *seen = calloc(1 << 16, sizeof *seen);
    struct counts c = {0};
    struct demo_event event;
    do {
        demo_model_next(model, &event);
        if (event.defect != DEMO_SOUND || event.again)
            continue;
        size_t at = event.order & 0xffff;
        if (event.topic == DEMO_ORDERS && event.type == DEMO_DELIVERED) {
            seen[at].order = event.order;
            seen[at].late_ms = event.time_ms - event.promised_ms;
        } else if (event.topic == DEMO_REVIEWS && seen[at].order == event.order) {
            bool late = seen[at].late_ms > 8 * MINUTE_MS;
            *(late ? &c.n_late : &c.n_punctual) += 1;
            *(late ? &c.good_late : &c.good_punctual) += event.score >= 4;
        }
    } while (event.arrival_ms < START_MS + 2 * HOUR_MS);
    free(seen);
    assert_true(c.n_late > 50 && c.n_punctual > 500);
    double late = (double)c.good_late / (double)c.n_late;
    double punctual = (double)c.good_punctual / (double)c.n_punctual;
    assert_true(punctual > 0.7 && punctual < 0.97);
    assert_true(late < punctual - 0.15);
    demo_model_free(&model);
}

/* What is said to be complete stays so. */
static void complete_is_final(void **state)
{
    (void)state;
    struct demo_model *model = model_at(13, 300, HOUR_MS);
    int64_t complete_ms = INT64_MIN;
    struct demo_event event;
    for (int i = 0; i < 300000; i++) {
        demo_model_next(model, &event);
        if (event.defect == DEMO_SOUND)
            assert_true(event.time_ms > complete_ms);
        if (i % 1000 == 0) {
            int64_t now_ms = demo_model_complete_ms(model);
            assert_true(now_ms >= complete_ms);
            complete_ms = now_ms;
        }
    }
    assert_true(complete_ms > START_MS - DEMO_LATE_MAX_MS);
    assert_true(complete_ms >= event.arrival_ms - DEMO_LATE_MAX_MS - 2 * MINUTE_MS);
    demo_model_free(&model);
}

/* Every record is one JSON object with what the contract requires, or broken in the way it says. */
static void json_is_as_declared(void **state)
{
    (void)state;
    struct demo_model *model = model_at(17, 1000, HOUR_MS);
    struct buf key, value;
    buf_init(&key, 0);
    buf_init(&value, 0);
    for (int i = 0; i < 60000; i++) {
        struct demo_event event;
        demo_model_next(model, &event);
        buf_clear(&key);
        buf_clear(&value);
        demo_json_write(&event, 17, &key, &value);
        assert_in_range(value.len, 60, 700);
        assert_true(key.len > 0);
        json_error_t error;
        json_t *json = json_loadb(value.ptr, value.len, JSON_REJECT_DUPLICATES, &error);
        assert_int_equal(json == NULL, event.defect == DEMO_CUT);
        if (!json)
            continue;
        assert_true(json_is_string(json_object_get(json, "event_id")));
        assert_non_null(json_object_get(json, "occurred_at"));
        assert_int_equal(json_object_get(json, "market") == NULL, event.defect == DEMO_NO_MARKET);
        const char *key_field = event.topic == DEMO_FRIDGES    ? "fridge"
                                : event.topic == DEMO_COURIERS ? "courier"
                                                               : "order_id";
        assert_string_equal(json_string_value(json_object_get(json, key_field)), buf_cstr(&key));
        json_decref(json);
    }
    buf_fini(&key);
    buf_fini(&value);
    demo_model_free(&model);
}

static void time_is_written_with_offset(void **state)
{
    (void)state;
    struct buf key, value;
    buf_init(&key, 0);
    buf_init(&value, 0);
    struct demo_event event = {.topic = DEMO_PAYMENTS, .time_ms = 1709251199999}; /* leap day */
    struct {
        int market;
        const char *text;
    } cases[] = {
        {0, "\"occurred_at\":\"2024-02-29T23:59:59.999Z\""},
        {3, "\"occurred_at\":\"2024-03-01T05:29:59.999+05:30\""},
        {6, "\"occurred_at\":\"2024-02-29T15:59:59.999-08:00\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        event.market = (uint8_t)cases[i].market;
        buf_clear(&value);
        demo_json_write(&event, 1, &key, &value);
        assert_non_null(strstr(buf_cstr(&value), cases[i].text));
    }
    buf_fini(&key);
    buf_fini(&value);
}

/* ---- the truth ---- */

/* Reads the file: the sum of all amounts of a metric, in its own units, and the last state. */
struct truth_sums {
    double orders, amount, units, ratings, payments, placed;
    double open[DEMO_MARKETS]; /* as last said */
    json_int_t complete, produced, refused, last_minute;
    int states;
};

static void read_line(json_t *line, struct truth_sums *sums)
{
    const char *metric = json_string_value(json_object_get(line, "metric"));
    if (!metric) {
        if (!json_object_get(line, "complete"))
            return;
        sums->complete = json_integer_value(json_object_get(line, "complete"));
        sums->produced = json_integer_value(json_object_get(line, "produced"));
        sums->refused = 0;
        const char *key;
        json_t *n;
        json_object_foreach(json_object_get(line, "refused"), key, n) sums->refused +=
            json_integer_value(n);
        sums->states++;
        assert_true(sums->last_minute <= sums->complete);
        return;
    }
    json_int_t minute = json_integer_value(json_object_get(line, "minute"));
    assert_int_equal(minute % 60, 0);
    assert_true(minute >= sums->last_minute && minute > sums->complete);
    sums->last_minute = minute;
    double v = json_number_value(json_object_get(line, "amount"));
    json_t *labels = json_object_get(line, "labels");
    const char *stage = json_string_value(json_object_get(labels, "stage"));
    sums->orders += strcmp(metric, "orders_total") == 0 ? v : 0;
    sums->placed += stage && strcmp(stage, "placed") == 0 ? v : 0;
    sums->amount += strcmp(metric, "order_amount_total") == 0 ? v : 0;
    sums->units += strcmp(metric, "fridge_units_total") == 0 ? v : 0;
    sums->ratings += strcmp(metric, "ratings_total") == 0 ? v : 0;
    sums->payments += strcmp(metric, "payments_total") == 0 ? v : 0;
    const char *market = json_string_value(json_object_get(labels, "market"));
    for (int i = 0; i < DEMO_MARKETS && strcmp(metric, "orders_open") == 0; i++)
        if (strcmp(market, demo_markets[i].name) == 0)
            sums->open[i] = v;
}

static void read_truth(const char *path, struct truth_sums *sums)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char text[4096];
    while (fgets(text, sizeof text, file)) {
        json_error_t error;
        json_t *line = json_loads(text, 0, &error);
        assert_non_null(line);
        read_line(line, sums);
        json_decref(line);
    }
    fclose(file);
}

/* The same sums, straight from the events of complete minutes. */
static void sum_events(
    const struct demo_event *events, size_t n, int64_t complete_s, struct truth_sums *sums)
{
    for (size_t i = 0; i < n; i++) {
        const struct demo_event *e = &events[i];
        if (e->defect != DEMO_SOUND || e->again || e->time_ms > complete_s * 1000)
            continue;
        sums->orders += e->topic == DEMO_ORDERS;
        if (e->topic == DEMO_ORDERS && e->type == DEMO_PLACED) {
            sums->placed += 1;
            sums->amount += e->amount_cents / 100.0;
        }
        if (e->topic == DEMO_FRIDGES && e->type >= DEMO_RESTOCKED && e->type <= DEMO_REMOVED)
            sums->units += e->units;
        sums->ratings += e->topic == DEMO_REVIEWS;
        sums->payments += e->topic == DEMO_PAYMENTS;
    }
}

/* The events of orders by then, to the front. */
static size_t keep_orders(struct demo_event *events, size_t n, int64_t complete_s)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (events[i].defect == DEMO_SOUND && !events[i].again && events[i].topic == DEMO_ORDERS &&
            events[i].time_ms <= complete_s * 1000)
            events[kept++] = events[i];
    return kept;
}

static int compare_ids(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Orders of each market that were placed, less those of them that have ended. */
static void count_open(const struct demo_event *events, size_t n, int open[DEMO_MARKETS])
{
    uint64_t *placed = malloc((n + 1) * sizeof *placed);
    size_t m = 0;
    assert_non_null(placed);
    for (size_t i = 0; i < n; i++)
        if (events[i].type == DEMO_PLACED)
            placed[m++] = events[i].order;
    qsort(placed, m, sizeof *placed, compare_ids);
    memset(open, 0, DEMO_MARKETS * sizeof *open);
    for (size_t i = 0; i < n; i++) {
        const struct demo_event *e = &events[i];
        open[e->market] += e->type == DEMO_PLACED;
        if (e->type == DEMO_DELIVERED || e->type == DEMO_CANCELLED || e->type == DEMO_REJECTED)
            open[e->market] -= bsearch(&e->order, placed, m, sizeof *placed, compare_ids) != NULL;
    }
    free(placed);
}

static void truth_equals_a_plain_count(void **state)
{
    (void)state;
    char dir[64], path[80];
    folder_new("truth", dir, sizeof dir);
    snprintf(path, sizeof path, "%s/truth.jsonl", dir);
    struct err err = {0};
    struct demo_truth *truth;
    assert_true(demo_truth_open(path, 21, 1000, START_MS, &truth, &err));
    struct demo_model *model = model_at(21, 1000, 4 * HOUR_MS);
    size_t n = 0, cap = 1 << 20, refused = 0;
    struct demo_event *events = malloc(cap * sizeof *events);
    do {
        assert_true(n < cap);
        demo_model_next(model, &events[n]);
        demo_truth_count(truth, &events[n]);
        refused += events[n].defect != DEMO_SOUND;
        if (++n % 5000 == 0)
            assert_true(demo_truth_complete(truth, demo_model_complete_ms(model), &err));
    } while (events[n - 1].arrival_ms < START_MS + 150 * MINUTE_MS);
    assert_true(demo_truth_complete(truth, events[n - 1].arrival_ms, &err));
    assert_true(demo_truth_close(&truth, &err));

    struct truth_sums got = {0}, want = {0};
    read_truth(path, &got);
    assert_int_equal(got.complete, (START_MS + 150 * MINUTE_MS) / 1000);
    assert_int_equal(got.produced, n);
    assert_int_equal(got.refused, refused);
    assert_true(got.states > 1);
    sum_events(events, n, got.complete, &want);
    assert_true(want.orders > 10000 && want.ratings > 100);
    assert_true(got.orders == want.orders && got.placed == want.placed);
    assert_true(got.units == want.units && got.ratings == want.ratings);
    assert_true(got.payments == want.payments);
    assert_true(got.amount > want.amount - 0.01 && got.amount < want.amount + 0.01);
    n = keep_orders(events, n, got.complete);
    int open[DEMO_MARKETS];
    count_open(events, n, open);
    for (int i = 0; i < DEMO_MARKETS; i++)
        assert_true(got.open[i] == open[i] && got.open[i] > 0);
    free(events);
    demo_model_free(&model);
    unlink(path);
    rmdir(dir);
}

static void truth_needs_a_place(void **state)
{
    (void)state;
    struct err err = {0};
    struct demo_truth *truth = NULL;
    assert_false(demo_truth_open("/nonexistent/truth.jsonl", 1, 10, START_MS, &truth, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.text, "/nonexistent/truth.jsonl"));
}

static void rhythm_has_mean_one(void **state)
{
    (void)state;
    double least = 10, most = 0;
    for (int market = 0; market < DEMO_MARKETS; market++) {
        double sum = 0;
        for (int minute = 0; minute < 1440; minute++)
            sum += demo_rhythm(market, START_MS + minute * (int64_t)MINUTE_MS);
        assert_true(sum / 1440 > 0.999 && sum / 1440 < 1.001);
    }
    for (int minute = 0; minute < 1440; minute++) {
        double all = 0;
        for (int market = 0; market < DEMO_MARKETS; market++)
            all += demo_demand(market, START_MS + minute * (int64_t)MINUTE_MS);
        least = all < least ? all : least;
        most = all > most ? all : most;
    }
    assert_true(least > 0.5 && most < 1.4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_events),
        cmocka_unit_test(rate_is_kept),
        cmocka_unit_test(business_is_plausible),
        cmocka_unit_test(ratings_follow_lateness),
        cmocka_unit_test(complete_is_final),
        cmocka_unit_test(json_is_as_declared),
        cmocka_unit_test(time_is_written_with_offset),
        cmocka_unit_test(truth_equals_a_plain_count),
        cmocka_unit_test(truth_needs_a_place),
        cmocka_unit_test(rhythm_has_mean_one),
    };
    return cmocka_run_group_tests_name("demo_model", tests, NULL, NULL);
}
