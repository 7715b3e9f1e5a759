/*
 * What a proof runs again and again while the disk is cut off: a fixed sequence of steps, each a
 * commit, or two that share a frame of the log, an abort, maintenance, a deletion, a backup or an
 * opening anew. The same plan gives the same steps, so that the content after any number of them is
 * known by running them on the model alone.
 *
 * With a retention the commits are hours apart, so that days pass, and each day loses its raw, 1m
 * and 1h cells in turn while others are compacted. There are persons then: series whose label is
 * written until a deletion takes it, after which nothing in the folder may hold it.
 *
 * With `beside`, and without a retention, another writer commits in the middle of maintenance: new
 * series, and one that comes back after a deletion has taken it.
 */
#ifndef TESTS_STORE_SUPPORT_CRASH_SCRIPT_H
#define TESTS_STORE_SUPPORT_CRASH_SCRIPT_H

#include "base/err.h"
#include "tests/store/support/workload.h"

enum script_retention { RETAIN_ALL, RETAIN_BY_AGE, RETAIN_BY_BYTES };

struct script_plan {
    uint64_t seed;
    enum script_retention retention;
    bool beside;
    bool early; /* script_open returns before the log is replayed, which takes its time */
};

struct script {
    struct workload load;
    struct script_plan plan;
    uint32_t done; /* steps */
    char path[512];
    int64_t passed;   /* of the last maintenance; INT64_MIN: there was none */
    uint32_t persons; /* so many were deleted */
    uint32_t besides; /* commits beside maintenance */
    bool taken;       /* who comes back beside maintenance was deleted */
    bool beside_due;  /* the step in flight is maintenance, and its commit beside was not made */
    bool retains;     /* the last step is maintenance in which retention may have taken cells */
};

enum script_step { STEP_COMMIT, STEP_ABORT, STEP_MAINTAIN, STEP_DELETE, STEP_BACKUP, STEP_REOPEN };

/* The script after `done` steps, without a store. What retention by bytes takes is not known to it:
 * naive_see_gone finds out. */
void script_at(
    struct script *script, const struct script_plan *plan, const char *path, uint32_t done);
void script_fini(struct script *script);

enum script_step script_kind(const struct script *script, uint32_t step);
/* Whether the step commits anything. */
bool script_writes(const struct script *script, uint32_t step);
/* The folder of the backup that the step makes, beside the store's. */
void script_backup_path(const char *store, uint32_t step, char *out, size_t size);

/* The next step. *store NULL: it is opened first. On failure the model has made the step and the
 * store has not, or may have: the caller starts again with a script_at. */
bool script_step(struct script *script, struct store **store, struct err *err);

/* The commit beside the maintenance that is in flight, by its own thread, inside a system call.
 * Does nothing, and returns false, when it was made or cannot be made now. */
bool script_beside(struct script *script, struct store *store);

bool script_open(
    const struct script_plan *plan, const char *path, struct store **store, struct err *err);

/* Brings retention to its end: one more cell, two days on, is sealed, so that ages count from a
 * time that is known; then all maintenance that is due. *store is open. */
bool script_finish(struct script *script, struct store *store, struct err *err);
/* What a person's label says; number `persons` is the one that is written now. */
struct slice script_person(const struct script *script, uint32_t number);
/* Whether the person has cells that retention leaves. */
bool script_person_stays(const struct script *script, uint32_t number);

#endif
