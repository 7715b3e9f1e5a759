#include "tests/store/support/crash_script.h"

#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "base/ensure.h"

#define SERIES     3
#define HISTORY    120
#define CELLS      14
#define WIDE_BYTES 800

/* So small that files are begun, sealed and forgotten all the time. Never inlined and never left by
 * a jump: the places that sync are told apart by their callers, and end here. */
__attribute__((noinline)) bool script_open(const char *path, struct store **store, struct err *err)
{
    struct store_options options = {
        .path = path, .block_ms = WORKLOAD_BLOCK, .wal_file_bytes = 1500, .checkpoint_bytes = 3500};
    bool ok = store_open(&options, store, err);
    if (!ok)
        *store = NULL;
    return ok;
}

enum script_step script_kind(const struct script *script, uint32_t step)
{
    uint64_t key[2] = {script->seed, step};
    uint32_t kind = (uint32_t)(hash64(key, sizeof key) % 20);
    if (kind < 13)
        return STEP_COMMIT;
    if (kind == 13)
        return hash64(key, sizeof key) / 20 % 2 ? STEP_ABORT : STEP_DELETE;
    return kind < 18 ? STEP_MAINTAIN : STEP_REOPEN;
}

/* A series without cells, with a label so long, and of so little order, that what defines it does
 * not fit into a sector of the disk. */
static void define_wide(struct script *s, struct txn *txn)
{
    static const struct metric_def def = {
        .name = {"wide", 4}, .kind = KIND_COUNTER, .every_ms = WORKLOAD_EVERY};
    char value[WIDE_BYTES + 1];
    uint32_t metric, series;
    struct err err;
    for (uint64_t i = 0, key[3]; i < WIDE_BYTES; i += 16) {
        memcpy(key, (uint64_t[3]){s->seed, s->done, i}, sizeof key);
        snprintf(value + i, 17, "%016llx", (unsigned long long)hash64(key, sizeof key));
    }
    struct label labels[2] = {{SLICE("__name__"), def.name}, {SLICE("wide"), slice_from(value)}};
    ensure(txn_metric(txn, &def, &metric, &err) &&
           txn_series(txn, metric, (struct labels){labels, 2}, &series, &err));
}

static bool commit(struct script *s, struct store *store, bool empty, bool wide, struct err *err)
{
    struct txn *txn = store ? txn_begin(store) : NULL;
    if (!empty)
        workload_fill(&s->load, txn, CELLS);
    if (txn && wide && !empty)
        define_wide(s, txn);
    s->load.newest += 5;
    if (!txn || txn_commit(&txn, NULL, err))
        return true;
    txn_abort(&txn);
    return false;
}

/* An aborted transaction, with series of its own, must leave nothing behind. */
static void abort_one(struct script *s, struct store *store)
{
    static const struct metric_def def = {
        .name = {"never", 5}, .kind = KIND_COUNTER, .every_ms = WORKLOAD_EVERY};
    struct label label = {SLICE("__name__"), {"never", 5}};
    uint32_t metric, series;
    struct err err;
    if (!store)
        return;
    struct txn *txn = txn_begin(store);
    if (txn_metric(txn, &def, &metric, &err) &&
        txn_series(txn, metric, (struct labels){&label, 1}, &series, &err))
        txn_add(txn, series, workload_end(s->load.newest), 1);
    txn_abort(&txn);
}

static bool step_run(struct script *s, struct store **store, struct err *err)
{
    uint64_t key[3] = {s->seed, s->done, 1};
    uint32_t dice = (uint32_t)(hash64(key, sizeof key) % 100);
    struct store *open = store ? *store : NULL;
    switch (script_kind(s, s->done)) {
    case STEP_COMMIT: return commit(s, open, dice < 3, dice % 4 == 0, err);
    case STEP_ABORT: abort_one(s, open); return true;
    case STEP_MAINTAIN:
        return !open || store_maintain(open, workload_end(s->load.newest - 30 + dice / 3), err);
    case STEP_DELETE: return workload_delete(&s->load, open, err);
    case STEP_REOPEN:
        if (!open)
            return true;
        store_close(store);
        return script_open(s->path, store, err);
    }
    return false;
}

void script_at(struct script *script, uint64_t seed, const char *path, uint32_t done)
{
    *script = (struct script){.seed = seed};
    snprintf(script->path, sizeof script->path, "%s", path);
    workload_init(&script->load, seed, SERIES, HISTORY);
    for (; script->done < done; script->done++)
        step_run(script, NULL, NULL);
}

void script_fini(struct script *script)
{
    workload_fini(&script->load);
}

bool script_step(struct script *script, struct store **store, struct err *err)
{
    if (!*store && !script_open(script->path, store, err))
        return false;
    bool ok = step_run(script, store, err);
    script->done++;
    return ok;
}
