#include "api/series_search.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "query/parse.h"
#include "store/read.h"

#define SELECTORS_MAX 256 /* match[] of one request */

/* A metric of events, with how long its cells count. */
struct event_metric {
    struct slice name;
    int64_t counts_ms; /* INT64_MAX: for ever */
};

struct series_search {
    const struct api *api;
    struct request *request;
    int64_t start_ms, end_ms;
    struct ast selectors[SELECTORS_MAX];
    size_t n_selectors;
    struct event_metric *metrics;
    size_t n_metrics, metrics_cap;

    /* of search_run */
    search_found_f *found;
    void *ctx;
    struct err *err;
    uint64_t visited;
};

bool search_full(struct err *err)
{
    return err_set(err, ERR_LIMIT,
        "the answer takes more than the memory that one request may use: ask with match[] or for a "
        "shorter range");
}

struct series_search *search_new(const struct api *api, struct request *request)
{
    struct series_search *search = xcalloc(1, sizeof *search);
    search->api = api;
    search->request = request;
    search->start_ms = -TIME_MAX_MS;
    search->end_ms = TIME_MAX_MS;
    return search;
}

void search_free(struct series_search **search)
{
    struct series_search *s = *search;
    *search = NULL;
    for (size_t i = 0; i < s->n_selectors; i++)
        ast_free(&s->selectors[i]);
    free(s);
}

/* ---- parameters ---- */

static bool parse_selectors(struct series_search *search, struct err *err)
{
    const struct params *params = &search->request->params;
    struct slice text;
    for (size_t i = 0; params_each(params, "match[]", &i, &text);) {
        if (search->n_selectors == SELECTORS_MAX)
            return err_set(err, ERR_INVALID, "more than %d match[] parameters", SELECTORS_MAX);
        if (!parse_selector(
                text, search->request->arena, &search->selectors[search->n_selectors], err))
            return err->code == ERR_INVALID ? params_wrap("match[]", err) : false;
        search->n_selectors++;
    }
    return true;
}

bool search_params(struct series_search *search, size_t *n_selectors, struct err *err)
{
    const struct params *params = &search->request->params;
    bool ok = params_time(params, "start", &search->start_ms, err) &&
              params_time(params, "end", &search->end_ms, err) && parse_selectors(search, err);
    *n_selectors = search->n_selectors;
    return ok;
}

/* ---- the search ---- */

static bool on_metric(void *ctx, const struct metric_def *def)
{
    struct series_search *search = ctx;
    struct arena *arena = search->request->arena;
    if (def->kind == KIND_SAMPLE)
        return true;
    struct event_metric *metrics = arena_grow(
        arena, search->metrics, search->n_metrics, &search->metrics_cap, sizeof *metrics);
    if (!metrics)
        return search_full(search->err);
    search->metrics = metrics;
    struct event_metric *metric = &search->metrics[search->n_metrics];
    metric->name = arena_slice(arena, def->name);
    metric->counts_ms = def->kind == KIND_LEVEL ? INT64_MAX : def->stale_after_ms;
    if (!metric->name.ptr)
        return search_full(search->err);
    search->n_metrics++;
    return true;
}

/* False: the request has no more time, or nobody waits for it. */
static bool may_go_on(const struct series_search *search)
{
    const struct request *request = search->request;
    if (atomic_load(request->cancel))
        return err_set(search->err, ERR_CANCELED, "the request was canceled");
    if (clock_mono_ns() > request->start_ns + search->api->timeout_ms * 1000000)
        return err_set(search->err, ERR_TIMEOUT, "the request timed out");
    return true;
}

static bool on_series(void *ctx, struct labels labels, const struct metric_def *def)
{
    struct series_search *search = ctx;
    (void)def;
    if ((++search->visited & 1023) == 0 && !may_go_on(search))
        return false;
    return search->found(search->ctx, labels, search->err);
}

/* Asked before each walk of the store too: on_series hears only of what is found. */
static bool each(
    struct series_search *search, const struct matcher *matchers, size_t n, int64_t from_ms)
{
    static const struct scope everything;
    return may_go_on(search) &&
           store_each_series(search->api->store, &everything, matchers, n, from_ms, search->end_ms,
               on_series, search, search->err) &&
           search->err->code == ERR_OK;
}

/* One selector, or none: the series with a cell in the range, then the events' that reach into it.
 */
static bool run_selector(struct series_search *search, const struct matcher *matchers, size_t n)
{
    struct matcher *named = arena_array(search->request->arena, n + 1, sizeof *named);
    if (!named)
        return search_full(search->err);
    if (n)
        memcpy(named, matchers, n * sizeof *named);
    if (!each(search, matchers, n, search->start_ms - 1))
        return false;
    for (size_t i = 0; i < search->n_metrics; i++) {
        const struct event_metric *metric = &search->metrics[i];
        int64_t from_ms = metric->counts_ms > search->start_ms + TIME_MAX_MS
                              ? -TIME_MAX_MS
                              : search->start_ms - metric->counts_ms;
        named[n] = (struct matcher){
            .op = MATCH_EQUAL, .name = SLICE(LABEL_METRIC_NAME), .value = metric->name};
        if (!each(search, named, n + 1, from_ms - 1))
            return false;
    }
    return true;
}

bool search_run(struct series_search *search, search_found_f *found, void *ctx, struct err *err)
{
    search->found = found;
    search->ctx = ctx;
    search->err = err;
    err->code = ERR_OK;
    store_each_metric(search->api->store, on_metric, search);
    if (err->code != ERR_OK)
        return false;
    if (!search->n_selectors)
        return run_selector(search, NULL, 0);
    for (size_t i = 0; i < search->n_selectors; i++) {
        const struct node *root = search->selectors[i].root;
        if (!run_selector(search, root->u.selector.matchers, root->u.selector.n_matchers))
            return false;
    }
    return true;
}
