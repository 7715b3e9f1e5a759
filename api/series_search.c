#include "api/series_search.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "query/parse.h"

#define SELECTORS_MAX 256 /* match[] of one request */
#define WARNINGS_MAX  64  /* more are not told apart */

struct series_search {
    const struct api *api;
    struct request *request;
    int64_t start_ms, end_ms;
    struct ast selectors[SELECTORS_MAX];
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

/* False: the request has no more time, or nobody waits for it. */
static bool may_go_on(void *ctx, struct err *err)
{
    const struct series_search *search = ctx;
    const struct request *request = search->request;
    if (atomic_load(request->cancel))
        return err_set(err, ERR_CANCELED, "the request was canceled");
    if (clock_mono_ns() > request->start_ns + search->api->timeout_ms * 1000000)
        return err_set(err, ERR_TIMEOUT, "the request timed out");
    return true;
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
        .to_ms = search->end_ms,
        .from_of = reach,
        .cancel = search->request->cancel,
        .go_on = may_go_on,
        .go_on_ctx = search,
        .lacks = lacks,
        .lacks_ctx = search};
    if (!search->n_selectors)
        return may_go_on(search, err) && ask(ctx, &listing, err);
    for (size_t i = 0; i < search->n_selectors; i++) {
        const struct node *root = search->selectors[i].root;
        listing.matchers = root->u.selector.matchers;
        listing.n_matchers = root->u.selector.n_matchers;
        if (!may_go_on(search, err) || !ask(ctx, &listing, err))
            return false;
    }
    return true;
}
