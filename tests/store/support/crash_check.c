#include "tests/store/support/crash_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/ensure.h"
#include "store/resolution.h"
#include "store/store_priv.h"
#include "tests/store/support/folder.h"

#define GO_ON_STEPS 6 /* that a recovered store must still be good for */

static struct {
    struct script_plan plan;
    uint32_t steps;
    char *message;
    uint64_t *early;
    int64_t taken; /* by retention by bytes, in windows times resolutions */
} check;

void check_begin(const struct script_plan *plan, uint32_t steps, char *message, uint64_t *early)
{
    check.plan = *plan;
    check.steps = steps;
    check.message = message;
    check.early = early;
    check.taken = 0;
}

void check_fails(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(check.message, CHECK_MESSAGE, fmt, args);
    va_end(args);
    _exit(1);
}

/* ---- content ---- */

/* It grows with every window that goes in a resolution. */
static int64_t taken(const struct naive *naive)
{
    int64_t sum = 0;
    for (int age = 0; age < NAIVE_AGES; age++)
        sum += naive->series[0].gone[age] > 0 ? naive->series[0].gone[age] / RESOLUTION_1D : 0;
    return sum;
}

/* Finds out what went by bytes. */
static bool see_gone(const struct script *s, struct store *store, struct difference *d)
{
    uint32_t n;
    return s->plan.retention != RETAIN_BY_BYTES ||
           naive_see_gone(s->load.naive, store, s->path, WORKLOAD_T0, s->passed, &n, d);
}

/* All that the script has, and what follows from it. */
static bool same_content(const struct script *s, struct store *store, char *why, size_t size)
{
    const struct naive *naive = s->load.naive;
    const struct naive_selection all = {
        .matchers = {{MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL}}, .n = 1};
    struct difference d = {why, size};
    int64_t end = workload_end(s->load.newest + 12), days = (end / RESOLUTION_1D + 1);
    bool same =
        see_gone(s, store, &d) && naive_compare(naive, store, INT64_MIN, INT64_MAX, why, size);
    for (int r = 0; s->plan.retention && same && r < RESOLUTIONS; r++)
        same = naive_compare_coarse(
            naive, store, &all, resolutions[r], WORKLOAD_T0, days * RESOLUTION_1D, &d);
    return same && (!s->plan.retention || naive_compare_openings(naive, store, &all, end, &d));
}

bool check_same(struct store *store, const char *path, uint32_t done, char *why, size_t size)
{
    struct script s;
    script_at(&s, &check.plan, path, done);
    bool same = same_content(&s, store, why, size);
    script_fini(&s);
    return same;
}

bool check_taken(struct store *store, const struct script *script)
{
    struct script s;
    struct difference d = {check.message, CHECK_MESSAGE};
    if (script->plan.retention != RETAIN_BY_BYTES || !store)
        return true;
    script_at(&s, &check.plan, script->path, script->done);
    bool ok = see_gone(&s, store, &d);
    check.taken = taken(s.load.naive);
    script_fini(&s);
    return ok;
}

uint32_t check_before_last(uint32_t done)
{
    struct script s = {.plan = check.plan};
    while (done > 0)
        if (script_writes(&s, --done))
            return done;
    return UINT32_MAX;
}

/* The content after `before` steps, of which retention has taken what it may take in step `done`:
 * that one was in flight, and what was committed last is held back. */
static bool same_but_retained(
    struct store *store, const char *path, uint32_t before, uint32_t done, char *why, size_t size)
{
    struct script s, later;
    if (!check.plan.retention)
        return false;
    script_at(&s, &check.plan, path, before);
    script_at(&later, &check.plan, path, done + 1);
    const struct naive *naive = later.load.naive;
    for (size_t slot = 0; slot < naive->n_series; slot++)
        for (enum naive_age age = NAIVE_RAW; age < NAIVE_AGES; age++)
            naive_retain(s.load.naive, slot, age, naive->series[slot].gone[age]);
    s.passed = later.passed;
    bool same = same_content(&s, store, why, size);
    script_fini(&later);
    script_fini(&s);
    return same;
}

bool check_same_but_held(
    struct store *store, const char *path, uint32_t done, char *why, size_t size)
{
    uint32_t before = check_before_last(done);
    return check_same(store, path, done, why, size) ||
           (store->tail_held && before != UINT32_MAX &&
               (check_same(store, path, before, why, size) ||
                   same_but_retained(store, path, before, done, why, size)));
}

uint32_t check_held(struct store *store, const char *path, uint32_t done, const char *when)
{
    char why[300], why_next[300] = "the script is over";
    if (check_same_but_held(store, path, done, why, sizeof why))
        return done;
    if (done < check.steps && check_same(store, path, done + 1, why_next, sizeof why_next))
        return done + 1;
    check_fails("%s: after %u steps: %s; after one more: %s", when, done, why, why_next);
}

void check_opens(const char *path, struct store **store, const char *when)
{
    struct err err;
    if (!script_open(&check.plan, path, store, &err))
        check_fails("%s: it does not open: %s", when, err.text);
}

/* ---- retention at its end ---- */

/* Persons that were deleted are in no file; the search finds the one that was not. */
static void check_persons(const struct script *s, const char *path, const char *when)
{
    for (uint32_t i = 0; i <= s->persons; i++) {
        struct slice text = script_person(s, i);
        size_t found = folder_find(path, text.ptr, text.len);
        if (i < s->persons && found)
            check_fails("%s: person %u was deleted, and %zu files hold it", when, i, found);
        if (i == s->persons && !found && script_person_stays(s, i))
            check_fails("%s: person %u is in no file", when, i);
    }
}

static void check_bound(const struct script *s, const struct store *store, const char *when)
{
    uint64_t max = store->options.retention.max_bytes, bytes = naive_bytes(s->path);
    if (max && bytes > max && naive_may_go(store, s->path, s->passed))
        check_fails("%s: retention has ended, and leaves %llu bytes of %llu", when,
            (unsigned long long)bytes, (unsigned long long)max);
    if (taken(s->load.naive) < check.taken && max)
        check_fails("%s: what retention took is there again", when);
}

/* Now content is known to the last cell: what is to go is gone. */
static void check_end(struct script *s, struct store *store, const char *when)
{
    const struct naive_selection all = {
        .matchers = {{MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL}}, .n = 1};
    struct store_stats stats;
    struct err err;
    char why[300];
    struct difference d = {why, sizeof why};
    if (!script_finish(s, store, &err))
        check_fails("%s: retention to its end: %s", when, err.text);
    if (!same_content(s, store, why, sizeof why) ||
        !naive_compare_gone(s->load.naive, store, WORKLOAD_T0, &d) ||
        !naive_compare_listing(s->load.naive, store, &all, INT64_MIN, INT64_MAX, &d))
        check_fails("%s: after retention: %s", when, why);
    store_stats(store, &stats);
    if (stats.deletions_pending)
        check_fails("%s: after retention a deletion still waits", when);
    check_bound(s, store, when);
    check_persons(s, s->path, when);
}

/* ---- a folder ---- */

static void go_on(const char *path, struct store *store, uint32_t held, const char *when)
{
    struct script s;
    struct err err;
    char why[300];
    script_at(&s, &check.plan, path, held);
    for (int i = 0; i < GO_ON_STEPS; i++)
        if (!script_step(&s, &store, &err))
            check_fails("%s: step %u after the recovery: %s", when, s.done, err.text);
    if (!same_content(&s, store, why, sizeof why))
        check_fails("%s: at step %u after the recovery: %s", when, s.done, why);
    if (s.plan.retention)
        check_end(&s, store, when);
    store_close(&store);
    check_opens(path, &store, "opened again after the recovery");
    if (!same_content(&s, store, why, sizeof why))
        check_fails("%s: opened again at step %u after the recovery: %s", when, s.done, why);
    store_close(&store);
    script_fini(&s);
}

/* The newest backup that was acknowledged is there, and is what the store was. */
static void check_backup(const char *path, uint32_t done, const char *when)
{
    struct script s = {.plan = check.plan};
    char backup[FOLDER_MAX + 32], why[300];
    struct store *store;
    while (done > 0 && script_kind(&s, done - 1) != STEP_BACKUP)
        done--;
    if (done-- == 0)
        return;
    script_backup_path(path, done, backup, sizeof backup);
    if (access(backup, F_OK) != 0)
        check_fails("%s: the backup of step %u is not there", when, done);
    check_opens(backup, &store, "a backup");
    if (!check_same(store, backup, done, why, sizeof why))
        check_fails("%s: the backup of step %u: %s", when, done, why);
    store_close(&store);
}

/* ---- while the log is replayed ---- */

/* Window by window, of which most wait for nothing; all are as after one of the two numbers of
 * steps. */
static void read_early(struct store *store, const char *path, uint32_t done, const char *when)
{
    const struct naive_selection all = {
        .matchers = {{MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL}}, .n = 1};
    char why[2][300] = {"", "the script is over"};
    bool same[2] = {true, done < check.steps};
    struct script at[2];
    struct store_stats stats;
    for (uint32_t i = 0; i < 2; i++)
        script_at(&at[i], &check.plan, path, done + i);
    int64_t end = workload_end(at[1].load.newest + 12);
    for (int64_t t = WORKLOAD_T0 - WORKLOAD_BLOCK; t < end; t += WORKLOAD_BLOCK) {
        store_stats(store, &stats);
        *check.early += stats.replaying;
        for (int i = 0; i < 2; i++) {
            struct difference d = {why[i], sizeof why[i]};
            same[i] = same[i] &&
                      naive_compare_raw(at[i].load.naive, store, &all, t, t + WORKLOAD_BLOCK, &d);
        }
    }
    if (!same[0] && !same[1])
        check_fails("%s: while the log is replayed: after %u steps: %s; after one more: %s", when,
            done, why[0], why[1]);
    for (int i = 0; i < 2; i++)
        script_fini(&at[i]);
}

static void check_early(const char *path, struct store **store, uint32_t done, const char *when)
{
    struct script_plan plan = check.plan;
    struct err err;
    plan.early = true;
    if (!script_open(&plan, path, store, &err))
        check_fails("%s: it does not open early: %s", when, err.text);
    read_early(*store, path, done, when);
    while (!store_await_replay(*store, 1000, &err))
        if (err.code != ERR_TIMEOUT)
            check_fails("%s: the replay: %s", when, err.text);
}

void check_folder(const char *folder, uint32_t done, uint32_t shown, const char *when)
{
    char path[FOLDER_MAX];
    struct store *store;
    ensure(snprintf(path, sizeof path, "%s/store", folder) < (int)sizeof path);
    check_backup(path, done, when);
    if (done % 2 && check.plan.retention != RETAIN_BY_BYTES) /* what went is found out later */
        check_early(path, &store, done, when);
    else
        check_opens(path, &store, when);
    uint32_t held = check_held(store, path, done, when);
    if (held < shown)
        check_fails("%s: %u steps are left of %u that were shown", when, held, shown);
    go_on(path, store, held, when);
}
