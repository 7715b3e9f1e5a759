#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/commands.h"
#include "cmd/config.h"
#include "cmd/service.h"

/* So often it is looked for a signal while the log is replayed. */
#define LOOK_MS 50

static const char help[] =
    "usage: larder serve -c FILE [--set KEY=VALUE]...\n"
    "\n"
    "Reads the topics that the config names, counts their events, and answers PromQL over HTTP.\n"
    "\n"
    "  -c, --config FILE    the config; larder.yml describes every key\n"
    "      --set KEY=VALUE  overrides one key: --set kafka.brokers=localhost:9092\n"
    "      --debug          logs more\n"
    "  -h, --help           this\n"
    "\n"
    "SIGHUP reads the config again: streams, lifecycles, rollups and the broker's settings change\n"
    "without losing an event. A config that does not check leaves the old one in force.\n"
    "SIGTERM and SIGINT drain, commit and stop; a second one stops at once, which loses nothing\n"
    "that was committed. Exit code 2: the config, the port or the data folder is not usable.\n";

struct arguments {
    const char *config;
    const char **overrides;
    size_t n_overrides, cap;
    int exit_code; /* when parse_arguments returned false */
};

static bool parse_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
        {"set", required_argument, NULL, 's'}, {"debug", no_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    out->exit_code = EXIT_USAGE;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c': out->config = optarg; break;
        case 's':
            GROW(out->overrides, out->cap, out->n_overrides + 1);
            out->overrides[out->n_overrides++] = optarg;
            break;
        case 'd': log_set_level(LOG_DEBUG); break;
        case 'h':
            fputs(help, stdout);
            out->exit_code = EXIT_FINE;
            return false;
        default: fputs("`larder serve --help` lists the options\n", stderr); return false;
        }
    }
    if (out->config && optind == argc)
        return true;
    if (!out->config)
        fputs("larder serve: which config? Give it with -c FILE\n", stderr);
    else
        fprintf(stderr, "larder serve: \"%s\" is one argument too many\n", argv[optind]);
    return false;
}

static bool load_config(const struct arguments *arguments, struct config *config)
{
    struct err_list errors = {0};
    char line[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    bool ok = config_load(
        arguments->config, arguments->overrides, arguments->n_overrides, config, &errors);
    for (size_t i = 0; i < errors.n; i++)
        fprintf(stderr, "%s\n", err_format(&errors.items[i], line, sizeof line));
    if (!ok)
        fprintf(stderr, "larder serve: %s has %zu error%s\n", arguments->config, errors.n,
            errors.n == 1 ? "" : "s");
    err_list_fini(&errors);
    return ok;
}

static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    ensure(pthread_sigmask(SIG_BLOCK, set, NULL) == 0);
}

/* Whether the signal ends the server; SIGHUP reads its config again, and is told in the log. */
static bool ends(struct service *service, int sig)
{
    struct err err = {0};
    if (sig != SIGHUP) {
        log_info("%s: draining", sig == SIGINT ? "SIGINT" : "SIGTERM");
        return true;
    }
    if (!service_reload(service, NULL, &err) && err.code == ERR_UNAVAILABLE)
        log_warn("SIGHUP: the config is not read again: %s", err.text);
    return false;
}

static void wait_for_end(struct service *service, const sigset_t *set)
{
    for (;;) {
        int sig = 0;
        if (sigwait(set, &sig) == 0 && ends(service, sig))
            return;
    }
}

/* *ended: a signal came before the log was replayed. */
static bool await_replay(struct service *service, const sigset_t *set, bool *ended, struct err *err)
{
    const struct timespec at_once = {0, 0};
    *ended = false;
    if (service_await(service, 0, err))
        return true;
    if (err->code == ERR_TIMEOUT)
        log_info("the log is being replayed: queries over what it touches wait, and so does the "
                 "ingestion");
    while (err->code == ERR_TIMEOUT && !*ended) {
        if (service_await(service, LOOK_MS, err)) {
            log_info("the log is replayed");
            return true;
        }
        int sig = sigtimedwait(set, NULL, &at_once);
        *ended = sig > 0 && ends(service, sig);
    }
    return *ended;
}

static int fail(struct service **service, const struct err *err)
{
    char line[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    fprintf(stderr, "larder serve: %s\n", err_format(err, line, sizeof line));
    service_stop(service);
    return EXIT_USAGE;
}

static int serve(const struct config *config)
{
    struct service *service = NULL;
    struct err err = {0};
    sigset_t set;
    bool ended;
    block_signals(&set);
    if (!service_open(config, &service, &err))
        return fail(&service, &err);
    log_info("ready on http://%s:%d/", config->http_address, service_port(service));
    if (!await_replay(service, &set, &ended, &err) || (!ended && !service_run(service, &err)))
        return fail(&service, &err);
    if (!ended)
        wait_for_end(service, &set);
    /* From here on a second signal ends the process by its default action. */
    ensure(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
    service_stop(&service);
    log_info("stopped");
    return EXIT_FINE;
}

int cmd_serve(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct config config = {0};
    int code = EXIT_USAGE;
    if (!parse_arguments(argc, argv, &arguments)) {
        code = arguments.exit_code;
    } else {
        if (load_config(&arguments, &config))
            code = serve(&config);
        config_free(&config);
    }
    free(arguments.overrides);
    return code;
}
