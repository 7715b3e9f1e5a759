/*
 * The query engine: text in, value out. It reads the store through its three steps and holds no
 * state between queries. Time is a parameter.
 */
#ifndef QUERY_ENGINE_H
#define QUERY_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "query/metric_clocks.h"
#include "query/parse.h"
#include "query/value.h"
#include "store/read.h"

struct engine_options {
    int64_t lookback_ms;       /* 0: 5 minutes */
    int64_t default_step_ms;   /* of subqueries without a step; 0: 1 minute */
    bool experimental;         /* experimental functions and modifiers */
    bool delayed_name_removal; /* as Prometheus' feature flag of that name */
    uint64_t max_samples;      /* points held at once; 0: 50,000,000 */
    uint64_t max_series;       /* of one selector; 0: no limit */
};

struct query {
    struct slice text;
    int64_t start_ms, end_ms; /* equal for an instant query */
    int64_t step_ms;          /* 0 for an instant query */
    struct scope scope;
    const atomic_bool *cancel; /* may be NULL */
    int64_t deadline_ns;       /* on clock_mono_ns; 0: none */
};

struct query_stats {
    uint64_t series, cells, points; /* matched, read, returned */
    uint64_t lsn;
};

/* What an answer is made of; all of it in the arena that the caller gave to engine_query. */
struct answer {
    struct value value;
    struct notes notes;
    const struct metric_clock *clocks; /* of what it has selected */
    size_t n_clocks;
    struct query_stats stats;
};

/*
 * Runs the query. Errors: ERR_INVALID (does not parse or type-check: HTTP bad_data),
 * ERR_UNSUPPORTED ("not supported yet: NAME", with its position), ERR_LIMIT, ERR_TIMEOUT,
 * ERR_CANCELED, and ERR_INVALID with sys = 1 for errors of execution (many-to-many matching and so
 * on: HTTP execution).
 */
bool engine_query(struct store *store, const struct engine_options *options,
    const struct query *query, struct arena *arena, struct answer *out, struct err *err);

/* Whether a parsed query uses something that is not built yet: false, with ERR_UNSUPPORTED and its
 * position. Decided from the tree alone. */
bool engine_supports(const struct ast *ast, const struct engine_options *options, struct err *err);

#endif
