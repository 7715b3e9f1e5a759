/*
 * State tables as the store sees them: the hooks of opening, committing, checkpoints and
 * maintenance.
 *
 *     commit       state_apply, once the frame is synced: memtables change, under the mutex
 *     drop         the generation goes at once; the next maintenance tells the manifest
 *     flush        mem becomes frozen -> run file -> edit of the manifest -> new view
 *     merge        runs -> run file -> edit of the manifest -> new view
 *     checkpoint   state_flush leaves STATE_CARRY_BYTES in memory; these, and drops that the
 *                  manifest does not know yet, are carried in the checkpoint (state_carry)
 *
 * Replaying is idempotent: the last change of a key in checkpoint and log is its state, and a key
 * of neither is as the runs say. Batches whose LSN is not above the newest run's of their
 * generation are skipped, for they are in runs: that saves memory.
 *
 * Locks: `mutex` is below all locks of the store; it guards everything here but what a thread may
 * read by itself: the writer changes tables, lists of generations and memtables, so it reads them
 * without. Maintenance (under store.seal) changes views. No I/O is done under it.
 */
#ifndef STORE_STATE_STATE_PRIV_H
#define STORE_STATE_STATE_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/manifest.h"
#include "store/state/generation.h"
#include "store/state/run.h"
#include "store/state/run_cache.h"
#include "store/state/state_changes.h"

struct state_table {
    char name[STATE_TABLE_NAME_MAX + 1];
    uint32_t record_bytes;
    bool defined;                    /* false while only runs are known of it, during the start */
    struct generation **generations; /* ascending */
    size_t n, cap;
};

/* A generation that a committed transaction has dropped, and the manifest not yet. */
struct state_drop {
    uint32_t table;
    int64_t generation;
    struct state_view *view;
};

struct state {
    pthread_mutex_t mutex;
    char *dir;     /* NULL: in memory only */
    bool dir_made; /* of maintenance */
    struct state_table **tables;
    size_t n_tables, tables_cap;
    struct state_drop *drops;
    size_t n_drops, drops_cap;
    uint64_t lsn;       /* of the last transaction that was applied */
    size_t limit_bytes; /* half of what all may take: memory_bytes of state_stats */
    size_t mem_bytes;   /* memtables, frozen ones too */
    size_t run_bytes;   /* filters, fences and cache, as maintenance has looked last */
    size_t runs_most;   /* of one generation: the debt */
    uint64_t rounds;    /* in which maintenance has found nothing to do */
    struct run_cache cache;
};

struct state_stats {
    uint64_t tables, generations, runs;
    uint64_t damaged;      /* generations whose runs are not merged any more */
    uint64_t keys;         /* entries; a key that was put twice counts twice until it is merged */
    uint64_t memory_bytes; /* memtables, filters, fences, cache */
    uint64_t disk_bytes;
};

/* path: the store's folder, or NULL. limit_bytes: of memtables at which they are flushed; the
 * writer helps at twice as much. The more filters, fences and cached pages take, the less of it is
 * left for memtables, a quarter at least: all of them stay below twice the limit until filters and
 * fences alone, 1.6 bytes a key, come to more than it. 0: STATE_BYTES. */
#define STATE_BYTES ((size_t)256 << 20)
void state_init(struct state *state, const char *path, size_t limit_bytes);
void state_fini(struct state *state);

/* Opens the runs that the manifest names; before checkpoint and log are applied. */
bool state_load(struct state *state, const struct manifest *manifest, struct err *err);
/* After it: that every table is defined, and no run is newer than the log, whose last LSN is given.
 */
bool state_loaded(struct state *state, uint64_t last_lsn, struct err *err);
/* Removes files that the manifest does not name. */
bool state_sweep(struct state *state, const struct manifest *manifest, struct err *err);

/* Whether the changes fit what is there; false only for a damaged log, or when memtables cannot be
 * flushed. Then state_apply applies them. */
bool state_check(struct state *state, const struct state_changes *changes, struct err *err);
void state_apply(
    struct state *state, const struct state_changes *changes, uint64_t lsn, bool replay);
/* Both, for what checkpoint and log hold. */
bool state_replay(
    struct state *state, const struct state_changes *changes, uint64_t lsn, struct err *err);

/* Copies a part of what is only in memory, about `bytes` of it, into changes; false: there is no
 * more. The writer's lock is held from the first call to the last. */
struct state_cursor {
    bool drops_done;
    size_t table, generation;
    uint32_t at; /* in frozen, then mem */
    bool frozen_done;
};
#define STATE_CARRY_BYTES ((size_t)4 << 20)
bool state_carry(
    struct state *state, struct state_cursor *cursor, size_t bytes, struct state_changes *changes);

/* Flushes the largest memtables until at most `keep` bytes of them are left. store.seal is held. */
bool state_flush(struct state *state, struct manifest *manifest, size_t keep, struct err *err);
/* One step of what is due: drops, flushes, purges, then one merge. *did: something was. store.seal
 * is held.
 */
bool state_step(struct state *state, struct manifest *manifest, bool *did, struct err *err);
/* One flush or merge of a generation that is to be purged; *did: there was one. store.seal is held.
 */
bool state_purge_step(struct state *state, struct manifest *manifest, bool *did, struct err *err);
/* Whether a generation is still to be purged. */
bool state_purges(struct state *state);
/* Maintenance has found nothing to do: generations that could not be read are tried again, after so
 * many rounds, twice as many after each failure. */
void state_end_round(struct state *state);
/* Whether maintenance is so far behind that the writer has to help. */
bool state_behind(struct state *state);
void state_stats(struct state *state, struct state_stats *out);

/* ---- between the files of this folder ---- */

/* NULL: there is none. The mutex is held, or the caller is the writer. */
struct generation *state_generation(const struct state *state, uint32_t table, int64_t generation);
/* A new table; mutex held. */
struct state_table *state_add_table(struct state *state, uint32_t id);
struct generation *state_add_generation(struct state_table *table, int64_t number);
/* The memtable of the generation, which has one and no frozen one, takes no more changes; mutex
 * held. */
void state_freeze(const struct state *state, struct generation *generation);
/* Puts a new view in the place of the generation's; mutex held. */
void state_set_view(struct generation *generation, struct state_view *view_take);
/* Looks into frozen and runs, and into mem when with_mem. */
bool state_view_get(struct state *state, const struct state_view *view, bool with_mem,
    struct hash128 key, void *record, bool *found, struct err *err);

#endif
