#include "tests/store/support/crash_script.h"

#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "base/ensure.h"
#include "store/backup.h"
#include "store/commit.h"
#include "tests/store/support/folder.h"

#define SERIES     3
#define HISTORY    120
#define CELLS      14
#define WIDE_BYTES 800
#define GROUPED    (WORKLOAD_METRICS * SERIES) /* slot of the model */

/* So small that files are begun, sealed and forgotten all the time. Never inlined and never left by
 * a jump: the places that sync are told apart by their callers, and end here. */
__attribute__((noinline)) bool script_open(const char *path, struct store **store, struct err *err)
{
    struct store_options options = {.path = path,
        .block_ms = WORKLOAD_BLOCK,
        .wal_file_bytes = 1500,
        .checkpoint_bytes = 3500,
        .state_bytes = 300};
    bool ok = store_open(&options, store, err);
    if (!ok)
        *store = NULL;
    return ok;
}

enum script_step script_kind(const struct script *script, uint32_t step)
{
    uint64_t key[2] = {script->seed, step};
    uint32_t kind = (uint32_t)(hash64(key, sizeof key) % 20);
    bool odd = hash64(key, sizeof key) / 20 % 2;
    if (kind < 12)
        return STEP_COMMIT;
    if (kind == 12)
        return odd ? STEP_BACKUP : STEP_DELETE;
    if (kind == 13)
        return odd ? STEP_ABORT : STEP_COMMIT;
    return kind < 18 ? STEP_MAINTAIN : STEP_REOPEN;
}

/* Below 100. */
static uint32_t dice_of(const struct script *script, uint32_t step)
{
    uint64_t key[3] = {script->seed, step, 1};
    return (uint32_t)(hash64(key, sizeof key) % 100);
}

static bool is_empty(uint32_t dice)
{
    return dice < 3;
}

static bool is_grouped(uint32_t dice)
{
    return dice % 3 == 0 && !is_empty(dice);
}

bool script_writes(const struct script *script, uint32_t step)
{
    return script_kind(script, step) == STEP_COMMIT && !is_empty(dice_of(script, step));
}

/* ---- commits ---- */

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

/* One more in a series of its own, which the model has behind the workload's. */
static void add_grouped(struct script *s, struct txn *txn)
{
    static const struct metric_def def = {.name = {"grouped_total", 13},
        .kind = KIND_COUNTER,
        .every_ms = WORKLOAD_EVERY,
        .stale_after_ms = 3600000};
    static struct label label = {{"__name__", 8}, {"grouped_total", 13}};
    struct labels labels = {&label, 1};
    uint32_t metric, series;
    struct err err;
    if (!txn) {
        naive_define(s->load.naive, GROUPED, &def, labels);
        naive_add(s->load.naive, GROUPED, workload_end(s->load.newest), 1);
        return;
    }
    ensure(txn_metric(txn, &def, &metric, &err) && txn_series(txn, metric, labels, &series, &err));
    txn_add(txn, series, workload_end(s->load.newest), 1);
}

/* A transaction that waits for the next one, to share its frame; NULL when it cannot. */
static struct txn *begin_group(struct script *s, struct store *store)
{
    struct err err;
    struct txn *txn = txn_begin(store);
    add_grouped(s, txn);
    if (txn_is_plain(txn)) {
        ensure(txn_make_ready(txn, &err));
        return txn;
    }
    txn_abort(&txn);
    return NULL;
}

static bool end_commit(struct txn *txn, bool ok)
{
    if (!ok)
        txn_abort(&txn);
    return ok;
}

/* The step is all of it or nothing, one transaction or two. */
static bool commit(struct script *s, struct store *store, uint32_t dice, struct err *err)
{
    struct txn *first = store && is_grouped(dice) ? begin_group(s, store) : NULL;
    struct txn *txn = store ? txn_begin(store) : NULL;
    if (is_grouped(dice)) {
        add_grouped(s, NULL);
        if (txn && !first)
            add_grouped(s, txn);
    }
    if (!is_empty(dice))
        workload_fill(&s->load, txn, CELLS);
    if (txn && dice % 4 == 0)
        define_wide(s, txn);
    s->load.newest += 5;
    if (!txn)
        return true;
    bool ok = end_commit(txn, txn_commit(&txn, NULL, err));
    if (first)
        ensure(end_commit(first, txn_finish(&first, NULL, err)) == ok);
    return ok;
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

/* ---- backups ---- */

void script_backup_path(const char *store, uint32_t step, char *out, size_t size)
{
    const char *slash = strrchr(store, '/');
    snprintf(out, size, "%.*s/backup-%u", (int)(slash - store), store, step);
}

static bool back_up(struct script *s, struct store *store, struct err *err)
{
    char path[sizeof s->path + 32];
    uint64_t lsn;
    script_backup_path(s->path, s->done, path, sizeof path);
    folder_remove(path); /* what an attempt that failed may have left */
    return store_backup(store, path, &lsn, err);
}

/* ---- steps ---- */

static bool step_run(struct script *s, struct store **store, struct err *err)
{
    uint32_t dice = dice_of(s, s->done);
    struct store *open = store ? *store : NULL;
    switch (script_kind(s, s->done)) {
    case STEP_COMMIT: return commit(s, open, dice, err);
    case STEP_ABORT: abort_one(s, open); return true;
    case STEP_MAINTAIN:
        return !open || store_maintain(open, workload_end(s->load.newest - 30 + dice / 3), err);
    case STEP_DELETE: return workload_delete(&s->load, open, err);
    case STEP_BACKUP: return !open || back_up(s, open, err);
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
    naive_free(&script->load.naive);
    script->load.naive = naive_new(GROUPED + 1);
    script->load.histograms = true;
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
