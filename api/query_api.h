/*
 * The endpoints that evaluate PromQL: /api/v1/query, query_range, format_query.
 * Parameters, texts and limits are those of Prometheus 3.
 */
#ifndef API_QUERY_API_H
#define API_QUERY_API_H

#include "api/route.h"

/* query, time, timeout, limit, lookback_delta, stats */
void query_instant(const struct api *api, struct request *request, struct response *response);
/* query, start, end, step, timeout, limit, lookback_delta, stats; at most 11,000 steps */
void query_range(const struct api *api, struct request *request, struct response *response);
/* query, printed in its canonical form */
void query_format(const struct api *api, struct request *request, struct response *response);

#endif
