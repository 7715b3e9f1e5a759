#include "tests/store/segment_fixture.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#include "base/double_bits.h"
#include "cmd/commands.h"

#define T0 INT64_C(1700000000000)

static const struct metric_def counter = {
    .name = {"orders_total", 12}, .kind = KIND_COUNTER, .digits = 2, .every_ms = 5000};
static const struct metric_def level = {
    .name = {"orders_open", 11}, .kind = KIND_LEVEL, .every_ms = 5000};
static const struct metric_def gauge = {
    .name = {"fridge_celsius", 14}, .kind = KIND_GAUGE, .digits = 1, .every_ms = 5000};
static const struct metric_def histogram = {.name = {"wait_seconds", 12},
    .kind = KIND_HISTOGRAM,
    .digits = 3,
    .schema = 5,
    .every_ms = 5000};
static const struct metric_def sample = {.name = {"up", 2}, .kind = KIND_SAMPLE};

struct made {
    struct fixture fixture;
    char path[PATH_BYTES];
    struct buf out;
    int code;
};

static void fill(struct fixture *f)
{
    struct columns *c = fixture_counter(f, &counter, "market=os\"lo\\", 3, T0 + 5, 5, 1);
    memcpy(c->amount, (int128[]){1250, -5, (int128)1 << 70}, 3 * sizeof *c->amount);
    fixture_counter(f, &level, "", 1, T0 + 5, 5, -7);
    c = fixture_add(f, &gauge, "fridge=f1", 1, 0);
    c->t[0] = T0 + 5;
    c->last_ms[0] = T0 + 4;
    c->last[0] = -35;
    c->min[0] = -41;
    c->max[0] = 0;
    c->sum[0] = -76;
    c->count[0] = 3;
    c = fixture_add(f, &histogram, "a=1", 1, 2);
    c->t[0] = T0 + 5;
    c->sum[0] = 1500;
    c->bucket_at[1] = 2;
    c->bucket[0] = (struct hist_bucket){HIST_ZERO, 1};
    c->bucket[1] = (struct hist_bucket){9, 2};
    c = fixture_add(f, &sample, "a=1", 2, 0);
    c->t[0] = T0 + 1;
    c->t[1] = T0 + 2;
    c->bits[0] = 0x3ff8000000000000;
    c->bits[1] = STALE_BITS;
    f->sources[0] = (struct segment_source){SLICE("orders/0"), 99};
    f->n_sources = 1;
}

static int setup(void **state)
{
    struct made *m = xcalloc(1, sizeof *m);
    struct segment_info info;
    fixture_init(&m->fixture, T0, T0 + 7200000);
    fill(&m->fixture);
    ensure(fixture_write(&m->fixture, &info, NULL));
    fixture_path(&m->fixture, &info, m->path);
    buf_init(&m->out, 0);
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    struct made *m = *state;
    fixture_fini(&m->fixture);
    buf_fini(&m->out);
    free(m);
    return 0;
}

/* Runs the command with standard output and error going to m->out. */
static int run(struct made *m, const char *verb, const char *a, const char *b)
{
    char path[PATH_BYTES], name[] = "segment";
    char *argv[] = {name, xstrdup(verb), a ? xstrdup(a) : NULL, b ? xstrdup(b) : NULL, NULL};
    ensure(path_join(path, m->fixture.dir, "out", NULL));
    fflush(stdout);
    fflush(stderr);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    int out = dup(1), error = dup(2);
    ensure(fd >= 0 && dup2(fd, 1) == 1 && dup2(fd, 2) == 2);
    int code = cmd_segment(2 + (a != NULL) + (b != NULL), argv);
    fflush(stdout);
    fflush(stderr);
    ensure(dup2(out, 1) == 1 && dup2(error, 2) == 2);
    close(fd);
    close(out);
    close(error);
    for (int i = 1; i < 4; i++)
        free(argv[i]);
    buf_clear(&m->out);
    ensure(file_read(path, 1u << 20, &m->out, NULL));
    return code;
}

static void dumps_every_cell(void **state)
{
    struct made *m = *state;
    assert_int_equal(run(m, "dump", m->path, NULL), EXIT_FINE);
    assert_string_equal(buf_cstr(&m->out),
        "fridge_celsius{fridge=\"f1\"} 1700000000005 last=-3.5 last_ms=1700000000004 min=-4.1 "
        "max=0.0 sum=-7.6 count=3\n"
        "orders_open{} 1700000000005 -7\n"
        "orders_total{market=\"os\\\"lo\\\\\"} 1700000000005 12.50\n"
        "orders_total{market=\"os\\\"lo\\\\\"} 1700000000010 -0.05\n"
        "orders_total{market=\"os\\\"lo\\\\\"} 1700000000015 11805916207174113034.24\n"
        "up{a=\"1\"} 1700000000001 1.5\n"
        "up{a=\"1\"} 1700000000002 NaN(0x7ff0000000000002)\n"
        "wait_seconds{a=\"1\"} 1700000000005 sum=1.500 count=3 [-16777216:1 9:2]\n");
}

static void tells_what_is_in_it(void **state)
{
    struct made *m = *state;
    assert_int_equal(run(m, "stat", m->path, NULL), EXIT_FINE);
    assert_non_null(strstr(buf_cstr(&m->out), "series      5\n"));
    assert_non_null(strstr(buf_cstr(&m->out), "99  orders/0\n"));
    assert_int_equal(run(m, "stat", m->path, "--json"), EXIT_FINE);
    assert_int_equal(run(m, "stat", "--json", m->path), EXIT_FINE);
    json_t *json = json_loadb(m->out.ptr, m->out.len, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "cells")), 8);
    assert_int_equal(json_integer_value(json_object_get(json, "t0")), T0);
    json_t *metric = json_array_get(json_object_get(json, "metrics"), 2);
    assert_string_equal(json_string_value(json_object_get(metric, "metric")), "orders_total");
    assert_int_equal(json_integer_value(json_object_get(metric, "cells")), 3);
    json_t *labels = json_object_get(json, "labels");
    assert_int_equal(json_integer_value(json_object_get(labels, "__name__")), 5);
    json_t *sources = json_object_get(json, "sources");
    assert_int_equal(json_integer_value(json_object_get(sources, "orders/0")), 99);
    json_decref(json);
}

static void verifies(void **state)
{
    struct made *m = *state;
    assert_int_equal(run(m, "verify", m->path, NULL), EXIT_FINE);
    assert_non_null(strstr(buf_cstr(&m->out), "5 series, 8 cells, whole"));
    int fd = open(m->path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 100), 1);
    close(fd);
    assert_int_equal(run(m, "verify", m->path, NULL), EXIT_FOUND);
    assert_non_null(strstr(buf_cstr(&m->out), "checksum does not match"));
    assert_non_null(strstr(buf_cstr(&m->out), m->path));
    assert_int_equal(run(m, "verify", m->path, "/nonexistent"), EXIT_USAGE);
    assert_int_equal(run(m, "dump", m->path, NULL), EXIT_FOUND);
    assert_non_null(strstr(buf_cstr(&m->out), "checksum does not match"));
}

static void misuse(void **state)
{
    struct made *m = *state;
    assert_int_equal(run(m, "", NULL, NULL), EXIT_USAGE);
    assert_int_equal(run(m, "stat", NULL, NULL), EXIT_USAGE);
    assert_int_equal(run(m, "dump", m->path, m->path), EXIT_USAGE);
    assert_int_equal(run(m, "dump", "--json", m->path), EXIT_USAGE);
    assert_int_equal(run(m, "verify", NULL, NULL), EXIT_USAGE);
    char fifo[PATH_BYTES];
    ensure(path_join(fifo, m->fixture.dir, "fifo", NULL) && mkfifo(fifo, 0600) == 0);
    assert_int_equal(run(m, "stat", fifo, NULL), EXIT_FOUND);
    assert_int_equal(run(m, "paint", m->path, NULL), EXIT_USAGE);
    assert_int_equal(run(m, "stat", "/nonexistent", NULL), EXIT_USAGE);
    assert_int_equal(run(m, "--help", NULL, NULL), EXIT_FINE);
    assert_non_null(strstr(buf_cstr(&m->out), "usage: larder segment"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dumps_every_cell),
        TEST(tells_what_is_in_it),
        TEST(verifies),
        TEST(misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
