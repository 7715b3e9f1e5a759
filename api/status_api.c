#include "api/status_api.h"

#include <inttypes.h>

#include "api/json_out.h"
#include "base/version.h"
#include "store/metadata.h"

/*
 * Grafana reads `version` as that of a Prometheus and leaves features out below 2.24, so the
 * version of Prometheus whose API and language this is comes first, and ours behind the '+', where
 * semantic versions keep what does not count.
 */
#define PROMETHEUS_VERSION "3.14.0"

void status_buildinfo(const struct api *api, struct request *request, struct response *response)
{
    (void)api, (void)request;
    json_out_begin(&response->body);
    buf_str(&response->body,
        "{\"version\":\"" PROMETHEUS_VERSION "+larder." LARDER_VERSION
        "\",\"revision\":\"" LARDER_REVISION
        "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}");
    json_out_end(&response->body, NULL, false);
}

/* ---- where the series come from ---- */

#define TSDB_LIMIT     10
#define TSDB_LIMIT_MAX 10000 /* as Prometheus has it */

static void write_counts(
    struct buf *out, const char *name, const struct label_count *counts, size_t n)
{
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        struct buf text;
        buf_init(&text, 0);
        buf_slice(&text, counts[i].name);
        if (counts[i].value.len)
            buf_char(&text, '=');
        buf_slice(&text, counts[i].value);
        buf_str(out, i ? ",{\"name\":" : "{\"name\":");
        json_out_string(out, buf_view(&text));
        buf_printf(out, ",\"value\":%" PRIu64 "}", counts[i].n);
        buf_fini(&text);
    }
    buf_char(out, ']');
}

static void write_tsdb(struct buf *out, const struct cardinality *c)
{
    json_out_begin(out);
    buf_printf(out,
        "{\"headStats\":{\"numSeries\":%" PRIu64 ",\"numLabelPairs\":%" PRIu64
        ",\"chunkCount\":%" PRIu64 ",\"minTime\":%" PRId64 ",\"maxTime\":%" PRId64 "}",
        c->series, c->label_pairs, c->chunks, c->min_ms, c->max_ms);
    write_counts(out, "seriesCountByMetricName", c->metrics, c->n_metrics);
    write_counts(out, "labelValueCountByLabelName", c->values, c->n_values);
    write_counts(out, "memoryInBytesByLabelName", c->bytes, c->n_bytes);
    write_counts(out, "seriesCountByLabelValuePair", c->pairs, c->n_pairs);
    buf_char(out, '}');
    json_out_end(out, NULL, false);
}

void status_tsdb(const struct api *api, struct request *request, struct response *response)
{
    struct cardinality cardinality;
    struct err err = {0};
    size_t limit;
    bool ok = params_limit(&request->params, "limit", &limit, &err);
    if (ok && !params_get(&request->params, "limit").ptr)
        limit = TSDB_LIMIT;
    if (ok && limit > TSDB_LIMIT_MAX)
        ok = err_set(&err, ERR_INVALID, "limit must be between 1 and %d", TSDB_LIMIT_MAX);
    ok = ok && store_cardinality(
                   api->store, NULL, limit, request->cancel, request->arena, &cardinality, &err);
    if (ok)
        write_tsdb(&response->body, &cardinality);
    else
        response_err(response, &err);
}

void status_healthy(const struct api *api, struct request *request, struct response *response)
{
    (void)api, (void)request;
    response_text(response, 200, "Larder is healthy.\n");
}

void status_ready(const struct api *api, struct request *request, struct response *response)
{
    (void)request;
    if (api->store)
        response_text(response, 200, "Larder is ready.\n");
    else
        response_text(response, 503, "Larder is starting.\n");
}

void status_reload(const struct api *api, struct request *request, struct response *response)
{
    char line[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    struct err err = {0};
    if (!api->reload) {
        response_text(response, 403, "Lifecycle API is not enabled.\n");
    } else if (api->reload(api->reload_ctx, request->cancel, &err)) {
        response_text(response, 200, "");
    } else {
        response_text(response, err.code == ERR_UNAVAILABLE ? 503 : 500, "");
        buf_printf(
            &response->body, "failed to reload config: %s\n", err_format(&err, line, sizeof line));
    }
}
