/*
 * Metadata: which series, label names and label values there are, and how many of them.
 *
 * A series counts when it has a cell in the range that is asked for (store/presence.h). Names and
 * values come from the catalogue's index, and only as many series are looked at as the answer
 * needs: whoever has heard enough returns false. A call looks at batches of series one after
 * another, each as of a moment of its own, none before the call.
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
    /* Segments that are set aside, or cannot be read, are an error. Unless somebody takes that as a
     * warning, perhaps more than once: series may be missing that have their cells there. */
    void (*lacks)(void *ctx, const struct err *why);
    void *lacks_ctx;
};

/* Calls each for every series, in order of labels; it returns false to stop. */
bool store_list_series(
    struct store *store, const struct listing *listing, series_f *each, void *ctx, struct err *err);

/* Calls each with label names, or the values of a label, in byte order; it returns false to stop.
 * The text is borrowed for the call. */
typedef bool text_f(void *ctx, struct slice text);
bool store_label_names(
    struct store *store, const struct listing *listing, text_f *each, void *ctx, struct err *err);
bool store_label_values(struct store *store, const struct listing *listing, struct slice name,
    text_f *each, void *ctx, struct err *err);

/*
 * Cardinality: where the series come from. It counts what the catalogue has: series whose cells
 * have all gone, too, until they are forgotten (store/retention.h).
 */
struct label_count {
    struct slice name; /* of a metric or label; a pair's name and, in value, its value */
    struct slice value;
    uint64_t n;
};
struct cardinality {
    uint64_t series, label_names, label_pairs;
    uint64_t chunks;        /* of raw segments, whatever the scope, as are the next two */
    int64_t min_ms, max_ms; /* where cells lie; an open block counts as a whole. min > max: none */
    /* The greatest, the greatest first; strings and arrays are in the arena. */
    struct label_count *metrics; /* series of a metric */
    struct label_count *values;  /* values of a label */
    struct label_count *bytes;   /* of a label's values, each as often as series have it */
    struct label_count *pairs;   /* series that have a pair */
    size_t n_metrics, n_values, n_bytes, n_pairs;
};
/* Of the series that the scope sees; at most `most` of each list. Waits for a replay, unless
 * *cancel, which may be NULL. ERR_LIMIT: the arena is full. */
bool store_cardinality(struct store *store, const struct scope *scope, size_t most,
    const atomic_bool *cancel, struct arena *arena, struct cardinality *out, struct err *err);

#endif
