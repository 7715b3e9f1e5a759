/*
 * Damage to any file of a folder that holds everything: whatever bit is flipped, and after a clean
 * stop whatever length a file is cut to, it ends in an error that names a file and a place in it,
 * or in the same answers; never in others, never in a crash. The exception of docs/format/wal.md:
 * the last transaction of a log whose store did not stop cleanly counts as torn when it is damaged,
 * unless a segment has its cells already. A damaged frame with valid ones behind it stops the
 * start.
 *
 * Every kind of file that a store writes is among them:
 *
 *     CURRENT, manifest-*    with every sort of edit: state runs, segments that are set aside, late
 *                            cells, derivations of which nothing came, marks of lost cells
 *     catalog-*, checkpoint-*, deletions
 *     wal/ *.wal             behind a crash; each by itself, too, as it is shipped
 *     seg/ *.seg             raw, late, compacted and derived ones; kept by retention; what was
 *                            salvaged; one that is damaged already
 *     state/ *.run           of tables with records and without
 *     LOCK, damaged/, tmp-*, CURRENT.tmp, deletions.tmp
 *                            which nothing is read from: the same answers
 *
 * A backup has the same files. Answers are raw cells of every series, positions, state tables,
 * coarser cells, and what levels stand at. The folder has a segment that is set aside: what it
 * covers must be an error.
 *
 * LARDER_STEPS says how much is tried: a million for 1,000 flips for each way to stop, of every
 * file at least FLIPS_OF_FILE, and CUTS of every file. A flip takes a random bit of a byte; in
 * files of up to SMALL bytes, and a million steps, it is each bit. LARDER_SEED repeats a run.
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
#include "store/frame.h"
#include "store/read.h"
#include "store/resolution.h"
#include "store/wal.h"
#include "tests/store/support/everything.h"
#include "tests/store/support/folder.h"

#define FILES_MAX     300
#define FLIPS         1000
#define FLIPS_OF_FILE 8
#define SMALL         20 /* bytes */
#define CUTS          6  /* of each file */
#define COARSE_MAX    300
#define MESSAGE_BYTES 4096

struct damage {
    char folder[FOLDER_MAX], kept[FOLDER_MAX], copy[FOLDER_MAX];
    char files[FILES_MAX][FOLDER_MAX]; /* of the copy */
    uint64_t bytes[FILES_MAX], all_bytes;
    size_t n_files, at; /* the file that is damaged */
    uint64_t seed, random;
    enum everything_end end;
    struct everything now, before;
    uint64_t coarse[COARSE_MAX]; /* hashes of coarser cells and openings, without damage */
    size_t n_coarse;
    char *message; /* shared with the child */
    uint64_t errors, same, torn;
};

enum outcome { SAME, WRONG, PLACED_ERROR, TORN };

static uint64_t random_bits(struct damage *d)
{
    d->random ^= d->random << 13;
    d->random ^= d->random >> 7;
    d->random ^= d->random << 17;
    return d->random * 2685821657736338717ull;
}

/* ---- errors ---- */

/* A person must know where to look: the file, and the byte, page or LSN. A file that damage has put
 * out of sight is not there at all. Of a segment that is set aside the log has said where it is
 * damaged; readers are told what cells are missing. */
static bool is_placed(const char *text, const char *file)
{
    bool ours = strstr(text, "copy/") || strstr(text, ".seg") || strstr(text, ".run") || file[0];
    return ours && (strstr(text, "byte ") || strstr(text, "page ") || strstr(text, "lsn ") ||
                       strstr(text, "was set aside: cells from ") ||
                       strstr(text, "No such file or directory"));
}

static enum outcome error_outcome(struct damage *d, const char *text, const char *file)
{
    snprintf(d->message, MESSAGE_BYTES, "the error has no place: %s (%s)", text, file);
    return is_placed(text, file) ? PLACED_ERROR : WRONG;
}

/* ---- coarser cells and openings ---- */

static uint64_t hash_more(uint64_t hash, const void *ptr, size_t len)
{
    return ptr ? hash64(ptr, len) + 31 * hash : hash;
}

/* Sums of doubles may be taken in another order where a derived segment is lost; all else is the
 * same to the bit. */
static uint64_t hash_columns(const struct columns *c)
{
    size_t words = c->n * sizeof(int64_t);
    uint64_t hash = c->n;
    if (c->n == 0)
        return hash;
    hash = hash_more(hash, c->t, words);
    hash = hash_more(hash, c->amount, c->n * sizeof(int128));
    hash = hash_more(hash, c->last, words);
    hash = hash_more(hash, c->last_ms, words);
    hash = hash_more(hash, c->first, words);
    hash = hash_more(hash, c->first_ms, words);
    hash = hash_more(hash, c->min, words);
    hash = hash_more(hash, c->max, words);
    hash = hash_more(hash, c->count, words);
    for (size_t i = 0; c->kind == KIND_HISTOGRAM && i < c->bucket_at[c->n]; i++)
        hash = hash * 31 + (uint64_t)c->bucket[i].key * 7 + (uint64_t)c->bucket[i].count;
    return hash;
}

/* The range of whole buckets before what is set aside. */
static void want_coarse(struct plan *plan, size_t i, int64_t resolution, int64_t end)
{
    plan_range(plan, i, WORKLOAD_T0, end / resolution * resolution);
    plan_resolution(plan, i, resolution);
}

static bool add_coarse(
    struct plan *plan, struct arena *arena, uint64_t *hashes, size_t *n, struct err *err)
{
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns columns;
        arena_reset(arena);
        if (!plan_columns(plan, i, arena, &columns, err))
            return false;
        ensure(*n < COARSE_MAX);
        hashes[(*n)++] = hash_columns(&columns);
    }
    return true;
}

static bool add_openings(
    struct plan *plan, struct arena *arena, uint64_t *hashes, size_t *n, struct err *err)
{
    for (size_t i = 0; i < plan_n(plan); i++) {
        int128 sum = 0;
        arena_reset(arena);
        if (plan_metric(plan, i)->kind != KIND_LEVEL)
            continue;
        if (!plan_opening_sum(plan, i, arena, &sum, err))
            return false;
        ensure(*n < COARSE_MAX);
        hashes[(*n)++] = hash64(&sum, sizeof sum);
    }
    return true;
}

/* One pass over all series: at a resolution, or 0 for what levels stand at. */
static bool read_coarse(const struct everything *e, struct store *store, int64_t resolution,
    uint64_t *hashes, size_t *n, struct err *err)
{
    struct matcher all = {MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL};
    struct snapshot *snap = snapshot_get(store);
    struct plan *plan;
    struct arena arena;
    arena_init(&arena, 0);
    bool ok = plan_new(snap, NULL, &all, 1, NULL, &plan, err);
    for (size_t i = 0; ok && i < plan_n(plan); i++) {
        const struct metric_def *def = plan_metric(plan, i);
        /* Histograms among samples have no coarser cells. */
        bool coarse = resolution && !slice_is(def->name, "up");
        if (coarse && resolution_fits(def, resolution))
            want_coarse(plan, i, resolution, e->hidden_from_ms);
        if (!resolution && def->kind == KIND_LEVEL)
            ok = plan_opening(plan, i, e->hidden_from_ms, err);
    }
    ok = ok && snapshot_fetch(snap, NULL, NULL, err) &&
         (resolution ? add_coarse(plan, &arena, hashes, n, err)
                     : add_openings(plan, &arena, hashes, n, err));
    arena_fini(&arena);
    snapshot_put(&snap);
    return ok;
}

static bool read_all_coarse(
    const struct everything *e, struct store *store, uint64_t *hashes, size_t *n, struct err *err)
{
    *n = 0;
    return read_coarse(e, store, RESOLUTION_1M, hashes, n, err) &&
           read_coarse(e, store, RESOLUTION_1H, hashes, n, err) &&
           read_coarse(e, store, RESOLUTION_1D, hashes, n, err) &&
           read_coarse(e, store, 0, hashes, n, err);
}

static enum outcome compare_coarse(struct damage *d, struct store *store)
{
    uint64_t hashes[COARSE_MAX];
    size_t n;
    struct err err = {0};
    if (!read_all_coarse(&d->now, store, hashes, &n, &err))
        return error_outcome(d, err.text, err.file);
    snprintf(d->message, MESSAGE_BYTES, "coarser cells or openings have other values");
    return n == d->n_coarse && memcmp(hashes, d->coarse, n * sizeof *hashes) == 0 ? SAME : WRONG;
}

/* ---- all answers ---- */

static enum outcome compare_range(
    struct damage *d, struct store *store, struct naive *model, int64_t from, int64_t to)
{
    char why[1100];
    if (naive_compare(model, store, from, to, why, sizeof why))
        return SAME;
    if (strncmp(why, "error: ", 7) == 0)
        return error_outcome(d, why, "");
    snprintf(d->message, MESSAGE_BYTES, "%s", why);
    return WRONG;
}

/* What is set aside must show, and nothing else of the folder's state. */
static enum outcome compare_all(struct damage *d, struct store *store, const struct everything *e)
{
    const struct everything *now = &d->now;
    struct naive *model = e->load.naive;
    enum outcome hidden = compare_range(d, store, model, now->hidden_from_ms, now->hidden_to_ms);
    if (hidden != PLACED_ERROR) {
        if (hidden == SAME)
            snprintf(d->message, MESSAGE_BYTES, "a segment that is set aside does not show");
        return WRONG;
    }
    enum outcome before = compare_range(d, store, model, INT64_MIN, now->hidden_from_ms);
    if (before == WRONG)
        return WRONG;
    enum outcome behind = compare_range(d, store, model, now->hidden_to_ms, INT64_MAX);
    return behind == SAME ? before : behind;
}

static enum outcome look(struct damage *d)
{
    struct store *store;
    struct store_stats stats;
    struct err err = {0};
    if (!everything_open(d->copy, &store, &err))
        return error_outcome(d, err.text, err.file);
    store_stats(store, &stats);
    enum outcome all = compare_all(d, store, &d->now);
    if (all != WRONG) {
        enum outcome coarse = compare_coarse(d, store);
        return coarse == SAME ? all : coarse;
    }
    if (d->end != END_OPEN || stats.torn_frames != 1)
        return WRONG;
    return compare_all(d, store, &d->before) == WRONG ? WRONG : TORN;
}

/* ---- trying ---- */

static void try_damage(struct damage *d, const char *what, size_t file, uint64_t at)
{
    int status;
    d->at = file;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(30);
        _exit(look(d));
    }
    ensure(pid > 0 && waitpid(pid, &status, 0) == pid);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code < 0 || code == WRONG)
        fail_msg("seed %llu, %s at %llu of %s: %s", (unsigned long long)d->seed, what,
            (unsigned long long)at, d->files[file], code == WRONG ? d->message : "it crashed");
    d->same += code == SAME;
    d->errors += code == PLACED_ERROR;
    d->torn += code == TORN;
}

/* A start may sweep and write: every try has a fresh copy. */
static void restore(const struct damage *d)
{
    folder_remove(d->copy);
    folder_copy(d->kept, d->copy);
}

static void flip_at(struct damage *d, size_t file, uint64_t at, unsigned bit)
{
    restore(d);
    content_flip(d->files[file], at, (uint8_t)(1u << bit));
    try_damage(d, "a flip", file, at);
}

static void flip_small(struct damage *d, size_t file)
{
    for (uint64_t at = 0; at < d->bytes[file]; at++)
        for (unsigned bit = 0; bit < 8; bit++)
            flip_at(d, file, at, bit);
}

/* Bytes that lie apart as evenly as their number asks for, from a random one on. */
static void flip_file(struct damage *d, size_t file, uint64_t flips)
{
    uint64_t bytes = d->bytes[file];
    uint64_t step = bytes > flips ? bytes / flips : 1;
    for (uint64_t at = random_bits(d) % step; at < bytes; at += step)
        flip_at(d, file, at, (unsigned)(random_bits(d) % 8));
}

/* A log that is cut after a crash may look like one that was not written on, and so may the
 * manifest's. */
static bool may_be_cut(const struct damage *d, size_t file, enum everything_end how)
{
    const char *path = d->files[file];
    return how == END_CLEAN || strstr(path, ".seg") || strstr(path, ".run");
}

static void cut_file(struct damage *d, size_t file, uint64_t cuts)
{
    uint64_t step = 1 + d->bytes[file] / cuts;
    for (uint64_t at = random_bits(d) % step; at < d->bytes[file]; at += step) {
        restore(d);
        ensure(truncate(d->files[file], (off_t)at) == 0);
        try_damage(d, "a cut", file, at);
    }
}

static void add_file(void *ctx, const char *path)
{
    struct damage *d = ctx;
    struct stat st;
    ensure(d->n_files < FILES_MAX && stat(path, &st) == 0);
    snprintf(d->files[d->n_files], FOLDER_MAX, "%s", path);
    d->bytes[d->n_files++] = (uint64_t)st.st_size;
    d->all_bytes += (uint64_t)st.st_size;
}

static void begin(struct damage *d, enum everything_end end)
{
    const char *seed = getenv("LARDER_SEED"), *lacks;
    char path[FOLDER_MAX];
    struct store *store;
    struct err err;
    d->seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    d->random = d->seed | 1;
    d->end = end;
    d->message =
        mmap(NULL, MESSAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    printf("# LARDER_SEED=%llu\n", (unsigned long long)d->seed);
    folder_make("damage", d->folder);
    snprintf(path, sizeof path, "%.400s/store", d->folder);
    snprintf(d->kept, sizeof d->kept, "%.400s/kept", d->folder);
    snprintf(d->copy, sizeof d->copy, "%.400s/copy", d->folder);
    everything_make(&d->now, d->seed, end, path, d->kept);
    everything_before(&d->before, d->seed, end);
    if (!everything_is_there(d->kept, end, &lacks))
        fail_msg("the folder lacks %s", lacks);
    restore(d);
    folder_each(d->copy, add_file, d);
    if (!everything_open(d->copy, &store, &err) ||
        !read_all_coarse(&d->now, store, d->coarse, &d->n_coarse, &err))
        fail_msg("%s", err.text);
    enum outcome whole = compare_all(d, store, &d->now);
    store_close(&store);
    if (whole != SAME)
        fail_msg("without damage: %s", d->message);
}

static void end(struct damage *d)
{
    everything_fini(&d->now);
    everything_fini(&d->before);
    folder_remove(d->folder);
    munmap(d->message, MESSAGE_BYTES);
    free(d);
}

static uint64_t steps(void)
{
    const char *text = getenv("LARDER_STEPS");
    return text ? strtoull(text, NULL, 10) : 1000000;
}

/* So many for a million steps; at least one. */
static uint64_t scaled(uint64_t n)
{
    uint64_t some = n * steps() / 1000000;
    return some ? some : 1;
}

static void run(enum everything_end how)
{
    struct damage *d = xcalloc(1, sizeof *d);
    begin(d, how);
    for (size_t file = 0; file < d->n_files; file++) {
        uint64_t share = scaled(FLIPS) * d->bytes[file] / d->all_bytes;
        if (d->bytes[file] <= SMALL && steps() >= 1000000)
            flip_small(d, file);
        else
            flip_file(d, file, share > scaled(FLIPS_OF_FILE) ? share : scaled(FLIPS_OF_FILE));
        if (may_be_cut(d, file, how))
            cut_file(d, file, scaled(CUTS));
    }
    printf("# %zu files, %llu bytes: %llu errors, %llu same answers, %llu torn transactions\n",
        d->n_files, (unsigned long long)d->all_bytes, (unsigned long long)d->errors,
        (unsigned long long)d->same, (unsigned long long)d->torn);
    assert_true(d->errors > 0);
    end(d);
}

static void test_after_a_clean_stop(void **state)
{
    (void)state;
    run(END_CLEAN);
}

static void test_after_a_crash(void **state)
{
    (void)state;
    run(END_OPEN);
}

static void test_after_a_crash_behind_sealing(void **state)
{
    (void)state;
    run(END_SEALED);
}

static void test_what_is_kept(void **state)
{
    (void)state;
    run(END_KEPT);
}

/* ---- files of the log that were shipped ---- */

static bool add_frame(void *ctx, const struct frame *frame, struct err *err)
{
    uint64_t *hash = ctx;
    struct buf raw = {0};
    struct slice payload;
    bool ok = frame_payload(frame, &raw, &payload, err);
    if (ok) {
        *hash = hash_more(*hash + frame->lsn * 7 + frame->type, payload.ptr, payload.len);
        *hash = hash_more(*hash, frame->front.ptr, frame->front.len);
    }
    buf_fini(&raw);
    return ok;
}

/* What is read before an error does not count: who applies the file must not keep it. */
static void try_shipped(struct damage *d, size_t file, uint64_t at, uint64_t whole)
{
    uint64_t hash = 0;
    struct err err = {0};
    if (wal_read_file(d->files[file], WAL_WHOLE, add_frame, &hash, &err)) {
        if (hash != whole)
            fail_msg("seed %llu, a flip at %llu of %s, shipped: other transactions",
                (unsigned long long)d->seed, (unsigned long long)at, d->files[file]);
        d->same++;
    } else {
        if (err.code != ERR_CORRUPT || error_outcome(d, err.text, err.file) != PLACED_ERROR)
            fail_msg("seed %llu, a flip at %llu of %s, shipped: %s", (unsigned long long)d->seed,
                (unsigned long long)at, d->files[file], err.text);
        d->errors++;
    }
}

/* Every byte of every file. */
static void test_shipped_log_files(void **state)
{
    (void)state;
    struct damage *d = xcalloc(1, sizeof *d);
    begin(d, END_OPEN);
    size_t files = 0;
    for (size_t file = 0; file < d->n_files; file++) {
        uint64_t whole = 0, step = 1000000 / scaled(1000000);
        struct err err;
        if (!strstr(d->files[file], ".wal"))
            continue;
        restore(d);
        if (!wal_read_file(d->files[file], WAL_WHOLE, add_frame, &whole, &err))
            fail_msg("%s", err.text);
        for (uint64_t at = 0; at < d->bytes[file]; at += step ? step : 1) {
            unsigned bit = (unsigned)(random_bits(d) % 8);
            content_flip(d->files[file], at, (uint8_t)(1u << bit));
            try_shipped(d, file, at, whole);
            content_flip(d->files[file], at, (uint8_t)(1u << bit));
        }
        files++;
    }
    printf("# %zu shipped files: %llu errors, %llu with the same transactions\n", files,
        (unsigned long long)d->errors, (unsigned long long)d->same);
    assert_true(files > 2 && d->errors > 0);
    end(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_a_clean_stop),
        cmocka_unit_test(test_after_a_crash),
        cmocka_unit_test(test_after_a_crash_behind_sealing),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_shipped_log_files),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
