#include "api/replay_route.h"

#include "api/json_out.h"

static void answer(
    const struct api *api, const struct replay_request *asked, struct response *response)
{
    struct err err = {0};
    bool ok = api->replay ? false : err_set(&err, ERR_UNSUPPORTED, "this server has no replays");
    if (api->replay) {
        json_out_begin(&response->body);
        ok = api->replay(api->replay_ctx, asked, &response->body, &err);
    }
    if (err.code == ERR_BUSY)
        err.code = ERR_INVALID; /* it is not the server that is */
    if (ok)
        json_out_end(&response->body, NULL, false);
    else
        response_err(response, &err);
}

void replay_handle_start(const struct api *api, struct request *request, struct response *response)
{
    struct replay_request asked = {REPLAY_START, params_get(&request->params, "rollup"), INT64_MIN};
    struct err err = {0};
    bool ok = asked.rollup.len || err_set(&err, ERR_INVALID, "which rollup?");
    if (ok && params_time(&request->params, "from", &asked.from_ms, &err))
        answer(api, &asked, response);
    else
        response_err(response, &err);
}

void replay_handle_status(const struct api *api, struct request *request, struct response *response)
{
    (void)request;
    answer(api, &(struct replay_request){.action = REPLAY_STATUS}, response);
}

void replay_handle_cancel(const struct api *api, struct request *request, struct response *response)
{
    (void)request;
    answer(api, &(struct replay_request){.action = REPLAY_CANCEL}, response);
}
