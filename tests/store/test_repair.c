/*
 * Repair of a folder that holds everything, with one bit of a segment or of a run flipped, and one
 * segment that was set aside before: what verifying leaves opens as a store, and answers as the
 * model does but for what was told to be lost. Those cells are deleted on both sides, and the rest
 * is compared.
 *
 * LARDER_STEPS says how many flips are tried, LARDER_SEED repeats a run.
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
#include "store/delete.h"
#include "store/quarantine.h"
#include "store/verify_store.h"
#include "tests/store/support/everything.h"
#include "tests/store/support/folder.h"

#define FILES_MAX       300
#define FLIPS           250
#define LOSSES_MAX      200
#define LOSS_LABELS_MAX 8
#define MESSAGE_BYTES   4096

struct loss {
    struct label labels[LOSS_LABELS_MAX];
    size_t n_labels; /* 0: of all series */
    int64_t from, to;
};

struct repair {
    char folder[FOLDER_MAX], kept[FOLDER_MAX], copy[FOLDER_MAX];
    char files[FILES_MAX][FOLDER_MAX]; /* segments and runs of the copy */
    uint64_t bytes[FILES_MAX];
    size_t n_files;
    uint64_t seed, random;
    struct everything now;
    struct loss losses[LOSSES_MAX]; /* in the child */
    size_t n_losses;
    bool lost_keys;
    struct arena strings;
    char *message; /* shared with the child */
    uint64_t whole, lost;
};

enum outcome { WHOLE, WRONG, LOST };

static uint64_t random_bits(struct repair *r)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return r->random * 2685821657736338717ull;
}

/* ---- what is told to be lost ---- */

static void keep_loss(void *ctx, const struct segment *segment, const struct segment_loss *loss)
{
    struct repair *r = ctx;
    const struct segment_info *info = segment_info(segment);
    if (info->resolution_ms)
        return; /* made anew */
    ensure(r->n_losses < LOSSES_MAX && loss->labels.n <= LOSS_LABELS_MAX);
    struct loss *l = &r->losses[r->n_losses++];
    bool known = loss->cells > 0;
    l->from = known ? loss->min_t - 1 : info->t0;
    l->to = known ? loss->max_t : info->t1;
    l->n_labels = loss->labels.n;
    for (size_t i = 0; i < l->n_labels; i++)
        l->labels[i] = (struct label){arena_slice(&r->strings, loss->labels.items[i].name),
            arena_slice(&r->strings, loss->labels.items[i].value)};
}

static void keep_keys(void *ctx, const char *name, uint64_t lost, uint64_t of)
{
    struct repair *r = ctx;
    (void)name;
    (void)of;
    r->lost_keys |= lost > 0;
}

/* A file whose frame cannot be read goes as a whole; of segments the name says of which time. */
static void keep_file(void *ctx, const char *name, const char *by, bool anew)
{
    struct repair *r = ctx;
    struct loss *l = &r->losses[r->n_losses];
    if (by || anew)
        return;
    if (strstr(name, ".run")) {
        r->lost_keys = true;
        return;
    }
    ensure(r->n_losses < LOSSES_MAX && segment_name_times(name, &l->from, &l->to));
    l->n_labels = 0;
    r->n_losses++;
}

static struct slice label_of(const struct label *labels, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(labels[i].name, name))
            return labels[i].value;
    return SLICE("");
}

static bool is_series(const struct loss *l, const struct naive_series *s)
{
    bool same = l->n_labels == s->n_labels;
    for (size_t i = 0; same && i < s->n_labels; i++)
        same = slice_eq(label_of(l->labels, l->n_labels, s->labels[i].name), s->labels[i].value);
    return s->n_labels && (same || l->n_labels == 0);
}

/* From the model and from the store: what others hold of the same cells cannot be told apart. */
static void forget(struct repair *r, struct store *store, const struct loss *l)
{
    static const char *const names[] = {"__name__", "city", "le", "series"};
    struct naive *naive = r->now.load.naive;
    struct matcher matchers[4];
    uint64_t series;
    struct err err;
    size_t n = 0;
    for (size_t slot = 0; slot < naive->n_series; slot++)
        if (is_series(l, &naive->series[slot]))
            naive_delete(naive, slot, l->from, l->to);
    for (size_t i = 0; l->n_labels && i < 4; i++) {
        struct slice name = slice_from(names[i]);
        matchers[n++] =
            (struct matcher){MATCH_EQUAL, name, label_of(l->labels, l->n_labels, name), NULL};
    }
    if (n == 0)
        matchers[n++] = (struct matcher){MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL};
    ensure(store_delete(store, matchers, n, l->from, l->to, &series, &err));
    ensure(store_delete_finish(store, &err));
}

/* ---- one flip ---- */

static enum outcome failed(struct repair *r, const char *what, const struct err *err)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    snprintf(r->message, MESSAGE_BYTES, "%s: %s", what, err_format(err, text, sizeof text));
    return WRONG;
}

static enum outcome look(struct repair *r)
{
    struct verify_watch watch = {
        .lost_cells = keep_loss, .lost_keys = keep_keys, .repaired = keep_file, .ctx = r};
    struct verify_result result;
    struct store *store;
    struct err err;
    char why[MESSAGE_BYTES - 100];
    if (!store_verify(r->copy, true, &watch, &result, &err))
        return failed(r, "verifying", &err);
    if (result.damaged == 0 || result.repaired != result.damaged) {
        snprintf(r->message, MESSAGE_BYTES, "of %llu damaged files %llu were repaired",
            (unsigned long long)result.damaged, (unsigned long long)result.repaired);
        return WRONG;
    }
    if (!store_verify(r->copy, false, NULL, &result, &err) || result.damaged)
        return failed(r, "after the repair there is damage", &err);
    if (!everything_open(r->copy, &store, &err))
        return failed(r, "opening", &err);
    for (size_t i = 0; i < r->n_losses; i++)
        forget(r, store, &r->losses[i]);
    for (size_t t = 0; r->lost_keys && t < NAIVE_TABLES; t++)
        r->now.load.naive->state.known[t] = false;
    if (naive_compare(r->now.load.naive, store, INT64_MIN, INT64_MAX, why, sizeof why))
        return r->n_losses > 1 || r->lost_keys ? LOST : WHOLE; /* one was set aside before */
    snprintf(r->message, MESSAGE_BYTES, "%zu losses were told: %s", r->n_losses, why);
    return WRONG;
}

static void try_flip(struct repair *r)
{
    int status;
    size_t file = random_bits(r) % r->n_files;
    uint64_t at = random_bits(r) % r->bytes[file];
    folder_remove(r->copy);
    folder_copy(r->kept, r->copy);
    content_flip(r->files[file], at, (uint8_t)(1u << (unsigned)(random_bits(r) % 8)));
    pid_t pid = fork();
    if (pid == 0) {
        alarm(30);
        _exit(look(r));
    }
    ensure(pid > 0 && waitpid(pid, &status, 0) == pid);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code != WHOLE && code != LOST)
        fail_msg("seed %llu, a flip at %llu of %s: %s", (unsigned long long)r->seed,
            (unsigned long long)at, r->files[file], code == WRONG ? r->message : "it crashed");
    r->whole += code == WHOLE;
    r->lost += code == LOST;
}

static void add_file(void *ctx, const char *path)
{
    struct repair *r = ctx;
    struct stat st;
    if (!strstr(path, ".seg") && !strstr(path, ".run"))
        return;
    ensure(r->n_files < FILES_MAX && stat(path, &st) == 0);
    snprintf(r->files[r->n_files], FOLDER_MAX, "%s", path);
    r->bytes[r->n_files++] = (uint64_t)st.st_size;
}

static void test_repair(void **state)
{
    struct repair *r = xcalloc(1, sizeof *r);
    const char *seed = getenv("LARDER_SEED"), *steps = getenv("LARDER_STEPS");
    uint64_t flips = FLIPS * (steps ? strtoull(steps, NULL, 10) : 1000000) / 1000000 + 1;
    char path[FOLDER_MAX];
    (void)state;
    r->seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    r->random = r->seed | 1;
    r->message =
        mmap(NULL, MESSAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    arena_init(&r->strings, 0);
    printf("# LARDER_SEED=%llu\n", (unsigned long long)r->seed);
    folder_make("repair", r->folder);
    snprintf(path, sizeof path, "%.400s/store", r->folder);
    snprintf(r->kept, sizeof r->kept, "%.400s/kept", r->folder);
    snprintf(r->copy, sizeof r->copy, "%.400s/copy", r->folder);
    everything_make(&r->now, r->seed, END_OPEN, path, r->kept);
    folder_copy(r->kept, r->copy);
    folder_each(r->copy, add_file, r);
    for (uint64_t i = 0; i < flips; i++)
        try_flip(r);
    printf("# %llu repaired without a further loss, %llu with one that was told\n",
        (unsigned long long)r->whole, (unsigned long long)r->lost);
    assert_true(r->whole > 0 && r->lost > 0);
    everything_fini(&r->now);
    arena_fini(&r->strings);
    folder_remove(r->folder);
    munmap(r->message, MESSAGE_BYTES);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_repair)};
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
