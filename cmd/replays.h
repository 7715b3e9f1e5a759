/*
 * `larder replay ROLLUP` in the server: the rollup is made anew, by its definition of now, of what
 * the topics still hold, while everything else goes on.
 *
 *     1  a second ingestion, into a store of its own beside the data folder, reads the topics from
 *        their beginning and follows the first one (ingest/follow.h). Nobody sees what it makes,
 *        and it sends no dead letters.
 *     2  when little is left, the first one stands still between two transactions until the second
 *        has read just as far. Then each has read the same records.
 *     3  one transaction changes all windows that the topics held whole, and says that the replay
 *        is over (ingest/replay/replay_exchange.h).
 *     4  the first one goes on, the second store is removed.
 *
 * A query sees all of it or nothing. After a crash 1 goes on from its positions; 2 and 3 are done
 * again. One replay runs at a time.
 */
#ifndef CMD_REPLAYS_H
#define CMD_REPLAYS_H

#include "cmd/config.h"
#include "ingest/ingest.h"
#include "ingest/replay/replay_order.h"
#include "store/store.h"

struct replays;

/* As ingest_pause, of the first ingestion. */
typedef bool replay_pause_f(
    void *ctx, ingest_pause_f *f, void *f_ctx, const atomic_bool *cancel, struct err *err);

/* config: of the start; its file is read by each replay. in_force: what the ingestion goes by
 * (struct config). All outlive it. */
struct replays *replays_new(const struct config *config, struct hash128 in_force,
    struct store *store, replay_pause_f *pause, void *ctx);
/* Stops where it is; the next start goes on. */
void replays_free(struct replays **replays);

/* Goes on with what an earlier run has not ended; else tells how the newest one ended. */
void replays_resume(struct replays *replays);
/* Begins. from_ms: windows up to here are left alone; INT64_MIN: all that the topics hold whole are
 * made. ERR_NOT_FOUND: no such rollup; ERR_INVALID: the file does not check, or says something else
 * than what is in force; ERR_UNSUPPORTED: a gauge, or open lives with a boundary; ERR_BUSY: one
 * runs. */
bool replays_start(struct replays *replays, struct slice rollup, int64_t from_ms, struct err *err);
/* Gives up the one that runs: nothing has changed, unless it is over before. ERR_NOT_FOUND: none
 * runs. */
bool replays_cancel(struct replays *replays, struct err *err);

/* What the ingestion goes by now. The one that runs fails if that is something else than when it
 * began. */
void replays_in_force(struct replays *replays, struct hash128 config);

/* Of the newest. */
struct replay_status {
    enum replay_state state;
    char rollup[256];
    uint64_t records, records_read;
    double records_per_second;
    int64_t whole_after_ms;  /* done: windows with later ends were made; INT64_MIN: all */
    uint64_t cells;          /* done: that have changed */
    char text[ERR_TEXT_MAX]; /* what holds it up, or why it failed */
};
void replays_status(struct replays *replays, struct replay_status *out);

#endif
