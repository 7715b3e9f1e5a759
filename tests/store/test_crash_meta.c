/*
 * Is the proof of test_crash worth anything? The syncs of the store are taken away in turn: each
 * call on each kind of file (a file of the log, the folder of the segments, ...). It says that it
 * worked and does nothing. Each time the crashes must find that something is missing.
 *
 * LARDER_SEED repeats a run. LARDER_SITES=1 takes every single place in the program away that
 * syncs (LARDER_SITES=N: from the Nth on), told apart by the calls that lead to it. A place is not
 * missed when another one syncs the same before it counts: those that may be so are listed with
 * their reason, and any other fails. Places that only scripts with retention come by are tried with
 * those.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/store/support/crash.h"

#define SITES_MAX 512
#define STEPS     120
#define SCRIPTS   4 /* so many are tried until one misses the sync, */
#define RETAINING 2 /* and then so many with retention, which read coarser cells, too */

static const struct disk_control *disk;
static uint64_t seed;

/* Single places that need not be missed, and why nobody can see that one did nothing. */
static const struct {
    const char *what, *via; /* the site's name; part of the calls that lead there */
    const char *why;
} allowed[] = {
    {"fsync store", "dir_make < wal_open",
        "before the first change the start writes the manifest anew, which syncs the same folder"},
    {"fsync store", "dir_make < open_segments", "the same"},
    {"fsync ", "dir_make < make <",
        "the folder's new name counts, and renaming it syncs the same parent"},
    {"fsync backup-#.tmp", "dir_make < take_folder",
        "take_folder syncs the same folder when all is in it, before it is renamed"},
    {"fsync store", "file_replace < rewrite < store_recover",
        "the folder is empty: wal/ and seg/ are made, and their parent synced, before a commit"},
    {"fsync store/wal", "dir_sync < clean_up",
        "a log file that comes back holds nothing behind the checkpoint: the start removes it"},
    {"fsync store", "dir_sync < deletions_save <",
        "a deletion that comes back after its end is done once more, up to the same transaction"},
    {"fsync store/seg", "derive_write < write_derived",
        "the start sees that a derived segment is not there, and it is made of raw ones again"},
    {"fsync store/seg", "write_left < leave_derived",
        "the same: it holds metrics whose raw cells stay"},
    {"fdatasync store/manifest-#", "change < derive_run",
        "a derivation that the manifest has lost is made again, byte for byte"},
    {"fdatasync store/manifest-#", "append_frame < confirm <",
        "the edit before it was synced: a frame behind it is there for damage alone"},
    {"fsync backup-#.tmp/wal", "take_folder",
        "a checkpoint has just been written: in one thread the log holds nothing"},
};

/* The functions that lead to a site, the innermost first. */
static void calls_of(const struct disk_site *site, char *out, size_t size)
{
    char line[400];
    size_t used = 0;
    out[0] = 0;
    unsetenv("LD_PRELOAD"); /* for what is run here */
    for (int i = 0; i < DISK_CALLERS && site->callers[i]; i++) {
        Dl_info info;
        if (!dladdr(site->callers[i], &info))
            continue;
        snprintf(line, sizeof line, "addr2line -f -i -e %s 0x%zx 2>/dev/null", info.dli_fname,
            (size_t)((char *)site->callers[i] - (char *)info.dli_fbase) - 1);
        FILE *names = popen(line, "r");
        for (int n = 0; names && fgets(line, sizeof line, names); n++) {
            line[strcspn(line, "\n")] = 0;
            if (n % 2 == 0 && used < size) /* function, file, function, ... */
                used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " < " : "", line);
        }
        if (names)
            pclose(names);
    }
}

/* Why the site need not be missed; NULL: it must be. */
static const char *allowed_why(const struct disk_site *site, const char *calls)
{
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (strcmp(site->what, allowed[i].what) == 0 && strstr(calls, allowed[i].via))
            return allowed[i].why;
    return NULL;
}

static const struct disk_site *run_untouched(
    uint64_t plus, enum script_retention retention, size_t *n)
{
    struct crash_plan plan = {
        .script = {.seed = seed + plus, .retention = retention}, .steps = STEPS};
    struct crash_result result;
    crash_run(&plan, &result);
    if (result.failed)
        fail_msg("%s", result.first);
    const struct disk_site *sites = disk->sites(n);
    assert_true(*n > 0 && *n <= SITES_MAX);
    return sites;
}

/* One of each kind, or all, with those behind that only scripts with retention come by. *retaining:
 * from which on. */
static size_t find_sites(struct disk_site out[SITES_MAX], bool all, size_t *retaining)
{
    size_t n, kept = 0, before;
    run_untouched(0, RETAIN_ALL, &before);
    run_untouched(0, RETAIN_BY_AGE, &n);
    const struct disk_site *sites = run_untouched(1000, RETAIN_BY_AGE, &n);
    *retaining = SITES_MAX;
    for (size_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < kept && !all; k++)
            known = known || out[k].kind == sites[i].kind;
        if (i >= before && kept < *retaining)
            *retaining = kept;
        if (!known)
            out[kept++] = sites[i];
    }
    return kept;
}

static void test_every_sync_is_missed(void **state)
{
    (void)state;
    size_t all = getenv("LARDER_SITES") ? strtoull(getenv("LARDER_SITES"), NULL, 10) : 0;
    struct disk_site sites[SITES_MAX];
    size_t retaining, n = find_sites(sites, all, &retaining), missed = 0;
    uint64_t tried = 0;
    for (size_t i = all ? all - 1 : 0; i < n; i++) {
        struct crash_result result = {0};
        uint64_t scripts = SCRIPTS + (all ? RETAINING : 0);
        for (uint64_t script = 0; script < scripts && !result.failed; script++) {
            bool plain = i < retaining && script < SCRIPTS;
            struct crash_plan plan = {.script = {.seed = seed + 1000 * script,
                                          .retention = plain ? RETAIN_ALL : RETAIN_BY_AGE},
                .steps = STEPS,
                .kills = 1,
                .power_losses = 4,
                .ignored_site = all ? sites[i].id : sites[i].kind,
                .stop_at_failure = true};
            crash_run(&plan, &result);
            tried += result.kills + result.power_losses;
        }
        char calls[600] = "";
        if (all || !result.failed) /* of the first of a kind */
            calls_of(&sites[i], calls, sizeof calls);
        const char *why = result.failed ? NULL : allowed_why(&sites[i], calls);
        missed += result.failed > 0 || why;
        printf("# %s%s%s: %s after %llu crashes%s%.160s\n", sites[i].what, calls[0] ? " by " : "",
            calls,
            result.failed ? "missed"
            : why         ? "not missed"
                          : "NOT MISSED",
            (unsigned long long)(result.kills + result.power_losses),
            result.failed || why ? ": " : "", why ? why : result.first);
    }
    printf("# %zu syncs taken away, %zu of them missed or needless, %llu crashes tried\n", n,
        missed, (unsigned long long)tried);
    assert_true(n >= 8);
    assert_int_equal(missed, n - (all ? all - 1 : 0));
}

int main(int argc, char **argv)
{
    (void)argc;
    const char *text = getenv("LARDER_SEED");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_sync_is_missed)};
    disk = crash_disk(argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!disk) {
        printf("1..1\nok 1 # SKIP the library disk.so cannot be preloaded\n");
        return 0;
    }
    seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
    printf("# LARDER_SEED=%llu\n", (unsigned long long)seed);
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
