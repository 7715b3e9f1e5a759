#include "api/query_api.h"

#include <stdio.h>

#include "api/json_out.h"
#include "api/metrics_api.h"
#include "base/clock.h"

#define POINTS_MAX 11000 /* steps of a range query, as in Prometheus */
#define STATS_MAX  512

/* ---- parameters ---- */

static bool query_text(const struct request *request, struct slice *text, struct err *err)
{
    *text = params_get(&request->params, "query");
    if (text->len)
        return true;
    return err_set(err, ERR_INVALID,
        "invalid parameter \"query\": unknown position: parse error: no expression found in input");
}

/* The query may give up earlier than the server would make it, not later. Time in the queue counts.
 */
static bool query_deadline(
    const struct api *api, const struct request *request, int64_t *deadline_ns, struct err *err)
{
    int64_t timeout_ms = api->timeout_ms;
    if (!params_duration(&request->params, "timeout", &timeout_ms, err))
        return false;
    if (timeout_ms > api->timeout_ms)
        timeout_ms = api->timeout_ms;
    if (timeout_ms < 0)
        timeout_ms = 0;
    *deadline_ns = request->start_ns + timeout_ms * 1000000;
    return true;
}

static bool engine_options_of(const struct api *api, const struct request *request,
    struct engine_options *options, struct err *err)
{
    int64_t lookback_ms = 0;
    *options = *api->engine;
    if (!params_duration(&request->params, "lookback_delta", &lookback_ms, err))
        return false;
    if (lookback_ms > 0)
        options->lookback_ms = lookback_ms;
    return true;
}

static bool instant_of(const struct request *request, struct query *query, struct err *err)
{
    query->start_ms = request->now_ms;
    if (!params_time(&request->params, "time", &query->start_ms, err))
        return false;
    query->end_ms = query->start_ms;
    return true;
}

static bool required(
    const struct request *request, const char *name, const char *what, struct err *err)
{
    return params_get(&request->params, name).len ||
           err_set(err, ERR_INVALID, "invalid parameter \"%s\": cannot parse \"\" to a valid %s",
               name, what);
}

static bool range_of(const struct request *request, struct query *query, struct err *err)
{
    const struct params *params = &request->params;
    if (!required(request, "start", "timestamp", err) ||
        !params_time(params, "start", &query->start_ms, err) ||
        !required(request, "end", "timestamp", err) ||
        !params_time(params, "end", &query->end_ms, err))
        return false;
    if (query->end_ms < query->start_ms)
        return err_set(err, ERR_INVALID,
            "invalid parameter \"end\": end timestamp must not be before start time");
    if (!required(request, "step", "duration", err) ||
        !params_duration(params, "step", &query->step_ms, err))
        return false;
    if (query->step_ms <= 0)
        return err_set(err, ERR_INVALID,
            "invalid parameter \"step\": zero or negative query resolution step widths are not "
            "accepted. Try a positive integer");
    /* For safety, as Prometheus does: 11,000 points are a week at a step of a minute. */
    if ((query->end_ms - query->start_ms) / query->step_ms > POINTS_MAX)
        return err_set(err, ERR_INVALID,
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
            "resolution (?step=XX)");
    return true;
}

/* ---- answers ---- */

/* Parse errors are errors of the parameter; those of execution stand for themselves. */
static void query_error(struct response *response, struct err *err)
{
    if (err->code == ERR_INVALID && err->sys != 1)
        params_wrap("query", err);
    response_err(response, err);
}

/* Prometheus' fields, 0 for the parts of a query that are not timed apart; `series` is Larder's.
 * execTotalTime has the time in the queue in it. */
static void write_stats(
    const struct query_stats *stats, int64_t queue_ns, int64_t took_ns, char out[STATS_MAX])
{
    snprintf(out, STATS_MAX,
        "{\"timings\":{\"evalTotalTime\":%.9f,\"resultSortTime\":0,\"queryPreparationTime\":0,"
        "\"innerEvalTime\":0,\"execQueueTime\":%.9f,\"execTotalTime\":%.9f},"
        "\"samples\":{\"totalQueryableSamples\":%llu,\"peakSamples\":0},\"series\":%llu}",
        (double)took_ns / 1e9, (double)queue_ns / 1e9, (double)(queue_ns + took_ns) / 1e9,
        (unsigned long long)stats->cells, (unsigned long long)stats->series);
}

/* {"metric":..,"clock":..,"frontier":seconds,"watermark":seconds}; null: not known. */
static void write_clock(const struct metric_clock *clock, struct buf *out)
{
    const struct {
        const char *name;
        int64_t ms;
    } times[] = {{"frontier", clock->frontier_ms}, {"watermark", clock->watermark_ms}};
    buf_str(out, "{\"metric\":");
    json_out_string(out, clock->metric);
    buf_str(out, ",\"clock\":");
    json_out_string(out, clock->clock);
    for (size_t i = 0; i < 2; i++) {
        buf_printf(out, ",\"%s\":", times[i].name);
        if (times[i].ms == INT64_MIN)
            buf_str(out, "null");
        else
            json_out_time(out, times[i].ms);
    }
    buf_char(out, '}');
}

/* Beside `data`, which is the same wherever the same is known. */
static void write_clocks(const struct answer *answer, struct buf *out)
{
    buf_str(out, ",\"clocks\":[");
    for (size_t i = 0; i < answer->n_clocks; i++) {
        buf_str(out, i ? "," : "");
        write_clock(&answer->clocks[i], out);
    }
    buf_char(out, ']');
}

/* The slowest of what was selected; what is not known is not said. */
static void tell_clocks(const struct answer *answer, struct response *response)
{
    int64_t frontier = INT64_MAX, watermark = INT64_MAX;
    for (size_t i = 0; i < answer->n_clocks; i++) {
        const struct metric_clock *c = &answer->clocks[i];
        frontier = c->frontier_ms < frontier ? c->frontier_ms : frontier;
        watermark = c->watermark_ms < watermark ? c->watermark_ms : watermark;
    }
    if (frontier != INT64_MIN && frontier != INT64_MAX)
        response_time(response, "Larder-Frontier", frontier);
    if (watermark != INT64_MIN && watermark != INT64_MAX)
        response_time(response, "Larder-Watermark", watermark);
}

static void write_answer(const struct request *request, const struct answer *answer, size_t limit,
    const char *stats, struct buf *out)
{
    const struct value *value = &answer->value;
    bool wanted = params_get(&request->params, "stats").len > 0;
    bool list = value->type == VALUE_VECTOR || value->type == VALUE_MATRIX;
    json_out_begin(out);
    json_out_value(out, value, limit, wanted ? stats : NULL);
    if (params_get(&request->params, "clocks").len)
        write_clocks(answer, out);
    json_out_end(out, &answer->notes, list && value->n > limit);
}

static void run(const struct api *api, struct request *request, struct response *response,
    bool (*times_of)(const struct request *, struct query *, struct err *))
{
    struct err err = {0};
    struct engine_options options;
    struct query query = {.cancel = request->cancel};
    struct answer answer = {0};
    char stats[STATS_MAX];
    size_t limit;
    if (!times_of(request, &query, &err) || !query_text(request, &query.text, &err) ||
        !params_limit(&request->params, "limit", &limit, &err) ||
        !query_deadline(api, request, &query.deadline_ns, &err) ||
        !engine_options_of(api, request, &options, &err)) {
        response_err(response, &err);
        return;
    }
    int64_t start_ns = clock_mono_ns();
    bool ok = engine_query(api->store, &options, &query, request->arena, &answer, &err);
    int64_t took_ns = clock_mono_ns() - start_ns;
    metrics_query(api->metrics, ok ? ERR_OK : err.code, took_ns, &answer.stats);
    write_stats(&answer.stats, start_ns - request->start_ns, took_ns, stats);
    if (ok) {
        tell_clocks(&answer, response);
        write_answer(request, &answer, limit, stats, &response->body);
    } else {
        query_error(response, &err);
    }
}

void query_instant(const struct api *api, struct request *request, struct response *response)
{
    run(api, request, response, instant_of);
}

void query_range(const struct api *api, struct request *request, struct response *response)
{
    run(api, request, response, range_of);
}

void query_format(const struct api *api, struct request *request, struct response *response)
{
    struct err err = {0};
    struct slice text;
    struct ast ast;
    (void)api;
    if (!query_text(request, &text, &err)) {
        response_err(response, &err);
        return;
    }
    if (!parse_query(text, request->arena, &ast, &err)) {
        query_error(response, &err);
        return;
    }
    struct buf printed;
    buf_init(&printed, response->body.limit);
    print_node(ast.root, &printed);
    ast_free(&ast);
    json_out_begin(&response->body);
    json_out_string(&response->body, buf_view(&printed));
    json_out_end(&response->body, NULL, false);
    response->body.failed |= printed.failed;
    buf_fini(&printed);
}
