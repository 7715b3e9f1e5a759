/*
 * Reading has three steps, so that budgets are checked before any byte is read, and what is read
 * may lie far away:
 *
 *   plan     plan_new: matchers to series, with labels, kind and metric.
 *            plan_range: the time range that is wanted of each series.
 *   fetch    snapshot_fetch: takes what is in memory, checks the budget, reads pages of segments.
 *   cursors  plan_columns: decodes and merges; no I/O.
 *
 * A snapshot is one moment, in which all its plans see exactly the transactions that had ended
 * then. It comes when something is first asked that depends on it: plan_n, plan_range, the fetch,
 * the LSN, clocks, sources, changes. plan_new does not: selectors are best all made before, since
 * from that moment until the fetch the writer copies what it changes of the head. Nobody waits for
 * that, but it takes time and memory: ranges and fetch at once, then. A snapshot is used by one
 * thread.
 *
 * While the log is replayed (store_options.answer_early), ranges that lie in no time block that the
 * log has cells of are answered; others wait in the fetch, as does what a level stands at behind
 * such a block. The answer is that of the complete store. ERR_UNAVAILABLE: as many wait already as
 * may (store_options.early_waiters).
 *
 *     struct snapshot *snap = snapshot_get(store);
 *     plan_new(snap, &scope, matchers, n, &plan, &err);
 *     for (i < plan_n(plan)) plan_range(plan, i, from, to);
 *     snapshot_fetch(snap, &budget, cancel, &err);
 *     for (i < plan_n(plan)) plan_columns(plan, i, arena, &columns, &err);
 *     snapshot_put(&snap);            frees its plans
 */
#ifndef STORE_READ_H
#define STORE_READ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/regex.h"
#include "store/columns.h"
#include "store/labels.h"
#include "store/segment.h"
#include "store/store.h"

enum match_op { MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEX, MATCH_NOT_REGEX };

/* A label that a series does not have counts as "". regex is set for the last two. */
struct matcher {
    enum match_op op;
    struct slice name, value;
    const struct regex *regex;
};

bool matcher_matches(const struct matcher *matcher, struct slice value);

/* Who asks: matchers that hold besides the query's, and a name that is part of every cache key. */
struct scope {
    struct slice identity;
    const struct matcher *matchers;
    size_t n_matchers;
};

/* What a reader may use. 0: no limit. */
struct read_budget {
    uint64_t max_series; /* of one plan */
    uint64_t max_cells;  /* of the whole snapshot */
    uint64_t max_bytes;  /* that are unpacked, also of chunks that others are differences to */
};

struct snapshot;
struct plan;

struct snapshot *snapshot_get(struct store *store);
void snapshot_put(struct snapshot **snapshot);
/* Bounds the memory of plans and of what they read; past it they fail with ERR_LIMIT. 0: no bound.
 */
void snapshot_limit(struct snapshot *snapshot, size_t bytes);
/* From now on every call stops with ERR_CANCELED once *cancel. */
void snapshot_cancel(struct snapshot *snapshot, const atomic_bool *cancel);
/* How long it waits for a replay (store_options.answer_early), about; then ERR_TIMEOUT. 0: as long
 * as it takes. */
void snapshot_patience(struct snapshot *snapshot, int64_t ms);
/* Segments that are damaged or cannot be reached are left out; without it they are an error. Before
 * the fetch. */
void snapshot_partial(struct snapshot *snapshot);
/* What the answers lack; none: nothing. Valid after the fetch, borrowed. */
struct read_warning {
    int64_t from_ms, to_ms; /* cells in (from_ms, to_ms] may be missing */
    struct err err;         /* names the segment */
};
const struct read_warning *snapshot_warnings(const struct snapshot *snapshot, size_t *n);
/* The last transaction that is seen. */
uint64_t snapshot_lsn(struct snapshot *snapshot);
/* About how many cells its plans read; valid after the fetch. */
uint64_t snapshot_cells(const struct snapshot *snapshot);
/* The clocks of a stream in this snapshot; false when it has none. */
bool snapshot_clock(
    struct snapshot *snapshot, struct slice name, int64_t *frontier_ms, int64_t *watermark_ms);

/* What an answer is complete up to: the position that every source is to be read from next, and the
 * greatest event time that was read of it, in this snapshot. *n of them, borrowed until
 * snapshot_put. Waits for a replay; when it cannot wait any longer *n is 0, and a fetch fails. */
struct source_position {
    struct slice name;
    int64_t next, newest_ms; /* INT64_MIN: none */
};
const struct source_position *snapshot_sources(struct snapshot *snapshot, size_t *n);

/* Series in order of their labels. The plan belongs to the snapshot; the matchers are borrowed
 * until the fetch. */
bool plan_new(struct snapshot *snapshot, const struct scope *scope, const struct matcher *matchers,
    size_t n, const struct read_budget *budget, struct plan **out, struct err *err);
size_t plan_n(const struct plan *plan);
/* Borrowed until snapshot_put. */
struct labels plan_labels(const struct plan *plan, size_t i);
const struct metric_def *plan_metric(const struct plan *plan, size_t i);
/* The store's id of the series, which no other one ever gets. */
uint32_t plan_series(const struct plan *plan, size_t i);
/* Wants the cells with t in (from_ms, to_ms]; called again it widens. Without it the series is not
 * read. */
void plan_range(struct plan *plan, size_t i, int64_t from_ms, int64_t to_ms);

/* Wants coarser cells of the series, made by the merge rule: store/resolution.h. The range that is
 * wanted begins and ends at bucket ends, and the resolution fits the metric. They are exact: read
 * from derived segments where those hold, else computed from raw cells. Of float samples the count,
 * min, max, first, last, and resets are exact always; sums where the cells say so
 * (columns_exact_sums): who needs others takes raw cells. */
void plan_resolution(struct plan *plan, size_t i, int64_t resolution_ms);

/*
 * *whole: the resolutions in which all that is left of the series in (from_ms, to_ms] can be had,
 * of those that it has. As a rule that is all of them. Where retention has taken its raw cells, and
 * keeps coarser ones, only those give the range; 0: not even one resolution does, and the range is
 * to be asked for in parts, which are whole days. What is gone in all resolutions is not missed;
 * where kept cells are set aside, raw ones are not whole, and who takes coarser ones is told. It
 * looks the series up in each kept segment of the range, and may read. Before the fetch; ERR_LIMIT:
 * memory.
 */
enum { WHOLE_RAW = 1, WHOLE_1M = 2, WHOLE_1H = 4, WHOLE_1D = 8 };
bool plan_whole(
    struct plan *plan, size_t i, int64_t from_ms, int64_t to_ms, unsigned *whole, struct err *err);

/* Wants what the series, a level, stands at: the sum of all its changes with t <= at_ms. It is
 * exact, and cheap: store/opening.h. The series' range has no part in it. ERR_LIMIT: memory. */
bool plan_opening(struct plan *plan, size_t i, int64_t at_ms, struct err *err);

/*
 * Wants the course of a level in (from_ms, to_ms]; called again it widens. plan_opening_sum is then
 * what it stood at where the range begins, and plan_columns its changes from there on: raw cells,
 * and the finest that are left where retention has taken those. So the sum of both up to any t is
 * what the level stood at, where there are raw cells; elsewhere it is that of the last cell that
 * ended by t. It takes the place of plan_range and plan_resolution. ERR_LIMIT: memory.
 */
bool plan_level(struct plan *plan, size_t i, int64_t from_ms, int64_t to_ms, struct err *err);
/* After the fetch, of plan_level: how long the longest cells are that the course has; 0: all are
 * raw. */
int64_t plan_level_step(const struct plan *plan, size_t i);

/* Once per snapshot. ERR_LIMIT says what was asked and what is allowed; ERR_CANCELED when *cancel,
 * which takes the place of snapshot_cancel's unless it is NULL; ERR_UNAVAILABLE or ERR_TIMEOUT when
 * a segment that lies elsewhere cannot be reached now. */
bool snapshot_fetch(struct snapshot *snapshot, const struct read_budget *budget,
    const atomic_bool *cancel, struct err *err);

/* The series' cells in its range, merged and canonical, in arrays from the arena. Any thread may
 * call it for different i with different arenas at once. ERR_LIMIT: the arena is full. */
bool plan_columns(
    const struct plan *plan, size_t i, struct arena *arena, struct columns *out, struct err *err);

/*
 * Pieces: what a range function needs of a series without decoding all of it. A chunk that lies
 * inside the range and that nothing else meets (no late cells, nothing deleted, no open block)
 * gives its aggregate from the directory, and none of its pages is read; whatever is left is
 * decoded. Of samples, aggregates leave staleness markers out; segment.h and
 * store/segment/aggregate.h say what is exact. Resets between two pieces are the caller's to see.
 */
struct plan_piece {
    int64_t from_ms, to_ms; /* its cells have t in (from_ms, to_ms], and no other piece's have */
    uint64_t cells;
    bool whole; /* a chunk: */
    struct segment_aggregate aggregate;
    struct columns columns; /* otherwise, as plan_columns gives them */
};
/* The series is read in pieces: plan_pieces takes the place of plan_columns. Before the fetch. */
void plan_aggregates(struct plan *plan, size_t i);
/* The pieces that have cells, *n of them in order of time, in the arena. As plan_columns. */
bool plan_pieces(const struct plan *plan, size_t i, struct arena *arena, struct plan_piece **out,
    size_t *n, struct err *err);

/* What plan_opening, or plan_level, asked for. The arena is for decoding what is not summed up
 * already. */
bool plan_opening_sum(
    const struct plan *plan, size_t i, struct arena *arena, int128 *out, struct err *err);

/* ---- metadata ---- */

/* Calls each for every series that matches and has a cell with t in (from_ms, to_ms], derived cells
 * where raw ones are gone; in order of labels. each returns false to stop. metadata.h asks more. */
typedef bool series_f(void *ctx, struct labels labels, const struct metric_def *def);
bool store_each_series(struct store *store, const struct scope *scope,
    const struct matcher *matchers, size_t n, int64_t from_ms, int64_t to_ms, series_f *each,
    void *ctx, struct err *err);

/* Calls each for every metric of which the scope (NULL: everything) sees a series, by name. The def
 * is borrowed for the call. */
typedef bool metric_f(void *ctx, const struct metric_def *def);
bool store_each_metric(
    struct store *store, const struct scope *scope, metric_f *each, void *ctx, struct err *err);

#endif
