#include "tests/store/support/crash.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ensure.h"
#include "store/store_priv.h"
#include "tests/store/support/crash_check.h"
#include "tests/store/support/folder.h"

#define CHILD_SECONDS 60
#define SHARED_BYTES  4096
#define FAULT_STEPS   12 /* that are made after a fault, before the power goes */
#define BESIDE_POINTS 31 /* so many are waited for at most before a commit beside maintenance */
#define FULL_DISK     7  /* calls for which a full disk stays full */

#define IGNORED_FIRST  6  /* points that are tried when a sync is taken away: at the start, */
#define IGNORED_WINDOW 25 /* and after each of its first calls */
#define IGNORED_CALLS  8

static const struct disk_control *disk;

/* Of the run, and in a child what it is to do. */
static struct {
    const struct crash_plan *plan;
    struct crash_result *result;
    struct script script;
    struct store *store;
    char base[FOLDER_MAX], scratch[FOLDER_MAX];
    char *message; /* shared with the children, and a count behind it */
    uint64_t children;
    unsigned beside_wait;  /* points of maintenance before the commit beside it */
    bool beside_made;      /* in the step in flight */
    enum disk_fault fault; /* of a child that goes on with one; DISK_NONE: the parent */
    unsigned faults_left;
    uint32_t fault_until; /* step */
} run;

/* Steps; the one in flight is as good as done once its commit beside maintenance is made. */
static uint32_t acknowledged(void)
{
    return run.script.done + run.beside_made;
}

/* ---- a second crash, in the recovery of the first ---- */

static struct {
    uint64_t at, seed;
    char folder[FOLDER_MAX];
} second;

static enum disk_fault second_hook(void *ctx, const struct disk_point *point)
{
    (void)ctx;
    if (point->number != second.at)
        return DISK_NONE;
    disk->image(second.folder, second.seed);
    _exit(2);
}

/* With a retention only as far as the script has come: more would go than it knows. */
static int64_t again_until(void)
{
    return run.plan->script.retention ? run.script.passed : INT64_MAX / 4;
}

/* Opens the folder, and maintains it, in a process that is cut off on the way. The folder to go on
 * with: its image, or the one that was there when all ended first. */
static void crash_again(char folder[FOLDER_MAX], uint64_t seed)
{
    char path[FOLDER_MAX];
    int status;
    ensure(snprintf(path, sizeof path, "%s/store", folder) < (int)sizeof path);
    ensure(snprintf(second.folder, FOLDER_MAX, "%.400s.again", folder) < FOLDER_MAX);
    second.at = 1 + seed % 31;
    second.seed = seed % 4 == 0 ? DISK_KILLED : seed;
    pid_t pid = fork();
    ensure(pid >= 0);
    if (pid == 0) {
        struct store *store;
        struct err err;
        disk->begin(folder);
        disk->hook(second_hook, NULL);
        check_opens(path, &store, "the recovery that is cut off");
        if (!store_maintain(store, again_until(), &err))
            check_fails("maintenance after a recovery: %s", err.text);
        store_close(&store);
        _exit(0);
    }
    ensure(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 1)
        _exit(WIFEXITED(status) ? 1 : 3);
    if (WEXITSTATUS(status) == 2) {
        folder_remove(folder);
        snprintf(folder, FOLDER_MAX, "%s", second.folder);
    }
}

/* ---- children ---- */

static void reap(pid_t pid, const struct disk_point *point, const char *what)
{
    int status;
    ensure(pid >= 0 && waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    char text[sizeof run.result->first];
    snprintf(text, sizeof text, "seed %llu, point %llu (%s %s in step %u), %s: %.900s",
        (unsigned long long)run.plan->script.seed, (unsigned long long)point->number, point->call,
        point->path, run.script.done, what,
        WIFSIGNALED(status) ? "killed by a signal"
        : run.message[0]    ? run.message
                            : "no message");
    if (run.result->failed++ == 0)
        snprintf(run.result->first, sizeof run.result->first, "%s", text);
    if (getenv("LARDER_ALL"))
        printf("# %s\n", text);
    run.message[0] = 0;
}

static void child_folder(char out[FOLDER_MAX])
{
    ensure(snprintf(out, FOLDER_MAX, "%.400s/%llu", run.scratch, (unsigned long long)run.children) <
           FOLDER_MAX);
}

static void try_power_loss(const struct disk_point *point, uint64_t image_seed)
{
    uint64_t seed = (run.plan->script.seed * 1000003 + ++run.children) * 2654435761u;
    bool again = run.plan->second_crashes && run.children % run.plan->second_crashes == 0;
    pid_t pid = fork();
    if (pid == 0) {
        char folder[FOLDER_MAX];
        alarm(CHILD_SECONDS);
        child_folder(folder);
        disk->image(folder, image_seed);
        disk->end();
        if (again)
            crash_again(folder, seed);
        disk->end();
        check_folder(folder, acknowledged(), 0, "power lost");
        folder_remove(folder);
        _exit(0);
    }
    run.result->power_losses++;
    run.result->second_crashes += again;
    reap(pid, point, "power lost");
}

/* The power goes when `done` steps were acknowledged, and `shown` were seen. */
static void lose_power(uint32_t done, uint32_t shown, const char *when)
{
    char folder[FOLDER_MAX], image[FOLDER_MAX];
    child_folder(folder);
    for (unsigned i = 0; i < 2; i++) {
        ensure(snprintf(image, sizeof image, "%.400s.power", folder) < (int)sizeof image);
        disk->image(image, i == 0 ? DISK_DROPPED : run.plan->script.seed + run.children);
        disk->end();
        check_folder(image, done, shown, when);
        folder_remove(image);
    }
}

/* ---- kills: the process is gone, the disk keeps running, and may lose its power later ---- */

static void recover_killed(void)
{
    char folder[FOLDER_MAX];
    struct store *store;
    struct script s;
    struct err err;
    child_folder(folder);
    disk->image(folder, DISK_KILLED);
    disk->redirect(folder);
    disk->hook(NULL, NULL);
    const char *path = run.script.path;
    check_opens(path, &store, "killed");
    uint32_t held = check_held(store, path, acknowledged(), "killed");
    /* What a reader sees now is safe: nothing of it may go with the power. */
    script_at(&s, &run.plan->script, path, held);
    for (uint64_t i = run.children % 4; i > 0; i--)
        if (!script_step(&s, &store, &err))
            check_fails("killed: step %u after the recovery: %s", s.done, err.text);
    check_held(store, path, s.done, "killed, and some steps later");
    lose_power(s.done, s.done, "power lost after a kill");
    folder_remove(folder);
}

/* On a disk on which nothing but the bytes of files, or not even these, can be changed. */
static enum disk_fault full_hook(void *ctx, const struct disk_point *point)
{
    const bool *writes_too = ctx;
    return point->is_sync || (point->is_write && !*writes_too) ? DISK_NONE : DISK_ENOSPC;
}

/* Killed, and opened anew while the disk is full: what it shows is safe. */
static void recover_without_room(void)
{
    char folder[FOLDER_MAX], why[300];
    struct store *store;
    struct err err;
    const char *path = run.script.path;
    bool writes_too = run.children % 2;
    uint32_t done = acknowledged();
    child_folder(folder);
    disk->image(folder, DISK_KILLED);
    disk->redirect(folder);
    disk->hook(full_hook, &writes_too);
    if (!script_open(&run.plan->script, path, &store, &err)) {
        if (err.code != ERR_NO_SPACE) /* a folder that is as good as empty cannot be filled */
            check_fails("killed, opened on a full disk: %s", err.text);
        _exit(0);
    }
    uint32_t shown = check_held(store, path, done, "killed, opened on a full disk");
    if (shown == done && !check_same(store, path, done, why, sizeof why))
        shown = check_before_last(done);
    disk->hook(NULL, NULL);
    lose_power(done, shown, "power lost after a start on a full disk");
    folder_remove(folder);
}

static void try_kill(const struct disk_point *point)
{
    run.children++;
    run.result->kills++;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        if (run.children % 4 == 3)
            recover_without_room();
        else
            recover_killed();
        _exit(0);
    }
    reap(pid, point, "killed");
}

/* ---- faults: the child goes on with the script, in a folder of its own ---- */

static bool fault_applies(enum disk_fault fault, const struct disk_point *point)
{
    switch (fault) {
    case DISK_SHORT:
    case DISK_EIO_HALF: return point->is_write;
    case DISK_LOST_SYNC: return point->is_sync;
    case DISK_ENOSPC: return !point->is_sync;
    default: return true;
    }
}

/* In the child: a full disk stays full for a while. */
static enum disk_fault fault_hook(void *ctx, const struct disk_point *point)
{
    (void)ctx;
    if (run.faults_left == 0 || !fault_applies(run.fault, point))
        return DISK_NONE;
    run.faults_left--;
    return run.fault;
}

/* True in the child. */
static bool try_fault(const struct disk_point *point, enum disk_fault fault, const char *what)
{
    run.children++;
    run.result->faults++;
    pid_t pid = fork();
    if (pid == 0) {
        char folder[FOLDER_MAX];
        alarm(CHILD_SECONDS);
        child_folder(folder);
        disk->image(folder, DISK_KILLED);
        disk->redirect(folder);
        disk->hook(fault_hook, NULL);
        run.fault = fault;
        run.faults_left = fault == DISK_ENOSPC ? FULL_DISK : 0;
        run.fault_until = run.script.done + FAULT_STEPS;
        return true;
    }
    reap(pid, point, what);
    return false;
}

/* A deletion may fail when it is done already, and only its last sync did not work; maintenance
 * when retention took what it was to take. */
static bool may_be_done(uint32_t done, char *why, size_t size)
{
    struct script s = {.plan = run.plan->script};
    enum script_step kind = script_kind(&s, done);
    return (kind == STEP_DELETE || (kind == STEP_MAINTAIN && s.plan.retention)) &&
           check_same(run.store, run.script.path, done + 1, why, size);
}

/* The step did not work: nothing of it may be seen. Tried again, at last in a store opened anew. */
static void after_failure(uint32_t done, unsigned attempt)
{
    char why[300];
    struct err err;
    script_fini(&run.script);
    if (run.store && !check_same_but_held(run.store, run.script.path, done, why, sizeof why) &&
        !may_be_done(done, why, sizeof why))
        check_fails("after a step that failed: %s", why);
    if (run.store && attempt >= FULL_DISK) {
        store_close(&run.store);
        bool open = false;
        for (unsigned i = 0; !open && i <= FULL_DISK; i++)
            open = script_open(&run.plan->script, run.script.path, &run.store, &err);
        if (!open)
            check_fails("it does not open after a fault: %s", err.text);
        done = check_held(run.store, run.script.path, done, "opened after a fault");
    }
    char path[FOLDER_MAX];
    snprintf(path, sizeof path, "%s", run.script.path);
    script_at(&run.script, &run.plan->script, path, done);
}

static void finish_fault_child(void)
{
    char folder[FOLDER_MAX];
    check_held(run.store, run.script.path, run.script.done, "steps after a fault");
    lose_power(run.script.done, run.script.done, "power lost after a fault");
    child_folder(folder);
    folder_remove(folder);
    _exit(0);
}

/* ---- the run ---- */

/* With a sync taken away, only what comes soon after one of its first calls is worth a try; and the
 * first kills, since a recovery may call what the script has not called yet. */
static bool worth_trying(const struct disk_point *point)
{
    static uint64_t last_calls, last_point;
    size_t n;
    const struct disk_site *sites = disk->sites(&n);
    uint64_t calls = 0;
    if (!run.plan->ignored_site)
        return true;
    for (size_t i = 0; i < n; i++)
        if (sites[i].ignored)
            calls += sites[i].calls;
    if (calls != last_calls)
        last_point = point->number;
    last_calls = calls;
    return point->number <= IGNORED_FIRST ||
           (calls > 0 && calls <= IGNORED_CALLS && point->number < last_point + IGNORED_WINDOW);
}

static bool is_tried(const struct disk_point *point)
{
    const struct crash_plan *plan = run.plan;
    return worth_trying(point) && (plan->every <= 1 || point->number % plan->every == 0) &&
           (!plan->retaining || run.script.retains) &&
           !(plan->stop_at_failure && run.result->failed);
}

/* In the child that has the fault it is returned, and happens. */
static enum disk_fault try_faults(const struct disk_point *point)
{
    static const struct {
        enum disk_fault fault;
        const char *what;
    } faults[] = {{DISK_SHORT, "a short write"}, {DISK_EIO, "EIO"}, {DISK_EIO_HALF, "EIO half way"},
        {DISK_ENOSPC, "ENOSPC"}, {DISK_LOST_SYNC, "a failed sync"}};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (fault_applies(faults[i].fault, point) &&
            try_fault(point, faults[i].fault, faults[i].what))
            return faults[i].fault;
    return DISK_NONE;
}

/* Every other time, and when a series is to come back, as soon as the catalogue is written: what it
 * writes was chosen before. */
static void try_beside(const struct disk_point *point)
{
    bool early = run.script.besides % 2 == 0 || run.script.taken;
    bool now = early ? strstr(point->path, "catalog-") != NULL : run.beside_wait == 0;
    if (run.script.beside_due && run.beside_wait > 0)
        run.beside_wait--;
    if (!now || !run.store || !script_beside(&run.script, run.store))
        return;
    run.beside_made = true;
    run.result->besides++;
}

static enum disk_fault hook(void *ctx, const struct disk_point *point)
{
    (void)ctx;
    const struct crash_plan *plan = run.plan;
    run.result->points = point->number;
    try_beside(point);
    if (!is_tried(point))
        return DISK_NONE;
    uint64_t turn = run.result->tried++ % 3;
    if (plan->kills && (!plan->in_turn || turn == 0))
        try_kill(point);
    for (unsigned i = 0; i < plan->power_losses && (!plan->in_turn || turn == 1); i++)
        try_power_loss(
            point, i == 0 ? DISK_DROPPED : point->number * 64 + i + plan->script.seed * 7919);
    return plan->faults && (!plan->in_turn || turn == 2) ? try_faults(point) : DISK_NONE;
}

/* The script, or a child that goes on with it, cannot. */
static void run_fails(void)
{
    if (run.fault)
        _exit(1);
    if (run.result->failed++ == 0)
        snprintf(run.result->first, sizeof run.result->first, "%s", run.message);
}

static bool run_step(unsigned *attempt)
{
    uint32_t done = run.script.done;
    struct err err;
    run.beside_made = false;
    run.beside_wait = run.script.besides * 7 % BESIDE_POINTS;
    if (script_step(&run.script, &run.store, &err)) {
        *attempt = 0;
        return check_taken(run.store, &run.script);
    }
    if (!run.fault || *attempt > 2 * FULL_DISK) {
        snprintf(run.message, CHECK_MESSAGE, "step %u: %s", done, err.text);
        return false;
    }
    after_failure(done, (*attempt)++);
    return true;
}

static void run_script(void)
{
    char path[FOLDER_MAX];
    unsigned attempt = 0;
    ensure(snprintf(path, sizeof path, "%.400s/store", run.base) < (int)sizeof path);
    script_at(&run.script, &run.plan->script, path, 0);
    while (run.script.done < run.plan->steps && (!run.fault || run.script.done < run.fault_until))
        if (!run_step(&attempt)) {
            run_fails();
            return;
        }
    if (run.fault && run.store)
        finish_fault_child();
    if (run.fault)
        _exit(0);
}

void crash_run(const struct crash_plan *plan, struct crash_result *result)
{
    char why[400];
    *result = (struct crash_result){0};
    run.plan = plan;
    run.result = result;
    run.children = 0;
    run.fault = DISK_NONE;
    run.message =
        mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ensure(run.message != MAP_FAILED);
    uint64_t *early = (uint64_t *)(void *)(run.message + SHARED_BYTES - sizeof *early);
    check_begin(&plan->script, plan->steps, run.message, early);
    folder_make("crash", run.base);
    folder_make("crash-images", run.scratch);
    disk->begin(run.base);
    disk->ignore(plan->ignored_site);
    disk->hook(hook, NULL);
    run_script();
    disk->hook(NULL, NULL);
    if (!disk->verify(why, sizeof why) && result->failed++ == 0)
        snprintf(result->first, sizeof result->first, "the model of the disk: %s", why);
    result->early = *early;
    store_close(&run.store);
    disk->end();
    disk->ignore(0);
    script_fini(&run.script);
    folder_remove(run.base);
    folder_remove(run.scratch);
    munmap(run.message, SHARED_BYTES);
}

const struct disk_control *crash_disk(char **argv)
{
    const struct disk_control *(*find)(void);
    void *symbol = dlsym(RTLD_DEFAULT, "disk_control");
    if (symbol) {
        memcpy(&find, &symbol, sizeof find);
        return disk = find();
    }
    /* The library lies beside the program: build/tests/store/x, build/tests/e2e/shim/disk.so. */
    char program[3000], library[4000];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0 || getenv("LD_PRELOAD"))
        return NULL;
    program[n] = 0;
    for (int i = 0; i < 2; i++)
        if (strrchr(program, '/'))
            *strrchr(program, '/') = 0;
    snprintf(library, sizeof library, "%s/e2e/shim/disk.so", program);
    if (access(library, R_OK) != 0)
        return NULL;
    setenv("LD_PRELOAD", library, 1);
    execv("/proc/self/exe", argv);
    return NULL;
}
