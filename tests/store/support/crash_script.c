#include "tests/store/support/crash_script.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/ensure.h"
#include "store/backup.h"
#include "store/commit.h"
#include "store/delete.h"
#include "store/resolution.h"
#include "store/store_priv.h"
#include "tests/store/support/folder.h"

#define SERIES     3
#define HISTORY    120
#define CELLS      14
#define WIDE_BYTES 800
#define GROUPED    (WORKLOAD_METRICS * SERIES) /* slot of the model */
#define PERSONS    32                          /* in the slots behind it */
#define BESIDE     (GROUPED + 1 + PERSONS)     /* behind those: who comes back, then the others */
#define BESIDES    64
#define DAY        RESOLUTION_1D
#define HOUR       RESOLUTION_1H
#define MAX_BYTES  20000

/* So short that a day goes as soon as it can. Late cells come for days that are gone. */
static const struct metric_retention own_ages[] = {
    {{"ticks_open", 10}, 30 * HOUR, 30 * HOUR, 54 * HOUR},
    {{"celsius", 7}, 54 * HOUR, 6 * HOUR, RETENTION_FOR_EVER},
    {{"up", 2}, RETENTION_FOR_EVER, 0, 0},
};
static const struct retention retentions[] = {
    [RETAIN_ALL] = {0},
    [RETAIN_BY_AGE] = {.raw_ms = 6 * HOUR,
        .minute_ms = 30 * HOUR,
        .hour_ms = 54 * HOUR,
        .metrics = own_ages,
        .n_metrics = 3},
    [RETAIN_BY_BYTES] = {.max_bytes = MAX_BYTES},
};

/* By age every other script has no metrics with ages of their own: then segments go as a whole. */
static struct retention retention_of(const struct script_plan *plan)
{
    struct retention r = retentions[plan->retention];
    if ((plan->seed + plan->seed / 1000) % 2)
        r.n_metrics = 0;
    return r;
}

/* So that some is read before a replay's end. */
static void take_time(void *ctx, uint64_t lsn, uint64_t last_lsn)
{
    (void)ctx, (void)lsn, (void)last_lsn;
    usleep(300);
}

/* So small that files are begun, sealed and forgotten all the time. Never inlined and never left by
 * a jump: the places that sync are told apart by their callers, and end here. */
__attribute__((noinline)) bool script_open(
    const struct script_plan *plan, const char *path, struct store **store, struct err *err)
{
    struct store_options options = {.path = path,
        .block_ms = WORKLOAD_BLOCK,
        .wal_file_bytes = 1500,
        .checkpoint_bytes = 3500,
        .state_bytes = plan->retention == RETAIN_BY_BYTES ? 1 << 20 : 300, /* a run has 8 KiB */
        .retention = retention_of(plan),
        .answer_early = plan->early,
        .replayed = plan->early ? take_time : NULL};
    bool ok = store_open(&options, store, err);
    if (!ok)
        *store = NULL;
    return ok;
}

enum script_step script_kind(const struct script *script, uint32_t step)
{
    uint64_t key[2] = {script->plan.seed, step};
    uint32_t kind = (uint32_t)(hash64(key, sizeof key) % 20);
    bool odd = hash64(key, sizeof key) / 20 % 2;
    if (kind < 12)
        return STEP_COMMIT;
    if (kind == 12)
        return odd ? STEP_BACKUP : STEP_DELETE;
    if (kind == 13)
        return !odd                                            ? STEP_COMMIT
               : script->plan.retention || script->plan.beside ? STEP_DELETE
                                                               : STEP_ABORT;
    return kind < 18 ? STEP_MAINTAIN : STEP_REOPEN;
}

/* Below 100. */
static uint32_t dice_of(const struct script *script, uint32_t step)
{
    uint64_t key[3] = {script->plan.seed, step, 1};
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
    enum script_step kind = script_kind(script, step);
    return (kind == STEP_COMMIT && !is_empty(dice_of(script, step))) ||
           (kind == STEP_MAINTAIN && script->plan.beside);
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
        memcpy(key, (uint64_t[3]){s->plan.seed, s->done, i}, sizeof key);
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

/* ---- persons ---- */

struct slice script_person(const struct script *s, uint32_t number)
{
    static char texts[PERSONS][40]; /* models keep them */
    uint64_t key[3] = {s->plan.seed, number, 2};
    ensure(number < PERSONS);
    snprintf(texts[number], sizeof texts[number], "%016llx%016llx",
        (unsigned long long)hash64(key, sizeof key), (unsigned long long)hash64(key, 16));
    return slice_from(texts[number]);
}

bool script_person_stays(const struct script *s, uint32_t number)
{
    const struct naive_series *person = &s->load.naive->series[GROUPED + 1 + number];
    return person->n > 0 && person->cells[person->n - 1].t > person->gone[NAIVE_RAW];
}

static void add_person(struct script *s, struct txn *txn)
{
    static const struct metric_def def = {
        .name = {"visits_total", 12}, .kind = KIND_COUNTER, .every_ms = WORKLOAD_EVERY};
    struct label labels[2] = {
        {SLICE("__name__"), def.name}, {SLICE("who"), script_person(s, s->persons)}};
    size_t slot = GROUPED + 1 + s->persons;
    int64_t t = workload_end(s->load.newest);
    uint32_t metric, series;
    struct err err;
    naive_define(s->load.naive, slot, &def, (struct labels){labels, 2});
    naive_add(s->load.naive, slot, t, 1);
    if (!txn)
        return;
    ensure(txn_metric(txn, &def, &metric, &err) &&
           txn_series(txn, metric, (struct labels){labels, 2}, &series, &err));
    txn_add(txn, series, t, 1);
}

static bool delete_person(struct script *s, struct store *store, struct err *err)
{
    struct matcher m = {MATCH_EQUAL, SLICE("who"), script_person(s, s->persons), NULL};
    uint64_t series;
    naive_delete(s->load.naive, GROUPED + 1 + s->persons++, INT64_MIN, INT64_MAX);
    return !store || store_delete(store, &m, 1, INT64_MIN, INT64_MAX, &series, err);
}

static bool end_commit(struct txn *txn, bool ok)
{
    if (!ok)
        txn_abort(&txn);
    return ok;
}

/* ---- beside maintenance ---- */

static const struct metric_def beside_total = {.name = {"beside_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = WORKLOAD_EVERY,
    .stale_after_ms = 3600000};

/* Number 0 is the one that comes back. */
static struct labels beside_labels(uint32_t number)
{
    static char texts[BESIDES][8]; /* models keep them */
    static struct label labels[BESIDES][2];
    ensure(number < BESIDES);
    snprintf(texts[number], sizeof texts[number], "%u", (unsigned)number);
    labels[number][0] = (struct label){{"__name__", 8}, beside_total.name};
    labels[number][1] = (struct label){{"number", 6}, slice_from(texts[number])};
    return (struct labels){labels[number], 2};
}

static void add_beside(struct script *s, struct txn *txn, uint32_t number)
{
    int64_t t = workload_end(s->load.newest);
    uint32_t metric, series;
    struct err err;
    naive_define(s->load.naive, BESIDE + number, &beside_total, beside_labels(number));
    naive_add(s->load.naive, BESIDE + number, t, 1);
    if (!txn)
        return;
    ensure(txn_metric(txn, &beside_total, &metric, &err) &&
           txn_series(txn, metric, beside_labels(number), &series, &err));
    txn_add(txn, series, t, 1);
}

static bool commit_beside(struct script *s, struct store *store, struct err *err)
{
    struct txn *txn = store ? txn_begin(store) : NULL;
    s->besides = s->besides % (BESIDES - 1) + 1;
    s->beside_due = s->taken = false;
    add_beside(s, txn, 0);
    add_beside(s, txn, s->besides);
    return !txn || end_commit(txn, txn_commit(&txn, NULL, err));
}

/* A commit of the thread that has the turn would wait for itself, and so would one that helps. */
bool script_beside(struct script *s, struct store *store)
{
    struct err err;
    if (!s->beside_due || store->commit_queue.taken || state_behind(&store->state))
        return false;
    ensure(commit_beside(s, store, &err));
    return true;
}

static bool delete_who_comes_back(struct script *s, struct store *store, struct err *err)
{
    struct matcher m = {MATCH_EQUAL, SLICE("number"), SLICE("0"), NULL};
    uint64_t series;
    s->taken = true;
    naive_delete(s->load.naive, BESIDE, INT64_MIN, INT64_MAX);
    return !store || store_delete(store, &m, 1, INT64_MIN, INT64_MAX, &series, err);
}

/* With bytes as the bound nobody knows which days are gone, and a part of one could not be taken
 * out of what is kept of it. */
static bool delete_some(struct script *s, struct store *store, uint32_t dice, struct err *err)
{
    bool person = s->plan.retention == RETAIN_BY_BYTES || (s->plan.retention && dice % 2);
    if (s->plan.beside && dice % 4)
        return delete_who_comes_back(s, store, err);
    return person ? delete_person(s, store, err) : workload_delete(&s->load, store, err);
}

/* ---- transactions ---- */

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
    if (txn && dice % 4 == 0 && s->plan.retention != RETAIN_BY_BYTES) /* they would be all bytes */
        define_wide(s, txn);
    if (s->plan.retention && dice % 5)
        add_person(s, txn);
    s->load.newest += s->plan.retention ? 5 + dice % 36 : 5;
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

/* ---- maintenance ---- */

static struct slice metric_of(size_t slot)
{
    if (slot < GROUPED)
        return workload_defs[slot / SERIES].name;
    return slot == GROUPED ? SLICE("grouped_total") : SLICE("visits_total");
}

/* Whether there are cells that may go now and might not before. */
static bool takes_more(const struct naive_series *s, enum naive_age age, int64_t before)
{
    size_t at = naive_place(s, before == INT64_MIN ? before : before + 1);
    return at < s->n && s->cells[at].t <= s->gone[age];
}

static void retain(struct script *s, int64_t newest_ms)
{
    struct naive *naive = s->load.naive;
    struct retention retention = retention_of(&s->plan);
    for (size_t slot = 0; slot < naive->n_series; slot++) {
        const struct naive_series *series = &naive->series[slot];
        int64_t before[NAIVE_AGES];
        memcpy(before, series->gone, sizeof before);
        naive_retain_by_age(naive, slot, metric_of(slot), &retention, newest_ms);
        for (enum naive_age age = NAIVE_RAW; age < NAIVE_AGES; age++)
            s->retains |= takes_more(series, age, before[age]);
    }
}

/* Where bytes are the bound, late cells do not reach what may be gone. */
static int64_t behind(const struct script *s, uint32_t dice)
{
    return s->plan.retention == RETAIN_BY_BYTES ? 60 : 30 - (int64_t)dice / 3;
}

/* Ages count from the newest block that is sealed, which ended by then. */
static bool maintain(struct script *s, struct store *store, uint32_t dice, struct err *err)
{
    int64_t passed = workload_end(s->load.newest - behind(s, dice));
    s->passed = passed > s->passed ? passed : s->passed;
    retain(s, s->passed / WORKLOAD_BLOCK * WORKLOAD_BLOCK);
    s->retains |= s->plan.retention == RETAIN_BY_BYTES && s->passed >= WORKLOAD_T0 + DAY;
    return !store || store_maintain(store, passed, err);
}

bool script_finish(struct script *s, struct store *store, struct err *err)
{
    int64_t day = (workload_end(s->load.newest) / DAY + 2) * DAY;
    s->load.newest = (day - WORKLOAD_T0) / WORKLOAD_EVERY;
    struct txn *txn = txn_begin(store);
    add_grouped(s, NULL);
    add_grouped(s, txn);
    if (!end_commit(txn, txn_commit(&txn, NULL, err)))
        return false;
    retain(s, day + WORKLOAD_BLOCK);
    s->passed = day + 2 * WORKLOAD_BLOCK; /* late cells are sealed in the second round */
    return store_maintain(store, day + WORKLOAD_BLOCK, err) &&
           store_maintain(store, s->passed, err);
}

/* ---- steps ---- */

static bool step_run(struct script *s, struct store **store, struct err *err)
{
    uint32_t dice = dice_of(s, s->done);
    struct store *open = store ? *store : NULL;
    s->retains = false;
    switch (script_kind(s, s->done)) {
    case STEP_COMMIT: return commit(s, open, dice, err);
    case STEP_ABORT: abort_one(s, open); return true;
    case STEP_MAINTAIN:
        s->beside_due = s->plan.beside;
        return maintain(s, open, dice, err) && (!s->beside_due || commit_beside(s, open, err));
    case STEP_DELETE: return delete_some(s, open, dice, err);
    case STEP_BACKUP: return !open || back_up(s, open, err);
    case STEP_REOPEN:
        if (!open)
            return true;
        store_close(store);
        return script_open(&s->plan, s->path, store, err);
    }
    return false;
}

void script_at(
    struct script *script, const struct script_plan *plan, const char *path, uint32_t done)
{
    static const int64_t history[] = {
        [RETAIN_ALL] = HISTORY, [RETAIN_BY_AGE] = 300, [RETAIN_BY_BYTES] = 40};
    *script = (struct script){.plan = *plan, .passed = INT64_MIN};
    snprintf(script->path, sizeof script->path, "%s", path);
    workload_init(&script->load, plan->seed, SERIES, history[plan->retention]);
    naive_free(&script->load.naive);
    script->load.naive = naive_new(BESIDE + (plan->beside ? BESIDES : 0));
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
    if (!*store && !script_open(&script->plan, script->path, store, err))
        return false;
    bool ok = step_run(script, store, err);
    script->done++;
    return ok;
}
