/*
 * Random operations against a naive model: cells of every kind, late, twice, taken back; sealing,
 * late segments, checkpoints, compaction, coarser cells, deletion, retention by age and by bytes,
 * purges of state tables; opened anew, cleanly or as a crash leaves it (a copy of the folder taken
 * while it is open); with a segment that is damaged and set aside meanwhile, until it is made whole
 * and repaired. What is read must be what the model says, of some series in some range all the
 * time, and of all from time to time: cells as they were written, coarser ones, what levels stand
 * at, which series there are, positions, state.
 *
 * Several seeds share the operations: LARDER_SEED says the first one, LARDER_STEPS how many
 * operations there are, LARDER_MODEL (bits, below) what takes part. A difference names its seed.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/resolution.h"
#include "store/state/state.h"
#include "store/verify_store.h"
#include "tests/store/support/broken.h"
#include "tests/store/support/folder.h"
#include "tests/store/support/workload.h"

#define STEPS   1000000
#define SEEDS   4
#define SERIES  8
#define HISTORY 300
#define CELLS   20 /* of one transaction, at most */
#define DAY     (24 * RESOLUTION_1H)

#define MARK_BYTES 1000 /* that a step of maintenance may write before it counts all bytes */

/* Bits of LARDER_MODEL: what is compared, and what is done. */
enum part {
    PART_RAW = 1,
    PART_COARSE = 2,
    PART_OPENINGS = 4,
    PART_LISTING = 8,
    PART_POSITIONS = 16,
    PART_DELETE = 32,
    PART_RETENTION = 64,
    PART_OLD = 128, /* cells as old as can be, and large histograms */
    PARTS_COMPARED = 31
};

/* What is done beside writing cells, and what comes of it. */
enum deed {
    DID_COMMIT,
    DID_DELETE,
    DID_MAINTAIN,
    DID_STEP, /* of maintenance, where it was left in the middle */
    DID_REOPEN,
    DID_PURGE,
    DID_CRASH,
    DID_DAMAGE, /* a segment, which was set aside until it was repaired */
    DID_COMPARE,
    DID_COMPARE_ALL,
    CAME_EARLY, /* a comparison, while the log was replayed */
    CAME_SEALED,
    CAME_DELETED,
    CAME_COMPACTED,
    CAME_DERIVED,
    CAME_RETAINED,
    CAME_TAKEN,  /* by retention by bytes: one resolution of a window */
    CAME_PURGED, /* and no file holds what was forgotten before */
    DEEDS
};

static const struct {
    const char *name;
    uint64_t least; /* of a million operations */
} deeds[DEEDS] = {
    {"transactions", 50000},
    {"deletions", 400},
    {"maintained", 1000},
    {"maintained in part", 1000},
    {"reopened", 200},
    {"purges", 100},
    {"crashed", 150},
    {"damaged", 40},
    {"compared in part", 4000},
    {"compared", 200},
    {"compared early", 50},
    {"sealed", 400},
    {"deletions carried out", 300},
    {"compacted", 200},
    {"derived", 400},
    {"taken by retention", 40},
    {"taken by bytes", 100},
    {"purged", 100},
};

static const struct {
    const char *name;
    uint64_t least;
} classes[WROTE_CLASSES] = {
    {"late", 20000},
    {"duplicate", 100000},
    {"inverse", 10000},
    {"histogram samples", 5000},
    {"state changes", 50000},
};

struct model {
    struct workload w;
    struct store *store;
    char dir[FOLDER_MAX], copy[FOLDER_MAX];
    uint64_t seed, steps;
    unsigned parts;
    struct retention retention;
    bool purging;    /* a purge has been asked for, and not ended */
    uint64_t purged; /* a record that was forgotten before it */
    uint64_t did[DEEDS];
};

static uint64_t first_seed(void)
{
    const char *text = getenv("LARDER_SEED");
    return text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
}

static uint64_t steps(void)
{
    const char *text = getenv("LARDER_STEPS");
    return text ? strtoull(text, NULL, 10) : STEPS;
}

static unsigned parts(void)
{
    const char *text = getenv("LARDER_MODEL");
    return text ? (unsigned)strtoul(text, NULL, 10) : UINT32_MAX;
}

/* A replay takes its time, so that some is read before its end. */
static void take_time(void *ctx, uint64_t lsn, uint64_t last_lsn)
{
    (void)ctx, (void)last_lsn;
    if (lsn % 4 == 0)
        usleep(100);
}

static struct store *open_small(const char *dir, const struct retention *retention, bool early)
{
    struct store_options options = {.path = dir,
        .block_ms = WORKLOAD_BLOCK,
        .wal_file_bytes = 100000,
        .checkpoint_bytes = 500000,
        .state_bytes = 20000,
        .answer_early = early,
        .replayed = early ? take_time : NULL};
    struct store *store;
    struct err err;
    if (retention)
        options.retention = *retention;
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

/* ---- comparing ---- */

static void must(struct model *m, bool ok, const char *what, const char *why)
{
    if (!ok)
        fail_msg("seed %llu, transaction %lld, %s: %s", (unsigned long long)m->seed,
            (long long)m->w.commits, what, why);
}

static void compare_coarse(struct model *m, const struct naive_selection *selection, int64_t from,
    int64_t to, struct difference *d)
{
    from = from / DAY * DAY;
    to = (to + DAY) / DAY * DAY;
    for (int r = 0; r < RESOLUTIONS; r++)
        must(m, naive_compare_coarse(m->w.naive, m->store, selection, resolutions[r], from, to, d),
            "coarser cells", d->why);
}

static void compare_part(struct model *m, enum part part, const struct naive_selection *selection,
    int64_t from, int64_t to)
{
    const struct naive *naive = m->w.naive;
    char why[400] = "";
    struct difference d = {why, sizeof why};
    if (!(m->parts & part))
        return;
    switch (part) {
    case PART_RAW:
        must(m, naive_compare_raw(naive, m->store, selection, from, to, &d), "cells", why);
        break;
    case PART_COARSE: compare_coarse(m, selection, from, to, &d); break;
    case PART_OPENINGS:
        must(m, naive_compare_openings(naive, m->store, selection, to, &d), "openings", why);
        break;
    case PART_LISTING:
        must(m, naive_compare_listing(naive, m->store, selection, from, to, &d), "listing", why);
        break;
    default: must(m, naive_compare_positions(naive, m->store, &d), "positions", why);
    }
}

/* One part, of some series in some range. */
static void compare_some(struct model *m)
{
    struct workload *w = &m->w;
    struct naive_selection selection;
    enum part part = (enum part)(1 << workload_below(w, 5));
    int64_t reach = workload_below(w, 2) ? 500 : w->newest;
    int64_t from = workload_end(w->newest - (int64_t)workload_below(w, (uint32_t)reach + 1)) -
                   workload_below(w, (uint32_t)WORKLOAD_EVERY + 1);
    int64_t to = from + (int64_t)workload_below(w, 600) * WORKLOAD_EVERY;
    workload_select(w, &selection);
    from = from < WORKLOAD_T0 ? WORKLOAD_T0 : from;
    compare_part(m, part, &selection, from, to < from ? from : to);
    workload_unselect(&selection);
    m->did[DID_COMPARE]++;
}

static void compare_all(struct model *m)
{
    const struct naive_selection all = {
        .matchers = {{MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL}}, .n = 1};
    int64_t end = workload_end(m->w.newest + 12);
    compare_part(m, PART_RAW, &all, INT64_MIN, INT64_MAX);
    compare_part(m, PART_COARSE, &all, WORKLOAD_T0, end);
    compare_part(m, PART_OPENINGS, &all, WORKLOAD_T0, end);
    compare_part(m, PART_LISTING, &all, INT64_MIN, INT64_MAX);
    compare_part(m, PART_POSITIONS, &all, 0, 0);
    m->did[DID_COMPARE_ALL]++;
}

/* ---- operations ---- */

static void append(struct model *m)
{
    struct err err;
    struct txn *txn = txn_begin(m->store);
    workload_fill(&m->w, txn, CELLS);
    must(m, txn_commit(&txn, NULL, &err), "commit", err.text);
    m->did[DID_COMMIT]++;
}

/* What a step of maintenance did, by what it changed. */
static void notice(struct model *m, const struct store_stats *a, const struct store_stats *b)
{
    uint64_t raw_a = a->segments - a->derived_segments, raw_b = b->segments - b->derived_segments;
    bool deletes = a->deletions_pending > 0;
    m->did[CAME_COMPACTED] += b->compactions - a->compactions;
    m->did[CAME_DELETED] += b->deletions_done - a->deletions_done;
    m->did[CAME_SEALED] += raw_b > raw_a;
    m->did[CAME_DERIVED] += b->derived_segments > a->derived_segments;
    m->did[CAME_RETAINED] +=
        b->segments < a->segments && b->compactions == a->compactions && !deletes;
}

/* Retention counts from the newest sealed block, which ended by passed_ms, and takes whole days. */
static void retain(struct model *m, int64_t passed_ms)
{
    int64_t newest = passed_ms / WORKLOAD_BLOCK * WORKLOAD_BLOCK;
    for (size_t slot = 0; slot < m->w.naive->n_series; slot++)
        naive_retain_by_age(
            m->w.naive, slot, workload_defs[slot / SERIES].name, &m->retention, newest);
}

/* What a step took because there were too many bytes: one resolution of the oldest window. */
static void see_taken(struct model *m, uint64_t bytes, int64_t passed)
{
    uint32_t taken = 0;
    char why[400] = "";
    struct difference d = {why, sizeof why};
    if (m->retention.max_bytes == 0 || bytes + MARK_BYTES <= m->retention.max_bytes)
        return; /* nothing may go; when it did, comparing finds it */
    must(m, naive_see_gone(m->w.naive, m->store, m->dir, WORKLOAD_T0, passed, &taken, &d),
        "retention", why);
    must(m, taken <= 1, "retention", "a step took more than one resolution of a window");
    m->did[CAME_TAKEN] += taken;
}

/* Nothing is left to do: the bound is kept, or nothing may go. */
static void see_bound(struct model *m, int64_t passed)
{
    uint64_t max = m->retention.max_bytes;
    must(m, max == 0 || naive_bytes(m->dir) <= max || !naive_may_go(m->store, m->dir, passed),
        "retention", "too many bytes are left");
}

/* A record that was forgotten before the purge is in no file after it, and others are. */
static void see_purged(struct model *m)
{
    const struct naive_state *state = &m->w.naive->state;
    if (!m->purging || store_state_purging(m->store))
        return;
    m->purging = false;
    m->did[CAME_PURGED]++;
    must(m, folder_find(m->dir, &m->purged, sizeof m->purged) == 0, "purge",
        "a file holds a record that was forgotten before");
    /* Compression may hide one, but not all. */
    bool any = false, found = false;
    for (size_t i = 0; i < NAIVE_KEYS; i++)
        if (state->there[1][0][i]) {
            any = true;
            found |= folder_find(m->dir, &state->record[1][0][i], sizeof m->purged) > 0;
        }
    must(m, found || !any, "purge", "records that count are in no file");
}

/* All that is due, or some steps of it. */
static void maintain(struct model *m, uint32_t max)
{
    int64_t behind = workload_below(&m->w, 8) ? 60 : 600;
    int64_t passed = workload_end(m->w.newest - workload_below(&m->w, (uint32_t)behind));
    struct store_stats before, after;
    struct err err;
    bool more = true;
    retain(m, passed);
    for (uint32_t i = 0; more && i < max; i++) {
        uint64_t bytes = m->retention.max_bytes ? naive_bytes(m->dir) : 0;
        store_stats(m->store, &before);
        must(m, store_maintain_step(m->store, passed, &more, &err), "maintenance", err.text);
        store_stats(m->store, &after);
        notice(m, &before, &after);
        see_taken(m, bytes, passed);
        see_purged(m);
    }
    if (!more)
        see_bound(m, passed);
    m->did[max == UINT32_MAX ? DID_MAINTAIN : DID_STEP]++;
}

static void delete_some(struct model *m)
{
    struct err err;
    must(m, workload_delete(&m->w, m->store, &err), "deletion", err.text);
    m->did[DID_DELETE]++;
}

/* Of the table whose records are compared; maintenance does it. */
static void purge(struct model *m)
{
    uint32_t table, bytes;
    struct err err;
    if (!m->w.naive->state.forgotten)
        return;
    must(m,
        store_state_table(m->store, naive_table_name(1), &table, &bytes, &err) &&
            store_state_purge(m->store, table, &err),
        "purge", err.text);
    m->purging = true;
    m->purged = m->w.naive->state.forgotten;
    m->did[DID_PURGE]++;
}

/* What is gone does not come back: ages shrink. */
static bool is_shorter(const struct retention *r, const struct retention *than)
{
    bool shorter = true;
    for (size_t metric = 0; metric < WORKLOAD_METRICS; metric++)
        for (int age = 0; age < NAIVE_AGES; age++) {
            int64_t a = naive_kept_ms(r, workload_defs[metric].name, (enum naive_age)age);
            int64_t b = naive_kept_ms(than, workload_defs[metric].name, (enum naive_age)age);
            shorter = shorter && (b == 0 || (a != 0 && a <= b));
        }
    return shorter;
}

/* Each time it may be another one. */
static void choose_retention(struct model *m)
{
    static const struct metric_retention own[] = {
        {{"ticks_open", 10}, 2 * DAY, 3 * DAY, 5 * DAY},
        {{"celsius", 7}, 9 * DAY, 2 * DAY, RETENTION_FOR_EVER},
        {{"up", 2}, RETENTION_FOR_EVER, 0, 0},
    };
    static const struct retention choices[] = {
        {.raw_ms = 30 * DAY},
        {.raw_ms = 3 * DAY},
        {.raw_ms = 4 * DAY, .minute_ms = 8 * DAY, .hour_ms = 20 * DAY},
        {.raw_ms = 6 * DAY, .minute_ms = 3 * DAY, .hour_ms = 12 * DAY},
        {.metrics = own, .n_metrics = 3},
        {.raw_ms = 4 * DAY, .minute_ms = 10 * DAY, .metrics = own, .n_metrics = 3},
        {.raw_ms = 2 * DAY, .minute_ms = 2 * DAY, .hour_ms = 4 * DAY},
    };
    uint32_t i = workload_below(&m->w, sizeof choices / sizeof *choices);
    bool now = workload_below(&m->w, 6) == 0;
    if (now && m->parts & PART_RETENTION && is_shorter(&choices[i], &m->retention))
        m->retention = choices[i];
    /* A part of what there is now, or a bit more. */
    m->retention.max_bytes = 0;
    if (m->parts & PART_RETENTION && workload_below(&m->w, 3) == 0)
        m->retention.max_bytes = naive_bytes(m->dir) * (60 + workload_below(&m->w, 60)) / 100;
}

static void reopen(struct model *m)
{
    store_close(&m->store);
    choose_retention(m);
    m->store = open_small(m->dir, &m->retention, workload_below(&m->w, 2) == 0);
    m->purging = false; /* a start forgets it */
    m->did[DID_REOPEN]++;
}

/* At once after an open, which may replay the log still: what that does not touch, and what it
 * does. */
static void compare_early(struct model *m)
{
    struct store_stats stats;
    struct err err = {0};
    for (int i = 0; i < 4; i++) {
        store_stats(m->store, &stats);
        m->did[CAME_EARLY] += stats.replaying;
        compare_some(m);
    }
    while (!store_await_replay(m->store, 1000, &err))
        must(m, err.code == ERR_TIMEOUT, "replay", err.text);
}

/* A copy, as a crash leaves it, is compared; now and then it takes the place of the store. */
static void crash(struct model *m)
{
    struct store *old = m->store;
    bool stays = workload_below(&m->w, 2) == 0, early = workload_below(&m->w, 2) == 0;
    folder_remove(m->copy);
    folder_copy(m->dir, m->copy);
    m->store = open_small(m->copy, &m->retention, early);
    compare_early(m);
    compare_all(m);
    store_close(stays ? &old : &m->store);
    if (stays) {
        char was[FOLDER_MAX];
        memcpy(was, m->dir, sizeof was);
        memcpy(m->dir, m->copy, sizeof was);
        memcpy(m->copy, was, sizeof was);
        m->purging = false;
    } else {
        m->store = old;
    }
    m->did[DID_CRASH]++;
}

/* What is set aside has nothing to do with other time than its own. */
static void compare_beside(struct model *m, const struct broken *broken)
{
    const struct naive_selection all = {
        .matchers = {{MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL}}, .n = 1};
    compare_part(m, PART_RAW, &all, INT64_MIN, broken->t0);
    compare_part(m, PART_RAW, &all, broken->t1, INT64_MAX);
    compare_part(m, PART_POSITIONS, &all, 0, 0);
}

/* It is set aside while cells are written, of its time too, and maintenance goes on; made whole and
 * repaired, nothing is missing or counts twice. Nothing is deleted in it or gets its age, which
 * would take what cannot be read. */
static void damage(struct model *m)
{
    struct broken broken;
    struct verify_result result;
    struct store_stats stats;
    struct retention retention = m->retention;
    struct err err = {0};
    maintain(m, UINT32_MAX);
    store_close(&m->store);
    m->retention = (struct retention){0};
    broken_make(&broken, m->dir, workload_below(&m->w, UINT32_MAX));
    m->store = open_small(m->dir, &m->retention, false);
    m->purging = false;
    store_stats(m->store, &stats);
    must(m, stats.quarantined == (broken.path[0] != 0), "damage", "it is not set aside");
    m->did[DID_DAMAGE] += stats.quarantined;
    for (uint32_t i = workload_below(&m->w, 20); broken.path[0] && i > 0; i--) {
        append(m);
        m->w.newest += workload_below(&m->w, 20);
        if (workload_below(&m->w, 3) == 0)
            maintain(m, 1 + workload_below(&m->w, 8));
    }
    if (broken.path[0])
        compare_beside(m, &broken);
    store_close(&m->store);
    broken_mend(&broken);
    must(m, store_verify(m->dir, VERIFY_REPAIR, NULL, &result, &err), "repair", err.text);
    m->retention = retention;
    m->store = open_small(m->dir, &m->retention, false);
    compare_all(m);
}

/* How often each is done, after every transaction: once in so many. */
static void operate(struct model *m)
{
    struct workload *w = &m->w;
    append(m);
    w->newest += workload_below(w, 5) == 0;
    if (workload_below(w, 300) == 0)
        w->newest += workload_below(w, 288);
    if (workload_below(w, 40) == 0)
        maintain(m, UINT32_MAX);
    if (workload_below(w, 20) == 0)
        maintain(m, 1 + workload_below(w, 4));
    if (workload_below(w, 100) == 0 && m->parts & PART_DELETE)
        delete_some(m);
    if (workload_below(w, 300) == 0)
        purge(m);
    if (workload_below(w, 10) == 0)
        compare_some(m);
    if (workload_below(w, 1000) == 0)
        compare_all(m);
    if (workload_below(w, 250) == 0)
        reopen(m);
    if (workload_below(w, 400) == 0)
        crash(m);
    if (workload_below(w, 800) == 0)
        damage(m);
}

static uint64_t operations(const struct model *m)
{
    uint64_t n = m->w.ops + m->w.wrote[WROTE_STATE];
    for (int i = 0; i <= DID_COMPARE_ALL; i++)
        n += m->did[i];
    return n;
}

static void run(struct model *m)
{
    workload_init(&m->w, m->seed * 2654435761u, SERIES, HISTORY);
    m->w.histograms = true;
    m->w.wide = m->parts & PART_OLD;
    folder_make("model", m->dir);
    folder_make("model-copy", m->copy);
    m->store = open_small(m->dir, &m->retention, false);
    while (operations(m) < m->steps)
        operate(m);
    maintain(m, UINT32_MAX);
    compare_all(m);
    crash(m);
    printf("# seed %llu: %llu operations, %llu of them cells, %zu cells left\n",
        (unsigned long long)m->seed, (unsigned long long)operations(m),
        (unsigned long long)m->w.ops, naive_cells(m->w.naive));
    store_close(&m->store);
    folder_remove(m->dir);
    folder_remove(m->copy);
    workload_fini(&m->w);
}

/* Counts are asserted in proportion, where the run is long enough to have them. */
static void tell(const char *name, uint64_t n, uint64_t least, bool must_be)
{
    printf("# %8llu %s\n", (unsigned long long)n, name);
    if (must_be && n < least)
        fail_msg("%s: %llu, and at least %llu belong to such a run", name, (unsigned long long)n,
            (unsigned long long)least);
}

static void test_random_operations(void **state)
{
    (void)state;
    uint64_t did[DEEDS] = {0}, wrote[WROTE_CLASSES] = {0}, first = first_seed();
    printf("# LARDER_SEED=%llu\n", (unsigned long long)first);
    for (uint64_t i = 0; i < SEEDS; i++) {
        struct model m = {.seed = first + i, .steps = steps() / SEEDS, .parts = parts()};
        run(&m);
        for (int k = 0; k < DEEDS; k++)
            did[k] += m.did[k];
        for (int k = 0; k < WROTE_CLASSES; k++)
            wrote[k] += m.w.wrote[k];
    }
    bool whole = parts() == UINT32_MAX && steps() >= STEPS / 4;
    for (int k = 0; k < WROTE_CLASSES; k++)
        tell(classes[k].name, wrote[k], classes[k].least * steps() / STEPS, whole);
    for (int k = 0; k < DEEDS; k++)
        tell(deeds[k].name, did[k], deeds[k].least * steps() / STEPS, whole);
}

/* ---- a real kill, at any moment ---- */

static void commit_until_killed(const char *dir, struct workload *w, int said)
{
    struct store *store = open_small(dir, NULL, true);
    struct err err;
    for (uint32_t i = 0;; i++) {
        struct txn *txn = txn_begin(store);
        workload_fill(w, txn, CELLS);
        if (!txn_commit(&txn, NULL, &err))
            _exit(1);
        if (write(said, "+", 1) != 1)
            _exit(1);
        w->newest += i % 4 == 0;
        if (i % 7 == 6 && !store_maintain(store, workload_end(w->newest - 10), &err))
            _exit(1);
    }
}

/* A child commits and says so; it is killed; nothing that it said is missing, and nothing else but
 * the one in flight is there. The parent's model does what the child did. */
static void test_kill(void **state)
{
    (void)state;
    char dir[FOLDER_MAX];
    struct workload w;
    workload_init(&w, first_seed(), SERIES, HISTORY);
    w.histograms = true;
    folder_make("kill", dir);
    for (int round = 0; round < 20; round++) {
        int said[2];
        struct timespec ts = {0, (long)(workload_below(&w, 30) + 3) * 1000000};
        assert_int_equal(pipe(said), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(said[0]);
            commit_until_killed(dir, &w, said[1]);
        }
        close(said[1]);
        nanosleep(&ts, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        int64_t acked = 0;
        for (char c; read(said[0], &c, 1) == 1; acked++)
            ;
        close(said[0]);
        struct store *store = open_small(dir, NULL, round % 2);
        struct source_state source = {0};
        store_source(store, SLICE("commits"), &source);
        int64_t here = source.next - w.commits;
        assert_true(here == acked || here == acked + 1);
        for (int64_t i = 0; i < here; i++) {
            workload_fill(&w, NULL, CELLS);
            w.newest += i % 4 == 0;
        }
        char why[400];
        if (!naive_compare(w.naive, store, INT64_MIN, INT64_MAX, why, sizeof why))
            fail_msg("after transaction %lld: %s", (long long)w.commits, why);
        store_close(&store);
    }
    folder_remove(dir);
    workload_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_kill),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
