#include "tests/store/support/aside.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/read.h"
#include "store/store_priv.h"
#include "store/verify_store.h"
#include "tests/store/support/folder.h"

static char unreadable[PATH_BYTES];

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
    char link[64], path[PATH_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = unreadable[0] ? readlink(link, path, sizeof path - 1) : 0;
    path[len > 0 ? len : 0] = 0;
    if (len > 0 && strstr(path, unreadable)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, to, n, at);
}

/* ---- the store ---- */

void aside_reopen(struct aside *f)
{
    struct err err = {0};
    if (f->store)
        store_close(&f->store);
    f->options.path = f->dir;
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

int aside_setup(void **state)
{
    struct aside *f = calloc(1, sizeof *f);
    unreadable[0] = 0;
    folder_new("aside", f->dir, sizeof f->dir);
    aside_reopen(f);
    *state = f;
    return 0;
}

int aside_teardown(void **state)
{
    struct aside *f = *state;
    if (f->store)
        store_close(&f->store);
    folder_remove(f->dir);
    free(f);
    return 0;
}

void aside_maintain(struct aside *f, int64_t passed)
{
    struct err err = {0};
    bool more = true;
    for (int i = 0; more; i++) {
        if (i == 5000)
            fail_msg("maintenance finds no end");
        if (!store_maintain_step(f->store, passed, &more, &err))
            fail_msg("%s", err.text);
    }
}

void aside_steps(struct aside *f, int64_t passed, int n)
{
    struct err err = {0};
    bool more;
    for (int i = 0; i < n; i++)
        store_maintain_step(f->store, passed, &more, &err);
}

struct store_stats aside_stats(struct aside *f)
{
    struct store_stats stats;
    store_stats(f->store, &stats);
    return stats;
}

/* ---- cells ---- */

static int64_t value_of(const struct aside_cells *c, int i, int64_t t)
{
    return c->noisy ? 1 + (t / 1000 * 7919 + i * 104729) % 1000003 : 1;
}

static int64_t every_of(const struct aside_cells *c)
{
    return c->every ? c->every : ASIDE_EVERY;
}

static void put(const struct aside_cells *c, struct txn *txn, uint32_t id, int i, int64_t t)
{
    int64_t value = value_of(c, i, t);
    switch (c->kind) {
    case KIND_SAMPLE: txn_sample(txn, id, t, (double)value); break;
    case KIND_GAUGE:
        txn_gauge(txn, id, t, &(struct gauge_cell){value, t, value, value, value, 1});
        break;
    default: txn_add(txn, id, t, value);
    }
}

void aside_write(struct aside *f, const struct aside_cells *c)
{
    const struct metric_def def = {.name = slice_from(c->metric),
        .kind = c->kind,
        .every_ms = c->kind == KIND_SAMPLE ? 0 : every_of(c)};
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    uint32_t metric, id;
    assert_true(txn_metric(txn, &def, &metric, &err));
    for (int i = c->first; i < c->first + c->series; i++) {
        char a[16];
        snprintf(a, sizeof a, "%03d", i);
        struct label l[2] = {{SLICE("__name__"), def.name}, {SLICE("a"), slice_from(a)}};
        assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
        for (int64_t t = c->from + every_of(c); t <= c->to; t += every_of(c))
            put(c, txn, id, i, t);
    }
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

int64_t aside_total(const struct aside_cells *c, int64_t from, int64_t to)
{
    int64_t sum = 0;
    for (int i = c->first; i < c->first + c->series; i++)
        for (int64_t t = c->from + every_of(c); t <= c->to; t += every_of(c))
            sum += t > from && t <= to ? value_of(c, i, t) : 0;
    return sum;
}

void aside_fill(struct aside *f, int64_t from, int64_t to)
{
    struct aside_cells c = {.metric = "m_total", .kind = KIND_COUNTER, .series = 1};
    c.from = from;
    c.to = to;
    aside_write(f, &c);
    c.metric = "open";
    c.kind = KIND_LEVEL;
    aside_write(f, &c);
}

uint64_t aside_delete(struct aside *f, const char *metric, const char *a, int64_t from, int64_t to)
{
    struct matcher m[2] = {{MATCH_EQUAL, SLICE("__name__"), slice_from(metric), NULL}};
    struct err err = {0};
    uint64_t n;
    if (a)
        m[1] = (struct matcher){MATCH_EQUAL, SLICE("a"), slice_from(a), NULL};
    if (!store_delete(f->store, m, a ? 2 : 1, from, to, &n, &err))
        fail_msg("%s", err.text);
    return n;
}

/* ---- segments ---- */

bool aside_find(struct aside *f, const struct aside_which *which, char name[SEGMENT_NAME_MAX])
{
    bool found = false;
    for (size_t i = 0; i < f->store->n_segments; i++) {
        const struct segment_info *info = segment_info(f->store->segments[i].segment);
        if (info->t0 != which->t0 || (which->length && info->t1 - info->t0 != which->length) ||
            (which->resolution >= 0 && info->resolution_ms != which->resolution))
            continue;
        snprintf(name, SEGMENT_NAME_MAX, "%s", info->name);
        found = true;
    }
    return found;
}

void aside_damage(struct aside *f, const char *name, bool page)
{
    char path[PATH_BYTES];
    if (f->store) /* which may have the page in memory */
        store_close(&f->store);
    snprintf(path, sizeof path, "%s/seg/%s", f->dir, name);
    struct content c = content_of(path);
    c.ptr[page ? c.len / 4 : c.len - 20] ^= 4;
    content_put(path, c.ptr, c.len);
    free(c.ptr);
}

void aside_set_aside(struct aside *f, const struct aside_which *which, char name[SEGMENT_NAME_MAX])
{
    uint64_t before = aside_stats(f).quarantined;
    assert_true(aside_find(f, which, name));
    aside_damage(f, name, false);
    aside_reopen(f);
    assert_int_equal(aside_stats(f).quarantined, before + 1);
}

void aside_unreadable(const char *name)
{
    snprintf(unreadable, sizeof unreadable, "%s", name ? name : "");
}

uint64_t aside_repair(struct aside *f)
{
    struct verify_result result;
    struct err err = {0};
    if (f->store)
        store_close(&f->store);
    if (!store_verify(f->dir, VERIFY_REPAIR, NULL, &result, &err))
        fail_msg("%s", err.text);
    return result.repaired;
}

bool aside_has_file(const struct aside *f, const char *name)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/seg/%s", f->dir, name);
    return access(path, F_OK) == 0;
}

/* ---- questions ---- */

static bool count_one(void *ctx, struct labels labels, const struct metric_def *def)
{
    (void)labels, (void)def;
    ++*(int *)ctx;
    return true;
}

int aside_listed(struct aside *f, const char *metric, int64_t from, int64_t to, const char *name)
{
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), slice_from(metric), NULL};
    struct err err = {0};
    int n = 0;
    if (store_each_series(f->store, NULL, &m, 1, from, to, count_one, &n, &err))
        return n;
    if (!strstr(err.text, name))
        fail_msg("%s", err.text);
    return -1;
}

static bool add_columns(
    const struct plan *plan, size_t i, struct arena *arena, struct aside_answer *a, struct err *err)
{
    struct columns c;
    if (!plan_columns(plan, i, arena, &c, err))
        return false;
    a->series += c.n > 0;
    a->cells += (int64_t)c.n;
    if (c.bits && c.n)
        memcpy(&a->first, c.bits, sizeof a->first);
    for (size_t k = 0; k < c.n; k++)
        a->sum += (int64_t)(c.amount ? c.amount[k] : c.sum ? c.sum[k] : 0);
    return true;
}

static bool add_opening(
    const struct plan *plan, size_t i, struct arena *arena, struct aside_answer *a, struct err *err)
{
    int128 sum = 0;
    if (!plan_opening_sum(plan, i, arena, &sum, err))
        return false;
    a->sum += (int64_t)sum;
    return true;
}

static bool read_answer(struct snapshot *s, struct plan *plan, const struct aside_question *q,
    struct aside_answer *a, struct err *err)
{
    struct arena arena;
    for (size_t i = 0; i < plan_n(plan); i++) {
        if (q->opening && !plan_opening(plan, i, q->to, err))
            return false;
        if (!q->opening)
            plan_range(plan, i, q->from, q->to);
        if (q->resolution)
            plan_resolution(plan, i, q->resolution);
    }
    arena_init(&arena, 0);
    bool ok = snapshot_fetch(s, NULL, NULL, err);
    for (size_t i = 0; ok && i < plan_n(plan); i++)
        ok = (q->opening ? add_opening : add_columns)(plan, i, &arena, a, err);
    arena_fini(&arena);
    return ok;
}

struct aside_answer aside_ask(struct aside *f, const struct aside_question *q)
{
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), slice_from(q->metric), NULL};
    struct snapshot *s = snapshot_get(f->store);
    struct aside_answer a = {0};
    struct plan *plan;
    struct err err = {0};
    size_t lacks;
    if (q->partial)
        snapshot_partial(s);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    a.failed = !read_answer(s, plan, q, &a, &err);
    const struct read_warning *w = snapshot_warnings(s, &lacks);
    if (a.failed || lacks)
        err_format(a.failed ? &err : &w->err, a.text, sizeof a.text);
    snapshot_put(&s);
    return a;
}

static int64_t sum_or_error(struct aside *f, const struct aside_question *q, const char *name)
{
    struct aside_answer a = aside_ask(f, q);
    if (a.failed && !strstr(a.text, name))
        fail_msg("%s", a.text);
    return a.failed ? -1 : a.sum;
}

int64_t aside_sum(struct aside *f, const char *metric, int64_t resolution, const char *name)
{
    const struct aside_question q = {
        .metric = metric, .to = 100 * ASIDE_DAY, .resolution = resolution};
    return sum_or_error(f, &q, name);
}

int64_t aside_opening(struct aside *f, const char *metric, int64_t at, const char *name)
{
    return sum_or_error(
        f, &(struct aside_question){.metric = metric, .to = at, .opening = true}, name);
}
