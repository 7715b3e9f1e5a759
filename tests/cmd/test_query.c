/*
 * `larder query` against a server in this process: what it prints where, and its exit codes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/server.h"
#include "base/mem.h"
#include "cmd/answer_table.h"
#include "cmd/commands.h"

struct fixture {
    struct store *store;
    struct server *server;
    char url[64];
    char out[65536], err[65536]; /* of the last run */
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct err err = {0};
    struct store_options store = {0};
    assert_true(store_open(&store, &f->store, &err));
    struct server_options server = {.address = "127.0.0.1", .store = f->store};
    assert_true(server_start(&server, &f->server, &err));
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d", server_port(f->server));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    server_stop(&f->server);
    store_close(&f->store);
    free(f);
    return 0;
}

/* Sends a standard stream to a file without a name; returns what it was. */
static int redirect(int fd, FILE *to)
{
    int saved = dup(fd);
    assert_true(saved >= 0 && dup2(fileno(to), fd) == fd);
    return saved;
}

static void restore(int fd, int saved, FILE *from, char *text, size_t size)
{
    assert_int_equal(dup2(saved, fd), fd);
    close(saved);
    rewind(from);
    text[fread(text, 1, size - 1, from)] = 0;
    fclose(from);
}

/* Runs the command with these arguments, ended by NULL; returns its exit code. */
static int run(struct fixture *f, ...)
{
    char *argv[32] = {(char[]){"query"}};
    int argc = 1;
    va_list ap;
    va_start(ap, f);
    for (char *arg; (arg = va_arg(ap, char *)) && argc < 31;)
        argv[argc++] = arg;
    va_end(ap);
    FILE *out = tmpfile(), *err = tmpfile();
    assert_non_null(out);
    assert_non_null(err);
    fflush(NULL);
    int saved_out = redirect(1, out), saved_err = redirect(2, err);
    optind = 0; /* glibc: start anew */
    int code = cmd_query(argc, argv);
    fflush(NULL);
    restore(1, saved_out, out, f->out, sizeof f->out);
    restore(2, saved_err, err, f->err, sizeof f->err);
    return code;
}

#define RUN(...) run(f, "--server", f->url, __VA_ARGS__, NULL)

static void test_instant(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(RUN("1+1"), EXIT_FINE);
    assert_string_equal(f->out, "2\n");
    assert_string_equal(f->err, "");
    assert_int_equal(RUN("'a\tb'"), EXIT_FINE);
    assert_string_equal(f->out, "a?b\n");
    assert_int_equal(RUN("x{a=~\"\xe2\x80\xae)\"}"), EXIT_FOUND);
    assert_non_null(strstr(f->err, "unexpected ): ?): `?)`\n"));
    assert_int_equal(
        RUN("label_replace(vector(40.25), \"market\", \"z\xc3\xbcrich\", \"\", \"\") or "
            "label_replace(vector(3), \"stage\", \"a\", \"\", \"\")"),
        EXIT_FINE);
    assert_string_equal(f->out, "market  stage  VALUE\n"
                                "z\xc3\xbcrich         40.25\n"
                                "        a          3\n");
    assert_int_equal(RUN("nothing"), EXIT_FINE);
    assert_string_equal(f->out, "");
}

static void test_range(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        RUN("time()", "--start", "60", "--end", "1970-01-01T00:03:00Z", "--step", "1m"), EXIT_FINE);
    assert_string_equal(f->out, "TIME                  VALUE\n"
                                "1970-01-01T00:01:00Z     60\n"
                                "1970-01-01T00:02:00Z    120\n"
                                "1970-01-01T00:03:00Z    180\n");
    assert_int_equal(RUN("time()", "--time", "180", "--range", "2m", "--step", "120"), EXIT_FINE);
    assert_non_null(strstr(f->out, "00:01:00Z     60\n1970-01-01T00:03:00Z    180\n"));
    /* Without a step there are about as many points as a screen has lines. */
    assert_int_equal(RUN("1", "--time", "36000", "--range", "10h"), EXIT_FINE);
    size_t lines = 0;
    for (const char *p = f->out; *p; p++)
        lines += *p == '\n';
    assert_in_range(lines, 30, 80);
}

static void test_formats(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(RUN("--json", "1", "--time", "5"), EXIT_FINE);
    assert_string_equal(f->out,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[5,\"1\"]}}\n");
    assert_int_equal(RUN("--format", "csv", "--time", "5.25",
                         "label_replace(vector(1), \"a\", \"x,\\\"y\", \"\", \"\")"),
        EXIT_FINE);
    assert_string_equal(f->out, "a,time,value\r\n\"x,\"\"y\",5.25,1\r\n");
    assert_int_equal(RUN("--format", "csv", "--time", "5", "1"), EXIT_FINE);
    assert_string_equal(f->out, "time,value\r\n5,1\r\n");
    assert_int_equal(RUN("--format", "xml", "1"), EXIT_USAGE);
}

static void test_notes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(RUN("quantile(2, vector(1))"), EXIT_FINE);
    assert_non_null(strstr(f->err, "warning: "));
    assert_non_null(strstr(f->out, "+Inf"));
}

static void test_exit_codes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(RUN("sum("), EXIT_FOUND);
    assert_non_null(
        strstr(f->err, "larder query: invalid parameter \"query\": 1:5: parse error: "));
    assert_string_equal(f->out, "");
    assert_int_equal(run(f, NULL), EXIT_USAGE);
    assert_int_equal(RUN("1", "2"), EXIT_USAGE);
    assert_int_equal(RUN("--nonsense", "1"), EXIT_USAGE);
    assert_int_equal(RUN("1", "--step", "5"), EXIT_USAGE);
    assert_int_equal(RUN("1", "--range", "1h", "--start", "5"), EXIT_USAGE);
    assert_int_equal(RUN("1", "--start", "5", "--end", "4"), EXIT_USAGE);
    assert_int_equal(RUN("1", "--end", "4"), EXIT_USAGE);
    assert_int_equal(RUN("1", "--time", "yesterday"), EXIT_USAGE);
    assert_non_null(strstr(f->err, "--time: cannot parse \"yesterday\""));
    assert_int_equal(RUN("1", "--range", "0"), EXIT_USAGE);
    assert_int_equal(RUN("--help"), EXIT_FINE);
    assert_non_null(strstr(f->out, "usage: larder query"));
    /* Nobody listens on port 1, and a file is no server. */
    assert_int_equal(run(f, "--server", "http://127.0.0.1:1", "1", NULL), EXIT_USAGE);
    assert_non_null(strstr(f->err, "cannot ask http://127.0.0.1:1: "));
    assert_int_equal(run(f, "--server", "file:///etc/passwd", "1", NULL), EXIT_USAGE);
    assert_non_null(strstr(f->err, "is no URL of a server"));
    /* A server, but not one of ours: the path is none of its. */
    char other[80];
    snprintf(other, sizeof other, "%s/metrics/", f->url);
    assert_int_equal(run(f, "--server", other, "1", NULL), EXIT_USAGE);
    assert_non_null(strstr(f->err, "status 404"));
}

static int ask_one(struct fixture *f)
{
    char *argv[] = {(char[]){"query"}, (char[]){"--server"}, f->url, (char[]){"1"}, NULL};
    optind = 0;
    return cmd_query(4, argv);
}

/* The reader of a pipe may leave early; a full disk is another thing. */
static void test_output_ends(void **state)
{
    struct fixture *f = *state;
    int ends[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC), saved = dup(1), saved_err = dup(2);
    FILE *err = tmpfile();
    assert_int_equal(pipe(ends), 0);
    assert_true(full >= 0 && saved >= 0 && saved_err >= 0 && err);
    signal(SIGPIPE, SIG_IGN); /* as main does */
    fflush(NULL);
    close(ends[0]);
    dup2(fileno(err), 2);
    dup2(ends[1], 1);
    int piped = ask_one(f);
    dup2(full, 1);
    int refused = ask_one(f);
    fflush(NULL);
    dup2(saved, 1);
    restore(2, saved_err, err, f->err, sizeof f->err);
    close(saved);
    close(ends[1]);
    close(full);
    assert_int_equal(piped, EXIT_FINE);
    assert_int_equal(refused, EXIT_USAGE);
    assert_string_equal(f->err, "larder query: cannot write the answer: No space left on device\n");
}

/* Answers that no server of ours gives: refused with a text, never half printed. */
static void test_foreign_answers(void **state)
{
    static const char *const bad[] = {"{}", "{\"resultType\":\"vector\"}",
        "{\"resultType\":\"scalar\",\"result\":[1]}",
        "{\"resultType\":\"vector\",\"result\":[{\"value\":[1,\"2\"]}]}",
        "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1]}]}",
        "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[\"1\",\"2\"]}]}",
        "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[1,2]]}]}",
        "{\"resultType\":\"matrix\",\"result\":[5]}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf out;
        struct err err = {0};
        json_t *data = json_loads(bad[i], 0, NULL);
        buf_init(&out, 0);
        assert_non_null(data);
        if (answer_table(data, false, &out, &err))
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(err.code, ERR_INVALID);
        assert_int_equal(out.len, 0);
        buf_fini(&out);
        json_decref(data);
    }
}

static void test_histogram_cells(void **state)
{
    (void)state;
    struct buf out;
    struct err err = {0};
    json_t *data =
        json_loads("{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\":\"h\","
                   "\"a\":\"\\u001b[31m\\u009b\\u202e\"},\"histogram\":[1,{\"count\":\"7\",\"sum\":"
                   "\"25\"}]}]}",
            0, NULL);
    buf_init(&out, 0);
    assert_true(answer_table(data, false, &out, &err));
    assert_string_equal(buf_cstr(&out), "__name__  a                 VALUE\n"
                                        "h         ?[31m??  count=7 sum=25\n");
    buf_fini(&out);
    json_decref(data);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_instant),
        T(test_range),
        T(test_formats),
        T(test_notes),
        T(test_exit_codes),
        T(test_output_ends),
        cmocka_unit_test(test_foreign_answers),
        cmocka_unit_test(test_histogram_cells),
    };
    return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
