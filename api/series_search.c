#include "api/series_search.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "query/parse.h"
#include "query/selectors.h"

#define SELECTORS_MAX 256 /* of one request */
#define WARNINGS_MAX  64  /* more are not told apart */

struct series_search {
    const struct api *api;
    struct request *request;
    int64_t start_ms, end_ms;
    int64_t reach_ms;                 /* cells are looked for up to so much behind the end */
    struct ast parsed[SELECTORS_MAX]; /* the selectors of match[]; or the expression */
    size_t n_parsed;
    const struct node *selectors[SELECTORS_MAX];
    size_t n_selectors;
    const char *warnings[WARNINGS_MAX]; /* in the request's arena */
    size_t n_warnings;
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
    for (size_t i = 0; i < s->n_parsed; i++)
        ast_free(&s->parsed[i]);
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
        struct ast *ast = &search->parsed[search->n_parsed];
        if (!parse_selector(text, search->request->arena, ast, err))
            return err->code == ERR_INVALID ? params_wrap("match[]", err) : false;
        search->n_parsed++;
        search->selectors[search->n_selectors++] = ast->root;
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

static bool add_selector(void *ctx, const struct node *selector)
{
    struct series_search *search = ctx;
    if (search->n_selectors == SELECTORS_MAX)
        return false;
    search->selectors[search->n_selectors++] = selector;
    return true;
}

static bool parse_expression(struct series_search *search, struct err *err)
{
    struct slice text = params_get(&search->request->params, "query");
    struct ast *ast = &search->parsed[0];
    if (!text.len)
        return err_set(
            err, ERR_INVALID, "unknown position: parse error: no expression found in input");
    if (!parse_query(text, search->request->arena, ast, err))
        return false;
    search->n_parsed = 1;
    return node_each_selector(ast->root, add_selector, search) ||
           err_set(err, ERR_INVALID, "invalid parameter \"query\": more than %d selectors",
               SELECTORS_MAX);
}

bool search_expression(struct series_search *search, size_t *n_selectors, struct err *err)
{
    const struct params *params = &search->request->params;
    bool ok = params_time(params, "start", &search->start_ms, err) &&
              params_time(params, "end", &search->end_ms, err);
    if (ok && search->end_ms < search->start_ms)
        ok = err_set(err, ERR_INVALID, "end timestamp must not be before start timestamp");
    ok = ok && parse_expression(search, err);
    *n_selectors = search->n_selectors;
    return ok;
}

void search_range(const struct series_search *search, int64_t *start_ms, int64_t *end_ms)
{
    *start_ms = search->start_ms;
    *end_ms = search->end_ms;
}

void search_reach(struct series_search *search, int64_t ms)
{
    search->reach_ms = ms;
}

/* ---- the search ---- */

bool search_goes_on(const struct series_search *search, struct err *err)
{
    const struct request *request = search->request;
    if (atomic_load(request->cancel))
        return err_set(err, ERR_CANCELED, "the request was canceled");
    if (clock_mono_ns() > request->start_ns + search->api->timeout_ms * 1000000)
        return err_set(err, ERR_TIMEOUT, "the request timed out");
    return true;
}

static bool may_go_on(void *ctx, struct err *err)
{
    return search_goes_on(ctx, err);
}

/* The last cell of events counts for a while. */
static int64_t reach(const struct metric_def *def, int64_t from_ms)
{
    if (def->kind == KIND_SAMPLE)
        return from_ms;
    if (from_ms < def->stale_after_ms - TIME_MAX_MS)
        return -TIME_MAX_MS - 1;
    return from_ms - def->stale_after_ms;
}

static void lacks(void *ctx, const struct err *why)
{
    struct series_search *search = ctx;
    for (size_t i = 0; i < search->n_warnings; i++)
        if (strcmp(search->warnings[i], why->text) == 0)
            return;
    size_t bytes = strlen(why->text) + 1;
    char *copy =
        search->n_warnings < WARNINGS_MAX ? arena_alloc(search->request->arena, bytes) : NULL;
    if (!copy)
        return;
    memcpy(copy, why->text, bytes);
    search->warnings[search->n_warnings++] = copy;
}

struct notes search_notes(struct series_search *search)
{
    return (struct notes){.warnings = search->warnings, .n_warnings = search->n_warnings};
}

bool search_run(struct series_search *search, search_ask_f *ask, void *ctx, struct err *err)
{
    struct listing listing = {.from_ms = search->start_ms - 1,
        .to_ms = search->end_ms + search->reach_ms,
        .from_of = reach,
        .cancel = search->request->cancel,
        .go_on = may_go_on,
        .go_on_ctx = search,
        .lacks = lacks,
        .lacks_ctx = search};
    if (!search->n_selectors)
        return may_go_on(search, err) && ask(ctx, &listing, err);
    for (size_t i = 0; i < search->n_selectors; i++) {
        listing.matchers = search->selectors[i]->u.selector.matchers;
        listing.n_matchers = search->selectors[i]->u.selector.n_matchers;
        if (!may_go_on(search, err) || !ask(ctx, &listing, err))
            return false;
    }
    return true;
}
