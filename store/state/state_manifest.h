/*
 * The manifest's part about state tables: which runs count. Its entries (docs/format/manifest.md)
 * are written and read here; manifest.c frames them.
 */
#ifndef STORE_STATE_STATE_MANIFEST_H
#define STORE_STATE_STATE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "store/state/run.h"

struct manifest_run {
    char name[RUN_NAME_MAX];
    uint32_t table;
    int64_t generation;
    uint64_t lsn; /* the last transaction whose changes are in it */
};

struct manifest_runs {
    struct manifest_run *items;
    size_t n, cap;
};

/* Part of one atomic edit; in this order. */
struct manifest_run_edit {
    bool drop_generation; /* all runs of it */
    uint32_t table;
    int64_t generation;
    const char *const *drops; /* names */
    size_t n_drops;
    const struct manifest_run *add;
};

void manifest_runs_fini(struct manifest_runs *runs);
/* The whole state, as entries. */
void manifest_runs_put(const struct manifest_runs *runs, struct buf *out);
void manifest_runs_put_edit(const struct manifest_run_edit *edit, struct buf *out);
/* Applies the entry that begins with this op; false when the op is not one of these, or malformed.
 */
bool manifest_runs_read(struct manifest_runs *runs, uint8_t op, struct reader *r);
void manifest_runs_apply(struct manifest_runs *runs, const struct manifest_run_edit *edit);
bool manifest_runs_name(const struct manifest_runs *runs, const char *name);

#endif
