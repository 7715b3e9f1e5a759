/* Exemplars over a store in a folder: which one of many is kept, through batches, aborted
 * transactions and restarts; generations that go; how many there may be. */
#include "ingest/exemplars/exemplars.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/thread.h"
#include "ingest/exemplars/exemplar_reader.h"
#include "store/state/state.h"
#include "tests/ingest/orders_stream.h"
#include "tests/store/support/folder.h"

#define HOUR   INT64_C(3600000)
#define MINUTE INT64_C(60000)
#define NONE   INT64_MIN
#define EVENTS 3000

enum { ORDERS_TOTAL, ETA_ERROR, AMOUNT_LAST };

/* An event that counts in one rollup. */
struct case_event {
    int64_t time_ms, value;
    int rollup;
    char market[16];
    uint8_t trace, span; /* last bytes of the ids; sampled */
};

struct fixture {
    char path[FOLDER_MAX];
    struct orders orders;
    struct store *store;
    struct exemplars *exemplars;
    int64_t watermark_ms;
    uint64_t rng;
};

static struct err err;

static void must(bool ok)
{
    if (!ok)
        fail_msg("%s", err.text);
}

static uint64_t below(struct fixture *f, uint64_t n)
{
    f->rng = f->rng * 6364136223846793005u + 1442695040888963407u;
    return (f->rng >> 33) % n;
}

static void open_store(struct fixture *f)
{
    struct store_options options = {
        .path = f->path, .state_bytes = 64 << 10, .checkpoint_bytes = 1 << 20};
    must(store_open(&options, &f->store, &err));
    f->exemplars = exemplars_new(f->store, &f->orders.streams);
}

static void close_store(struct fixture *f)
{
    exemplars_free(&f->exemplars);
    store_close(&f->store);
}

static void begin(struct fixture *f)
{
    *f = (struct fixture){.watermark_ms = NONE, .rng = 3};
    folder_make("exemplars", f->path);
    orders_init(&f->orders, "orders");
    f->orders.stream.exemplars_ms = 24 * HOUR;
    open_store(f);
}

static void end(struct fixture *f)
{
    close_store(f);
    folder_remove(f->path);
    orders_fini(&f->orders);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    begin(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    end(*state);
    free(*state);
    return 0;
}

/* ---- events ---- */

static void add(struct fixture *f, const struct case_event *c)
{
    struct event event = {.contract = &f->orders.stream.contract, .time_ms = c->time_ms};
    event.v[F_MARKET] = (struct field_value){true, 0, slice_from(c->market)};
    event.v[F_TYPE] = (struct field_value){true, 0, SLICE("placed")};
    event.trace = (struct trace){.present = true, .flags = TRACE_SAMPLED};
    event.trace.trace_id[15] = c->trace;
    event.trace.parent_id[7] = c->span;
    assert_true(exemplars_want(&event));
    exemplars_add(f->exemplars, &f->orders.rollups[c->rollup], &event, c->value);
}

static bool write_batch(struct fixture *f, bool commits)
{
    struct txn *txn = txn_begin(f->store);
    must(exemplars_write(f->exemplars, txn, &f->watermark_ms, &err));
    if (commits)
        must(txn_commit(&txn, NULL, &err));
    else
        txn_abort(&txn);
    return commits;
}

static void commit(struct fixture *f)
{
    write_batch(f, true);
    exemplars_clear(f->exemplars);
}

static struct labels labels_of(int rollup, const char *market, struct label room[3])
{
    size_t n = 0;
    room[n++] = (struct label){SLICE("__name__"),
        rollup == ETA_ERROR ? SLICE("eta_error_seconds") : SLICE("orders_total")};
    room[n++] = (struct label){SLICE("market"), slice_from(market)};
    if (rollup == ORDERS_TOTAL)
        room[n++] = (struct label){SLICE("stage"), SLICE("placed")};
    return (struct labels){room, n};
}

/* The first one of the series in the range, which is to have one minute. */
static bool find(struct fixture *f, int rollup, const char *market, int64_t from_ms, int64_t to_ms,
    struct exemplar *out)
{
    struct label room[3];
    struct labels labels = labels_of(rollup, market, room);
    struct exemplar_reader *r = exemplar_reader_new(f->store, SLICE("orders"), from_ms, to_ms);
    bool found = false;
    for (size_t i = 0; i < exemplar_reader_minutes(r) && !found; i++)
        must(exemplar_reader_find(
            r, labels.items[0].value, exemplar_labels(labels), i, out, &found, &err));
    exemplar_reader_free(&r);
    return found;
}

/* All of some series and minutes, as text. */
static char *list(struct fixture *f, int64_t from_ms, int64_t to_ms)
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    struct exemplar_reader *r = exemplar_reader_new(f->store, SLICE("orders"), from_ms, to_ms);
    for (int series = 0; series < 40; series++) {
        struct label room[3];
        char market[16];
        snprintf(market, sizeof market, "m%d", series / 2);
        struct labels labels = labels_of(series % 2, market, room);
        for (size_t i = 0; i < exemplar_reader_minutes(r); i++) {
            struct exemplar e;
            bool found;
            must(exemplar_reader_find(
                r, labels.items[0].value, exemplar_labels(labels), i, &e, &found, &err));
            if (found)
                fprintf(out, "%d %" PRId64 " %" PRId64 " %d %d\n", series, e.time_ms, e.value,
                    e.trace_id[15], e.span_id[7]);
        }
    }
    exemplar_reader_free(&r);
    fclose(out);
    return text;
}

/* ---- tests ---- */

static void test_best_is_kept(void **state)
{
    struct fixture *f = *state;
    static const struct case_event events[] = {
        {5 * HOUR + 2000, 70, ETA_ERROR, "zrh", 9, 1},
        {5 * HOUR + 9000, 90, ETA_ERROR, "zrh", 8, 2}, /* greater */
        {5 * HOUR + 8000, 90, ETA_ERROR, "zrh", 7, 3}, /* as great, earlier */
        {5 * HOUR + 8000, 90, ETA_ERROR, "zrh", 6, 5}, /* and another trace */
        {5 * HOUR + 8000, 90, ETA_ERROR, "zrh", 6, 4}, /* this one */
        {5 * HOUR + 8000, -90, ETA_ERROR, "zrh", 1, 1},
    };
    struct exemplar e;
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        add(f, &events[i]);
        if (i % 2)
            commit(f);
    }
    assert_true(find(f, ETA_ERROR, "zrh", 5 * HOUR, 5 * HOUR + MINUTE - 1, &e));
    assert_int_equal(e.value, 90);
    assert_int_equal(e.time_ms, 5 * HOUR + 8000);
    assert_int_equal(e.trace_id[15], 6);
    assert_int_equal(e.span_id[7], 4);
    assert_false(find(f, ETA_ERROR, "zrh", 5 * HOUR, 5 * HOUR + 7999, &e));
    assert_false(find(f, ETA_ERROR, "ber", 5 * HOUR, 6 * HOUR, &e));
    assert_false(find(f, ORDERS_TOTAL, "zrh", 5 * HOUR, 6 * HOUR, &e));
}

static void test_gauges_have_none(void **state)
{
    struct fixture *f = *state;
    add(f, &(struct case_event){5 * HOUR, 1, AMOUNT_LAST, "zrh", 1, 1});
    assert_int_equal(exemplars_pending(f->exemplars), 0);
    struct event unsampled = {.trace = {.present = true, .flags = 0xfe}};
    assert_false(exemplars_want(&unsampled));
}

/* A transaction that ends in nothing leaves nothing; what is committed is there after a start. */
static void test_lives_and_dies_with_its_batch(void **state)
{
    struct fixture *f = *state;
    struct exemplar e;
    add(f, &(struct case_event){5 * HOUR, 1, ORDERS_TOTAL, "zrh", 1, 1});
    write_batch(f, false);
    assert_false(find(f, ORDERS_TOTAL, "zrh", 0, 9 * HOUR, &e));
    commit(f);
    assert_true(find(f, ORDERS_TOTAL, "zrh", 0, 9 * HOUR, &e));
    add(f, &(struct case_event){5 * HOUR, 7, ORDERS_TOTAL, "zrh", 2, 2});
    write_batch(f, false); /* and the process ends */
    close_store(f);
    open_store(f);
    assert_true(find(f, ORDERS_TOTAL, "zrh", 0, 9 * HOUR, &e));
    assert_int_equal(e.trace_id[15], 1);
}

static void make_event(struct fixture *f, struct case_event *c)
{
    *c = (struct case_event){.rollup = (int)below(f, 2),
        .time_ms = 5 * HOUR + (int64_t)below(f, 90) * MINUTE + (int64_t)below(f, 20) * 1000,
        .value = (int64_t)below(f, 5),
        .trace = (uint8_t)below(f, 200),
        .span = (uint8_t)below(f, 200)};
    snprintf(c->market, sizeof c->market, "m%d", (int)below(f, 20));
}

/* Takes the events in an order of its own, in batches of its own, with what may go wrong. */
static char *take_shuffled(const struct case_event *events, uint64_t seed)
{
    struct fixture f;
    struct case_event *mine = xcalloc(EVENTS, sizeof *mine);
    begin(&f);
    f.rng = seed;
    memcpy(mine, events, EVENTS * sizeof *mine);
    for (size_t i = 0; i < EVENTS; i++) {
        size_t k = i + below(&f, EVENTS - i);
        struct case_event c = mine[i];
        mine[i] = mine[k];
        mine[k] = c;
        add(&f, &mine[i]);
        if (below(&f, 1 + 100 * (seed % 4)))
            continue;
        if (below(&f, 4) == 0)
            write_batch(&f, false);
        commit(&f);
        must(below(&f, 8) || store_maintain(f.store, NONE, &err));
        if (below(&f, 10) == 0) {
            close_store(&f);
            open_store(&f);
        }
    }
    commit(&f);
    char *text = list(&f, 0, 24 * HOUR);
    end(&f);
    free(mine);
    return text;
}

static void test_order_does_not_matter(void **state)
{
    struct fixture *f = *state;
    struct case_event *events = xcalloc(EVENTS, sizeof *events);
    for (size_t i = 0; i < EVENTS; i++)
        make_event(f, &events[i]);
    char *first = take_shuffled(events, 4);
    assert_true(strlen(first) > 10000);
    for (uint64_t seed = 5; seed < 8; seed++) {
        char *other = take_shuffled(events, seed);
        assert_string_equal(first, other);
        free(other);
    }
    free(first);
    free(events);
}

static size_t generations(struct fixture *f)
{
    uint32_t table, bytes;
    if (!store_state_table(f->store, SLICE("exemplars/orders"), &table, &bytes, &err))
        return 0;
    return store_state_generations(f->store, table, NULL, 0);
}

static void test_old_ones_go(void **state)
{
    struct fixture *f = *state;
    struct exemplar e;
    for (int64_t hour = 5; hour < 9; hour++)
        add(f, &(struct case_event){hour * HOUR, 1, ORDERS_TOTAL, "zrh", 1, 1});
    commit(f);
    assert_int_equal(generations(f), 4);
    f->watermark_ms = 31 * HOUR - 1; /* hour 6 has ended a day before this, less a millisecond */
    commit(f);
    assert_int_equal(generations(f), 3);
    assert_false(find(f, ORDERS_TOTAL, "zrh", 5 * HOUR, 6 * HOUR - 1, &e));
    assert_true(find(f, ORDERS_TOTAL, "zrh", 6 * HOUR, 7 * HOUR - 1, &e));
    f->watermark_ms = 31 * HOUR;
    write_batch(f, false); /* it has not come so far */
    assert_int_equal(generations(f), 3);
    add(f, &(struct case_event){7 * HOUR - 1, 9, ORDERS_TOTAL, "zrh", 2, 2}); /* late */
    commit(f);
    assert_int_equal(generations(f), 2);
    close_store(f);
    f->orders.stream.exemplars_ms = 0;
    open_store(f);
    add(f, &(struct case_event){31 * HOUR, 1, ORDERS_TOTAL, "zrh", 1, 1});
    commit(f);
    assert_int_equal(generations(f), 0);
}

/* ---- beside the writer ---- */

struct beside {
    struct fixture *f;
    atomic_bool stop;
    _Atomic int64_t greatest;
};

/* The value of one minute only grows, and no exemplar is half of one and half of another. */
static void *read_on(void *arg)
{
    struct beside *b = arg;
    int64_t before = 0;
    while (!atomic_load(&b->stop)) {
        struct exemplar e;
        if (!find(b->f, ORDERS_TOTAL, "zrh", 5 * HOUR, 6 * HOUR - 1, &e))
            continue;
        if (e.value < before || e.trace_id[15] != e.value % 200 || e.span_id[7] != e.value % 200)
            atomic_store(&b->greatest, INT64_MIN);
        before = e.value;
        if (atomic_load(&b->greatest) >= 0)
            atomic_store(&b->greatest, e.value);
    }
    return NULL;
}

static void test_read_beside_the_writer(void **state)
{
    struct fixture *f = *state;
    struct beside b = {.f = f};
    pthread_t thread;
    thread_start(&thread, "reader", read_on, &b);
    for (int64_t i = 1; i <= 1500 || atomic_load(&b.greatest) == 0; i++) {
        struct case_event c = {5 * HOUR, i, ORDERS_TOTAL, "zrh", 0, 0};
        c.trace = c.span = (uint8_t)(i % 200);
        add(f, &c);
        for (int k = 0; k < 10; k++) {
            struct case_event other;
            make_event(f, &other);
            other.time_ms += 2 * HOUR;
            add(f, &other);
        }
        commit(f);
        must(i % 50 || store_maintain(f->store, NONE, &err));
    }
    atomic_store(&b.stop, true);
    thread_join(thread);
    assert_true(atomic_load(&b.greatest) > 0);
}

/* ---- how many there may be ---- */

static size_t keep_many(int first, int step, char **found)
{
    struct fixture f;
    size_t n = 0, len;
    FILE *out = open_memstream(found, &len);
    begin(&f);
    for (int i = 0, series = first; i < 5000; i++, series = (series + step) % 5000) {
        struct case_event c = {5 * HOUR, 1, ORDERS_TOTAL, "", 1, 1};
        snprintf(c.market, sizeof c.market, "m%d", series);
        add(&f, &c);
        if (i % 700 == 0)
            commit(&f);
    }
    commit(&f);
    for (int i = 0; i < 5000; i++) {
        struct exemplar e;
        char market[16];
        snprintf(market, sizeof market, "m%d", i);
        if (find(&f, ORDERS_TOTAL, market, 5 * HOUR, 5 * HOUR, &e)) {
            fprintf(out, "%d\n", i);
            n++;
        }
    }
    end(&f);
    fclose(out);
    return n;
}

static void test_places_of_a_minute(void **state)
{
    (void)state;
    char *one, *other;
    size_t n = keep_many(0, 1, &one);
    assert_true(n > EXEMPLAR_PLACES * 9 / 10 && n <= EXEMPLAR_PLACES);
    assert_int_equal(keep_many(17, 1999, &other), n);
    assert_string_equal(one, other);
    free(one);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_best_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gauges_have_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lives_and_dies_with_its_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_does_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_ones_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_beside_the_writer, setup, teardown),
        cmocka_unit_test(test_places_of_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
