/*
 * `larder replay ROLLUP`: has a server make a rollup anew of what the topics still hold, and shows
 * how far it has come. The server does the work: this may be ended, and asked again.
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/params.h"
#include "base/clock.h"
#include "cmd/ask.h"
#include "cmd/commands.h"
#include "cmd/terminal.h"

#define ASK_MS     30000
#define LOOK_MS    500
#define JSON_LOOKS 4 /* a line of JSON at so many looks */
#define BAR        30
#define AWAY_MAX   120 /* looks in a row without an answer: the server may be starting again */

static const char help[] =
    "usage: larder replay [OPTIONS] ROLLUP\n"
    "       larder replay status [OPTIONS]\n"
    "       larder replay cancel [OPTIONS]\n"
    "       larder replay dlq ...            sends dead letters once more: `larder replay dlq "
    "--help`\n"
    "\n"
    "Has the server make the rollup anew, by its definition of now, of the events that the topics\n"
    "still hold. What was counted before is shown until then, and the ingestion goes on; then all\n"
    "windows that the topics held whole change in one step. It goes on after a restart of the\n"
    "server.\n"
    "\n"
    "  status   how the newest one stands\n"
    "  cancel   gives up the one that runs; nothing has changed\n"
    "\n"
    "      --from T         leaves windows up to T alone; seconds since 1970 or RFC 3339\n"
    "      --detach         begins it, and does not wait for its end\n"
    "      --server URL     the server; default $LARDER_SERVER, else " ASK_DEFAULT_SERVER "\n"
    "      --json           lines of JSON, as the server answers\n"
    "  -h, --help           this\n"
    "\n"
    "`larder replay -- status` is for a rollup of such a name. Exit code 1: it failed, was "
    "canceled or\n"
    "is refused; 2: usage, or the server cannot be reached.\n";

struct arguments {
    const char *rollup, *from, *server;
    bool json, detach, status, cancel;
    int exit_code; /* when parse_arguments returned false */
};

static bool usage(const char *what, const char *value)
{
    fprintf(stderr, "larder replay: %s%s%s\n`larder replay --help` lists the options\n", what,
        value ? ": " : "", value ? value : "");
    return false;
}

static bool check(int argc, char **argv, struct arguments *a)
{
    bool asks = a->status || a->cancel;
    if (asks && (optind < argc || a->from || a->detach))
        return usage("too much for it", optind < argc ? argv[optind] : NULL);
    if (!asks && optind == argc)
        return usage("which rollup?", NULL);
    if (!asks && optind + 1 < argc)
        return usage("one rollup at a time, and not", argv[optind + 1]);
    a->rollup = asks ? NULL : argv[optind];
    int64_t from;
    struct err err;
    if (a->from && !params_parse_time(slice_from(a->from), &from, &err))
        return usage("--from", err.text);
    a->server = ask_server(a->server, ASK_DEFAULT_SERVER);
    return true;
}

static bool parse_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {{"from", required_argument, NULL, 'f'},
        {"detach", no_argument, NULL, 'd'}, {"server", required_argument, NULL, 'u'},
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    out->exit_code = EXIT_USAGE;
    out->status = argc > 1 && strcmp(argv[1], "status") == 0;
    out->cancel = argc > 1 && strcmp(argv[1], "cancel") == 0;
    if (out->status || out->cancel) {
        argc--;
        argv++;
    }
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'f': out->from = optarg; break;
        case 'd': out->detach = true; break;
        case 'u': out->server = optarg; break;
        case 'j': out->json = true; break;
        case 'h':
            fputs(help, stdout);
            out->exit_code = EXIT_FINE;
            return false;
        default: fputs("`larder replay --help` lists the options\n", stderr); return false;
        }
    }
    return check(argc, argv, out);
}

/* ---- asking ---- */

/* The answer's data; NULL after an error that was told. *code: the exit code then. quiet: a server
 * that cannot be reached is not told. */
static json_t *ask(
    const char *server, const char *path, const struct buf *form, bool quiet, int *code)
{
    struct buf body, text;
    struct err err = {0};
    long status = 0;
    json_t *data = NULL;
    buf_init(&body, ASK_ANSWER_MAX);
    buf_init(&text, 0);
    *code = EXIT_USAGE;
    if (!ask_post(server, path, buf_view(form), ASK_MS, &body, &status, &err)) {
        if (!quiet)
            fprintf(stderr, "larder replay: %s\n", err.text);
        goto out;
    }
    json_t *root = json_loadb(body.ptr ? body.ptr : "", body.len, 0, NULL);
    if (status == 200 && json_is_object(json_object_get(root, "data"))) {
        data = json_incref(json_object_get(root, "data"));
        *code = EXIT_FINE;
    } else if (status != 503 || !quiet) {
        const char *why = json_string_value(json_object_get(root, "error"));
        terminal_text(&text, why ? why : "the server's answer does not read");
        fprintf(stderr, "larder replay: %s\n", buf_cstr(&text));
        *code = status == 503 ? EXIT_USAGE : EXIT_FOUND;
    }
    json_decref(root);
out:
    buf_fini(&body);
    buf_fini(&text);
    return data;
}

/* ---- showing ---- */

static const char *text_of(const json_t *data, const char *key)
{
    const char *text = json_string_value(json_object_get(data, key));
    return text ? text : "";
}

static void print_json(const json_t *data)
{
    char *line = json_dumps(data, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (line)
        puts(line);
    fflush(stdout);
    free(line);
}

static void add_duration(struct buf *out, double seconds)
{
    unsigned s = seconds < 1e6 ? (unsigned)(seconds + 0.5) : 999999;
    if (s >= 3600)
        buf_printf(out, "%uh%02um", s / 3600, s / 60 % 60);
    else if (s >= 60)
        buf_printf(out, "%um%02us", s / 60, s % 60);
    else
        buf_printf(out, "%us", s);
}

/* [=======>            ] 25.0%  250000 of 1000000 records, 90000/s, 8s left */
static void add_progress(const json_t *data, struct buf *out)
{
    double all = json_number_value(json_object_get(data, "records"));
    double read = json_number_value(json_object_get(data, "recordsRead"));
    double share = all > 0 ? read / all : 0;
    const json_t *left = json_object_get(data, "secondsLeft");
    int filled = (int)(share * BAR);
    buf_char(out, '[');
    for (int i = 0; i < BAR; i++)
        buf_char(out, i < filled ? '=' : i == filled ? '>' : ' ');
    buf_printf(out, "] %5.1f%%  %.0f of %.0f records, %.0f/s", 100 * share, read, all,
        json_number_value(json_object_get(data, "recordsPerSecond")));
    if (json_is_number(left)) {
        buf_str(out, ", ");
        add_duration(out, json_number_value(left));
        buf_str(out, " left");
    }
    if (*text_of(data, "text")) {
        buf_str(out, "; ");
        terminal_text(out, text_of(data, "text"));
    }
}

static void show_progress(const json_t *data, bool terminal)
{
    struct buf line;
    buf_init(&line, 0);
    add_progress(data, &line);
    if (terminal)
        fprintf(stderr, "\r\033[K%s", buf_cstr(&line));
    buf_fini(&line);
}

static int show_end(const json_t *data, bool json)
{
    const char *state = text_of(data, "state");
    struct buf line;
    buf_init(&line, 0);
    terminal_text(&line, text_of(data, "rollup"));
    if (json)
        print_json(data);
    else if (strcmp(state, "none") == 0)
        puts("no replay was asked for yet");
    else if (strcmp(state, "done") == 0)
        printf("%s is made anew: %.0f cells have changed\n", buf_cstr(&line),
            json_number_value(json_object_get(data, "cells")));
    else if (strcmp(state, "running") == 0) {
        buf_str(&line, ": ");
        add_progress(data, &line);
        puts(buf_cstr(&line));
    } else {
        buf_printf(&line, ": %s", state);
        if (*text_of(data, "text"))
            buf_str(&line, ": ");
        terminal_text(&line, text_of(data, "text"));
        fprintf(stderr, "larder replay: %s\n", buf_cstr(&line));
    }
    buf_fini(&line);
    return strcmp(state, "failed") == 0 || strcmp(state, "canceled") == 0 ? EXIT_FOUND : EXIT_FINE;
}

/* ---- the command ---- */

/* Until it is over; a server that starts again goes on. One that knows of no replay has another
 * data folder than it had. */
static int watch(const struct arguments *a)
{
    struct buf nothing;
    bool terminal = !a->json && isatty(STDERR_FILENO), over = false;
    int code = EXIT_FINE, away = 0;
    buf_init(&nothing, 0);
    for (int look = 0; !over; look++) {
        json_t *data = ask(a->server, "/api/v1/replay/status", &nothing, away < AWAY_MAX, &code);
        over = data ? strcmp(text_of(data, "state"), "running") != 0 : away++ >= AWAY_MAX;
        if (data)
            away = 0;
        if (data && over) {
            if (terminal)
                fputs("\r\033[K", stderr);
            code = show_end(data, a->json);
            if (strcmp(text_of(data, "state"), "none") == 0)
                code = EXIT_FOUND;
        } else if (data && a->json && look % JSON_LOOKS == 0) {
            print_json(data);
        } else if (data) {
            show_progress(data, terminal);
        }
        json_decref(data);
        if (!over)
            clock_sleep_ms(LOOK_MS);
    }
    buf_fini(&nothing);
    return code;
}

static int run(const struct arguments *a)
{
    struct buf form;
    int code;
    buf_init(&form, 0);
    if (a->rollup)
        ask_field(&form, "rollup", slice_from(a->rollup));
    if (a->from)
        ask_field(&form, "from", slice_from(a->from));
    const char *path = a->cancel   ? "/api/v1/replay/cancel"
                       : a->status ? "/api/v1/replay/status"
                                   : "/api/v1/replay";
    json_t *data = ask(a->server, path, &form, false, &code);
    if (data && (a->status || a->detach))
        code = show_end(data, a->json);
    else if (data && a->rollup)
        code = watch(a);
    else if (data && a->json)
        print_json(data);
    else if (data)
        puts("it is given up");
    json_decref(data);
    buf_fini(&form);
    return code;
}

int cmd_replay_rollup(int argc, char **argv)
{
    struct arguments arguments = {0};
    return parse_arguments(argc, argv, &arguments) ? run(&arguments) : arguments.exit_code;
}
