#include "api/source_api.h"

#include <inttypes.h>

#include "api/json_out.h"

/* ---- the answer ---- */

static void write_text(struct buf *out, const char *name, struct slice text)
{
    buf_printf(out, ",\"%s\":", name);
    json_out_string(out, text);
}

/* null when it is not known. */
static void write_number(struct buf *out, const char *name, int64_t value, bool known)
{
    if (known)
        buf_printf(out, ",\"%s\":%" PRId64, name, value);
    else
        buf_printf(out, ",\"%s\":null", name);
}

static void write_holes(struct buf *out, const struct partition_marks *marks)
{
    size_t n = marks_holes_kept(marks);
    buf_printf(out, ",\"lost\":%" PRIu64 ",\"holes\":[", marks->lost);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s{\"from\":%" PRId64 ",\"to\":%" PRId64 "}", i ? "," : "",
            marks->holes[i].from, marks->holes[i].to);
    buf_char(out, ']');
}

static void write_changes(struct buf *out, const struct partition_marks *marks)
{
    size_t n = marks_changes_kept(marks);
    buf_str(out, ",\"changes\":[");
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? ",{\"at\":" : "{\"at\":");
        json_out_time(out, marks->changes[i].at_ms);
        write_text(out, "by", slice_from(marks->changes[i].who));
        write_text(out, "what", slice_from(marks->changes[i].what));
        buf_char(out, '}');
    }
    buf_char(out, ']');
}

static void write_row(struct buf *out, const struct source_row *row)
{
    buf_str(out, "{\"partition\":");
    json_out_string(out, row->name);
    write_text(out, "stream", row->stream);
    write_text(out, "state", slice_from(row->state));
    write_text(out, "cause", row->cause);
    write_text(out, "advice", slice_from(row->advice ? row->advice : ""));
    write_number(out, "position", row->next, row->next >= 0);
    write_number(out, "end", row->end, row->end >= 0);
    write_number(out, "lag", row->lag, row->lag >= 0);
    buf_str(out, ",\"newest\":");
    if (row->newest_ms == INT64_MIN)
        buf_str(out, "null");
    else
        json_out_time(out, row->newest_ms);
    write_holes(out, &row->marks);
    write_changes(out, &row->marks);
    buf_char(out, '}');
}

static void write_answer(struct buf *out, const struct source_answer *answer)
{
    json_out_begin(out);
    buf_str(out, "{\"partitions\":[");
    for (size_t i = 0; i < answer->n; i++) {
        if (i)
            buf_char(out, ',');
        write_row(out, &answer->rows[i]);
    }
    buf_str(out, "],\"notes\":[");
    for (size_t i = 0; i < answer->n_notes; i++) {
        if (i)
            buf_char(out, ',');
        json_out_string(out, answer->notes[i]);
    }
    buf_str(out, "]}");
    json_out_end(out, NULL, false);
}

static void ask(const struct api *api, struct request *request, const struct source_request *wanted,
    struct response *response)
{
    struct source_answer answer;
    struct err err = {0};
    if (!api->source)
        err_set(&err, ERR_UNAVAILABLE, "there is no ingestion");
    else if (api->source(api->source_ctx, wanted, request->arena, &answer, &err)) {
        write_answer(&response->body, &answer);
        return;
    }
    response_err(response, &err);
}

/* ---- what is asked ---- */

void source_list(const struct api *api, struct request *request, struct response *response)
{
    struct source_request wanted = {.action = SOURCE_LIST,
        .target = params_get(&request->params, "target"),
        .now_ms = request->now_ms,
        .cancel = request->cancel};
    ask(api, request, &wanted, response);
}

static bool read_action(struct slice name, enum source_action *out, struct err *err)
{
    static const char *const names[] = {[SOURCE_PAUSE] = "pause",
        [SOURCE_RESUME] = "resume",
        [SOURCE_SKIP] = "skip",
        [SOURCE_SEEK] = "seek"};
    for (int i = SOURCE_PAUSE; i <= SOURCE_SEEK; i++)
        if (slice_is(name, names[i])) {
            *out = (enum source_action)i;
            return true;
        }
    return err_set(err, ERR_NOT_FOUND,
        "no action \"%.*s\": there are list, pause, resume, skip, seek", SLICE_FMT(name));
}

static bool read_place(const struct params *params, struct source_request *out, struct err *err)
{
    struct slice to = params_get(params, "to");
    bool moves = out->action == SOURCE_SKIP || out->action == SOURCE_SEEK;
    if (!to.ptr && out->action == SOURCE_SEEK)
        return err_set(
            err, ERR_INVALID, "\"to\" is missing: earliest, latest, an offset or a time");
    if (to.ptr && !moves)
        return err_set(err, ERR_INVALID, "only skip and seek go \"to\" a place");
    if (!to.ptr || source_place_parse(to, &out->place, &out->at))
        return true;
    return err_set(err, ERR_INVALID,
        "\"to\" must be earliest, latest, an offset or a time such as 2026-11-21T00:00:00Z, not "
        "\"%.*s\"",
        SLICE_FMT(to));
}

static bool read_again(const struct params *params, struct source_request *out, struct err *err)
{
    struct slice again = params_get(params, "again");
    out->again = slice_is(again, "true");
    if (again.ptr && out->action != SOURCE_SEEK)
        return err_set(err, ERR_INVALID, "only seek reads \"again\"");
    return !again.ptr || out->again || err_set(err, ERR_INVALID, "\"again\" must be true");
}

static bool read_change(struct request *request, struct source_request *out, struct err *err)
{
    const struct params *params = &request->params;
    if (!read_action(request->capture, &out->action, err))
        return false;
    out->target = params_get(params, "target");
    if (out->target.len == 0)
        return err_set(err, ERR_INVALID, "\"target\" is missing: TOPIC/NUMBER, or TOPIC");
    out->who = params_get(params, "by");
    if (out->who.len == 0)
        return err_set(err, ERR_INVALID, "\"by\" is missing: who it is, for the record");
    out->now_ms = request->now_ms;
    out->cancel = request->cancel;
    return read_again(params, out, err) && read_place(params, out, err);
}

void source_change(const struct api *api, struct request *request, struct response *response)
{
    struct source_request wanted = {0};
    struct err err = {0};
    if (read_change(request, &wanted, &err))
        ask(api, request, &wanted, response);
    else
        response_err(response, &err);
}
