#include "cmd/service.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "api/server.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cmd/clock_metrics.h"
#include "cmd/ingest_metrics.h"
#include "cmd/reload.h"
#include "cmd/replay_api.h"
#include "cmd/replays.h"
#include "dashboards/assets.h"
#include "ingest/ingest.h"

#define MAINTAIN_MS 500
#define AWAIT_MS    1000
/* How long an operator's request waits for the ingestion to begin with it. */
#define SOURCE_WAIT_MS 20000
/* Between two lines of the log that say how far the replay has come. */
#define TELL_NS INT64_C(5000000000)

struct service {
    const struct config *config;
    struct server *server;
    struct store *store;
    struct reload *reload;
    _Atomic(struct replays *) replays; /* set while service_run has been */
    _Atomic(struct ingest *) ingest;   /* set while it runs */
    atomic_bool running;               /* service_run has ended */
    struct hash128 ingested;           /* what is in force; of who starts and reloads */
    bool stays;                        /* with its config; set before it runs */
    pthread_t maintenance;
    bool maintained;
    pthread_mutex_t lock; /* guards ending; ingest, and names of its config, are used under it by
                             others than who starts, stops and reloads */
    pthread_cond_t wake;
    bool ending;
    int64_t told_ns; /* of the thread that replays */
};

/* ---- maintenance ---- */

int64_t service_passed_ms(int64_t sources_ms, int64_t now_ms)
{
    return sources_ms < now_ms ? sources_ms : now_ms;
}

/* What ends before may be sealed; the lock is held, so that the ingestion is not gone meanwhile. */
static int64_t passed_ms(struct service *service)
{
    struct ingest *ingest = atomic_load(&service->ingest);
    return ingest ? service_passed_ms(ingest_passed_ms(ingest), clock_now_ms()) : INT64_MIN;
}

static void *maintain(void *arg)
{
    struct service *service = arg;
    bool told = false;
    mutex_lock(&service->lock);
    while (!service->ending) {
        int64_t passed = passed_ms(service);
        mutex_unlock(&service->lock);
        struct err err = {0};
        bool more = false;
        bool ok = store_maintain_step(service->store, passed, &more, &err);
        if (!ok && !told)
            log_error("the store's maintenance failed and will be tried again: %s", err.text);
        if (ok && told)
            log_info("the store's maintenance works again");
        told = !ok;
        mutex_lock(&service->lock);
        if (!service->ending && !(ok && more))
            cond_wait_ms(&service->wake, &service->lock, MAINTAIN_MS);
    }
    mutex_unlock(&service->lock);
    return NULL;
}

static void stop_maintenance(struct service *service)
{
    if (!service->maintained)
        return;
    mutex_lock(&service->lock);
    service->ending = true;
    pthread_cond_signal(&service->wake);
    mutex_unlock(&service->lock);
    thread_join(service->maintenance);
}

/* ---- start and stop ---- */

static void write_metrics(void *ctx, struct buf *out)
{
    struct service *service = ctx;
    mutex_lock(&service->lock);
    struct ingest *ingest = atomic_load(&service->ingest);
    if (ingest)
        ingest_metrics_write(ingest, service->store, clock_now_ms(), out);
    mutex_unlock(&service->lock);
    reload_metrics(service->reload, out);
}

static bool replay_asked(
    void *ctx, const struct replay_request *request, struct buf *out, struct err *err);

static bool reload_asked(void *ctx, const atomic_bool *cancel, struct err *err)
{
    return service_reload(ctx, cancel, err);
}

/* The ingestion may end meanwhile: the desk says so then. */
static bool ask_source(void *ctx, const struct source_request *request, struct arena *arena,
    struct source_answer *answer, struct err *err)
{
    struct service *service = ctx;
    mutex_lock(&service->lock);
    struct ingest *ingest = atomic_load(&service->ingest);
    struct source_desk *desk = ingest ? ingest_desk_get(ingest) : NULL;
    mutex_unlock(&service->lock);
    if (!desk)
        return err_set(err, ERR_UNAVAILABLE,
            "the ingestion does not run: it starts behind the "
            "replay of the log, when the config has streams");
    bool ok = source_desk_ask(desk, request, SOURCE_WAIT_MS, arena, answer, err);
    source_desk_put(&desk);
    return ok;
}

static bool start_server(struct service *service, struct err *err)
{
    const struct config *config = service->config;
    const struct query_limits *query = &config->query;
    struct server_options server = {
        .address = config->http_address,
        .port = config->http_port,
        .engine = {.max_samples = (uint64_t)query->max_samples,
            .max_series = (uint64_t)query->max_series},
        .workers = (int)query->concurrency,
        .queue = (int)query->queue,
        .timeout_ms = query->timeout_ms,
        .query_bytes = query->memory_bytes,
        .pages = assets,
        .n_pages = assets_n,
        .metrics = write_metrics,
        .metrics_ctx = service,
        .source = ask_source,
        .source_ctx = service,
        .reload = reload_asked,
        .reload_ctx = service,
        .replay = replay_asked,
        .replay_ctx = service,
    };
    return server_start(&server, &service->server, err);
}

/* The thread that replays calls it. */
static void note_replayed(void *ctx, uint64_t lsn, uint64_t last_lsn)
{
    struct service *service = ctx;
    int64_t now = clock_mono_ns();
    if (now < service->told_ns + TELL_NS)
        return;
    service->told_ns = now;
    log_info("replaying the log: transaction %" PRIu64 " of %" PRIu64, lsn, last_lsn);
}

static bool start_store(struct service *service, struct err *err)
{
    const struct config *config = service->config;
    struct store_options store = {
        .path = config->store_path,
        .head_bytes = config->store_head_bytes,
        .state_bytes = ingest_part_bytes(&config->ingest),
        .limits = config->limits,
        .retention = config->retention,
        .answer_early = true,
        /* Half of the workers stay free for what is answered at once. */
        .early_waiters = ((unsigned)config->query.concurrency + 1) / 2,
        .replayed = note_replayed,
        .replayed_ctx = service,
    };
    service->told_ns = clock_mono_ns();
    if (!store_open(&store, &service->store, err))
        return false;
    server_set_store(service->server, service->store);
    return true;
}

static struct ingest_options ingest_options_of(const struct config *config)
{
    return (struct ingest_options){
        .kafka = config->kafka,
        .n_kafka = config->n_kafka,
        .streams = &config->streams,
        .workers = (uint32_t)config->ingest.workers,
        .memory_bytes = ingest_part_bytes(&config->ingest),
        .shard = config->shard,
    };
}

static bool start_ingest(struct service *service, const struct config *config, struct err *err)
{
    struct ingest *ingest = NULL;
    struct ingest_options options = ingest_options_of(config);
    if (config->streams.n_streams == 0)
        return true;
    if (!ingest_start(service->store, &options, &ingest, err))
        return false;
    atomic_store(&service->ingest, ingest);
    return true;
}

static void stop_ingest(struct service *service)
{
    mutex_lock(&service->lock);
    struct ingest *ingest = atomic_exchange(&service->ingest, NULL);
    mutex_unlock(&service->lock);
    if (ingest)
        ingest_stop(&ingest);
}

/* ---- reload ---- */

static bool apply(
    void *ctx, const struct config *config, const atomic_bool *cancel, struct err *err)
{
    struct service *service = ctx;
    struct ingest *ingest = atomic_load(&service->ingest);
    struct ingest_options options = ingest_options_of(config);
    if (ingest && config->streams.n_streams == 0)
        stop_ingest(service);
    else if (!(ingest ? ingest_reload(ingest, &options, cancel, err)
                      : start_ingest(service, config, err))) /* the first one, too */
        return false;
    service->ingested = config->ingested;
    if (atomic_load(&service->replays))
        replays_in_force(atomic_load(&service->replays), config->ingested);
    /* Whoever has names of the config before holds the lock. */
    mutex_lock(&service->lock);
    mutex_unlock(&service->lock);
    return true;
}

bool service_reload(struct service *service, const atomic_bool *cancel, struct err *err)
{
    if (!atomic_load(&service->running))
        return err_set(err, ERR_UNAVAILABLE, "the server is starting");
    if (service->stays)
        return err_set(err, ERR_UNSUPPORTED, "this server stays with the config of its start");
    return reload_now(service->reload, service->store, cancel, err);
}

/* ---- replay ---- */

struct pause {
    struct service *service;
    ingest_pause_f *f;
    void *ctx;
    const atomic_bool *cancel;
};

static bool pause_held(void *ctx, struct err *err)
{
    struct pause *p = ctx;
    struct ingest *ingest = atomic_load(&p->service->ingest);
    return ingest ? ingest_pause(ingest, p->f, p->ctx, p->cancel, err)
                  : err_set(err, ERR_UNAVAILABLE, "nothing is ingested");
}

static bool pause_ingest(
    void *ctx, ingest_pause_f *f, void *f_ctx, const atomic_bool *cancel, struct err *err)
{
    struct service *service = ctx;
    struct pause pause = {service, f, f_ctx, cancel};
    return reload_hold(service->reload, pause_held, &pause, err);
}

static bool replay_asked(
    void *ctx, const struct replay_request *request, struct buf *out, struct err *err)
{
    struct service *service = ctx;
    struct replays *replays = atomic_load(&service->replays);
    return replays ? replay_api(replays, request, out, err)
                   : err_set(err, ERR_UNAVAILABLE, "the server is starting");
}

/* ---- life ---- */

bool service_open(const struct config *config, struct service **out, struct err *err)
{
    struct service *service = xcalloc(1, sizeof *service);
    service->config = config;
    service->reload = reload_new(config, apply, service);
    atomic_init(&service->ingest, NULL);
    mutex_init(&service->lock);
    cond_init(&service->wake);
    if (!start_server(service, err) || !start_store(service, err)) {
        service_stop(&service);
        return false;
    }
    *out = service;
    return true;
}

bool service_await(struct service *service, int64_t ms, struct err *err)
{
    return store_await_replay(service->store, ms, err);
}

bool service_run(struct service *service, struct err *err)
{
    if (!reload_first(service->reload, service->store, err))
        return false;
    thread_start(&service->maintenance, "maintenance", maintain, service);
    service->maintained = true;
    struct replays *replays =
        replays_new(service->config, service->ingested, service->store, pause_ingest, service);
    replays_resume(replays); /* before another one can begin */
    atomic_store(&service->replays, replays);
    atomic_store(&service->running, true);
    return true;
}

bool service_start(const struct config *config, struct service **out, struct err *err)
{
    if (!service_open(config, out, err))
        return false;
    (*out)->stays = true;
    bool replayed = false;
    while (!(replayed = service_await(*out, AWAIT_MS, err)) && err->code == ERR_TIMEOUT)
        ;
    if (replayed && service_run(*out, err))
        return true;
    service_stop(out);
    return false;
}

int service_port(const struct service *service)
{
    return server_port(service->server);
}

struct ingest *service_ingest(struct service *service)
{
    return atomic_load(&service->ingest);
}

void service_stop(struct service **slot)
{
    struct service *service = *slot;
    *slot = NULL;
    if (!service)
        return;
    server_stop(&service->server);
    struct replays *replays = atomic_load(&service->replays);
    replays_free(&replays);
    stop_ingest(service);
    stop_maintenance(service);
    if (service->store)
        store_close(&service->store);
    reload_free(&service->reload);
    pthread_cond_destroy(&service->wake);
    pthread_mutex_destroy(&service->lock);
    free(service);
}
