/*
 * What has changed: for whoever keeps something that was worked out from cells.
 *
 *     struct snapshot *snap = snapshot_get(store);
 *     known = snapshot_changes(snap, since, each, ctx);    every range that is not what it was
 *     since = snapshot_point(snap);                        for the next time
 *
 * A log in memory says of each transaction which series it touched, and from when to when; of
 * deletions, retention and what was set aside, too, which change answers without a transaction. It
 * says at least what has changed, and more under pressure, so that it stays small:
 *
 *     of a transaction   its series; its metrics when those are many; else everything in its time
 *     of older ones      metrics, several transactions taken together
 *     of the oldest      nothing: who asks for longer ago hears that everything may have changed
 *
 * A metric or series has several ranges when they lie more than an hour apart, so that a late cell
 * does not touch all that is between it and the present.
 *
 * The log has a mutex of its own, below store.lock. A point belongs to one opening of the store:
 * after that all may have changed.
 */
#ifndef STORE_CHANGES_H
#define STORE_CHANGES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/read.h"

/* Up to where a snapshot knows of changes. All 0: of none. */
struct change_point {
    uint64_t life, number;
};

#define CHANGE_ALL UINT32_MAX

/* Cells with t in (from_ms, to_ms] may have changed, and coarser ones that those are part of. */
struct change {
    uint32_t metric; /* id; CHANGE_ALL: any */
    uint32_t series; /* id, as plan_series gives it; CHANGE_ALL: any of the metric */
    int64_t from_ms, to_ms;
};

struct change_point snapshot_point(struct snapshot *snapshot);
/* Calls each with what has changed between the two, by metric and series, ranges apart and
 * ascending. False: that is not known, everything may have changed, and nothing was called. */
typedef void change_f(void *ctx, const struct change *change);
bool snapshot_changes(
    struct snapshot *snapshot, struct change_point since, change_f *each, void *ctx);
/* The name of a metric that a change tells of; it stays. */
struct slice store_metric_name(struct store *store, uint32_t metric);

/* ---- inside the store ---- */

#define CHANGES_MAX 32768 /* entries of the log, 40 bytes each */

struct change_entry {
    struct change change;
    uint64_t first, last; /* numbers of what it was made from */
};

struct change_log {
    pthread_mutex_t mutex;
    uint64_t life, number, reach; /* reach: since when it knows */
    struct change_entry *entries; /* ascending by last */
    size_t n, cap;
};

void change_log_init(struct change_log *log);
void change_log_fini(struct change_log *log);
/* Makes room for n more, so that appending them takes a moment. */
void change_log_reserve(struct change_log *log, size_t n);
/* What one step has changed: it gets the next number. */
void change_log_append(struct change_log *log, const struct change *changes, size_t n);
/* Where it stands. */
struct change_point change_log_point(struct change_log *log);
/* As snapshot_changes, between any two points. */
bool change_log_between(struct change_log *log, struct change_point since,
    struct change_point until, change_f *each, void *ctx);

/* What is being collected of one step: series, until there are too many, then their metrics. */
#define CHANGE_SERIES_MAX  256
#define CHANGE_METRICS_MAX 4096
struct catalog;
struct transaction;
struct change_set {
    struct change *items; /* on the heap */
    size_t n, cap;
};
void change_set_fini(struct change_set *set);
/* The cells of a transaction, whose series the catalogue knows. The writer calls it. */
void change_set_of(
    struct change_set *set, const struct catalog *catalog, const struct transaction *t);
/* Cells with t in (from, to] of these series. */
void change_set_series(struct change_set *set, const struct catalog *catalog, const uint32_t *ids,
    size_t n, int64_t from_ms, int64_t to_ms);

/* Appends a step that is no transaction, once readers see what it did: cells with t in (from, to]
 * of the series with these ids; ids NULL: of all. */
void changes_note(
    struct store *store, const uint32_t *ids, size_t n, int64_t from_ms, int64_t to_ms);

#endif
