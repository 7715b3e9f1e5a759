/*
 * Metadata: which series there are.
 *
 * A series counts when it has a cell in the range that is asked for (store/presence.h). A call
 * looks at batches of series one after another, each as of a moment of its own, none before the
 * call.
 */
#ifndef STORE_METADATA_H
#define STORE_METADATA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/read.h"

/* What is asked for. */
struct listing {
    const struct scope *scope; /* NULL: everything */
    const struct matcher *matchers;
    size_t n_matchers;
    int64_t from_ms, to_ms; /* a cell with t in (from_ms, to_ms] */
    /* Where the range of a metric's series begins, when that depends on the metric; NULL: from_ms
     * for all. */
    int64_t (*from_of)(const struct metric_def *def, int64_t from_ms);
    const atomic_bool *cancel; /* NULL: nobody cancels; else ERR_CANCELED when it is set */
    /* Asked now and then; false ends the call with the error that it has set. May be NULL. */
    bool (*go_on)(void *ctx, struct err *err);
    void *go_on_ctx;
};

/* Calls each for every series, in order of labels; it returns false to stop. */
bool store_list_series(
    struct store *store, const struct listing *listing, series_f *each, void *ctx, struct err *err);

#endif
