/*
 * Random damage: a few days of counters and levels are written, late too, deleted, compacted,
 * derived and taken by retention, while segments are damaged at random. Every answer is that of a
 * table of all cells, or an error that names a segment. Files that are made whole again, as from a
 * backup, and repaired end the errors: then every answer is that of the table again.
 *
 * The seeds are printed; LARDER_SEED sets one.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"

#include <unistd.h>

#include "store/read.h"
#include "store/store_priv.h"
#include "tests/store/support/folder.h"
#include "tests/store/support/aside.h"

#define DAYS   4
#define SERIES 6
#define STEPS  (DAYS * 144)
#define ROUNDS 60
#define DAY    ASIDE_DAY
#define HOUR   ASIDE_HOUR

static const char *const metrics[] = {"counter", "level"};

#define DAMAGED 64

struct damaged {
    char path[PATH_BYTES];
    struct content before, after;
};

struct table {
    struct aside *f;
    int64_t cells[2][SERIES][STEPS + 1]; /* by end of the window */
    int64_t passed;
    struct damaged damaged[DAMAGED];
    int n_damaged;
    bool pages; /* else footers; what is deleted would take cells of the same page with it */
    uint64_t answers, errors, rng;
};

static uint32_t below(struct table *t, uint32_t n)
{
    t->rng = t->rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(t->rng >> 33) % n;
}

/* ---- what is done ---- */

static void write_some(struct table *t)
{
    int m = (int)below(t, 2), first = (int)below(t, SERIES), from = (int)below(t, STEPS - 24);
    struct aside_cells c = {.metric = metrics[m],
        .kind = m ? KIND_LEVEL : KIND_COUNTER,
        .first = first,
        .series = 1 + (int)below(t, (uint32_t)(SERIES - first)),
        .from = from * ASIDE_EVERY,
        .to = (from + 1 + (int)below(t, 24)) * ASIDE_EVERY,
        .noisy = true};
    aside_write(t->f, &c);
    for (int i = c.first; i < c.first + c.series; i++)
        for (int64_t at = c.from + ASIDE_EVERY; at <= c.to; at += ASIDE_EVERY) {
            struct aside_cells one = c;
            one.first = i;
            one.series = 1;
            t->cells[m][i][at / ASIDE_EVERY] += aside_total(&one, at - 1, at);
        }
}

/* Whole days, so that no coarse cell goes in part. */
static void delete_some(struct table *t)
{
    int m = (int)below(t, 2), i = (int)below(t, SERIES), day = (int)below(t, DAYS);
    char a[16];
    snprintf(a, sizeof a, "%03d", i);
    aside_delete(t->f, metrics[m], a, day * DAY, (day + 1) * DAY);
    for (int k = day * 144 + 1; k <= (day + 1) * 144; k++)
        t->cells[m][i][k] = 0;
}

static void maintain(struct table *t)
{
    t->passed += (int64_t)below(t, 8) * HOUR;
    aside_maintain(t->f, t->passed);
}

static void path_of(const struct table *t, const char *name, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/seg/%s", t->f->dir, name);
}

static void damage(struct table *t)
{
    struct store *store = t->f->store;
    if (store->n_segments == 0 || t->n_damaged == DAMAGED)
        return;
    struct damaged *d = &t->damaged[t->n_damaged++];
    const struct attached *a = &store->segments[below(t, (uint32_t)store->n_segments)];
    char name[SEGMENT_NAME_MAX];
    strcpy(name, segment_info(a->segment)->name); /* the store is closed meanwhile */
    path_of(t, name, d->path);
    d->before = content_of(d->path);
    aside_damage(t->f, name, t->pages);
    d->after = content_of(d->path);
    aside_reopen(t->f);
}

/* What is damaged, and still there, becomes whole. */
static void mend(struct table *t)
{
    store_close(&t->f->store);
    while (t->n_damaged > 0) {
        struct damaged *d = &t->damaged[--t->n_damaged];
        struct content now = {0};
        if (access(d->path, F_OK) == 0)
            now = content_of(d->path);
        if (now.len == d->after.len && memcmp(now.ptr, d->after.ptr, now.len) == 0)
            content_put(d->path, d->before.ptr, d->before.len);
        free(now.ptr);
        free(d->before.ptr);
        free(d->after.ptr);
    }
    aside_repair(t->f);
    aside_reopen(t->f);
}

static void retain(struct table *t)
{
    t->f->options.retention.raw_ms = (int64_t)(1 + below(t, 3)) * DAY;
    aside_reopen(t->f);
    maintain(t);
}

/* ---- what is asked ---- */

static int64_t total(const struct table *t, int m, int64_t from, int64_t to)
{
    int64_t sum = 0;
    for (int i = 0; i < SERIES; i++)
        for (int64_t k = from / ASIDE_EVERY + 1; k <= to / ASIDE_EVERY && k <= STEPS; k++)
            sum += t->cells[m][i][k];
    return sum;
}

static void expect(struct table *t, const struct aside_question *q, int64_t sum)
{
    struct aside_answer a = aside_ask(t->f, q);
    t->answers++;
    t->errors += a.failed;
    if (a.failed && !(t->n_damaged && strstr(a.text, ".seg")))
        fail_msg("%s", a.text);
    if (!a.failed && a.sum != sum)
        fail_msg("%s of (%" PRId64 ", %" PRId64 "] every %" PRId64 "%s: %" PRId64 ", not %" PRId64,
            q->metric, q->from / HOUR, q->to / HOUR, q->resolution / HOUR,
            q->opening ? ", opening" : "", a.sum, sum);
}

static void check(struct table *t)
{
    for (int m = 0; m < 2; m++) {
        int64_t from = below(t, DAYS * 24) * HOUR, to = from + (1 + below(t, 30)) * HOUR;
        const struct aside_question hours = {
            .metric = metrics[m], .from = from, .to = to, .resolution = HOUR};
        expect(t, &hours, total(t, m, from, to));
        const struct aside_question day = {
            .metric = metrics[m], .to = DAYS * DAY, .resolution = HOUR};
        expect(t, &day, total(t, m, 0, DAYS * DAY));
    }
    int64_t at = below(t, DAYS * 24 + 1) * HOUR;
    const struct aside_question opening = {.metric = "level", .to = at, .opening = true};
    expect(t, &opening, total(t, 1, 0, at));
}

static void run(uint64_t seed, uint64_t *answers, uint64_t *errors)
{
    void *state;
    struct table *t = calloc(1, sizeof *t);
    aside_setup(&state);
    t->f = state;
    t->rng = seed;
    t->pages = seed % 2;
    for (int round = 0; round < ROUNDS; round++) {
        switch (below(t, 12)) {
        case 0: damage(t); break;
        case 1: (t->pages ? write_some : delete_some)(t); break;
        case 2: retain(t); break;
        case 3: aside_reopen(t->f); break;
        case 4: mend(t); break;
        case 5:
        case 6:
        case 7: maintain(t); break;
        default: write_some(t);
        }
        check(t);
    }
    mend(t);
    check(t);
    *answers += t->answers;
    *errors += t->errors;
    aside_teardown(&state);
    free(t);
}

static void test_random(void **state)
{
    const char *given = getenv("LARDER_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL), answers = 0,
             errors = 0;
    (void)state;
    int runs = given ? 1 : 12;
    for (int i = 0; i < runs; i++) {
        print_message("# LARDER_SEED=%" PRIu64 "\n", seed + (uint64_t)i);
        run(seed + (uint64_t)i, &answers, &errors);
    }
    print_message("# %" PRIu64 " answers, %" PRIu64 " errors\n", answers, errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
