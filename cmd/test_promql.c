/*
 * larder test promql: runs promqltest scripts against this build's engine and says which
 * evaluations pass. The last line of the output is the sum over all files.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cmd/commands.h"
#include "query/script_run.h"

#define SCRIPT_BYTES_MAX (64u << 20)
#define ARENA_BYTES_MAX  (1u << 30)

struct options {
    bool verbose;
    char **files;
    int n_files;
};

struct reporting {
    const char *file;
    bool verbose;
};

static void print_help(FILE *out)
{
    fputs(
        "usage: larder test promql [-v] FILE...\n\n"
        "Runs promqltest scripts. Every instant evaluation is repeated with @ at other times and "
        "as a\n"
        "step of a range query. Prints each that fails with file and line, and for each file\n"
        "\"FILE: N passed, N failed, N unsupported\"; the last line is the sum.\n\n"
        "  -v, --verbose   also list the evaluations that are not supported, and why\n"
        "  -h, --help      this text\n\n"
        "Exit codes: 0 nothing failed, 1 something did, 2 usage, or a file that cannot be read.\n",
        out);
}

/* Returns an exit code, or -1: go on. */
static int read_options(int argc, char **argv, struct options *out)
{
    *out = (struct options){0};
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (strcmp(argv[i], "-v") == 0 || strcmp(argv[i], "--verbose") == 0) {
            out->verbose = true;
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            print_help(stdout);
            return EXIT_FINE;
        } else {
            fprintf(stderr, "larder test promql: unknown option %s\n", argv[i]);
            return EXIT_USAGE;
        }
    }
    out->files = argv + i;
    out->n_files = argc - i;
    if (out->n_files > 0)
        return -1;
    print_help(stderr);
    return EXIT_USAGE;
}

static bool read_file(const char *path, struct buf *out, struct err *err)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return err_sys(err, "cannot open %s", path);
    bool ok = true;
    for (;;) {
        char *at = buf_reserve(out, 1 << 16);
        if (!at) {
            ok = err_set(err, ERR_LIMIT, "%s has more than %u bytes", path, SCRIPT_BYTES_MAX);
            break;
        }
        size_t n = fread(at, 1, 1 << 16, f);
        out->len += n;
        if (n == 0)
            break;
    }
    if (ok && ferror(f)) {
        errno = EIO;
        ok = err_sys(err, "cannot read %s", path);
    }
    fclose(f);
    return ok;
}

static void print_event(void *ctx, enum script_event event, int line, const char *text)
{
    const struct reporting *r = ctx;
    if (event == SCRIPT_FAILED)
        printf("%s:%d: failed: %s\n", r->file, line, text);
    else if (r->verbose)
        printf("%s:%d: unsupported: %s\n", r->file, line, text);
}

static void print_error(const char *file, struct err *err)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 64];
    err_at(err, file, err->line, err->col);
    printf("%s\n", err_format(err, text, sizeof text));
}

/* A script that cannot be read or loaded is one failure more. */
static void run_text(const struct options *options, const char *file, struct slice text,
    struct script_result *result)
{
    static const struct engine_options engine = {.lookback_ms = 300000,
        .default_step_ms = 60000,
        .experimental = true,
        .delayed_name_removal = true};
    struct reporting reporting = {file, options->verbose};
    struct arena arena;
    struct script script;
    struct err err = {0};
    arena_init(&arena, ARENA_BYTES_MAX);
    *result = (struct script_result){0};
    bool ok = script_parse(text, &arena, &script, &err);
    if (ok) {
        ok = script_run(&script, &engine, print_event, &reporting, result, &err);
        script_free(&script);
    }
    if (!ok) {
        print_error(file, &err);
        result->failed++;
    }
    arena_fini(&arena);
}

static void print_result(const char *name, const struct script_result *r)
{
    printf("%s: %zu passed, %zu failed, %zu unsupported\n", name, r->passed, r->failed,
        r->unsupported);
    fflush(stdout);
}

static bool run_file(const struct options *options, const char *file, struct script_result *result)
{
    struct buf text;
    struct err err = {0};
    buf_init(&text, SCRIPT_BYTES_MAX);
    bool ok = read_file(file, &text, &err);
    if (ok) {
        run_text(options, file, buf_view(&text), result);
        print_result(file, result);
    } else {
        fprintf(stderr, "larder test promql: %s\n", err.text);
    }
    buf_fini(&text);
    return ok;
}

int cmd_test_promql(int argc, char **argv)
{
    struct options options;
    int code = read_options(argc, argv, &options);
    if (code >= 0)
        return code;
    struct script_result sum = {0};
    bool all_read = true;
    for (int i = 0; i < options.n_files; i++) {
        struct script_result one = {0};
        if (!run_file(&options, options.files[i], &one))
            all_read = false;
        sum.passed += one.passed;
        sum.failed += one.failed;
        sum.unsupported += one.unsupported;
    }
    print_result("sum", &sum);
    return !all_read ? EXIT_USAGE : sum.failed ? EXIT_FOUND : EXIT_FINE;
}
