/*
 * Durations and the modifiers @ and offset, once the query's start, end and step are known.
 *
 *     x[step() * 2] @ end() offset 5m      range = 2 steps, at every step: end - 5m
 *
 * Times and durations are kept within +-TIME_MAX_MS, so that adding a few of them cannot overflow.
 */
#ifndef QUERY_WHEN_H
#define QUERY_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "query/ast.h"
#include "query/engine.h"

#define TIME_MAX_MS (INT64_C(1) << 59)

static inline int64_t time_clamp(int64_t ms)
{
    return ms > TIME_MAX_MS ? TIME_MAX_MS : ms < -TIME_MAX_MS ? -TIME_MAX_MS : ms;
}

/* The greatest multiple of every that is <= t. */
static inline int64_t time_floor(int64_t t, int64_t every)
{
    int64_t rest = t % every;
    return t - (rest < 0 ? rest + every : rest);
}

/* When a selector or subquery is looked at: at a fixed time, or at each evaluation; less offset. */
struct moment {
    bool fixed;
    int64_t at_ms, offset_ms;
};

static inline int64_t moment_at(const struct moment *moment, int64_t eval_ms)
{
    return time_clamp((moment->fixed ? moment->at_ms : eval_ms) - moment->offset_ms);
}

/* ERR_INVALID with the place in text: not a number, out of range, or (ranges and steps) not above
 * 0. */
bool duration_ms(const struct query *query, const struct duration *duration, bool may_be_negative,
    int64_t *ms, struct err *err);
bool when_moment(
    const struct query *query, const struct when *when, struct moment *out, struct err *err);

/* The times of a subquery's inner steps, for evaluations at first_ms to last_ms: multiples of step
 * after the start of the first range. n 0: there is none. ERR_LIMIT: more than max_samples,
 * whatever they are for: even steps without a point take time. */
struct inner_steps {
    int64_t start_ms, step_ms;
    size_t n;
};
bool subquery_steps(const struct query *query, const struct engine_options *options,
    const struct node *subquery, int64_t first_ms, int64_t last_ms, struct inner_steps *out,
    struct err *err);

#endif
