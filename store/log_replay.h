/*
 * The replay: what the log holds comes back, and whoever needs none of it is answered meanwhile.
 *
 *     store_open    manifest, catalogue, a first pass over the log, checkpoint, segments, deletions
 *     the replay    a second pass: what each transaction has changed, one after the other
 *     its end       what a start has to write; then writers and maintenance begin
 *
 * After the first pass everything is known but what needs the payloads: which series there are, the
 * LSN, the clocks, and in which time blocks the log has cells that are in no segment (`left`). So a
 * snapshot whose ranges touch none of these blocks is answered at once, exactly as the complete
 * store would answer. Such a snapshot is *early*, and listed until it has taken its tails. One that
 * touches such a block waits, as does who asks for positions of sources. What they see is one
 * moment still: before anybody writes, each that is listed is given views of the head as it is
 * then.
 *
 *     REPLAY_RUNS     the thread has the turn; cells come in slices, alone inside the gate
 *     REPLAY_WHOLE    all is there, and early snapshots have their views; the log is made fit
 *     REPLAY_OVER     the turn is given up
 *     REPLAY_FAILED   the rest stays unknown: whoever waits gets the error, nothing is written any
 *                     more, and what was answered is answered still
 *
 * Writers wait for the turn. Whoever takes store.seal, or looks at sources, at state tables or at
 * which metrics fold, calls replay_await first. Nobody takes store.seal before the end, so that the
 * thread, which has the turn, may take it there.
 */
#ifndef STORE_LOG_REPLAY_H
#define STORE_LOG_REPLAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/checkpoint.h"
#include "store/commit.h"
#include "store/touched.h"

struct block_view;
struct progress;
struct snapshot;
struct store;

enum replay_phase { REPLAY_OVER, REPLAY_RUNS, REPLAY_WHOLE, REPLAY_FAILED };

/* Of an early snapshot. */
struct early_views {
    struct snapshot *next, **at; /* in the list; at NULL: it is not there */
    struct block_view **views;   /* of the head at the replay's end */
    struct head_block **blocks; /* their blocks, counted: what was found there outlives the views */
    size_t n;
};

/* The mutex is below all locks but those of blocks' views; it guards phase, waiting, err, early and
 * what is in the list. */
struct replay {
    pthread_mutex_t mutex;
    pthread_cond_t changed, over; /* phase or waiting; it has ended */
    enum replay_phase phase;      /* REPLAY_WHOLE begins while nobody is inside the gate */
    unsigned waiting;             /* so many wait */
    struct snapshot *early;
    struct err err;
    struct progress *progress; /* at the log's end, from REPLAY_WHOLE on; counted */
    /* From the first pass, unchanged since. */
    struct touched left;
    struct captured captured;
    /* Of the thread. */
    struct buf raw;
    struct commit_waiter turn;
    pthread_t thread;
    bool threaded;
    atomic_bool canceled;
    atomic_uint_fast64_t lsn; /* the last transaction that is back */
};

void replay_init(struct replay *replay);
/* Notes what the front of a frame of the log says of its cells. */
void replay_note(struct store *store, const struct touched *touched, uint64_t lsn);
/* Begins once everything else of the store was read. Without store_options.answer_early it has
 * ended when this returns, and false says why it failed. */
bool replay_begin(struct store *store, struct err *err);
/* Stops it where it is, if it runs. Nothing was written then, and nothing is lost. */
void replay_stop(struct store *store);
void replay_fini(struct store *store);

enum replay_phase replay_phase(struct store *store);
/* The last transaction that is back; without a replay the last one. */
uint64_t replay_lsn(struct store *store);
/* Waits for its end. False: it has failed. */
bool replay_await(struct store *store, struct err *err);
/* False, with the error, once it has failed. Waits for nothing. */
bool replay_went_well(struct store *store, struct err *err);

/* ---- early snapshots ---- */

/* The moment of a snapshot, which is inside the gate: it is listed when it is early. */
void replay_meet(struct snapshot *snapshot);
/* It needs no views any more. */
void replay_part(struct snapshot *snapshot);
/* All is there, and the gate is closed. */
void replay_give_views(struct store *store);
/* Waits, if the snapshot is early, until all that its series want is there. ERR_CANCELED,
 * ERR_TIMEOUT, ERR_UNAVAILABLE, or why the replay has failed. */
bool replay_await_ranges(struct snapshot *snapshot, struct err *err);
/* The same for the positions of sources. */
bool replay_await_sources(struct snapshot *snapshot, struct err *err);

#endif
