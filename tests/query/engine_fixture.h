/*
 * What tests of the engine share: a store in memory, short ways to put cells into it, and to ask.
 */
#ifndef TESTS_QUERY_ENGINE_FIXTURE_H
#define TESTS_QUERY_ENGINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "query/engine.h"

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
/* 2026-11-20T00:00:00Z */
#define MIDNIGHT INT64_C(1795132800000)

struct fixture {
    struct store *store;
    struct txn *txn;
    struct arena arena;
    struct engine_options options;
    struct err err;
    struct answer answer;
};

static inline void fixture_open(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    struct store_options options = {0};
    assert_true(store_open(&options, &f->store, &f->err));
    arena_init(&f->arena, 64u << 20);
    f->txn = txn_begin(f->store);
}

static inline void fixture_close(struct fixture *f)
{
    if (f->txn)
        txn_abort(&f->txn);
    store_close(&f->store);
    arena_fini(&f->arena);
}

/* What was put is visible; putting may go on. */
static inline void fixture_commit(struct fixture *f)
{
    if (!txn_commit(&f->txn, NULL, &f->err))
        fail_msg("%s", f->err.text);
    f->txn = txn_begin(f->store);
}

static inline struct metric_def fixture_def(const char *name, enum kind kind)
{
    struct metric_def def = {.name = slice_from(name), .kind = kind};
    if (kind == KIND_SAMPLE)
        return def;
    def.digits = 2;
    def.schema = kind == KIND_HISTOGRAM ? 3 : 0;
    def.every_ms = 5 * SECOND;
    def.stale_after_ms = HOUR;
    def.clock = SLICE("orders");
    return def;
}

/* The series name{job="job"}. */
static inline uint32_t fixture_series(
    struct fixture *f, const struct metric_def *def, const char *job)
{
    struct label items[] = {{SLICE(LABEL_METRIC_NAME), def->name}, {SLICE("job"), slice_from(job)}};
    uint32_t metric, series = 0;
    if (!txn_metric(f->txn, def, &metric, &f->err) ||
        !txn_series(f->txn, metric, (struct labels){items, 2}, &series, &f->err))
        fail_msg("%s", f->err.text);
    return series;
}

/* A range query from start to end; start == end and step 0: an instant query. */
static inline bool fixture_ask_range(
    struct fixture *f, const char *text, int64_t start, int64_t end, int64_t step)
{
    struct query query = {
        .text = slice_from(text), .start_ms = start, .end_ms = end, .step_ms = step};
    f->err = (struct err){0};
    return engine_query(f->store, &f->options, &query, &f->arena, &f->answer, &f->err);
}

static inline bool fixture_ask(struct fixture *f, const char *text, int64_t t)
{
    return fixture_ask_range(f, text, t, t, 0);
}

/* The value of an instant query that answers with one float. */
static inline double fixture_value(struct fixture *f, const char *text, int64_t t)
{
    if (!fixture_ask(f, text, t))
        fail_msg("%s: %s", text, f->err.text);
    const struct value *value = &f->answer.value;
    if (value->n != 1 || value->series[0].n != 1 || value->series[0].points[0].h)
        fail_msg("%s: %zu series", text, value->n);
    assert_int_equal(value->series[0].points[0].t_ms, t);
    return value->series[0].points[0].v;
}

static inline const struct hist *fixture_hist(struct fixture *f, const char *text, int64_t t)
{
    if (!fixture_ask(f, text, t))
        fail_msg("%s: %s", text, f->err.text);
    const struct value *value = &f->answer.value;
    if (value->n != 1 || value->series[0].n != 1 || !value->series[0].points[0].h)
        fail_msg("%s: %zu series", text, value->n);
    return value->series[0].points[0].h;
}

/* How many series an instant query answers with. */
static inline size_t fixture_count(struct fixture *f, const char *text, int64_t t)
{
    if (!fixture_ask(f, text, t))
        fail_msg("%s: %s", text, f->err.text);
    return f->answer.value.n;
}

/* The query fails with this code and with these words in its text. */
static inline void fixture_fails(
    struct fixture *f, const char *text, int64_t t, enum err_code code, const char *words)
{
    assert_false(fixture_ask(f, text, t));
    assert_int_equal(f->err.code, code);
    if (!strstr(f->err.text, words))
        fail_msg("%s: %s", text, f->err.text);
}

#endif
