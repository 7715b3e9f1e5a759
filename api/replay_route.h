/*
 * Replays of rollups: POST /api/v1/replay with `rollup`, and perhaps `from`, begins one,
 * /api/v1/replay/status says how the newest one stands, POST /api/v1/replay/cancel gives it up. All
 * answer with how it stands.
 */
#ifndef API_REPLAY_ROUTE_H
#define API_REPLAY_ROUTE_H

#include "api/route.h"

void replay_handle_start(const struct api *api, struct request *request, struct response *response);
void replay_handle_cancel(
    const struct api *api, struct request *request, struct response *response);
void replay_handle_status(
    const struct api *api, struct request *request, struct response *response);

#endif
