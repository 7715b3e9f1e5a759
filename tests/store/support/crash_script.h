/*
 * What a proof runs again and again while the disk is cut off: a fixed sequence of steps, each a
 * commit, or two that share a frame of the log, an abort, maintenance, a deletion, a backup or an
 * opening anew. The same seed gives the same steps,
 * so that the content after any number of them is known by running them on the model alone.
 */
#ifndef TESTS_STORE_SUPPORT_CRASH_SCRIPT_H
#define TESTS_STORE_SUPPORT_CRASH_SCRIPT_H

#include "base/err.h"
#include "tests/store/support/workload.h"

struct script {
    struct workload load;
    uint64_t seed;
    uint32_t done; /* steps */
    char path[512];
};

enum script_step { STEP_COMMIT, STEP_ABORT, STEP_MAINTAIN, STEP_DELETE, STEP_BACKUP, STEP_REOPEN };

/* The script after `done` steps, without a store. */
void script_at(struct script *script, uint64_t seed, const char *path, uint32_t done);
void script_fini(struct script *script);

enum script_step script_kind(const struct script *script, uint32_t step);
/* Whether the step is a commit of anything. */
bool script_writes(const struct script *script, uint32_t step);
/* The folder of the backup that the step makes, beside the store's. */
void script_backup_path(const char *store, uint32_t step, char *out, size_t size);

/* The next step. *store NULL: it is opened first. On failure the model has made the step and the
 * store has not, or may have: the caller starts again with a script_at. */
bool script_step(struct script *script, struct store **store, struct err *err);

bool script_open(const char *path, struct store **store, struct err *err);

#endif
