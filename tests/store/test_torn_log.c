/* The last transaction of a log whose store did not stop cleanly is torn when it is damaged, unless
 * its cells are in a segment already, or a state table has written what it changed: then it was
 * acknowledged for sure, and the start says so. */
#include "store/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/ensure.h"
#include "base/log.h"
#include "store/files.h"
#include "store/state/state.h"
#include "tests/store/support/folder.h"

#define EVERY 5000

static const struct metric_def counter = {
    .name = {"m_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY};

static void commit(struct store *store, int64_t next)
{
    struct err err = {0};
    struct txn *txn = txn_begin(store);
    struct label l = {SLICE("__name__"), counter.name};
    uint32_t metric, id;
    assert_true(txn_metric(txn, &counter, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){&l, 1}, &id, &err));
    txn_add(txn, id, next * EVERY, 1);
    txn_source(txn, SLICE("orders/0"), next, next * EVERY, SLICE(""));
    assert_true(txn_commit(&txn, NULL, &err));
}

/* The last byte of the log that is not 0 belongs to the last frame. */
static void damage_the_end(void *ctx, const char *path)
{
    struct buf content;
    (void)ctx;
    if (!strstr(path, ".wal"))
        return;
    buf_init(&content, 0);
    ensure(file_read(path, 1u << 30, &content, NULL));
    size_t at = content.len;
    while (at > 0 && content.ptr[at - 1] == 0)
        at--;
    ensure(at > 0);
    uint8_t byte = (uint8_t)(content.ptr[at - 1] ^ 1);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ensure(fd >= 0 && pwrite(fd, &byte, 1, (off_t)at - 1) == 1);
    close(fd);
    buf_fini(&content);
}

static void after_a_crash(bool sealed)
{
    char folder[FOLDER_MAX], path[FOLDER_MAX], copy[FOLDER_MAX];
    struct store *store;
    struct err err = {0};
    folder_make("torn", folder);
    snprintf(path, sizeof path, "%.400s/store", folder);
    snprintf(copy, sizeof copy, "%.400s/copy", folder);
    struct store_options options = {.path = path};
    assert_true(store_open(&options, &store, &err));
    for (int64_t i = 1; i <= 10; i++)
        commit(store, i);
    assert_true(store_maintain(store, sealed ? 8 * 3600000 : 0, &err));
    folder_copy(path, copy);
    store_close(&store);
    folder_each(copy, damage_the_end, NULL);
    options.path = copy;
    bool opens = store_open(&options, &store, &err);
    assert_int_equal(opens, !sealed);
    if (opens) {
        struct source_state *source = calloc(1, sizeof *source);
        struct store_stats stats;
        store_stats(store, &stats);
        assert_int_equal(stats.torn_frames, 1);
        assert_int_equal(stats.lsn, 9);
        assert_true(store_source(store, SLICE("orders/0"), source));
        assert_int_equal(source->next, 9);
        free(source);
        store_close(&store);
    } else {
        assert_int_equal(err.code, ERR_CORRUPT);
        assert_non_null(strstr(err.text, "/wal ends at lsn 9, and segments hold cells of lsn 10"));
    }
    folder_remove(folder);
}

static struct hash128 key_of(uint64_t k)
{
    return (struct hash128){.lo = k * 0x9e3779b97f4a7c15u, .hi = k * 0xc2b2ae3d27d4eb4fu};
}

/* The last transaction drops a generation, or changes one that is then flushed. */
static void after_a_change_of_state(bool dropped)
{
    char folder[FOLDER_MAX], path[FOLDER_MAX], copy[FOLDER_MAX];
    struct store *store;
    struct err err = {0};
    uint32_t table;
    folder_make("torn", folder);
    snprintf(path, sizeof path, "%.400s/store", folder);
    snprintf(copy, sizeof copy, "%.400s/copy", folder);
    struct store_options options = {.path = path, .state_bytes = 1};
    assert_true(store_open(&options, &store, &err));
    for (int i = 1; i <= 2; i++) {
        struct txn *txn = txn_begin(store);
        assert_true(txn_state_table(txn, SLICE("ids"), 0, &table, &err));
        if (dropped && i == 2)
            txn_state_drop(txn, table, 1);
        else
            txn_state_put(txn, table, 1, key_of((uint64_t)i), NULL);
        txn_source(txn, SLICE("orders/0"), i, i * EVERY, SLICE(""));
        assert_true(txn_commit(&txn, NULL, &err));
        if (!store_maintain(store, 0, &err))
            fail_msg("%s", err.text);
    }
    folder_copy(path, copy);
    store_close(&store);
    folder_each(copy, damage_the_end, NULL);
    options.path = copy;
    assert_false(store_open(&options, &store, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(
        strstr(err.text, "/wal ends at lsn 1, and the manifest has what came of lsn 2"));
    folder_remove(folder);
}

static void nor_when_a_generation_was_dropped(void **state)
{
    (void)state;
    after_a_change_of_state(true);
}

static void nor_when_a_generation_was_flushed(void **state)
{
    (void)state;
    after_a_change_of_state(false);
}

static void the_last_transaction_is_torn(void **state)
{
    (void)state;
    after_a_crash(false);
}

static void but_not_when_its_cells_are_sealed(void **state)
{
    (void)state;
    after_a_crash(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_transaction_is_torn),
        cmocka_unit_test(but_not_when_its_cells_are_sealed),
        cmocka_unit_test(nor_when_a_generation_was_dropped),
        cmocka_unit_test(nor_when_a_generation_was_flushed),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests_name("torn_log", tests, NULL, NULL);
}
