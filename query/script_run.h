/*
 * Runs a script against an engine over a store in memory.
 *
 * Every instant evaluation that works is repeated in the forms in which its answer may not differ,
 * as Prometheus' own runner does it:
 *
 *   @       with "@ time" at every selector and subquery, evaluated at other times, unless a
 * function is called that depends on the time of evaluation range   each of them as the middle step
 * of a range query, unless start(), end(), step() or range() stands in the text
 *
 * An evaluation is unsupported when its tree says so (engine_supports), or when a load since the
 * last clear had start timestamps; what it gives never decides that.
 */
#ifndef QUERY_SCRIPT_RUN_H
#define QUERY_SCRIPT_RUN_H

#include "query/engine.h"
#include "query/script.h"

enum script_event { SCRIPT_FAILED, SCRIPT_UNSUPPORTED };

/* Called for each evaluation that does not pass. */
typedef void script_event_f(void *ctx, enum script_event event, int line, const char *text);

struct script_result {
    size_t passed, failed, unsupported; /* evaluations */
};

/* False when a load cannot be done, with its line; the results count up to there. */
bool script_run(const struct script *script, const struct engine_options *options,
    script_event_f *event, void *ctx, struct script_result *out, struct err *err);

#endif
