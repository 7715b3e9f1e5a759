/*
 * `larder check events`: a contract tried on a file of events. Each event that the ingestion would
 * refuse is told with its place, reason and cause, then the totals by outcome:
 *
 *     events.json:7:41: not_allowed: field 'type' has a value that is not among 'allowed'
 *     events.json: 10 events: 8 accepted, 1 duplicate, 1 refused (1 not_allowed)
 *
 * All files together are one stream: an id counts once. Memory: 40 bytes for each id.
 */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "cmd/commands.h"
#include "cmd/config_arguments.h"
#include "cmd/event_file.h"
#include "cmd/event_place.h"
#include "cmd/refusal_json.h"
#include "ingest/json_event.h"
#include "ingest/letters/contract_trial.h"
#include "ingest/letters/letter.h"

#define PROGRESS_EVERY 100000 /* events */

static const char help[] =
    "usage: larder check events [-c CONFIG] [--stream NAME] [options] FILE...\n"
    "\n"
    "Tries the contract of a stream on files of events, one in a line; \"-\" is standard input.\n"
    "Lists each event that would be refused with its place, reason and cause, and the totals by\n"
    "outcome. No broker and no server is asked; of an Avro stream the registry is.\n"
    "\n"
    "  -c, --config FILE    the config; default larder.yml\n"
    "      --stream NAME    the stream; needed when the config has several\n"
    "      --at TIME        judges late and ahead as if the records had this timestamp: RFC 3339,\n"
    "                       or now. Without it they are not judged\n"
    "      --hex            messages are written in hexadecimal; needed for Avro\n"
    "  -K, --key-separator TEXT\n"
    "                       what stands before TEXT in a line is the key of the message\n"
    "      --set KEY=VALUE  overrides one key of the config\n"
    "  -q, --quiet          totals alone\n"
    "      --json           one JSON object a line: each refused event, then the totals\n"
    "  -h, --help           this\n"
    "\n"
    "What is not tried: lifecycles, fields that stand in headers (they are absent), and ids that\n"
    "were seen before the file. Exit code: 0 all would be accepted, 1 some would be refused, or\n"
    "say otherwise what was said under their id; 2 it could not be checked.\n";

/* An id that was accepted, and where. */
struct accepted {
    struct hash128 hash;
    uint32_t crc, file;
    uint64_t line;
};

struct outcomes {
    uint64_t events, accepted, duplicates, conflicts, refused[REFUSALS];
};

struct checking {
    struct config_arguments config_arguments;
    struct config config;
    const char *separator;
    bool hex, quiet, json;
    int64_t at_ms; /* INT64_MIN: late and ahead are not judged */
    char **files;
    uint32_t n_files, file; /* the one that is read */
    const struct stream *stream;
    struct contract_trial *trial;
    struct map by_id; /* of ids */
    struct accepted *ids;
    size_t n_ids, ids_cap;
    struct outcomes outcomes;
    int exit_code; /* when parse_arguments returned false */
};

/* ---- arguments ---- */

static bool wrong_usage(const char *what, const char *value)
{
    fprintf(stderr, "larder check events: %s%s%s\n`larder check events --help` lists the options\n",
        what, value ? ": " : "", value ? value : "");
    return false;
}

static bool parse_at(struct checking *c, const char *text)
{
    if (strcmp(text, "now") == 0)
        c->at_ms = clock_now_ms();
    else if (!time_parse_rfc3339(slice_from(text), &c->at_ms))
        return wrong_usage("--at is a time such as 2026-11-20T18:00:00Z, or now, not", text);
    return true;
}

static bool take_option(struct checking *c, int option)
{
    switch (option) {
    case 'c': c->config_arguments.file = optarg; return true;
    case 'n': c->config_arguments.stream = optarg; return true;
    case 's': config_arguments_set(&c->config_arguments, optarg); return true;
    case 'a': return parse_at(c, optarg);
    case 'x': c->hex = true; return true;
    case 'K':
        c->separator = optarg;
        return *optarg || wrong_usage("--key-separator is empty", NULL);
    case 'q': c->quiet = true; return true;
    case 'j': c->json = true; return true;
    case 'h':
        fputs(help, stdout);
        c->exit_code = EXIT_FINE;
        return false;
    default: return wrong_usage("unknown or incomplete option", NULL);
    }
}

static bool parse_arguments(int argc, char **argv, struct checking *c)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
        {"stream", required_argument, NULL, 'n'}, {"set", required_argument, NULL, 's'},
        {"at", required_argument, NULL, 'a'}, {"hex", no_argument, NULL, 'x'},
        {"key-separator", required_argument, NULL, 'K'}, {"quiet", no_argument, NULL, 'q'},
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    c->exit_code = EXIT_USAGE;
    c->at_ms = INT64_MIN;
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, "c:K:qh", options, NULL)) != -1;)
        if (!take_option(c, o))
            return false;
    c->files = argv + optind;
    c->n_files = (uint32_t)(argc - optind);
    return c->n_files > 0 || wrong_usage("which file? FILE, or - for standard input", NULL);
}

/* ---- what is told ---- */

static void tell_json(
    const struct event_file *f, size_t column, const char *reason, const char *cause)
{
    json_t *line = json_pack("{s:s, s:I, s:s, s:s}", "file", f->name, "line", (json_int_t)f->number,
        "reason", reason, "cause", cause);
    if (line && column)
        json_object_set_new(line, "column", json_integer((json_int_t)column));
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    puts(text ? text : "{}");
    free(text);
    json_decref(line);
}

static void tell(const struct checking *c, const struct event_file *f, size_t column,
    const char *reason, const char *cause)
{
    if (c->quiet)
        return;
    if (c->json)
        tell_json(f, column, reason, cause);
    else if (column)
        printf("%s:%" PRIu64 ":%zu: %s: %s\n", f->name, f->number, column, reason, cause);
    else
        printf("%s:%" PRIu64 ": %s: %s\n", f->name, f->number, reason, cause);
}

/* 0: it has none. */
static size_t column_of(
    const struct checking *c, const struct event_file *f, const struct refusal_case *refused)
{
    const struct contract *contract = &c->stream->contract;
    size_t at = 0;
    if (c->hex || f->value.len > EVENT_BYTES_MAX)
        return 0;
    if (refused->field >= 0 && contract->fields[refused->field].from == FROM_VALUE)
        at = event_place_field(f->value, contract->fields[refused->field].name);
    else if (refused->reason == REFUSED_MALFORMED)
        at = event_place_malformed(f->value);
    return at ? at + f->value_column - 1 : 0;
}

static void tell_refused(
    const struct checking *c, const struct event_file *f, const struct refusal_case *refused)
{
    char cause[LETTER_CAUSE_MAX];
    if (!c->quiet)
        tell(c, f, column_of(c, f, refused), refusal_name(refused->reason),
            refusal_cause(c->stream, refused, cause, sizeof cause));
}

static uint64_t all_refused(const struct outcomes *o)
{
    uint64_t sum = 0;
    for (int r = 0; r < REFUSALS; r++)
        sum += o->refused[r];
    return sum;
}

static void print_totals_json(const struct outcomes *o)
{
    json_t *all = json_pack("{s:I, s:I, s:I, s:I, s:o}", "events", (json_int_t)o->events,
        "accepted", (json_int_t)o->accepted, "duplicates", (json_int_t)o->duplicates, "conflicts",
        (json_int_t)o->conflicts, "refused", refusal_json(o->refused));
    char *text = json_dumps(all, JSON_COMPACT);
    puts(text ? text : "{}");
    free(text);
    json_decref(all);
}

static void print_totals(const struct checking *c)
{
    const struct outcomes *o = &c->outcomes;
    uint64_t refused = all_refused(o);
    const char *between = " (";
    if (c->json) {
        print_totals_json(o);
        return;
    }
    printf("%s: %" PRIu64 " event%s: %" PRIu64 " accepted", c->n_files == 1 ? c->files[0] : "total",
        o->events, o->events == 1 ? "" : "s", o->accepted);
    if (o->duplicates)
        printf(", %" PRIu64 " duplicate", o->duplicates);
    if (o->conflicts)
        printf(", %" PRIu64 " in conflict", o->conflicts);
    printf(", %" PRIu64 " refused", refused);
    for (int r = REFUSED_NOT + 1; r < REFUSALS; r++)
        if (o->refused[r]) {
            printf("%s%" PRIu64 " %s", between, o->refused[r], refusal_name((enum refusal)r));
            between = ", ";
        }
    puts(refused ? ")" : "");
    if (c->at_ms == INT64_MIN)
        puts("late and ahead were not judged: --at says against which time");
}

/* ---- events ---- */

static bool id_is(const void *ctx, const void *key, uint32_t id)
{
    const struct checking *c = ctx;
    return hash128_eq(c->ids[id].hash, *(const struct hash128 *)key);
}

static void accept(struct checking *c, const struct event_file *f)
{
    struct slice text = contract_trial_id(c->trial);
    uint32_t crc = crc32c(0, f->value.ptr, f->value.len);
    if (text.ptr) {
        struct hash128 hash = hash128(text.ptr, text.len);
        uint32_t at = map_find(&c->by_id, hash.lo, id_is, c, &hash);
        if (at != MAP_NONE && c->ids[at].crc == crc) {
            c->outcomes.duplicates++;
            return;
        }
        if (at != MAP_NONE) {
            char cause[256];
            c->outcomes.conflicts++;
            snprintf(cause, sizeof cause,
                "its id is that of line %" PRIu64
                " of %.180s, with other content: the first one counts",
                c->ids[at].line, c->files[c->ids[at].file]);
            tell(c, f, 0, "conflict", cause);
            return;
        }
        GROW(c->ids, c->ids_cap, c->n_ids + 1);
        map_insert(&c->by_id, hash.lo, (uint32_t)c->n_ids);
        c->ids[c->n_ids++] = (struct accepted){hash, crc, c->file, f->number};
    }
    c->outcomes.accepted++;
}

static bool check_event(struct checking *c, const struct event_file *f, struct err *err)
{
    struct refusal_case refused;
    struct kafka_record record = {.timestamp_ms = c->at_ms, .value = f->value, .key = f->key};
    if (!contract_trial_record(c->trial, &record, c->at_ms, &refused, err))
        return false;
    c->outcomes.events++;
    if (!refused.reason) {
        accept(c, f);
        return true;
    }
    c->outcomes.refused[refused.reason]++;
    tell_refused(c, f, &refused);
    return true;
}

static bool check_file(struct checking *c, struct err *err)
{
    struct event_file f = {.name = c->files[c->file], .separator = c->separator, .hex = c->hex};
    bool end = false, terminal = isatty(STDERR_FILENO) == 1, told = false;
    bool ok = event_file_open(&f, err);
    while (ok && (ok = event_file_next(&f, &end, err)) && !end) {
        ok = check_event(c, &f, err);
        if (terminal && c->outcomes.events % PROGRESS_EVERY == 0)
            told =
                fprintf(stderr, "\r%" PRIu64 " events, %s\033[K", c->outcomes.events, f.name) > 0;
    }
    if (told)
        fputs("\r\033[K", stderr);
    event_file_close(&f);
    return ok;
}

static bool check_files(struct checking *c)
{
    struct err err = {0};
    char line[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    for (c->file = 0; c->file < c->n_files; c->file++)
        if (!check_file(c, &err)) {
            fflush(stdout);
            fprintf(stderr, "larder check events: %s\n", err_format(&err, line, sizeof line));
            return false;
        }
    return true;
}

static int check(struct checking *c)
{
    size_t number;
    if (!config_arguments_load(&c->config_arguments, &c->config) ||
        !config_arguments_stream(&c->config_arguments, &c->config, &number))
        return EXIT_USAGE;
    ensure(number < c->config.streams.n_streams && c->config.streams.streams);
    c->stream = &c->config.streams.streams[number];
    if (c->stream->format == FORMAT_AVRO && !c->hex) {
        wrong_usage("messages of an Avro stream are bytes: give them with --hex", NULL);
        return EXIT_USAGE;
    }
    map_init(&c->by_id);
    c->trial = contract_trial_new(&c->config.streams, number);
    bool ok = check_files(c);
    if (ok)
        print_totals(c);
    contract_trial_free(&c->trial);
    map_fini(&c->by_id);
    free(c->ids);
    bool found = all_refused(&c->outcomes) || c->outcomes.conflicts;
    return !ok ? EXIT_USAGE : found ? EXIT_FOUND : EXIT_FINE;
}

int cmd_check_events(int argc, char **argv)
{
    struct checking c = {.config_arguments = {.command = "larder check events"}};
    int code = EXIT_USAGE;
    if (!parse_arguments(argc, argv, &c))
        code = c.exit_code;
    else
        code = check(&c);
    config_arguments_fini(&c.config_arguments);
    config_free(&c.config);
    return code;
}
