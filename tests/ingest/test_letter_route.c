/* One stream's way into its dead-letter topic: places, what was found, and how far positions move,
 * over a store in a folder. */
#include "ingest/letters/letter_route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/store/support/folder.h"

struct fixture {
    char path[64];
    struct store *store;
    struct outbox *outbox;
    struct letter_route *route;
};

static void open_at(struct fixture *f)
{
    struct store_options options = {.path = f->path};
    struct err err;
    if (!store_open(&options, &f->store, &err))
        fail_msg("%s", err.text);
    f->outbox = outbox_new(f->store, SLICE("orders"), 0);
    f->route = letter_route_new(f->store, SLICE("orders"), "dlq", f->outbox);
}

static void close_all(struct fixture *f)
{
    letter_route_free(&f->route);
    outbox_free(&f->outbox);
    store_close(&f->store);
}

static void reopen(struct fixture *f)
{
    close_all(f);
    open_at(f);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_new("route", f->path, sizeof f->path);
    open_at(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close_all(f);
    folder_remove(f->path);
    free(f);
    return 0;
}

/* ---- places ---- */

static void test_places(void **state)
{
    static const char *const wrong[] = {"", "/", "orders", "orders/1", "orders/1/", "/1/2",
        "orders//2", "orders/1/-2", "orders/x/2", "orders/1/2x", "orders/2147483648/1",
        "orders/1/9223372036854775808", "orders/1/99999999999999999999999"};
    struct letter_place p;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(letter_place_parse(slice_from(wrong[i]), &p));
    assert_true(letter_place_parse(SLICE("eu.orders/2147483647/9223372036854775807"), &p));
    assert_true(slice_is(p.partition, "eu.orders/2147483647"));
    assert_int_equal(p.number, INT32_MAX);
    assert_true(p.offset == INT64_MAX);
}

/* ---- positions ---- */

static void commit(struct txn *txn)
{
    struct err err;
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

static int64_t position(struct fixture *f, int partition)
{
    char name[64];
    struct source_state state;
    snprintf(name, sizeof name, "dead-letters/orders/dlq/%d", partition);
    return store_source(f->store, slice_from(name), &state) ? state.next : -1;
}

/* Of a topic of two partitions; -1, -1: nothing was read. Finds letters of the record at place. */
static void read_end(
    struct fixture *f, int64_t end0, int64_t end1, const int64_t expected[2], const char *place)
{
    int64_t ends[2] = {end0, end1}, begins[2] = {end0, end1};
    letter_route_open(f->route, 2, ends, begins);
    assert_true(begins[0] == expected[0] && begins[1] == expected[1]);
    if (place)
        letter_route_found(f->route, 0, begins[0], slice_from(place));
    struct txn *txn = txn_begin(f->store);
    letter_route_opened(f->route, txn);
    commit(txn);
    letter_route_written(f->route);
}

static void write_all(struct fixture *f)
{
    struct txn *txn = txn_begin(f->store);
    letter_route_write(f->route, txn);
    commit(txn);
    letter_route_written(f->route);
}

static void test_first_time(void **state)
{
    struct fixture *f = *state;
    read_end(f, 1000, 7, (int64_t[]){1000, 7}, NULL);
    assert_true(position(f, 0) == 1000 && position(f, 1) == 7);
    letter_route_sent(f->route, 1, 9);
    assert_int_equal(position(f, 1), 7);
    write_all(f);
    assert_true(position(f, 0) == 1000 && position(f, 1) == 9);
    letter_route_sent(f->route, 3, 2); /* the topic has grown */
    write_all(f);
    assert_int_equal(position(f, 3), 2);
    reopen(f);
    read_end(f, 1500, 9, (int64_t[]){1000, 9}, NULL);
}

/* A topic that was made anew, or cut, and a partition that came later. */
static void test_other_ends(void **state)
{
    struct fixture *f = *state;
    read_end(f, 1000, 7, (int64_t[]){1000, 7}, NULL);
    reopen(f);
    read_end(f, 20, 8, (int64_t[]){0, 7}, NULL);
    assert_int_equal(position(f, 0), 0);
    struct txn *txn = txn_begin(f->store);
    txn_source(txn, SLICE("dead-letters/clicks/dlq/0"), 5, INT64_MIN, SLICE(""));
    commit(txn);
    int64_t ends[3] = {30, 8, 40}, begins[3] = {30, 8, 40};
    letter_route_open(f->route, 3, ends, begins);
    assert_true(begins[0] == 0 && begins[1] == 7 && begins[2] == 0);
}

static void put_letter(struct fixture *f, int64_t offset)
{
    struct letter letter = {
        .reason = REFUSED_TYPE, .partition = SLICE("orders/3"), .offset = offset};
    struct err err;
    assert_true(outbox_add(f->outbox, &letter));
    struct txn *txn = txn_begin(f->store);
    assert_true(outbox_write(f->outbox, txn, &err));
    txn_source(txn, SLICE("orders/3"), offset + 1, INT64_MIN, SLICE(""));
    commit(txn);
    outbox_clear(f->outbox);
}

static bool is_found(struct fixture *f, int64_t offset)
{
    struct letter letter = {.partition = SLICE("orders/3"), .offset = offset};
    return letter_route_has(f->route, &letter);
}

static void note_all(struct fixture *f)
{
    struct err err;
    uint64_t tail = outbox_tail(f->outbox);
    struct txn *txn = txn_begin(f->store);
    assert_true(outbox_write_sent(f->outbox, txn, tail, 1, &err));
    commit(txn);
    outbox_sent(f->outbox, tail, 1);
    letter_route_noted(f->route, 1);
}

/* What was found holds the position until its record was read, and its letter has gone. */
static void test_found(void **state)
{
    struct fixture *f = *state;
    read_end(f, 10, 10, (int64_t[]){10, 10}, NULL);
    letter_route_sent(f->route, 0, 12);
    reopen(f);
    read_end(f, 12, 10, (int64_t[]){10, 10}, "orders/3/100");
    assert_true(is_found(f, 100) && !is_found(f, 99));
    letter_route_sent(f->route, 0, 20);
    write_all(f);
    assert_int_equal(position(f, 0), 10);
    assert_false(letter_route_settle(f->route)); /* nothing of its partition was read yet */
    put_letter(f, 99);
    note_all(f);
    assert_false(letter_route_settle(f->route)); /* the record before it was */
    put_letter(f, 100);
    assert_false(letter_route_settle(f->route)); /* it is in the outbox */
    put_letter(f, 101);
    write_all(f);
    assert_int_equal(position(f, 0), 10);
    assert_true(is_found(f, 100));
    note_all(f);
    assert_true(letter_route_settle(f->route));
    assert_false(letter_route_settle(f->route));
    assert_false(is_found(f, 100));
    write_all(f);
    assert_int_equal(position(f, 0), 20);
}

/* Letters that were found before the stream's own part of the end are noted. */
static void test_found_before(void **state)
{
    struct fixture *f = *state;
    int64_t ends[1] = {50}, begins[1] = {3};
    letter_route_open(f->route, 1, ends, begins);
    assert_int_equal(begins[0], 3);
    letter_route_found(f->route, 0, 49, SLICE("orders/3/1"));
    letter_route_found(f->route, 1, 60, SLICE("orders/3/2"));
    letter_route_found(f->route, 0, 50, SLICE("orders/3/3"));
    assert_true(!is_found(f, 1) && !is_found(f, 2) && is_found(f, 3));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_places),
        TEST(test_first_time),
        TEST(test_other_ends),
        TEST(test_found),
        TEST(test_found_before),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
