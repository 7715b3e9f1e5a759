/*
 * Health, build information, and where the series come from.
 */
#ifndef API_STATUS_API_H
#define API_STATUS_API_H

#include "api/route.h"

void status_buildinfo(const struct api *api, struct request *request, struct response *response);
/* limit: how many of each list, 10 when it is absent. Counts of the whole store stand where
 * Prometheus has those of its head. */
void status_tsdb(const struct api *api, struct request *request, struct response *response);
/* 200 as long as the process answers at all. */
void status_healthy(const struct api *api, struct request *request, struct response *response);
/* 200 when queries are answered, 503 until then. */
void status_ready(const struct api *api, struct request *request, struct response *response);
/* Reads the config again, as SIGHUP does. 200 and nothing else, or 500 with the first mistake. */
void status_reload(const struct api *api, struct request *request, struct response *response);

#endif
