/*
 * Which handler answers which path. The table of routes is one array in route.c; a handler gets the
 * parts of the server that it may use, the request with its parameters, and the response to fill.
 */
#ifndef API_ROUTE_H
#define API_ROUTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/request.h"
#include "api/response.h"
#include "ingest/source/source_request.h"
#include "query/engine.h"
#include "store/store.h"

struct http;
struct metrics;

enum replay_action { REPLAY_STATUS, REPLAY_START, REPLAY_CANCEL };

struct replay_request {
    enum replay_action action;
    struct slice rollup; /* to start */
    int64_t from_ms;     /* likewise; INT64_MIN: not given */
};

/* Asks the ingestion that runs; ERR_UNAVAILABLE: none does. */
typedef bool source_ask_f(void *ctx, const struct source_request *request, struct arena *arena,
    struct source_answer *answer, struct err *err);

/* What handlers share. */
struct api {
    struct store *store; /* NULL while the store is being opened */
    struct http *http;
    struct metrics *metrics;
    /* Adds to /metrics, or NULL. */
    void (*more_metrics)(void *ctx, struct buf *out);
    void *more_metrics_ctx;
    source_ask_f *source; /* NULL: there is no ingestion */
    void *source_ctx;
    /* Reads the config again, or NULL. */
    bool (*reload)(void *ctx, const atomic_bool *cancel, struct err *err);
    void *reload_ctx;
    /* Replays of rollups, or NULL. */
    bool (*replay)(
        void *ctx, const struct replay_request *request, struct buf *out, struct err *err);
    void *replay_ctx;
    const struct engine_options *engine;
    int64_t timeout_ms; /* of a query */
};

typedef void route_f(const struct api *api, struct request *request, struct response *response);

struct route {
    const char *path; /* "*" stands for one part, without '/', that is not empty */
    unsigned methods; /* enum http_method, or-ed */
    bool here; /* answered in the server's thread, the only one: takes no lock that may be long */
    bool needs_store; /* 503 while there is none */
    bool changes;     /* 403 for a page in a browser: any site's page may post anywhere */
    route_f *handle;
};

/* The route of a path, or NULL; *capture is what the '*' stands for. */
const struct route *route_find(struct slice path, struct slice *capture);
/* All of them, for counting: by index. */
size_t route_count(void);
const struct route *route_at(size_t i);
size_t route_index(const struct route *route);

#endif
