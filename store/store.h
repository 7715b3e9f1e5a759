/*
 * The store: a columnar time-series database in a folder. This header opens it and writes to it;
 * read.h reads.
 *
 * Writing is by transactions, which are all or nothing: cells, new series, source positions and
 * clocks live or die together. txn_commit appends one frame to the write-ahead log, syncs it, and
 * only then shows the cells to readers: what a reader has seen is on disk.
 *
 * Any number of threads write. One transaction is open at a time: txn_begin waits until the others
 * have ended, in the order in which the threads came. Commits share what is slow: a transaction
 * that holds nothing but cells of series that are known lets the next one begin while it is
 * written, and all that are ready when a write ends go to disk together, in one frame with one
 * sync. Each is whole, has an LSN of its own, and is shown after the sync (store/commit.h). Readers
 * are any number of threads.
 *
 * What an ingestion must remember between events goes into state tables, changed by the same
 * transactions: store/state/state.h.
 *
 * A folder belongs to one process; a lock file says so.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/cell.h"
#include "store/histogram.h"
#include "store/labels.h"
#include "store/limits.h"
#include "store/retention.h"
#include "store/segment.h"

struct store;
struct txn;

struct store_options {
    const char *path;        /* folder, made when absent; NULL: in memory only, nothing is kept */
    int64_t block_ms;        /* length of a time block; 0: 2 hours */
    uint64_t wal_file_bytes; /* a WAL file is closed at this size; 0: 64 MiB */
    uint64_t
        checkpoint_bytes; /* WAL since the last checkpoint that triggers the next; 0: 128 MiB */
    uint64_t head_bytes;  /* memory for open blocks, past which the oldest is sealed; 0: 1 GiB */
    uint64_t debt_bytes;  /* segments waiting for compaction, past which writing slows; 0: 4 GiB */
    struct limits limits;
    struct retention retention;
    uint64_t state_bytes; /* memory for changes of state tables that are not flushed; 0: 256 MiB */
    bool inspect; /* opens as it is, writing nothing but LOCK; only reading and closing may follow.
                     ERR_NOT_FOUND: there is no store */
    /* Asked for segments that the manifest names and that are not in the folder; open NULL: nobody
     * is. What cannot be reached is missing from answers, which is an error or, where a partial
     * answer is asked for, a warning; it stops no start. */
    struct segment_remote remote;
    /* store_open returns before the log was replayed, which a thread does: read.h says what is
     * answered meanwhile. Writers, maintenance and whoever asks for sources or state tables wait.
     */
    bool answer_early;
    /* So many snapshots may wait for the replay at once; a further one fails with ERR_UNAVAILABLE,
     * so that those that wait do not take all threads of a server. 0: any number. */
    unsigned early_waiters;
    /* Called for every transaction that was replayed, with its number and the last one's, by the
     * thread that replays, before store_open has returned, too; writers wait for it. May be NULL.
     */
    void (*replayed)(void *ctx, uint64_t lsn, uint64_t last_lsn);
    void *replayed_ctx;
};

/* Opens and recovers: manifest, segments, checkpoint, WAL. ERR_BUSY: another process has the
 * folder. ERR_CORRUPT: names the file and place. A torn last frame of the WAL is cut off, counted,
 * logged. On a disk that takes nothing the store answers, and commits fail until it does; the last
 * transaction before a kill is shown once it is known to be on disk. */
bool store_open(const struct store_options *options, struct store **out, struct err *err);
/* Waits for the end of the replay, ms or less: ERR_TIMEOUT, it has not ended. True: it has. Any
 * other error is what store_open would have said without answer_early: then the store takes nothing
 * any more, and what the log touches is not answered. */
bool store_await_replay(struct store *store, int64_t ms, struct err *err);
/* Writes a checkpoint, so that the next start replays nothing; all that was committed is on disk
 * without it. A replay is given up where it is, and the next start begins it anew. No transaction
 * and no snapshot may be open. */
void store_close(struct store **store);

/* ---- transactions ---- */

/* Waits for its turn. Between it and txn_commit or txn_abort the thread calls nothing of the store
 * that begins a transaction or maintains. */
struct txn *txn_begin(struct store *store);

/*
 * What a transaction is given is checked on the way in, by the bounds of store/bounds.h: what has
 * been committed never stops a replay, a seal or a start later. A function that returns false has
 * added nothing.
 */

/* The id of the metric; defined in this transaction when it is new. ERR_INVALID when the definition
 * is out of bounds, or the name is known with another kind, every, digits or schema. help, unit,
 * clock and stale_after_ms, and what a gauge shows, are updated. */
bool txn_metric(struct txn *txn, const struct metric_def *def, uint32_t *metric, struct err *err);

/* The id of the series with these labels; created in this transaction when it is new. Ids are dense
 * from 0 and last as long as the store. ERR_INVALID when the labels are not sorted, one is empty,
 * or
 * __name__ is not the metric's name; ERR_LIMIT: a limit of labels.h or limits.h refuses it. */
bool txn_series(
    struct txn *txn, uint32_t metric, struct labels labels, uint32_t *series, struct err *err);

/* The series into which label sets of the metric fold (store/limits.h). False: there is none. */
bool txn_overflow(const struct txn *txn, uint32_t metric, uint32_t *series);

/* Changes when series were removed (store/delete.h), or fold no more (store/limits.h): ids that a
 * caller has kept from an earlier transaction may then be nobody's or another's, and are asked for
 * again. */
uint64_t txn_removals(const struct txn *txn);

/*
 * Cells. end_ms is a multiple of the metric's every_ms. The series must be one of txn_series, and
 * the kind must fit (ensured). False: the cell is out of bounds. Then the transaction does not
 * commit, unless somebody has asked txn_refused why: who can do without the cell asks, and says so
 * to whoever has sent it; who ignores the answer loses nothing silently.
 */
bool txn_add(struct txn *txn, uint32_t series, int64_t end_ms, int128 amount);
bool txn_gauge(struct txn *txn, uint32_t series, int64_t end_ms, const struct gauge_cell *cell);
bool txn_histogram(struct txn *txn, uint32_t series, int64_t end_ms, const struct hist_cell *cell);
/* The store has no clock: whoever takes in samples from outside asks txn_accepts (limits.h) first.
 */
bool txn_sample(struct txn *txn, uint32_t series, int64_t t_ms, double v);
/* The histogram is copied. */
bool txn_sample_histogram(
    struct txn *txn, uint32_t series, int64_t t_ms, const struct hist *histogram);
/* The start timestamp of the sample that was added last: when its counter began. 0: unknown. */
void txn_sample_start(struct txn *txn, int64_t start_ms);

/* The state of a source (a Kafka partition, say) after this transaction. name is opaque to the
 * store, as is state (at most SOURCE_STATE_MAX bytes). newest_ms: the greatest event time that it
 * has read; INT64_MIN: none. False as for cells. */
#define SOURCE_STATE_MAX 4096
bool txn_source(
    struct txn *txn, struct slice name, int64_t next, int64_t newest_ms, struct slice state);

/* The clocks of a stream after this transaction. Both are monotone: a smaller value is ignored.
 * False as for cells. */
bool txn_clock(struct txn *txn, struct slice name, int64_t frontier_ms, int64_t watermark_ms);

/* Whether a cell, source or clock was refused since this was last asked; err says why the first one
 * was. */
bool txn_refused(struct txn *txn, struct err *err);

/* Makes the transaction durable and visible, frees it and sets *lsn (may be NULL). On failure
 * nothing of it is visible and *txn stays open: the caller tries again or aborts. What was written
 * together fails together. ERR_INVALID: a cell was refused, and nobody has asked. ERR_NO_SPACE may
 * pass. After a failed sync every further commit fails with ERR_IO until the store is opened anew.
 */
bool txn_commit(struct txn **txn, uint64_t *lsn, struct err *err);
/* Its cells, visible with the commit as ever, need not be in the head when txn_commit returns,
 * which is what a commit of many cells takes longest for: who says so calls store_publish
 * afterwards. */
void txn_leave_cells(struct txn *txn);
/* Takes some thousand cells that commits have left to the head, from any thread, unless somebody is
 * there. False: nothing is left, or nothing could be done; then others do it, sooner or later. */
bool store_publish(struct store *store);
/* Drops the transaction. Series and metrics it defined are dropped with it. */
void txn_abort(struct txn **txn);

/* ---- sources and clocks, as of the last commit; sources wait for a replay, and are unknown when
 * it has failed ---- */

struct source_state {
    int64_t next;      /* position to read next */
    int64_t newest_ms; /* greatest event time read; INT64_MIN: none */
    uint8_t state[SOURCE_STATE_MAX];
    size_t state_len;
};

/* Calls each with the name of every source that was ever committed; the name is borrowed for the
 * call, which must not use the store. */
typedef void source_f(void *ctx, struct slice name);
void store_each_source(struct store *store, source_f *each, void *ctx);
/* False when the source was never committed. */
bool store_source(struct store *store, struct slice name, struct source_state *out);
bool store_clock(
    struct store *store, struct slice name, int64_t *frontier_ms, int64_t *watermark_ms);

/* ---- maintenance; called from one thread, beside the writer ---- */

/* Does what is due, and returns when nothing is: blocks that end at or before passed_ms are sealed,
 * and the oldest when the head is over its memory; checkpoints are written and WAL files dropped;
 * segments are compacted. Cheap when nothing is due. store/maintain.h says when what is due. Ends
 * at the first failure; what has failed before is tried again. Waits for a replay. */
bool store_maintain(struct store *store, int64_t passed_ms, struct err *err);
/* One step of it, the most urgent one of those that have not just failed. *more: it did something,
 * so there may be more. While the log is replayed it does nothing. */
bool store_maintain_step(struct store *store, int64_t passed_ms, bool *more, struct err *err);

/* How long the writer should wait before its next transaction, so that maintenance keeps up; 0 as a
 * rule, at most 1000. Never waiting breaks nothing but the bounds of memory and debt. */
int store_throttle_ms(struct store *store);

struct store_stats {
    uint64_t lsn, series, metrics, head_cells, head_bytes, segments, segment_bytes, wal_bytes;
    uint64_t derived_segments; /* of the segments */
    uint64_t commits, cells, fsyncs, torn_frames;
    uint64_t quarantined; /* damaged segments that were set aside */
    uint64_t put_away; /* damaged files that a repair moved to FOLDER/damaged (store/put_away.h) */
    uint64_t unreadable_windows;           /* maintenance cannot read them now, and tries again */
    uint64_t debt_bytes, debt_segments;    /* waiting for compaction */
    uint64_t compactions, compacted_bytes; /* since the start; bytes of the inputs */
    /* State tables. Keys: a key that was put twice counts twice until it is merged. Memory: also
     * filters and the cache of pages. */
    uint64_t state_tables, state_generations, state_keys, state_runs;
    uint64_t state_memory_bytes, state_disk_bytes;
    uint64_t state_damaged; /* generations with a damaged run: they are not merged any more */
    uint64_t pending_bytes; /* visible, and not in the head yet: somebody reads there */
    uint64_t pending_waits; /* how often a commit waited for a reader since too much was pending */
    struct limit_stats limits;
    uint64_t deletions_pending, deletions_done; /* since the start */
    bool replaying;                             /* the log: the head is not whole yet */
    uint64_t replayed_lsn;                      /* up to there it is; lsn when it is whole */
    bool failed;                                /* a sync failed: read only until opened anew */
};

void store_stats(struct store *store, struct store_stats *out);

#endif
