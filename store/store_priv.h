/*
 * Inside the store: shared by store.c (open, close), recover.c, log_replay.c, early.c, txn.c,
 * txn_cells.c, commit.c, apply.c, publish.c and changes.c (commits), attach.c, seal.c, compact.c
 * and maintain.c (segments), checkpoint.c, progress.c, and by snapshot_priv.h (reading). Nobody
 * else includes it.
 *
 * Locks, in this order:
 *   seal    held by store_maintain; guards manifest, and which blocks are frozen
 *   turn    had by the thread whose transaction is open (commit.h); guards txn, and what that looks
 *           at without a lock: the catalogue, sources and clocks, state tables. They change only
 *           while the transaction that changes them keeps the turn. The thread that leads a group
 *           has the log to itself
 *   gate    readers are inside in their moments; who changes what is in a block is alone there
 *           (gate.h)
 *   lock    for moments: lsn, clocks, sources, segments, quarantined, frozen, the list of pending
 * transactions and that of open blocks, statistics. No I/O, and nothing that takes longer the more
 * is stored. The catalogue has a lock of its own (catalog.h), below all of them.
 *
 * A commit takes `lock` and the catalogue's; it tries the gate, and waits for it only when too much
 * is pending (publish.h).
 */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include <pthread.h>

#include "store/attach.h"
#include "store/catalog.h"
#include "store/changes.h"
#include "store/commit.h"
#include "store/delete.h"
#include "store/files.h"
#include "store/forget.h"
#include "store/gate.h"
#include "store/head.h"
#include "store/log_replay.h"
#include "store/maintain.h"
#include "store/manifest.h"
#include "store/progress.h"
#include "store/publish.h"
#include "store/put_away.h"
#include "store/quarantine.h"
#include "store/rewrite.h"
#include "store/segment.h"
#include "store/state/state_priv.h"
#include "store/store.h"
#include "store/touched.h"
#include "store/transaction.h"
#include "store/wal.h"

struct source {
    struct slice name; /* in catalog.strings */
    int64_t next, newest_ms;
    uint8_t *state;
    size_t state_len;
};

struct stream_clock {
    struct slice name;
    int64_t frontier_ms, watermark_ms;
};

struct store {
    struct store_options options;
    char *path; /* NULL: memory only */
    int lock_fd;
    struct commit_queue commit_queue;
    pthread_mutex_t seal, lock;
    struct gate gate;
    bool alone; /* store_lock_write has closed the gate; guarded by lock */
    struct wal *wal;
    struct manifest manifest;
    struct catalog catalog;
    struct head head;
    struct pending *pending, **pending_last; /* oldest first */
    uint64_t pending_bytes, pending_waits;
    struct frozen *frozen; /* at most one block is being sealed */
    struct attached *segments;
    size_t n_segments, segments_cap;
    struct segment_cache *cache; /* of all segments; has its own lock */
    struct quarantined *quarantined;
    size_t n_quarantined;
    int64_t newest_ms; /* from which ages count, as maintenance has seen it; lock */
    struct source *sources;
    size_t n_sources, sources_cap;
    struct stream_clock *clocks;
    size_t n_clocks, clocks_cap;
    struct progress *progress; /* of sources and clocks; NULL: nobody has asked since they moved */
    struct state state;        /* has its own mutex, below all of these */
    uint64_t lsn;
    uint64_t commits, cells, fsyncs, torn_frames;
    uint64_t wal_at_checkpoint; /* WAL bytes ever written when the last checkpoint was made */
    uint64_t wal_written;
    struct maintenance maintenance;
    struct manifest_catalog defined; /* what the catalogue's file holds; lock */
    uint64_t described_written;      /* catalog.descriptions that it has; lock */
    size_t tables_checkpointed;      /* state tables that the checkpoint holds; lock */
    uint64_t removals_written;       /* catalog.removals that it has; seal */
    uint64_t catalog_repeated;       /* bytes of it that describe metrics anew; seal */
    uint64_t catalog_frames;         /* of the catalogue's file; seal, as is the next */
    bool catalog_broken;
    bool open;                         /* store_open has come to its end */
    bool unsettled;                    /* seal; see store_settle */
    struct setback checkpoint_setback; /* seal */
    struct limit_state limits;         /* has its own mutex, below all of these */
    struct deletion *deletions;        /* changed under `seal` and `lock` */
    size_t n_deletions;
    uint64_t deletions_made, deletions_done; /* since the start */
    bool purging;                            /* state tables, see state.h; seal */
    struct put_away put_away;
    struct change_log changes; /* has its own mutex, below all of these */
    struct change_set changed; /* of the transaction that is being published; its leader */
    bool failed;
    bool tail_held;       /* the log holds a frame: it takes nothing; lock */
    struct err held;      /* why; lock */
    struct replay replay; /* has its own mutex, below all of these */
    struct txn *txn;      /* the one that has the turn, and changes only with it */
};

enum txn_phase { TXN_OPEN, TXN_READY, TXN_DONE, TXN_FAILED };

struct txn {
    struct store *store;
    struct transaction data;
    struct buf payload; /* what the log gets, from txn_make_ready on */
    /* Guarded by the queue's mutex while it is not open. */
    struct commit_waiter waiter;
    struct txn *next_ready;
    enum txn_phase phase;
    struct err err;                    /* why it failed */
    uint64_t lsn;                      /* when it is done */
    struct map metric_map, series_map; /* new ones of this transaction */
    struct metric_growth *growth;      /* by metric id */
    size_t growth_cap;
    struct fold_entry *folds; /* metrics that begin to fold; until when is said at the commit */
    size_t n_folds, folds_cap;
    uint64_t folded; /* label sets that were given an overflow series */
    bool leave;      /* cells go to the head later */
    bool refused;    /* something was, and nobody has asked */
    struct err refusal;
};

/* Of a metric that the store or the transaction knows. */
const struct metric_def *txn_metric_of(const struct txn *txn, uint32_t metric);

/* The lock, inside the gate: everything but the catalogue holds still. For moments, outside of
 * snapshots. */
void store_lock_read(struct store *store);
/* The lock, alone inside the gate, and nothing is pending: the head may be changed. Waits for
 * readers. */
void store_lock_write(struct store *store);
/* As store_lock_read, and nothing is pending: the head is what lsn says. May wait for readers. */
void store_lock_settled(struct store *store);
/* Ends each of them. */
void store_unlock(struct store *store);

/* Adds the definitions of a transaction to the catalogue; those that it has already are compared,
 * and only a difference is an error. The writer calls it. */
bool store_define(struct store *store, const struct transaction *t, struct err *err);
/* What else a durable transaction holds comes back in three steps: it is checked, and metrics fold
 * again; at most max cells from *at on go to the head, but for those that are in segments, and true
 * says that all of them have; and sources, clocks and statistics. The gate is closed for the second
 * and the lock held for the third, unless nobody reads yet. */
bool store_replay_check(struct store *store, const struct transaction *t, struct err *err);
bool store_replay_cells(
    struct store *store, const struct transaction *t, uint64_t lsn, size_t *at, size_t max);
void store_apply_state(struct store *store, const struct transaction *t);
/* All of them. */
bool store_replay(struct store *store, const struct transaction *t, uint64_t lsn, struct err *err);
/* Clocks move forward; the lock is held. */
void store_apply_clocks(struct store *store, const struct clock_entry *clocks, size_t n);
/* NULL: never committed. The lock is held. */
struct source *store_source_find(struct store *store, struct slice name);
struct stream_clock *store_clock_find(struct store *store, struct slice name);
/* Brings a fresh struct up to what the folder holds, but for what the replay brings back. */
bool store_recover(struct store *store, struct err *err);
/* Brings back the frame that the log holds, if any (wal.h). The caller has the turn, and nothing is
 * in flight. */
bool store_release(struct store *store, struct err *err);
/* What a start writes, once everything was found whole; what fails is tried again by store_settle.
 * The caller has the turn. */
void store_settle_start(struct store *store);
/* Ends what a start could not write or sweep away; the caller holds store.seal. */
bool store_settle(struct store *store, struct err *err);
/* Removes files of segments, and those beside the manifest, that it names no more; the caller holds
 * store.seal. */
bool store_sweep(struct store *store, struct err *err);

#endif
