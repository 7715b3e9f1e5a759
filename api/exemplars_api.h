/*
 * /api/v1/query_exemplars: which requests a graph is made of. The exemplars of the series that the
 * selectors of an expression match, as Prometheus answers it:
 *
 *     [{"seriesLabels":{...},"exemplars":[{"labels":{"trace_id":"..","span_id":".."},
 *       "value":"1.5","timestamp":1.234}]}]
 *
 * Series by their labels, exemplars by their time. One request looks at EXEMPLAR_LOOKS_MAX series
 * and minutes at most.
 */
#ifndef API_EXEMPLARS_API_H
#define API_EXEMPLARS_API_H

#include "api/route.h"

#define EXEMPLAR_LOOKS_MAX 1000000

void exemplars_query(const struct api *api, struct request *request, struct response *response);

#endif
