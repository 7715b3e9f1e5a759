/*
 * What the server counts about itself, and /metrics, which shows it with what the store, the
 * process and the owner of the server know. Counting is by atomics: any thread, no lock.
 */
#ifndef API_METRICS_API_H
#define API_METRICS_API_H

#include "api/route.h"
#include "base/err.h"

struct metrics *metrics_new(void);
void metrics_free(struct metrics **metrics);

/* One answered request; route NULL: a page, or a path that is none of ours. */
void metrics_request(
    struct metrics *metrics, const struct route *route, int status, int64_t took_ns);
/* One query that was evaluated, or given up with a code; stats may be NULL. */
void metrics_query(
    struct metrics *metrics, enum err_code code, int64_t took_ns, const struct query_stats *stats);

/* GET /metrics */
void metrics_page(const struct api *api, struct request *request, struct response *response);

#endif
