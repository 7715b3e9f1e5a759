/*
 * What /api/v1/replay answers: the replays of a server as JSON.
 *
 *     {"rollup":"orders_total","state":"running","records":1000000,"recordsRead":250000,
 *      "recordsPerSecond":90000.0,"secondsLeft":8.3,"wholeAfter":null,"cells":0,"text":""}
 */
#ifndef CMD_REPLAY_API_H
#define CMD_REPLAY_API_H

#include "api/route.h"
#include "cmd/replays.h"

/* Does what is asked for, and writes how it stands. */
bool replay_api(struct replays *replays, const struct replay_request *request, struct buf *out,
    struct err *err);

#endif
