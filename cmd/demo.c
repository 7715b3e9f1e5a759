/*
 * larder demo: a broker, a business that sends events to it, and the server of `larder serve` with
 * the shipped larder.yml, in one command.
 *
 *     process 1   broker (demo_broker)
 *     process 2   producer thread (demo_producer) -> broker -> service: ingest, store, HTTP
 *
 * The broker is forked before there are threads. The end, whoever asks for it: the producer stops
 * and completes its truth, the server reads what is left and stops, the broker goes, then the
 * folder.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/number.h"
#include "base/slice.h"
#include "cmd/commands.h"
#include "cmd/config.h"
#include "cmd/demo/demo_broker.h"
#include "cmd/demo/demo_folder.h"
#include "cmd/demo/demo_producer.h"
#include "cmd/demo/demo_screen.h"
#include "cmd/service.h"
#include "dashboards/assets.h"
#include "ingest/ingest.h"

#define HISTORY_MS  (6 * 3600 * (int64_t)1000)
#define DRAIN_MS    5000 /* for the server to read what is left, at the end */
#define STREAMS_MAX 64

static const char help[] =
    "usage: larder demo [OPTIONS]\n"
    "\n"
    "Runs everything on this machine: a Kafka broker in memory, a food-delivery business that "
    "sends\n"
    "its events there (6 hours of history first), the server, and a page with live charts.\n"
    "\n"
    "      --rate N        events per second; default 1000. The history has a tenth of it\n"
    "      --seconds N     stops by itself after N seconds; default: runs until Ctrl-C\n"
    "      --dir FOLDER    keeps the data there; absent or empty. Default: a temporary folder\n"
    "      --port N        of the page and the API; default 9595; 0: any free one\n"
    "      --seed N        another business with the same habits; default 1\n"
    "      --truth FILE    writes what the metrics have to answer; docs/demo.md has the format\n"
    "      --debug         logs more\n"
    "  -h, --help          this\n"
    "\n"
    "Ctrl-C leaves nothing behind. Exit code 2: an option, the port or the folder is not usable.\n";

struct arguments {
    double rate, seconds;
    uint64_t seed;
    int port;
    const char *dir, *truth;
    int exit_code; /* when parse_arguments returned false */
};

struct demo {
    struct arguments arguments;
    struct demo_folder folder;
    struct demo_broker *broker;
    struct config config;
    bool configured;
    struct service *service;
    struct demo_producer *producer;
    struct demo_screen screen;
    sigset_t signals; /* that ask for the end; blocked */
    int64_t start_ms, live_ms;
};

/* ---- options ---- */

static bool take_number(const char *name, const char *text, double low, double high, double *out)
{
    if (number_parse(slice_from(text), out) && *out >= low && *out <= high)
        return true;
    fprintf(stderr, "larder demo: --%s takes a number from %.0f to %.0f, not \"%s\"\n", name, low,
        high, text);
    return false;
}

static bool take_whole(const char *name, const char *text, double high, double *out)
{
    if (!take_number(name, text, 0, high, out))
        return false;
    if (*out == floor(*out))
        return true;
    fprintf(stderr, "larder demo: --%s takes a whole number, not \"%s\"\n", name, text);
    return false;
}

static bool take_option(int option, const char *value, struct arguments *out)
{
    double v = 0;
    switch (option) {
    case 'r': return take_number("rate", value, DEMO_RATE_MIN, DEMO_RATE_MAX, &out->rate);
    case 's': return take_number("seconds", value, 1, 1e9, &out->seconds);
    case 'd': out->dir = value; return true;
    case 'p':
        if (!take_whole("port", value, 65535, &v))
            return false;
        out->port = (int)v;
        return true;
    case 'e':
        if (!take_whole("seed", value, 9007199254740992.0, &v))
            return false;
        out->seed = (uint64_t)v;
        return true;
    case 't': out->truth = value; return true;
    case 'g': log_set_level(LOG_DEBUG); return true;
    case 'h':
        fputs(help, stdout);
        out->exit_code = EXIT_FINE;
        return false;
    default: fputs("`larder demo --help` lists the options\n", stderr); return false;
    }
}

static bool parse_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {{"rate", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'}, {"dir", required_argument, NULL, 'd'},
        {"port", required_argument, NULL, 'p'}, {"seed", required_argument, NULL, 'e'},
        {"truth", required_argument, NULL, 't'}, {"debug", no_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    *out = (struct arguments){.rate = 1000, .seed = 1, .port = 9595, .exit_code = EXIT_USAGE};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        if (!take_option(c, optarg, out))
            return false;
    if (optind == argc)
        return true;
    fprintf(stderr, "larder demo: \"%s\" is one argument too many\n", argv[optind]);
    return false;
}

/* ---- start ---- */

/* The shipped larder.yml, which the build has embedded. */
static struct slice shipped_config(void)
{
    for (size_t i = 0; i < assets_n; i++)
        if (strcmp(assets[i].path, "larder.yml") == 0)
            return slice_of(assets[i].data, assets[i].len);
    unreachable("larder.yml is not embedded");
}

static bool load_config(struct demo *demo, struct err *err)
{
    char path[DEMO_PATH_MAX + 16], brokers[320], listen[64], store[DEMO_PATH_MAX + 32];
    struct err_list errors = {0};
    if (!demo_folder_write(&demo->folder, "larder.yml", shipped_config(), err))
        return false;
    snprintf(path, sizeof path, "%s/larder.yml", demo->folder.path);
    snprintf(brokers, sizeof brokers, "kafka.brokers=%s", demo_broker_addresses(demo->broker));
    snprintf(listen, sizeof listen, "http.listen=127.0.0.1:%d", demo->arguments.port);
    snprintf(store, sizeof store, "store.path=%s/data", demo->folder.path);
    const char *overrides[] = {brokers, listen, store};
    demo->configured = config_load(path, overrides, 3, &demo->config, &errors);
    if (!demo->configured) {
        if (errors.n > 0)
            *err = errors.items[0];
        err_wrap(err, "the shipped larder.yml");
    }
    err_list_fini(&errors);
    return demo->configured;
}

/* How many records of a topic the server has counted and refused: the shipped streams have the
 * topics' names. */
struct taken {
    uint64_t accepted, refused;
    uint64_t passed_over; /* tombstones, and what came twice */
};

static void events_taken(struct demo *demo, struct taken taken[DEMO_TOPICS])
{
    struct ingest_stats stats;
    struct stream_stats streams[STREAMS_MAX];
    size_t n = ingest_stats(service_ingest(demo->service), &stats, streams, STREAMS_MAX);
    memset(taken, 0, DEMO_TOPICS * sizeof *taken);
    for (size_t i = 0; i < n && i < STREAMS_MAX; i++)
        for (int topic = 0; topic < DEMO_TOPICS; topic++) {
            if (!slice_is(streams[i].name, demo_topics[topic].name))
                continue;
            taken[topic].accepted = streams[i].accepted;
            taken[topic].passed_over =
                streams[i].tombstones + streams[i].duplicates + streams[i].conflicts;
            for (int r = 0; r < REFUSALS; r++)
                taken[topic].refused += streams[i].refused[r];
        }
}

static void records_read(void *ctx, uint64_t read[DEMO_TOPICS])
{
    struct taken taken[DEMO_TOPICS];
    events_taken(ctx, taken);
    for (int i = 0; i < DEMO_TOPICS; i++)
        read[i] = taken[i].accepted + taken[i].refused + taken[i].passed_over;
}

static struct taken sum_taken(struct demo *demo)
{
    struct taken taken[DEMO_TOPICS], sum = {0};
    events_taken(demo, taken);
    for (int i = 0; i < DEMO_TOPICS; i++) {
        sum.accepted += taken[i].accepted;
        sum.refused += taken[i].refused;
        sum.passed_over += taken[i].passed_over;
    }
    return sum;
}

static uint64_t sum_read(struct demo *demo)
{
    struct taken sum = sum_taken(demo);
    return sum.accepted + sum.refused + sum.passed_over;
}

static bool start_producer(struct demo *demo, struct err *err)
{
    demo->live_ms = clock_now_ms();
    demo->start_ms = demo->live_ms - HISTORY_MS;
    struct demo_producer_options options = {
        .brokers = demo_broker_addresses(demo->broker),
        .model = {.seed = demo->arguments.seed,
            .rate = demo->arguments.rate,
            .start_ms = demo->start_ms,
            .live_ms = demo->live_ms},
        .truth_path = demo->arguments.truth,
        .records_read = records_read,
        .ctx = demo,
    };
    return demo_producer_start(&options, &demo->producer, err);
}

static bool start(struct demo *demo, struct err *err)
{
    const struct arguments *arguments = &demo->arguments;
    if (!demo_folder_make(arguments->dir, &demo->folder, err) ||
        !demo_broker_start(demo_topics, DEMO_TOPICS, &demo->broker, err) || !load_config(demo, err))
        return false;
    if (!service_start(&demo->config, &demo->service, err)) {
        if (err->code == ERR_BUSY && arguments->port > 0)
            err_wrap(err, "--port %d", arguments->port);
        return false;
    }
    return start_producer(demo, err);
}

static void greet(const struct demo *demo)
{
    const char *program = program_invocation_name;
    int port = service_port(demo->service);
    char server[64] = "";
    if (port != 9595)
        snprintf(server, sizeof server, " --server http://127.0.0.1:%d", port);
    printf(
        "\n"
        "  Larder's demo: a food-delivery business at %.0f events per second.\n"
        "\n"
        "  page   http://127.0.0.1:%d/\n"
        "  ask    %s query%s 'sum by (market) (increase(orders_total{stage=\"delivered\"}[1h]))'\n"
        "  data   %s%s\n"
        "\n"
        "  Ctrl-C stops it.\n"
        "\n",
        demo->arguments.rate, port, program, server, demo->folder.path,
        demo->folder.temporary ? ", removed at the end" : ", kept");
    fflush(stdout);
}

/* ---- run and end ---- */

/* True when a signal asked for the end; waits at most ms. */
static bool asked_to_end(const struct demo *demo, int64_t ms)
{
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
    return sigtimedwait(&demo->signals, NULL, &wait) > 0;
}

static double part_done(const struct demo *demo, int64_t arrival_ms)
{
    double part = (double)(arrival_ms - demo->start_ms) / (double)HISTORY_MS;
    return part < 0 ? 0 : part > 1 ? 1 : part;
}

/* Until somebody asks for the end, the time is up, or something broke: false, then. */
static bool run(struct demo *demo, struct err *err)
{
    int64_t begin_ns = clock_mono_ns();
    while (!asked_to_end(demo, 100)) {
        struct demo_producer_progress progress;
        int64_t now_ns = clock_mono_ns();
        demo_producer_progress(demo->producer, &progress);
        demo_screen_show(&demo->screen, part_done(demo, progress.arrival_ms), progress.live,
            sum_read(demo), progress.arrival_ms, now_ns);
        if (progress.failed)
            return err_set(err, ERR_UNAVAILABLE, "%s", progress.text);
        if (!demo_broker_runs(demo->broker))
            return err_set(err, ERR_UNAVAILABLE, "the demo's broker has ended: somebody killed it");
        if (demo->arguments.seconds > 0 &&
            (double)(now_ns - begin_ns) >= demo->arguments.seconds * 1e9)
            return true;
    }
    return true;
}

/* Lets the server read everything that was produced; a further signal ends the wait. */
static void drain(struct demo *demo, uint64_t produced)
{
    int64_t end_ns = clock_mono_ns() + DRAIN_MS * (int64_t)1000000;
    while (sum_read(demo) < produced && clock_mono_ns() < end_ns && demo_broker_runs(demo->broker))
        if (asked_to_end(demo, 20))
            return;
}

static bool end(struct demo *demo, struct err *err)
{
    struct demo_producer_progress progress = {0};
    bool ok = true;
    if (demo->producer) {
        demo_producer_progress(demo->producer, &progress);
        ok = demo_producer_stop(&demo->producer, &progress, err);
        drain(demo, progress.acknowledged);
        struct taken sum = sum_taken(demo);
        printf("  %" PRIu64 " events sent, %" PRIu64 " counted, %" PRIu64 " refused, %" PRIu64
               " for the second time\n",
            progress.acknowledged, sum.accepted, sum.refused, sum.passed_over);
    }
    service_stop(&demo->service);
    demo_broker_stop(&demo->broker);
    if (demo->configured)
        config_free(&demo->config);
    demo_folder_end(&demo->folder);
    return ok;
}

static bool play(struct demo *demo, struct err *err)
{
    if (!start(demo, err))
        return false;
    greet(demo);
    demo_screen_init(&demo->screen, stderr);
    bool ok = run(demo, err);
    demo_screen_clear(&demo->screen);
    return ok;
}

/* The signals stay blocked to the last: whoever is impatient must not leave a folder behind. */
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    ensure(sigprocmask(SIG_BLOCK, set, NULL) == 0);
}

int cmd_demo(int argc, char **argv)
{
    struct demo demo = {0};
    struct err err = {0}, ending = {0};
    log_set_level(LOG_WARN);
    if (!parse_arguments(argc, argv, &demo.arguments))
        return demo.arguments.exit_code;
    block_signals(&demo.signals);
    bool played = play(&demo, &err);
    bool ended = end(&demo, &ending);
    char line[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    if (!played)
        fprintf(stderr, "larder demo: %s\n", err_format(&err, line, sizeof line));
    if (played && !ended)
        fprintf(stderr, "larder demo: %s\n", err_format(&ending, line, sizeof line));
    return played && ended ? EXIT_FINE : EXIT_USAGE;
}
