/*
 * Writing runs: the one operation beneath flushing, merging and purging. A job says of which
 * generation, and from what: its frozen memtable, or its newest runs.
 */
#ifndef STORE_STATE_STATE_JOB_H
#define STORE_STATE_STATE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/state/state_priv.h"

struct state_job {
    uint32_t table, record_bytes, level;
    char name[STATE_TABLE_NAME_MAX + 1];
    int64_t generation;
    uint64_t lsn, keys_max;
    struct state_view *view; /* as it was when the job began */
    size_t n_runs;           /* of it that are merged; 0: frozen is flushed */
    struct memtable *frozen; /* borrowed from the view */
};

/* What a job is about, of the generation as it is; the other fields are the caller's. The mutex is
 * held. The view is counted. */
void state_job_fill(
    const struct state *state, size_t table, const struct generation *g, struct state_job *job);
/* Makes it one of n runs, the newest, once it is filled in. */
void state_job_merges(struct state_job *job, size_t n);
/* Does it. The caller holds store.seal, here and below. */
bool state_job_run(
    struct state *state, struct manifest *manifest, const struct state_job *job, struct err *err);
/* After a failure. True: a run of the generation cannot be read, so its runs are left alone, and
 * the rest goes on: for some rounds, or for good when one is damaged (ERR_CORRUPT). Lookups of keys
 * in a damaged page fail; `larder verify --repair` drops it. */
bool state_job_leave(struct state *state, const struct state_job *job, const struct err *why);
/* Whether the generation's runs are left alone now; mutex held. */
bool state_is_left(const struct state *state, const struct generation *generation);
/* Generations that transactions have dropped go from the manifest. */
bool state_write_drops(struct state *state, struct manifest *manifest, struct err *err);

#endif
