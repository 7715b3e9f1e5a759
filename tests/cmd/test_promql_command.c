/*
 * larder test promql as a command: its exit codes, and the lines that other programs read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "tests/store/support/folder.h"

struct folder {
    char path[256], script[300], out[300];
    char text[8192]; /* what the command wrote to standard output */
};

static int make_folder(void **state)
{
    struct folder *f = calloc(1, sizeof *f);
    folder_new("promql", f->path, sizeof f->path);
    snprintf(f->script, sizeof f->script, "%s/a.test", f->path);
    snprintf(f->out, sizeof f->out, "%s/out", f->path);
    *state = f;
    return 0;
}

static int drop_folder(void **state)
{
    struct folder *f = *state;
    unlink(f->script);
    unlink(f->out);
    int failed = rmdir(f->path);
    free(f);
    return failed;
}

static int redirect(int fd, const char *path)
{
    fflush(NULL);
    int saved = dup(fd), file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(saved >= 0 && file >= 0 && dup2(file, fd) == fd);
    close(file);
    return saved;
}

static void restore(int fd, int saved)
{
    fflush(NULL);
    assert_int_equal(dup2(saved, fd), fd);
    close(saved);
}

/* Runs it on a script of this text; NULL: on no file. Standard error goes nowhere. */
static int run(struct folder *f, const char *option, const char *script)
{
    char name[] = "promql", given[16];
    char *argv[4] = {name};
    int argc = 1;
    snprintf(given, sizeof given, "%s", option ? option : "");
    if (option)
        argv[argc++] = given;
    if (script) {
        FILE *file = fopen(f->script, "w");
        fputs(script, file);
        fclose(file);
        argv[argc++] = f->script;
    }
    int saved_out = redirect(STDOUT_FILENO, f->out),
        saved_err = redirect(STDERR_FILENO, "/dev/null");
    int code = cmd_test_promql(argc, argv);
    restore(STDOUT_FILENO, saved_out);
    restore(STDERR_FILENO, saved_err);
    FILE *out = fopen(f->out, "r");
    size_t n = fread(f->text, 1, sizeof f->text - 1, out);
    f->text[n] = 0;
    fclose(out);
    return code;
}

static void test_exit_codes(void **state)
{
    struct folder *f = *state;
    assert_int_equal(run(f, NULL, "eval instant at 0 1 + 1\n2\n"), EXIT_FINE);
    assert_non_null(strstr(f->text, "\nsum: 1 passed, 0 failed, 0 unsupported\n"));
    assert_int_equal(
        run(f, NULL, "eval instant at 0 1 + 1\n2\n\neval instant at 0 1\n2\n"), EXIT_FOUND);
    assert_non_null(strstr(f->text, "a.test:4: failed: expected 2 for {} at 0 ms, but got 1\n"));
    assert_non_null(strstr(f->text, "a.test: 1 passed, 1 failed, 0 unsupported\n"));
    assert_int_equal(run(f, NULL, "nonsense\n"), EXIT_FOUND);
    assert_non_null(strstr(f->text, "a.test:1: expected clear, load or eval\n"));
    assert_int_equal(run(f, "--help", NULL), EXIT_FINE);
    assert_non_null(strstr(f->text, "usage: larder test promql"));
    assert_int_equal(run(f, NULL, NULL), EXIT_USAGE);
    assert_int_equal(run(f, "--nope", NULL), EXIT_USAGE);
    assert_int_equal(run(f, "nofile", NULL), EXIT_USAGE);
}

static void test_verbose(void **state)
{
    struct folder *f = *state;
    static const char script[] = "load 1m\n a@st -1m\n a 1\n\neval instant at 0 a\na 1\n";
    assert_int_equal(run(f, NULL, script), EXIT_FINE);
    assert_null(strstr(f->text, "unsupported:"));
    assert_int_equal(run(f, "-v", script), EXIT_FINE);
    assert_non_null(
        strstr(f->text, "a.test:5: unsupported: not supported yet: start timestamps (line 2)\n"));
    assert_non_null(strstr(f->text, "\nsum: 0 passed, 0 failed, 1 unsupported\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exit_codes, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_verbose, make_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
