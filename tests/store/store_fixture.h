/*
 * What tests of the whole store share: a folder of its own, and orders by market.
 */
#ifndef TESTS_STORE_STORE_FIXTURE_H
#define TESTS_STORE_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/read.h"
#include "store/store.h"
#include "tests/store/support/folder.h"

#define BLOCK 7200000

static struct metric_def orders = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6},
    .help = {"Orders.", 7}};

struct fixture {
    char dir[64];
    struct store *store;
    struct store_options options;
};

static inline void reopen(struct fixture *f)
{
    struct err err = {0};
    store_close(&f->store);
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_new("store", f->dir, sizeof f->dir);
    f->options.path = f->dir;
    reopen(f);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    folder_remove(f->dir);
    free(f);
    return 0;
}

static inline uint32_t series(struct txn *txn, struct metric_def *def, const char *market)
{
    uint32_t metric, id;
    struct err err = {0};
    struct label l[2] = {{SLICE("__name__"), def->name}, {SLICE("market"), slice_from(market)}};
    assert_true(txn_metric(txn, def, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

static inline uint64_t commit(struct txn *txn)
{
    struct err err = {0};
    uint64_t lsn;
    if (!txn_commit(&txn, &lsn, &err))
        fail_msg("%s", err.text);
    assert_null(txn);
    return lsn;
}

static inline uint64_t add(struct store *store, const char *market, int64_t end, int amount)
{
    struct txn *txn = txn_begin(store);
    txn_add(txn, series(txn, &orders, market), end, amount);
    return commit(txn);
}

#endif
