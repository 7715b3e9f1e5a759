#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/ask.h"
#include "cmd/commands.h"
#include "cmd/source_table.h"
#include "cmd/terminal.h"

#define TIMEOUT_MS 60000

static const char help[] =
    "usage: larder source list   [TARGET]\n"
    "       larder source pause  TARGET\n"
    "       larder source resume TARGET\n"
    "       larder source skip   TARGET [--to PLACE]\n"
    "       larder source seek   TARGET --to PLACE [--again]\n"
    "\n"
    "Positions of a running server in Kafka, and what to do about partitions that are halted.\n"
    "TARGET is a partition, as orders/3, or a topic: all of its partitions.\n"
    "\n"
    "  list      where each partition stands, what was lost of it, and why it is halted\n"
    "  pause     read it no more, until it is resumed; restarts change nothing\n"
    "  resume    go on; a partition that is halted is tried again\n"
    "  skip      leave out what cannot be read, or with --to what comes before PLACE\n"
    "  seek      read from PLACE on; back, events count again unless their ids are still held\n"
    "\n"
    "      --to PLACE       earliest, latest, an offset, or a time such as 2026-11-20T18:00:00Z\n"
    "      --again          seek back although what is read again counts again\n"
    "      --by NAME        who it is, for the record; default USER@HOST\n"
    "      --server URL     the server; default $LARDER_SERVER, else " ASK_DEFAULT_SERVER "\n"
    "      --json           the server's answer as it is\n"
    "  -h, --help           this\n"
    "\n"
    "What is changed is committed with the partition's position, and stays on record there.\n"
    "Exit code 1: a partition is halted (list), or the change was refused; 2: usage, or the\n"
    "server cannot be reached.\n";

struct arguments {
    const char *action, *target, *server, *to, *by;
    bool again, json;
    int exit_code; /* when parse_arguments returned false */
};

static bool usage(const char *what, const char *value)
{
    fprintf(stderr, "larder source: %s%s%s\n`larder source --help` lists the options\n", what,
        value ? ": " : "", value ? value : "");
    return false;
}

static bool check_arguments(int argc, char **argv, struct arguments *out)
{
    static const char *const actions[] = {"list", "pause", "resume", "skip", "seek"};
    bool known = false;
    if (optind == argc)
        return usage("what is to be done? One of list, pause, resume, skip, seek", NULL);
    out->action = argv[optind++];
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        known |= strcmp(out->action, actions[i]) == 0;
    if (!known)
        return usage("one of list, pause, resume, skip, seek, not", out->action);
    bool lists = strcmp(out->action, "list") == 0, seeks = strcmp(out->action, "seek") == 0;
    if (optind < argc)
        out->target = argv[optind++];
    if (optind < argc)
        return usage("one argument too many", argv[optind]);
    if (!out->target && !lists)
        return usage("which partition? As orders/3, or a topic", NULL);
    if (out->to && !seeks && strcmp(out->action, "skip") != 0)
        return usage("--to is for skip and seek", NULL);
    if (!out->to && seeks)
        return usage("--to is missing: earliest, latest, an offset or a time", NULL);
    if (out->again && !seeks)
        return usage("--again is for seek", NULL);
    return true;
}

static bool parse_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {{"server", required_argument, NULL, 'u'},
        {"to", required_argument, NULL, 't'}, {"by", required_argument, NULL, 'b'},
        {"again", no_argument, NULL, 'a'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    out->exit_code = EXIT_USAGE;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'u': out->server = optarg; break;
        case 't': out->to = optarg; break;
        case 'b': out->by = optarg; break;
        case 'a': out->again = true; break;
        case 'j': out->json = true; break;
        case 'h':
            fputs(help, stdout);
            out->exit_code = EXIT_FINE;
            return false;
        default: fputs("`larder source --help` lists the options\n", stderr); return false;
        }
    }
    return check_arguments(argc, argv, out);
}

/* ---- the question ---- */

static void add_field(struct buf *form, const char *name, const char *value)
{
    if (value)
        ask_field(form, name, slice_from(value));
}

static void build_form(const struct arguments *a, struct buf *form)
{
    char host[128] = "", who[256];
    const char *user = getenv("USER");
    gethostname(host, sizeof host - 1);
    snprintf(who, sizeof who, "%s@%s", user && *user ? user : "somebody", host);
    add_field(form, "target", a->target);
    add_field(form, "to", a->to);
    if (strcmp(a->action, "list") != 0)
        add_field(form, "by", a->by && *a->by ? a->by : who);
    if (a->again)
        add_field(form, "again", "true");
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

/* What was asked for is the asker's mistake; all else is the environment. */
static int print_error(const json_t *answer, long status)
{
    const char *type = json_string_value(json_object_get(answer, "errorType"));
    const char *text = json_string_value(json_object_get(answer, "error"));
    if (!type || !text) {
        fprintf(stderr, "larder source: the server answered with status %ld, not with a result\n",
            status);
        return EXIT_USAGE;
    }
    print_told("larder source", text);
    bool refused = strcmp(type, "bad_data") == 0 || strcmp(type, "not_found") == 0;
    return refused ? EXIT_FOUND : EXIT_USAGE;
}

static void print_notes(const json_t *data)
{
    const json_t *notes = json_object_get(data, "notes");
    for (size_t i = 0; i < json_array_size(notes); i++) {
        const char *text = json_string_value(json_array_get(notes, i));
        print_told("note", text ? text : "?");
    }
}

static int print_answer(const struct arguments *arguments, struct buf *body, long status)
{
    json_error_t where;
    struct buf table;
    size_t halted = 0;
    json_t *answer = json_loadb(body->len ? body->ptr : "", body->len, 0, &where);
    const char *verdict = json_string_value(json_object_get(answer, "status"));
    const json_t *data = json_object_get(answer, "data");
    int code = EXIT_USAGE;
    buf_init(&table, 0);
    if (!verdict || strcmp(verdict, "success") != 0) {
        code = print_error(answer, status);
    } else if (!source_table(data, &table, &halted)) {
        fputs("larder source: the answer is none of a larder\n", stderr);
    } else {
        bool lists = strcmp(arguments->action, "list") == 0;
        buf_char(body, '\n');
        if (terminal_print("larder source", arguments->json ? body : &table))
            code = lists && halted ? EXIT_FOUND : EXIT_FINE;
        print_notes(data);
    }
    buf_fini(&table);
    json_decref(answer);
    return code;
}

static int ask(const struct arguments *arguments)
{
    struct buf form, body;
    struct err err;
    char path[64];
    long status;
    int code = EXIT_USAGE;
    buf_init(&form, 0);
    buf_init(&body, ASK_ANSWER_MAX);
    build_form(arguments, &form);
    snprintf(path, sizeof path, "/api/v1/source/%s", arguments->action);
    if (ask_post(ask_server(arguments->server, ASK_DEFAULT_SERVER), path, buf_view(&form),
            TIMEOUT_MS, &body, &status, &err))
        code = print_answer(arguments, &body, status);
    else
        fprintf(stderr, "larder source: %s\n", err.text);
    buf_fini(&form);
    buf_fini(&body);
    return code;
}

int cmd_source(int argc, char **argv)
{
    struct arguments arguments = {0};
    return parse_arguments(argc, argv, &arguments) ? ask(&arguments) : arguments.exit_code;
}
