/* What enters the store is checked once: a transaction with something that a replay, a seal or an
 * opening would refuse does not commit, and the store goes on. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/bounds.h"
#include "store/seal.h"
#include "store/store.h"
#include "tests/store/support/folder.h"

#define BUCKETS_MAX 65535
#define BOUNDS_MAX  32768
#define TEXT_MAX    65536
#define PAST        (INT64_C(1) << 61) /* every block is to be sealed */

struct fixture {
    char dir[64], copy[80];
    struct store *store;
};

static struct metric_def sample = {.name = SLICE("s"), .kind = KIND_SAMPLE};
static struct metric_def counter = {.name = SLICE("c"), .kind = KIND_COUNTER, .every_ms = 5000};
static struct metric_def window = {.name = SLICE("h"), .kind = KIND_HISTOGRAM, .every_ms = 5000};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct store_options options = {.path = f->dir};
    folder_new("entry", f->dir, sizeof f->dir);
    snprintf(f->copy, sizeof f->copy, "%s-crashed", f->dir);
    assert_true(store_open(&options, &f->store, NULL));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    folder_remove(f->dir);
    folder_remove(f->copy);
    free(f);
    return 0;
}

static uint32_t define(struct txn *txn, const struct metric_def *def)
{
    struct label l[] = {{SLICE("__name__"), def->name}};
    uint32_t metric, id = 0;
    struct err err = {0};
    if (!txn_metric(txn, def, &metric, &err) ||
        !txn_series(txn, metric, (struct labels){l, 1}, &id, &err))
        fail_msg("%s", err.text);
    return id;
}

static void seal_all(struct store *store)
{
    struct err err = {0};
    struct store_stats stats;
    if (!store_maintain(store, PAST, &err))
        fail_msg("%s", err.text);
    store_stats(store, &stats);
    assert_int_equal(stats.quarantined, 0);
}

static void reopen(struct fixture *f)
{
    struct store_options options = {.path = f->dir};
    struct err err = {0};
    store_close(&f->store);
    if (!store_open(&options, &f->store, &err))
        fail_msg("%s", err.text);
}

/* Commits something more. What a crash leaves is opened and sealed; then the store itself is
 * sealed, and opened again. */
static void still_works(struct fixture *f, int64_t t)
{
    struct store_options options = {.path = f->copy};
    struct store *crashed;
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    txn_add(txn, define(txn, &counter), t, 1);
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
    folder_copy(f->dir, f->copy);
    if (!store_open(&options, &crashed, &err))
        fail_msg("%s", err.text);
    seal_all(crashed);
    store_close(&crashed);
    seal_all(f->store);
    reopen(f);
}

/* The transaction holds something that cannot be kept: it says so, and does not commit. */
static void is_refused(struct txn *txn, const char *why)
{
    struct err err = {0};
    assert_false(txn_commit(&txn, NULL, &err));
    assert_int_equal(err.code, ERR_INVALID);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    txn_abort(&txn);
}

static void sample_is_refused(struct fixture *f, const struct hist *hist, const char *why)
{
    struct txn *txn = txn_begin(f->store);
    assert_false(txn_sample_histogram(txn, define(txn, &sample), 5000, hist));
    is_refused(txn, why);
}

static void window_is_refused(
    struct fixture *f, const struct hist_bucket *b, uint32_t n, const char *why)
{
    struct txn *txn = txn_begin(f->store);
    struct hist_cell cell = {1, n, b};
    assert_false(txn_histogram(txn, define(txn, &window), 5000, &cell));
    is_refused(txn, why);
}

static struct hist_fbucket *buckets_of(uint32_t n)
{
    struct hist_fbucket *b = xcalloc(n, sizeof *b);
    for (uint32_t i = 0; i < n; i++)
        b[i] = (struct hist_fbucket){(int32_t)i, 1};
    return b;
}

static void test_histograms(void **state)
{
    struct fixture *f = *state;
    struct hist_fbucket *many = buckets_of(BUCKETS_MAX + 1), falling[] = {{5, 1}, {5, 2}};
    double *bounds = xcalloc(BOUNDS_MAX + 1, sizeof *bounds);
    for (int i = 0; i <= BOUNDS_MAX; i++)
        bounds[i] = i;
    sample_is_refused(f, &(struct hist){.schema = 9}, "schema 9");
    sample_is_refused(f, &(struct hist){.schema = -5}, "schema -5");
    sample_is_refused(f, &(struct hist){.reset_hint = 7}, "reset hint 7");
    sample_is_refused(f, &(struct hist){.n_positive = 2, .positive = falling}, "ascend");
    sample_is_refused(f, &(struct hist){.n_negative = 2, .negative = falling}, "ascend");
    sample_is_refused(f, &(struct hist){.n_positive = BUCKETS_MAX + 1, .positive = many}, "65536");
    sample_is_refused(f,
        &(struct hist){
            .n_positive = BUCKETS_MAX, .positive = many, .n_negative = 1, .negative = many},
        "65536");
    sample_is_refused(f,
        &(struct hist){.schema = HIST_SCHEMA_CUSTOM, .n_bounds = BOUNDS_MAX + 1, .bounds = bounds},
        "32769");
    /* What is just allowed is kept, in the log and in a segment. */
    struct txn *txn = txn_begin(f->store);
    struct err err = {0};
    uint32_t id = define(txn, &sample);
    assert_true(txn_sample_histogram(
        txn, id, 5000, &(struct hist){.n_positive = BUCKETS_MAX, .positive = many}));
    assert_true(txn_sample_histogram(txn, id, 6000,
        &(struct hist){.schema = HIST_SCHEMA_CUSTOM, .n_bounds = BOUNDS_MAX, .bounds = bounds}));
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
    still_works(f, 5000);
    free(many);
    free(bounds);
}

/* As Prometheus has it: what its Validate refuses is no histogram. */
static void test_custom_bounds(void **state)
{
    struct fixture *f = *state;
    double bounds[] = {1, 2.5, 7}, equal[] = {1, 2, 2}, falling[] = {1, 3, 2}, nan[] = {1, NAN, 7};
    double infinite[] = {1, 2, INFINITY}, least[] = {-INFINITY, 1, 2};
    struct hist_fbucket all[] = {{0, 1}, {1, 1}, {2, 1}, {3, 1}}, below[] = {{-1, 1}, {0, 2}};
    struct hist_fbucket beyond[] = {{0, 1}, {4, 1}};
    const struct hist fine = {.schema = HIST_SCHEMA_CUSTOM,
        .n_bounds = 3,
        .bounds = bounds,
        .n_positive = 4,
        .positive = all,
        .count = 4};
    const double *const wrong[] = {equal, falling, nan, infinite, least};
    struct hist h;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        h = fine;
        h.bounds = wrong[i];
        sample_is_refused(f, &h, "bounds");
    }
    h = fine;
    h.n_positive = 2;
    h.positive = below;
    sample_is_refused(f, &h, "bucket -1");
    h.positive = beyond;
    sample_is_refused(f, &h, "bucket 4");
    h = fine;
    h.n_negative = 1;
    h.negative = all;
    sample_is_refused(f, &h, "negative");
    h = fine;
    h.zero_count = 1;
    sample_is_refused(f, &h, "zero");
    h = fine;
    h.zero_threshold = 0.001;
    sample_is_refused(f, &h, "zero");
    h = fine;
    h.schema = 3;
    sample_is_refused(f, &h, "schema 3");
    struct txn *txn = txn_begin(f->store);
    struct err err = {0};
    assert_true(txn_sample_histogram(txn, define(txn, &sample), 5000, &fine));
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
    still_works(f, 5000);
}

static void test_window_histograms(void **state)
{
    struct fixture *f = *state;
    int32_t end = HIST_INDEX_BOUND;
    window_is_refused(f, (struct hist_bucket[]){{end, 1}}, 1, "bucket");
    window_is_refused(f, (struct hist_bucket[]){{-end, 1}}, 1, "bucket");
    window_is_refused(f, (struct hist_bucket[]){{HIST_NEGATIVE(end), 1}}, 1, "bucket");
    window_is_refused(f, (struct hist_bucket[]){{HIST_ZERO + 1, 1}}, 1, "bucket");
    window_is_refused(f, (struct hist_bucket[]){{2, 1}, {2, 1}}, 2, "ascend");
    window_is_refused(f, (struct hist_bucket[]){{2, 0}}, 1, "counts nothing");
    /* All that there are, of many cells together, fit one chunk. */
    struct txn *txn = txn_begin(f->store);
    struct err err = {0};
    uint32_t id = define(txn, &window), n = 0;
    struct hist_bucket *all = xcalloc(BUCKETS_MAX, sizeof *all);
    for (int32_t i = end - 1; i > -end; i--)
        all[n++] = (struct hist_bucket){HIST_NEGATIVE(i), 1};
    all[n++] = (struct hist_bucket){HIST_ZERO, 1};
    for (int32_t i = 1 - end; i < end; i++)
        all[n++] = (struct hist_bucket){i, 1};
    assert_int_equal(n, BUCKETS_MAX);
    for (uint32_t i = 0; i < n; i += n / 4) {
        uint32_t part = n - i < n / 4 ? n - i : n / 4;
        assert_true(txn_histogram(txn, id, 5000, &(struct hist_cell){1, part, all + i}));
    }
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
    still_works(f, 5000);
    free(all);
}

static void metric_is_refused(struct fixture *f, const struct metric_def *def, const char *why)
{
    struct txn *txn = txn_begin(f->store);
    struct err err = {0};
    uint32_t metric;
    assert_false(txn_metric(txn, def, &metric, &err));
    assert_int_equal(err.code, ERR_INVALID);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    txn_abort(&txn);
}

static void test_metrics(void **state)
{
    struct fixture *f = *state;
    char *text = xmalloc(TEXT_MAX + 1);
    memset(text, 'x', TEXT_MAX + 1);
    struct slice longest = slice_of(text, TEXT_MAX), longer = slice_of(text, TEXT_MAX + 1);
    struct metric_def def = counter;
    def.digits = 19;
    metric_is_refused(f, &def, "digits");
    def = counter;
    def.every_ms = 0;
    metric_is_refused(f, &def, "every_ms");
    def = sample;
    def.every_ms = 5000;
    metric_is_refused(f, &def, "every_ms");
    def = window;
    def.schema = 9;
    metric_is_refused(f, &def, "schema");
    def = counter;
    def.name = SLICE("");
    metric_is_refused(f, &def, "name");
    def.name = longer;
    metric_is_refused(f, &def, "name");
    def = counter;
    def.help = longer;
    metric_is_refused(f, &def, "help");
    still_works(f, 5000); /* the metric is known now: its description cannot become so either */
    metric_is_refused(f, &def, "help");
    def.help = longest;
    def.unit = longer;
    metric_is_refused(f, &def, "unit");
    def.unit = def.clock = longest;
    counter = def;
    still_works(f, 10000);
    counter.help = counter.unit = counter.clock = SLICE("");
    free(text);
}

static void series_is_refused(
    struct fixture *f, const struct label *l, size_t n, enum err_code code, const char *why)
{
    struct txn *txn = txn_begin(f->store);
    struct err err = {0};
    uint32_t metric, id;
    assert_true(txn_metric(txn, &counter, &metric, &err));
    assert_false(txn_series(txn, metric, (struct labels){l, n}, &id, &err));
    assert_int_equal(err.code, code);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    txn_abort(&txn);
}

static void test_label_sets(void **state)
{
    struct fixture *f = *state;
    struct label name = {SLICE("__name__"), SLICE("c")};
    struct label l[3] = {{SLICE("__name__"), SLICE("other")}};
    series_is_refused(f, l, 1, ERR_INVALID, "__name__");
    series_is_refused(f, l, 0, ERR_INVALID, "__name__");
    l[0] = (struct label){SLICE("a"), SLICE("b")};
    series_is_refused(f, l, 1, ERR_INVALID, "__name__");
    l[1] = l[0] = name;
    series_is_refused(f, l, 2, ERR_INVALID, "order");
    l[1] = (struct label){SLICE("a"), SLICE("")};
    series_is_refused(f, l, 2, ERR_INVALID, "empty");
    l[1] = (struct label){SLICE(""), SLICE("a")};
    series_is_refused(f, l, 2, ERR_INVALID, "empty");
    struct label many[LABELS_MAX + 1] = {name};
    char names[LABELS_MAX + 1][16];
    for (int i = 1; i <= LABELS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "a%03d", i);
        many[i] = (struct label){slice_from(names[i]), SLICE("v")};
    }
    series_is_refused(f, many, LABELS_MAX + 1, ERR_LIMIT, "65 labels");
    still_works(f, 5000);
    /* Another metric's series is not this one's either, known as it is. */
    struct txn *txn = txn_begin(f->store);
    struct err err = {0};
    uint32_t metric, id;
    assert_true(txn_metric(txn, &sample, &metric, &err));
    assert_false(txn_series(txn, metric, (struct labels){&name, 1}, &id, &err));
    assert_int_equal(err.code, ERR_INVALID);
    txn_abort(&txn);
}

static void test_times(void **state)
{
    struct fixture *f = *state;
    static const int64_t bad[] = {
        INT64_MIN, INT64_MIN + 1, -TIME_BOUND_MS, TIME_BOUND_MS, INT64_MAX - 5000, INT64_MAX};
    struct hist_bucket bucket = {1, 1};
    struct gauge_cell gauge = {1, 1, 1, 1, 1, 1};
    struct metric_def level = {.name = SLICE("l"), .kind = KIND_GAUGE, .every_ms = 5000};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct txn *txn = txn_begin(f->store);
        assert_false(txn_sample(txn, define(txn, &sample), bad[i], 1));
        is_refused(txn, "time");
        txn = txn_begin(f->store);
        assert_false(
            txn_sample_histogram(txn, define(txn, &sample), bad[i], &(struct hist){.count = 0}));
        is_refused(txn, "time");
        txn = txn_begin(f->store);
        assert_false(txn_add(txn, define(txn, &counter), bad[i], 1));
        is_refused(txn, "time");
        txn = txn_begin(f->store);
        assert_false(txn_gauge(txn, define(txn, &level), bad[i], &gauge));
        is_refused(txn, "time");
        txn = txn_begin(f->store);
        assert_false(
            txn_histogram(txn, define(txn, &window), bad[i], &(struct hist_cell){1, 1, &bucket}));
        is_refused(txn, "time");
    }
    /* The first and the last that there are. */
    struct txn *txn = txn_begin(f->store);
    struct err err = {0};
    uint32_t id = define(txn, &sample);
    assert_true(txn_sample(txn, id, 1 - TIME_BOUND_MS, 1));
    assert_true(txn_sample(txn, id, TIME_BOUND_MS - 1, 2));
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
    still_works(f, 5000);
    if (!store_maintain(f->store, INT64_MAX, &err))
        fail_msg("%s", err.text);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_int_equal(stats.head_cells, 0);
}

static void test_sources(void **state)
{
    struct fixture *f = *state;
    struct txn *txn = txn_begin(f->store);
    struct err err = {0};
    static uint8_t state_bytes[SOURCE_STATE_MAX + 1];
    assert_true(txn_source(txn, SLICE("k/0"), 1, INT64_MIN, SLICE("")));
    assert_false(txn_source(txn, SLICE(""), 1, 5000, SLICE("")));
    is_refused(txn, "name");
    txn = txn_begin(f->store);
    assert_false(txn_source(txn, SLICE(SEAL_LSN), 1, 5000, SLICE("")));
    is_refused(txn, SEAL_LSN);
    txn = txn_begin(f->store);
    assert_false(txn_source(txn, SLICE("k/0"), 1, INT64_MAX, SLICE("")));
    is_refused(txn, "time");
    txn = txn_begin(f->store);
    assert_false(txn_source(
        txn, SLICE("k/0"), 1, 5000, slice_of((const char *)state_bytes, sizeof state_bytes)));
    is_refused(txn, "4097");
    char *name = xmalloc(70000);
    memset(name, 'x', 70000);
    txn = txn_begin(f->store);
    assert_false(txn_source(txn, slice_of(name, 70000), 1, 5000, SLICE("")));
    is_refused(txn, "name");
    txn = txn_begin(f->store);
    assert_false(txn_clock(txn, slice_of(name, 70000), 1, 1));
    is_refused(txn, "name");
    free(name);
    txn = txn_begin(f->store);
    assert_true(txn_source(txn, SLICE("k/0"), 1, 5000, SLICE("")));
    assert_true(txn_commit(&txn, NULL, &err));
    still_works(f, 5000);
}

/* Who can do without the cell takes the error, and the rest commits. */
static void test_the_rest_commits(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    uint32_t id = define(txn, &sample);
    assert_false(txn_refused(txn, &err));
    assert_true(txn_sample(txn, id, 1000, 1));
    assert_false(txn_sample(txn, id, INT64_MAX, 2));
    assert_false(txn_sample_histogram(txn, id, 3000, &(struct hist){.schema = 9}));
    assert_true(txn_refused(txn, &err));
    assert_non_null(strstr(err.text, "time")); /* the first */
    assert_false(txn_refused(txn, &err));
    assert_true(txn_commit(&txn, NULL, &err));
    store_stats(f->store, &stats);
    assert_int_equal(stats.cells, 1);
    still_works(f, 5000);
}

/* Label sets so large that the definitions at the head of a log file need several frames. */
static void test_long_label_sets(void **state)
{
    struct fixture *f = *state;
    struct label l[LABELS_MAX] = {{SLICE("__name__"), SLICE("c")}};
    char names[LABELS_MAX][16], number[16], *value = xmalloc(LABEL_VALUE_MAX);
    struct err err = {0};
    memset(value, 'x', LABEL_VALUE_MAX);
    for (int i = 1; i < LABELS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "a%03d", i);
        l[i] = (struct label){slice_from(names[i]), slice_of(value, LABEL_VALUE_MAX)};
    }
    for (int i = 0; i < 70;) {
        struct txn *txn = txn_begin(f->store);
        uint32_t metric, id;
        assert_true(txn_metric(txn, &counter, &metric, &err));
        for (int end = i + 14; i < end; i++) {
            snprintf(number, sizeof number, "%d", i);
            l[1].value = slice_from(number);
            assert_true(txn_series(txn, metric, (struct labels){l, LABELS_MAX}, &id, &err));
            txn_add(txn, id, 5000, 1);
        }
        if (!txn_commit(&txn, NULL, &err))
            fail_msg("%s", err.text);
    }
    free(value);
    still_works(f, 5000);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_int_equal(stats.series, 71);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_histograms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_custom_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_window_histograms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics, setup, teardown),
        cmocka_unit_test_setup_teardown(test_label_sets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sources, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_label_sets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_rest_commits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
