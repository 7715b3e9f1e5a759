#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/params.h"
#include "base/clock.h"
#include "cmd/answer_table.h"
#include "cmd/ask.h"
#include "cmd/commands.h"
#include "cmd/terminal.h"

static const char help[] =
    "usage: larder query [OPTIONS] 'EXPR'\n"
    "\n"
    "Asks a server a PromQL query and prints the answer.\n"
    "\n"
    "      --server URL     the server; default $LARDER_SERVER, else " ASK_DEFAULT_SERVER "\n"
    "      --time T         when; seconds since 1970 or RFC 3339; default now\n"
    "      --range D        the last D up to --time, as a range: --range 1h --step 1m\n"
    "      --start T, --end T\n"
    "                       a range between two times; the end is now by default\n"
    "      --step D         of a range; default about 60 steps\n"
    "      --format F       table (default), json or csv\n"
    "      --json           the same as --format json: the server's answer as it is\n"
    "      --timeout D      how long the query may take; default 2m\n"
    "  -h, --help           this\n"
    "\n"
    "Warnings and infos of the answer go to standard error. Exit code 1: the query is wrong or "
    "was\n"
    "refused; 2: usage, or the server cannot be reached.\n";

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV };

struct arguments {
    const char *expr, *server, *time, *range, *start, *end, *step, *timeout;
    enum format format;
    int exit_code; /* when parse_arguments returned false */
};

static bool usage(const char *what, const char *value)
{
    fprintf(stderr, "larder query: %s%s%s\n`larder query --help` lists the options\n", what,
        value ? ": " : "", value ? value : "");
    return false;
}

static bool parse_format(const char *name, enum format *out)
{
    static const char *const names[] = {"table", "json", "csv"};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum format)i;
            return true;
        }
    return usage("the format is one of table, json, csv, not", name);
}

static bool check_arguments(int argc, char **argv, struct arguments *out)
{
    if (optind == argc)
        return usage("which query? Give it in quotes: larder query 'sum(orders_total)'", NULL);
    if (optind + 1 < argc)
        return usage(
            "the query is one argument, in quotes; this is one too many", argv[optind + 1]);
    out->expr = argv[optind];
    if (out->range && (out->start || out->end))
        return usage("--range and --start, --end exclude each other", NULL);
    if (out->end && !out->start)
        return usage("--end needs --start", NULL);
    if (out->start && out->time)
        return usage("--time and --start exclude each other", NULL);
    if (out->step && !out->range && !out->start)
        return usage("--step needs --range or --start", NULL);
    return true;
}

static bool parse_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {{"server", required_argument, NULL, 'u'},
        {"time", required_argument, NULL, 't'}, {"range", required_argument, NULL, 'r'},
        {"start", required_argument, NULL, 's'}, {"end", required_argument, NULL, 'e'},
        {"step", required_argument, NULL, 'p'}, {"format", required_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'}, {"timeout", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    out->exit_code = EXIT_USAGE;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'u': out->server = optarg; break;
        case 't': out->time = optarg; break;
        case 'r': out->range = optarg; break;
        case 's': out->start = optarg; break;
        case 'e': out->end = optarg; break;
        case 'p': out->step = optarg; break;
        case 'o': out->timeout = optarg; break;
        case 'j': out->format = FORMAT_JSON; break;
        case 'f':
            if (!parse_format(optarg, &out->format))
                return false;
            break;
        case 'h':
            fputs(help, stdout);
            out->exit_code = EXIT_FINE;
            return false;
        default: fputs("`larder query --help` lists the options\n", stderr); return false;
        }
    }
    return check_arguments(argc, argv, out);
}

/* ---- the question ---- */

static bool option_time(const char *name, const char *text, int64_t *ms)
{
    struct err err;
    if (!text || params_parse_time(slice_from(text), ms, &err))
        return true;
    fprintf(stderr, "larder query: --%s: %s: seconds since 1970, or as 2026-11-20T18:00:00Z\n",
        name, err.text);
    return false;
}

static bool option_duration(const char *name, const char *text, int64_t *ms)
{
    struct err err = {0};
    if (!text)
        return true;
    if (params_parse_duration(slice_from(text), ms, &err) && *ms > 0)
        return true;
    fprintf(stderr, "larder query: --%s: %s: as 30s, 5m, 1h30m, or seconds\n", name,
        err.code ? err.text : "must be more than zero");
    return false;
}

static void add_ms(struct buf *form, const char *name, int64_t ms)
{
    char text[40];
    int n = snprintf(text, sizeof text, "%s%lld.%03d", ms < 0 ? "-" : "", llabs(ms / 1000),
        (int)llabs(ms % 1000));
    ask_field(form, name, slice_of(text, (size_t)n));
}

/* About 60 steps, and a step that a person would choose. */
static int64_t default_step(int64_t range_ms)
{
    static const int64_t steps[] = {
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400};
    size_t n = sizeof steps / sizeof *steps, i = 0;
    while (i + 1 < n && steps[i] * 1000 * 60 < range_ms)
        i++;
    int64_t step_ms = steps[i] * 1000;
    return range_ms / step_ms > 10000 ? range_ms / 1000 : step_ms;
}

static bool build_form(const struct arguments *a, struct buf *form, bool *range)
{
    int64_t end_ms = clock_now_ms(), start_ms, range_ms = 0, step_ms = 0, timeout_ms = 0;
    *range = a->range || a->start;
    if (!option_time("time", a->time, &end_ms) || !option_time("end", a->end, &end_ms) ||
        !option_duration("range", a->range, &range_ms) ||
        !option_duration("step", a->step, &step_ms) ||
        !option_duration("timeout", a->timeout, &timeout_ms))
        return false;
    start_ms = end_ms - range_ms;
    if (!option_time("start", a->start, &start_ms))
        return false;
    ask_field(form, "query", slice_from(a->expr));
    if (a->timeout)
        add_ms(form, "timeout", timeout_ms);
    if (!*range) {
        add_ms(form, "time", end_ms);
        return true;
    }
    if (start_ms > end_ms)
        return usage("the range starts behind its end", NULL);
    add_ms(form, "start", start_ms);
    add_ms(form, "end", end_ms);
    add_ms(form, "step", step_ms ? step_ms : default_step(end_ms - start_ms));
    return true;
}

/* ---- the answer ---- */

static void print_told(const char *prefix, const char *text)
{
    struct buf line;
    buf_init(&line, 0);
    terminal_text(&line, text);
    fprintf(stderr, "%s: %s\n", prefix, buf_cstr(&line));
    buf_fini(&line);
}

static void print_notes(const json_t *answer, const char *key, const char *word)
{
    const json_t *list = json_object_get(answer, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        print_told(word, text ? text : "?");
    }
}

/* Only an error that the query itself has caused is the query's: the rest is the environment. */
static int print_error(const json_t *answer, long status)
{
    const char *type = json_string_value(json_object_get(answer, "errorType"));
    const char *text = json_string_value(json_object_get(answer, "error"));
    if (!type || !text) {
        fprintf(stderr, "larder query: the server answered with status %ld, not with a result\n",
            status);
        return EXIT_USAGE;
    }
    print_told("larder query", text);
    bool wrong = strcmp(type, "bad_data") == 0 || strcmp(type, "execution") == 0;
    return wrong ? EXIT_FOUND : EXIT_USAGE;
}

static int print_answer(const struct arguments *arguments, struct buf *body, long status)
{
    json_error_t where;
    struct err err;
    struct buf out;
    json_t *answer = json_loadb(body->len ? body->ptr : "", body->len, JSON_ALLOW_NUL, &where);
    const char *verdict = json_string_value(json_object_get(answer, "status"));
    int code;
    buf_init(&out, 0);
    if (!verdict || strcmp(verdict, "success") != 0) {
        code = print_error(answer, status);
    } else if (arguments->format == FORMAT_JSON) {
        buf_char(body, '\n');
        code = terminal_print("larder query", body) ? EXIT_FINE : EXIT_USAGE;
    } else if (answer_table(
                   json_object_get(answer, "data"), arguments->format == FORMAT_CSV, &out, &err)) {
        code = terminal_print("larder query", &out) ? EXIT_FINE : EXIT_USAGE;
    } else {
        fprintf(stderr, "larder query: %s\n", err.text);
        code = EXIT_USAGE;
    }
    if (verdict) {
        print_notes(answer, "warnings", "warning");
        print_notes(answer, "infos", "info");
    }
    buf_fini(&out);
    json_decref(answer);
    return code;
}

static int ask(const struct arguments *arguments)
{
    struct buf form, body;
    struct err err;
    long status;
    bool range;
    int code = EXIT_USAGE;
    int64_t timeout_ms = 120000;
    buf_init(&form, 0);
    buf_init(&body, ASK_ANSWER_MAX);
    if (!build_form(arguments, &form, &range))
        goto out;
    if (arguments->timeout)
        option_duration("timeout", arguments->timeout, &timeout_ms);
    /* The server gives up first, so that its reason is what is shown. */
    if (ask_post(ask_server(arguments->server, ASK_DEFAULT_SERVER),
            range ? "/api/v1/query_range" : "/api/v1/query", buf_view(&form), timeout_ms + 10000,
            &body, &status, &err))
        code = print_answer(arguments, &body, status);
    else
        fprintf(stderr, "larder query: %s\n", err.text);
out:
    buf_fini(&form);
    buf_fini(&body);
    return code;
}

int cmd_query(int argc, char **argv)
{
    struct arguments arguments = {0};
    return parse_arguments(argc, argv, &arguments) ? ask(&arguments) : arguments.exit_code;
}
