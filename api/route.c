#include "api/route.h"

#include "api/exemplars_api.h"
#include "api/metadata_api.h"
#include "api/metrics_api.h"
#include "api/query_api.h"
#include "api/replay_route.h"
#include "api/source_api.h"
#include "api/status_api.h"

#define GET      (HTTP_GET | HTTP_HEAD)
#define GET_POST (HTTP_GET | HTTP_POST)

/* clang-format off */
static const struct route routes[] = {
    /* path                          methods    here   store  changes  handler */
    {"/api/v1/query",                GET_POST,  false, true,  false,   query_instant},
    {"/api/v1/query_range",          GET_POST,  false, true,  false,   query_range},
    {"/api/v1/format_query",         GET_POST,  false, false, false,   query_format},
    {"/api/v1/query_exemplars",      GET_POST,  false, true,  false,   exemplars_query},
    {"/api/v1/labels",               GET_POST,  false, true,  false,   metadata_labels},
    {"/api/v1/label/*/values",       HTTP_GET,  false, true,  false,   metadata_label_values},
    {"/api/v1/series",               GET_POST,  false, true,  false,   metadata_series},
    {"/api/v1/metadata",             HTTP_GET,  false, true,  false,   metadata_metrics},
    {"/api/v1/source/list",          GET_POST,  false, false, false,   source_list},
    {"/api/v1/source/*",             HTTP_POST, false, false, true,    source_change},
    {"/api/v1/status/buildinfo",     HTTP_GET,  true,  false, false,   status_buildinfo},
    {"/api/v1/status/tsdb",          HTTP_GET,  false, true,  false,   status_tsdb},
    {"/api/v1/replay",               HTTP_POST, false, true,  true,    replay_handle_start},
    {"/api/v1/replay/status",        GET_POST,  false, true,  false,   replay_handle_status},
    {"/api/v1/replay/cancel",        HTTP_POST, false, true,  true,    replay_handle_cancel},
    {"/-/healthy",                   GET,       true,  false, false,   status_healthy},
    {"/-/ready",                     GET,       true,  false, false,   status_ready},
    {"/-/reload",                    HTTP_POST, false, false, true,    status_reload},
    {"/metrics",                     GET,       false, false, false,   metrics_page},
};
/* clang-format on */

#define ROUTES (sizeof routes / sizeof *routes)

static bool path_matches(const char *pattern, struct slice path, struct slice *capture)
{
    const char *star = strchr(pattern, '*');
    if (!star)
        return slice_is(path, pattern);
    size_t before = (size_t)(star - pattern), after = strlen(star + 1);
    if (path.len <= before + after || memcmp(path.ptr, pattern, before) != 0 ||
        memcmp(path.ptr + path.len - after, star + 1, after) != 0)
        return false;
    *capture = slice_of(path.ptr + before, path.len - before - after);
    return memchr(capture->ptr, '/', capture->len) == NULL;
}

const struct route *route_find(struct slice path, struct slice *capture)
{
    *capture = (struct slice){NULL, 0};
    for (size_t i = 0; i < ROUTES; i++)
        if (path_matches(routes[i].path, path, capture))
            return &routes[i];
    return NULL;
}

size_t route_count(void)
{
    return ROUTES;
}

const struct route *route_at(size_t i)
{
    return &routes[i];
}

size_t route_index(const struct route *route)
{
    return (size_t)(route - routes);
}
