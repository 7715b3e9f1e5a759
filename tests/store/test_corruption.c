/*
 * Damage to any file of a folder: every bit that is flipped, and after a clean stop every length
 * that a file is cut to, ends in an error that names a file, or in the same answers; never in
 * others, never in a crash. The exception of docs/format/wal.md: the last transaction of a log
 * whose store did not stop cleanly counts as torn when it is damaged. A damaged frame with valid
 * ones behind it stops the start.
 *
 * LARDER_STEPS says how many flips are tried, spread evenly over the bits of all files (a million
 * times 3,000); LARDER_SEED repeats a run.
 */
#include <setjmp.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/store/support/crash_script.h"
#include "tests/store/support/folder.h"

#define STEPS     45
#define FILES_MAX 200
#define FLIPS     3000
#define CUTS      40 /* of each file */

struct damage {
    char folder[FOLDER_MAX], copy[FOLDER_MAX];
    char files[FILES_MAX][FOLDER_MAX]; /* of the copy */
    uint64_t bytes[FILES_MAX], all_bytes;
    size_t n_files;
    uint64_t seed;
    bool clean;
    char *message;
    uint64_t errors, same, torn;
};

static void add_file(void *ctx, const char *path)
{
    struct damage *d = ctx;
    struct stat st;
    if (strstr(path, "/LOCK"))
        return; /* what it holds is for people */
    ensure(d->n_files < FILES_MAX && stat(path, &st) == 0);
    snprintf(d->files[d->n_files], FOLDER_MAX, "%s", path);
    d->bytes[d->n_files++] = (uint64_t)st.st_size;
    d->all_bytes += (uint64_t)st.st_size;
}

/* A store after the script; the copy is taken before or after its stop. */
static void make_store(struct damage *d, const char *path)
{
    struct script s;
    struct store *store = NULL;
    struct err err;
    script_at(&s, d->seed, path, 0);
    while (s.done < STEPS || script_kind(&s, s.done - 1) != STEP_COMMIT)
        if (!script_step(&s, &store, &err))
            fail_msg("%s", err.text);
    if (d->clean)
        store_close(&store);
    folder_copy(path, d->copy);
    if (!d->clean)
        store_close(&store);
    folder_each(d->copy, add_file, d);
    d->seed = s.seed;
    script_fini(&s);
}

/* 0: the same answers, 2: an error, 3: the last transaction is torn; else the child says what. */
static int look(const struct damage *d, uint32_t done)
{
    struct store *store;
    struct err err;
    struct script s;
    char why[300];
    if (!script_open(d->copy, &store, &err)) {
        bool named = strstr(err.text, d->copy) || strstr(err.text, ".seg") || err.file[0];
        snprintf(d->message, 1000, "the error names no file: %s", err.text);
        return named ? 2 : 1;
    }
    struct store_stats stats;
    store_stats(store, &stats);
    script_at(&s, d->seed, d->copy, done);
    if (naive_compare(s.load.naive, store, INT64_MIN, INT64_MAX, why, sizeof why))
        return 0;
    snprintf(d->message, 1000, "%s", why);
    if (strncmp(why, "reading:", 8) == 0 || strncmp(why, "plan_columns:", 13) == 0 ||
        strncmp(why, "table ", 6) == 0)
        return strstr(why, "seg") || strstr(why, d->copy) ? 2 : 1;
    if (stats.quarantined)
        return 2; /* set aside, counted and logged when it was found */
    if (d->clean || stats.torn_frames != 1)
        return 1;
    script_fini(&s);
    script_at(&s, d->seed, d->copy, done - 1);
    return naive_compare(s.load.naive, store, INT64_MIN, INT64_MAX, why, sizeof why) ? 3 : 1;
}

static void try_damage(struct damage *d, uint32_t done, const char *what, size_t file, uint64_t at)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(30);
        _exit(look(d, done));
    }
    ensure(pid > 0 && waitpid(pid, &status, 0) == pid);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code != 0 && code != 2 && code != 3)
        fail_msg("seed %llu, %s at %llu of %s: %s", (unsigned long long)d->seed, what,
            (unsigned long long)at, d->files[file], code == 1 ? d->message : "it crashed");
    d->same += code == 0;
    d->errors += code == 2;
    d->torn += code == 3;
}

/* A start may sweep and write: every try has a fresh copy. */
static void restore(const struct damage *d, const char *from)
{
    folder_remove(d->copy);
    folder_copy(from, d->copy);
}

static void flip(const char *path, uint64_t bit)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ensure(fd >= 0 && pread(fd, &byte, 1, (off_t)(bit / 8)) == 1);
    byte ^= (uint8_t)(1u << bit % 8);
    ensure(pwrite(fd, &byte, 1, (off_t)(bit / 8)) == 1);
    close(fd);
}

static void run(bool clean)
{
    struct damage *d = xcalloc(1, sizeof *d);
    const char *seed = getenv("LARDER_SEED"), *steps = getenv("LARDER_STEPS");
    uint64_t flips = FLIPS * (steps ? strtoull(steps, NULL, 10) : 1000000) / 1000000 + 1;
    char kept[FOLDER_MAX], path[FOLDER_MAX];
    d->seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    d->clean = clean;
    d->message = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    printf("# LARDER_SEED=%llu\n", (unsigned long long)d->seed);
    folder_make("damage", d->folder);
    snprintf(path, sizeof path, "%.400s/store", d->folder);
    snprintf(kept, sizeof kept, "%.400s/kept", d->folder);
    snprintf(d->copy, sizeof d->copy, "%.400s/copy", d->folder);
    make_store(d, path);
    folder_copy(d->copy, kept);
    uint32_t done = STEPS;
    struct script s;
    script_at(&s, d->seed, d->copy, 0);
    while (s.done < STEPS || script_kind(&s, s.done - 1) != STEP_COMMIT)
        done = ++s.done;
    script_fini(&s);
    uint64_t bits = d->all_bytes * 8, step = bits / flips ? bits / flips : 1;
    for (uint64_t bit = d->seed % step; bit < bits; bit += step) {
        size_t file = 0;
        uint64_t at = bit;
        for (; at >= d->bytes[file] * 8; file++)
            at -= d->bytes[file] * 8;
        restore(d, kept);
        flip(d->files[file], at);
        try_damage(d, done, "bit", file, at);
    }
    /* A log that is cut after a crash may look like one that was not written on. */
    for (size_t file = 0; clean && file < d->n_files; file++)
        for (uint64_t at = 0; at < d->bytes[file]; at += 1 + d->bytes[file] / CUTS) {
            restore(d, kept);
            ensure(truncate(d->files[file], (off_t)at) == 0);
            try_damage(d, done, "cut", file, at);
        }
    printf("# %zu files, %llu bytes: %llu errors, %llu same answers, %llu torn transactions\n",
        d->n_files, (unsigned long long)d->all_bytes, (unsigned long long)d->errors,
        (unsigned long long)d->same, (unsigned long long)d->torn);
    assert_true(d->errors > 0);
    folder_remove(d->folder);
    munmap(d->message, 4096);
    free(d);
}

static void test_bits_after_a_clean_stop(void **state)
{
    (void)state;
    run(true);
}

static void test_bits_after_a_crash(void **state)
{
    (void)state;
    run(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_after_a_clean_stop),
        cmocka_unit_test(test_bits_after_a_crash),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
