/*
 * `larder replay dlq`: dead letters of a stream go to its retry topic, from where the server reads
 * them as any other record (ingest/letters/letter_replay.h). The server is asked how far the
 * stream's horizon is, since that says which ids it still keeps.
 */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/ask.h"
#include "cmd/commands.h"
#include "cmd/config_arguments.h"
#include "cmd/refusal_json.h"
#include "ingest/json_event.h"
#include "ingest/letters/letter_replay.h"
#include "ingest/lifecycle/lifecycle.h"

#define ASK_MS       10000
#define LOOKS        20
#define LOOK_MS      250
#define METRICS_MAX  (64u << 20)
#define SERVER_BYTES 320

static const char help[] =
    "usage: larder replay dlq [-c CONFIG] [--stream NAME] [options]\n"
    "\n"
    "Sends the dead letters of a stream to its retry topic, from where a running server reads "
    "them\n"
    "as it reads all others: with their key, value, headers and timestamp as they were. Letters\n"
    "that the contract of CONFIG still refuses stay where they are, and so do those that were "
    "cut,\n"
    "and those whose ids are not kept any more, so that nothing could tell whether they were\n"
    "counted before. What is sent twice counts once.\n"
    "\n"
    "  -c, --config FILE    the config; default larder.yml\n"
    "      --stream NAME    the stream; needed when the config has several\n"
    "      --reason REASON  only letters that were refused for this reason\n"
    "      --from TIME, --to TIME\n"
    "                       only letters whose records have a timestamp in [from, to), RFC 3339\n"
    "      --dry-run        sends nothing, and says what would be sent\n"
    "      --server URL     the server that reads the stream; default $LARDER_SERVER, else\n"
    "                       where the config's http.listen is\n"
    "      --set KEY=VALUE  overrides one key of the config\n"
    "      --json           the totals as JSON\n"
    "  -h, --help           this\n"
    "\n"
    "Exit code: 0 all letters were sent, 1 some stay, 2 usage or environment.\n";

struct arguments {
    struct config_arguments config;
    const char *server;
    enum refusal reason;
    int64_t from_ms, to_ms;
    bool dry, json;
    int exit_code; /* when parse_arguments returned false */
};

static atomic_bool stop;

/* ---- arguments ---- */

static bool wrong_usage(const char *what, const char *value)
{
    fprintf(stderr, "larder replay dlq: %s%s%s\n`larder replay dlq --help` lists the options\n",
        what, value ? ": " : "", value ? value : "");
    return false;
}

static bool parse_reason(struct arguments *a, const char *text)
{
    for (int r = REFUSED_NOT + 1; r < REFUSALS; r++)
        if (strcmp(text, refusal_name((enum refusal)r)) == 0) {
            a->reason = (enum refusal)r;
            return true;
        }
    return wrong_usage("--reason is one of malformed, schema, missing, type, range, not_allowed, "
                       "late, ahead, not",
        text);
}

static bool parse_time(int64_t *ms, const char *text)
{
    return time_parse_rfc3339(slice_from(text), ms) ||
           wrong_usage("a time is written 2026-11-20T18:00:00Z, not", text);
}

static bool take_option(struct arguments *a, int option)
{
    switch (option) {
    case 'c': a->config.file = optarg; return true;
    case 'n': a->config.stream = optarg; return true;
    case 's': config_arguments_set(&a->config, optarg); return true;
    case 'r': return parse_reason(a, optarg);
    case 'f': return parse_time(&a->from_ms, optarg);
    case 't': return parse_time(&a->to_ms, optarg);
    case 'd': a->dry = true; return true;
    case 'u': a->server = optarg; return true;
    case 'j': a->json = true; return true;
    case 'h':
        fputs(help, stdout);
        a->exit_code = EXIT_FINE;
        return false;
    default: return wrong_usage("unknown or incomplete option", NULL);
    }
}

static bool parse_arguments(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
        {"stream", required_argument, NULL, 'n'}, {"set", required_argument, NULL, 's'},
        {"reason", required_argument, NULL, 'r'}, {"from", required_argument, NULL, 'f'},
        {"to", required_argument, NULL, 't'}, {"dry-run", no_argument, NULL, 'd'},
        {"server", required_argument, NULL, 'u'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    a->exit_code = EXIT_USAGE;
    a->from_ms = INT64_MIN;
    a->to_ms = INT64_MAX;
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, "c:h", options, NULL)) != -1;)
        if (!take_option(a, o))
            return false;
    return optind == argc || wrong_usage("one argument too many", argv[optind]);
}

/* ---- the server's horizon ---- */

/* The value of the line "NAME{stream="STREAM"} VALUE". False: there is no such line. */
static bool find_metric(const char *text, const char *name, struct slice stream, double *out)
{
    char begin[256];
    int n = snprintf(begin, sizeof begin, "%s{stream=\"%.*s\"} ", name, SLICE_FMT(stream));
    if (n < 0 || (size_t)n >= sizeof begin)
        return false;
    for (const char *at = text; (at = strstr(at, begin)); at++)
        if (at == text || at[-1] == '\n') {
            *out = strtod(at + n, NULL);
            return true;
        }
    return false;
}

static bool ask_metrics(const char *server, struct buf *body, struct err *err)
{
    long status = 0;
    buf_clear(body);
    if (!ask_get(server, "/metrics", ASK_MS, body, &status, err))
        return false;
    return status == 200 ||
           err_set(err, ERR_UNAVAILABLE, "%s/metrics answers with status %ld", server, status);
}

/* A server that has just been started tells of no stream yet. */
static bool ask_horizon(
    const char *server, struct slice stream, int64_t *horizon_ms, struct err *err)
{
    struct buf body;
    double value;
    buf_init(&body, METRICS_MAX);
    bool ok = ask_metrics(server, &body, err), known = false;
    for (int n = 0; ok && n < LOOKS; n++) {
        known = find_metric(buf_cstr(&body), "larder_events_accepted_total", stream, &value);
        if (known || atomic_load(&stop))
            break;
        clock_sleep_ms(LOOK_MS);
        ok = ask_metrics(server, &body, err);
    }
    if (ok && !known)
        ok = err_set(err, ERR_NOT_FOUND, "the server at %s reads no stream '%.*s'", server,
            SLICE_FMT(stream));
    *horizon_ms = INT64_MIN;
    if (ok && find_metric(buf_cstr(&body), "larder_horizon_timestamp_seconds", stream, &value))
        *horizon_ms = llround(value * 1000);
    buf_fini(&body);
    return ok;
}

static const char *server_of(
    const struct arguments *a, const struct config *config, char out[SERVER_BYTES])
{
    const char *given = ask_server(a->server, NULL);
    const char *host = config->http_address;
    if (given)
        return given;
    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
        host = "127.0.0.1";
    snprintf(out, SERVER_BYTES, strchr(host, ':') ? "http://[%s]:%d" : "http://%s:%d", host,
        config->http_port);
    return out;
}

/* ---- what is told ---- */

static void print_progress(void *ctx, const struct replay_counts *n)
{
    (void)ctx;
    fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " messages read, %" PRIu64 " letters sent\033[K",
        n->messages, n->all, n->sent);
}

static void print_json(const struct arguments *a, const struct replay_counts *n)
{
    json_t *all = json_pack("{s:I, s:I, s:b, s:I, s:I, s:o}", "letters", (json_int_t)n->letters,
        "sent", (json_int_t)n->sent, "dry_run", a->dry ? 1 : 0, "cut", (json_int_t)n->cut, "gone",
        (json_int_t)n->gone, "refused", refusal_json(n->refused));
    char *text = json_dumps(all, JSON_COMPACT);
    puts(text ? text : "{}");
    free(text);
    json_decref(all);
}

static bool lifecycle_reads(const struct lifecycle *lifecycle, size_t stream)
{
    bool reads = false;
    for (int s = 0; s < lifecycle->rules.n_stages; s++)
        reads |= (size_t)lifecycle->stages[s].stream == stream;
    return reads;
}

/* The rollups that have the stream's events, for who has to replay them. */
static void print_rollups(const struct streams *streams, size_t stream)
{
    for (size_t i = 0; i < streams->n_rollups; i++) {
        const struct rollup *r = &streams->rollups[i];
        if (r->stream >= 0 ? (size_t)r->stream == stream
                           : lifecycle_reads(&streams->lifecycles[r->lifecycle], stream))
            printf("    larder replay %.*s\n", SLICE_FMT(r->def.name));
    }
}

static void print_counts(const struct arguments *a, const struct streams *streams, size_t stream,
    const struct replay_counts *n)
{
    if (a->json) {
        print_json(a, n);
        return;
    }
    printf("%" PRIu64 " letter%s of stream %.*s: %" PRIu64 " %s\n", n->letters,
        n->letters == 1 ? "" : "s", SLICE_FMT(streams->streams[stream].name), n->sent,
        a->dry ? "would be sent" : "sent");
    for (int r = REFUSED_NOT + 1; r < REFUSALS; r++)
        if (n->refused[r])
            printf("%" PRIu64 " stay: the contract still refuses them: %s\n", n->refused[r],
                refusal_name((enum refusal)r));
    if (n->cut)
        printf("%" PRIu64 " stay: they were cut, and the event is not whole\n", n->cut);
    if (n->gone) {
        printf("%" PRIu64 " stay: the ids of their hour are not kept any more, so they might count "
               "twice; what they say comes back by\n",
            n->gone);
        print_rollups(streams, stream);
    }
}

/* ---- the whole ---- */

static void on_signal(int sig)
{
    (void)sig;
    atomic_store(&stop, true);
}

static bool has_letters(const struct stream *stream, struct err *err)
{
    if (!stream->dead_letters.len)
        return err_set(err, ERR_INVALID, "stream '%.*s' has no 'dead_letters' in the config",
            SLICE_FMT(stream->name));
    if (!stream->retry.len)
        return err_set(err, ERR_INVALID,
            "stream '%.*s' has no 'retry' in the config: the topic that it reads letters from",
            SLICE_FMT(stream->name));
    return true;
}

static bool replay(const struct arguments *a, const struct config *config, size_t stream,
    struct replay_counts *counts, struct err *err)
{
    struct ingest_options options = {.kafka = config->kafka,
        .n_kafka = config->n_kafka,
        .streams = &config->streams,
        .shard = config->shard};
    struct letter_replay r = {.options = &options,
        .stream = stream,
        .reason = a->reason,
        .from_ms = a->from_ms,
        .to_ms = a->to_ms,
        .dry = a->dry,
        .stop = &stop,
        .progress = isatty(STDERR_FILENO) == 1 ? print_progress : NULL};
    const struct stream *s = &config->streams.streams[stream];
    char server[SERVER_BYTES];
    if (!has_letters(s, err) ||
        !ask_horizon(server_of(a, config, server), s->name, &r.horizon_ms, err))
        return false;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    bool ok = letter_replay(&r, counts, err);
    if (r.progress)
        fputs("\r\033[K", stderr);
    print_counts(a, &config->streams, stream, counts);
    return ok;
}

int cmd_replay_dlq(int argc, char **argv)
{
    struct arguments a = {.config = {.command = "larder replay dlq"}};
    struct config config = {0};
    struct replay_counts counts = {0};
    struct err err = {0};
    size_t stream;
    int code = EXIT_USAGE;
    if (!parse_arguments(argc, argv, &a)) {
        code = a.exit_code;
    } else if (config_arguments_load(&a.config, &config) &&
               config_arguments_stream(&a.config, &config, &stream)) {
        if (replay(&a, &config, stream, &counts, &err))
            code = counts.sent == counts.letters ? EXIT_FINE : EXIT_FOUND;
        else
            fprintf(stderr, "larder replay dlq: %s\n", err.text);
    }
    config_arguments_fini(&a.config);
    config_free(&config);
    return code;
}
