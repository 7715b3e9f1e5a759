/*
 * Partitions of Kafka, for operators: `larder source` asks here.
 *
 *     GET  /api/v1/source/list     [target]
 *     POST /api/v1/source/ACTION   target, by, [to], [again=true]    ACTION: pause resume skip seek
 *
 * target: TOPIC/NUMBER or TOPIC; to: earliest, latest, an offset or a time; by: who it is, for the
 * record. Requests of pages in browsers change nothing: they are refused with 403.
 */
#ifndef API_SOURCE_API_H
#define API_SOURCE_API_H

#include "api/route.h"

void source_list(const struct api *api, struct request *request, struct response *response);
void source_change(const struct api *api, struct request *request, struct response *response);

#endif
