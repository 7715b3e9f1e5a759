#include "tests/store/support/everything.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ensure.h"
#include "store/delete.h"
#include "store/files.h"
#include "store/quarantine.h"
#include "store/resolution.h"
#include "store/segment.h"
#include "store/store_priv.h"
#include "tests/store/support/folder.h"

#define SERIES    3
#define HISTORY   120
#define CELLS     90
#define DAYS      90 /* commits of 25 minutes each: a day and a half, so that one is compacted */
#define LATER     30 /* in the log, behind the checkpoint */
#define DELETIONS 12
#define LONE      (WORKLOAD_METRICS * SERIES) /* slot of the model */
#define STEP      5                           /* windows from one commit to the next */
#define STATE     1500
#define FILES_MAX 300

/* Raw cells of the first days go. */
static const struct retention kept_retention = {
    .raw_ms = 3 * RESOLUTION_1D, .minute_ms = 4 * RESOLUTION_1D};

static bool open_with(
    const struct retention *retention, const char *path, struct store **store, struct err *err)
{
    struct store_options options = {.path = path,
        .block_ms = WORKLOAD_BLOCK,
        .wal_file_bytes = 1000,
        .checkpoint_bytes = 1 << 20,
        .state_bytes = STATE,
        .retention = *retention};
    return store_open(&options, store, err);
}

bool everything_open(const char *path, struct store **store, struct err *err)
{
    static const struct retention none;
    return open_with(&none, path, store, err);
}

/* ---- making ---- */

struct maker {
    struct everything *out;
    struct store *store; /* NULL: the model alone */
    const char *path;
    bool kept;
    int64_t step; /* from one commit to the next, windows */
    struct retention retention;
};

static void require(bool ok, const struct err *err)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", err->text);
    abort();
}

static void commit(struct maker *m)
{
    struct workload *w = &m->out->load;
    struct txn *txn = m->store ? txn_begin(m->store) : NULL;
    struct err err;
    workload_fill(w, txn, CELLS);
    w->newest += m->step;
    require(!txn || txn_commit(&txn, NULL, &err), &err);
}

static void maintain(struct maker *m, int64_t now)
{
    struct naive *naive = m->out->load.naive;
    struct err err;
    for (size_t slot = 0; slot < naive->n_series; slot++)
        naive_retain_by_age(
            naive, slot, SLICE("any"), &m->retention, now / WORKLOAD_BLOCK * WORKLOAD_BLOCK);
    require(!m->store || store_maintain(m->store, now, &err), &err);
}

static void reopen(struct maker *m)
{
    struct err err;
    if (!m->store)
        return;
    store_close(&m->store);
    require(open_with(&m->retention, m->path, &m->store, &err), &err);
}

/* The newest raw segment of the folder. */
struct newest {
    char path[FOLDER_MAX];
    int64_t t0, t1;
};

static void see_newest(void *ctx, const char *path)
{
    struct newest *n = ctx;
    const char *name = strrchr(path, '/') + 1;
    int64_t t0, t1;
    if (!segment_name_times(name, &t0, &t1) || t1 - t0 != WORKLOAD_BLOCK || t0 < n->t0)
        return;
    snprintf(n->path, sizeof n->path, "%s", path);
    n->t0 = t0;
    n->t1 = t1;
}

#define HEADER_BYTE 20
#define CELLS_BYTE  100 /* of a page of cells: it cannot be read, and others can */

/* A byte of its header, or of its cells, changes while the store is closed; the next start, or who
 * reads it first, sets it aside. */
static void damage_newest(struct maker *m)
{
    struct newest n = {.t0 = INT64_MIN};
    struct store_stats stats;
    struct err err;
    uint8_t byte;
    if (!m->store)
        return;
    store_close(&m->store);
    folder_each(m->path, see_newest, &n);
    int fd = open(n.path, O_RDWR | O_CLOEXEC);
    off_t at = m->kept ? CELLS_BYTE : HEADER_BYTE;
    ensure(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 1;
    ensure(pwrite(fd, &byte, 1, at) == 1 && close(fd) == 0);
    m->out->hidden_from_ms = n.t0;
    m->out->hidden_to_ms = n.t1;
    require(open_with(&m->retention, m->path, &m->store, &err), &err);
    store_stats(m->store, &stats);
    ensure(m->kept || stats.quarantined == 1);
}

static void delete_some(struct maker *m)
{
    struct err err;
    require(workload_delete(&m->out->load, m->store, &err), &err);
}

/* Of one series. */
static void delete_series(struct maker *m, int64_t from, int64_t to)
{
    struct naive *naive = m->out->load.naive;
    const struct matcher one[2] = {{MATCH_EQUAL, SLICE("__name__"), SLICE("orders_total"), NULL},
        {MATCH_EQUAL, SLICE("series"), SLICE("n1"), NULL}};
    const struct naive_selection victims = {.matchers = {one[0], one[1]}, .n = 2};
    uint64_t series;
    struct err err;
    for (size_t i = 0; i < naive->n_series; i++)
        if (naive_selects(&victims, naive->series[i].labels, naive->series[i].n_labels))
            naive_delete(naive, i, from, to);
    require(!m->store || store_delete(m->store, one, 2, from, to, &series, &err), &err);
}

/* A day with one cell, of five minutes: deriving cells of a minute gives none. */
static void add_lone_day(struct maker *m)
{
    static const struct metric_def def = {
        .name = {"lone_total", 10}, .kind = KIND_COUNTER, .every_ms = WORKLOAD_EVERY};
    static const struct label label = {{"__name__", 8}, {"lone_total", 10}};
    const struct labels labels = {&label, 1};
    struct workload *w = &m->out->load;
    const int64_t day = RESOLUTION_1D / WORKLOAD_EVERY;
    uint32_t metric, series = 0;
    struct err err;
    w->newest = (w->newest / day + 1) * day + HISTORY;
    naive_define(w->naive, LONE, &def, labels);
    naive_add(w->naive, LONE, workload_end(w->newest), 1);
    struct txn *txn = m->store ? txn_begin(m->store) : NULL;
    if (txn) {
        require(
            txn_metric(txn, &def, &metric, &err) && txn_series(txn, metric, labels, &series, &err),
            &err);
        txn_add(txn, series, workload_end(w->newest), 1);
        require(txn_commit(&txn, NULL, &err), &err);
    }
    w->newest += day;
}

static void put_file(const char *folder, const char *name)
{
    char path[FOLDER_MAX + 40];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    ensure(file && fputs("written", file) >= 0 && fclose(file) == 0);
}

/* What nothing reads: damaged files that a repair moved away, and such as a kill leaves behind. */
static void put_others(const char *folder)
{
    static const char *const names[] = {"damaged/0-7200000.0123456789abcdef0123456789abcdef.seg",
        "seg/tmp-1-1", "state/tmp-1-1", "tmp-1-2", "CURRENT.tmp", "deletions.tmp"};
    char path[FOLDER_MAX + 40];
    snprintf(path, sizeof path, "%s/damaged", folder);
    ensure(mkdir(path, 0755) == 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        put_file(folder, names[i]);
}

/* `last`: with the last transaction. */
static void make(struct maker *m, uint64_t seed, enum everything_end end, bool last)
{
    struct workload *w = &m->out->load;
    workload_init(w, seed, SERIES, HISTORY);
    naive_free(&w->naive);
    w->naive = naive_new(LONE + 1);
    w->histograms = true;
    m->step = m->kept ? 20 : STEP;
    for (int i = 0; i < DAYS; i++) {
        commit(m);
        if (i == DAYS / 2)
            delete_some(m);
        if (i % 4 == 3)
            maintain(m, workload_end(w->newest - 12));
    }
    damage_newest(m);
    m->step = STEP;
    if (m->kept) {
        delete_series(m, INT64_MIN, INT64_MAX); /* in what is damaged, too */
        maintain(m, workload_end(w->newest - 12));
        add_lone_day(m);
    }
    reopen(m);
    for (int i = 0; i < LATER; i++)
        commit(m);
    /* Each seals the open blocks that it touches: late cells become segments of their own. */
    if (end < END_SEALED)
        delete_series(m, workload_end(w->newest - 2 * HISTORY), workload_end(w->newest));
    for (int i = 1; end < END_SEALED && i < DELETIONS; i++)
        delete_some(m);
    if (last)
        commit(m);
    if (end >= END_SEALED) {
        maintain(m, workload_end(w->newest + 100));
        delete_some(m);
    }
}

void everything_make(struct everything *e, uint64_t seed, enum everything_end end, const char *path,
    const char *copy)
{
    struct maker m = {.out = e, .path = path, .kept = end == END_KEPT};
    struct err err;
    *e = (struct everything){.hidden_from_ms = 0};
    if (m.kept)
        m.retention = kept_retention;
    require(open_with(&m.retention, path, &m.store, &err), &err);
    make(&m, seed, end, true);
    if (end == END_CLEAN)
        store_close(&m.store);
    folder_copy(path, copy);
    if (end == END_KEPT)
        put_others(copy);
    if (m.store)
        store_close(&m.store);
}

void everything_before(struct everything *e, uint64_t seed, enum everything_end end)
{
    struct maker m = {.out = e, .kept = end == END_KEPT};
    if (m.kept)
        m.retention = kept_retention;
    *e = (struct everything){.hidden_from_ms = 0};
    make(&m, seed, end, false);
}

void everything_fini(struct everything *e)
{
    workload_fini(&e->load);
}

/* ---- what is there ---- */

struct census {
    int64_t t0[FILES_MAX], t1[FILES_MAX]; /* of raw segments */
    int64_t derived_t0[FILES_MAX];
    size_t raw, derived, late, damaged, runs, logs, checkpoints, catalogs, deletions;
};

static void count_segment(struct census *c, const char *path)
{
    struct segment *segment;
    struct err err;
    if (!segment_open(path, NULL, &segment, &err)) {
        c->damaged++;
        return;
    }
    const struct segment_info *info = segment_info(segment);
    if (info->resolution_ms) {
        ensure(c->derived < FILES_MAX);
        c->derived_t0[c->derived++] = info->t0;
    } else {
        ensure(c->raw < FILES_MAX);
        for (size_t i = 0; i < c->raw; i++)
            c->late += info->t0 < c->t1[i] && info->t1 > c->t0[i];
        c->t0[c->raw] = info->t0;
        c->t1[c->raw++] = info->t1;
    }
    segment_put(&segment);
}

static void count_file(void *ctx, const char *path)
{
    struct census *c = ctx;
    const char *name = strrchr(path, '/') + 1;
    if (strstr(name, ".seg"))
        count_segment(c, path);
    c->runs += strstr(name, ".run") != NULL;
    c->logs += strstr(name, ".wal") != NULL;
    c->checkpoints += strncmp(name, "checkpoint-", 11) == 0;
    c->catalogs += strncmp(name, "catalog-", 8) == 0;
    c->deletions += strcmp(name, "deletions") == 0;
}

/* Derived segments of days that have nothing raw any more. */
static size_t count_kept(const struct census *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->derived; i++) {
        bool raw = false;
        for (size_t k = 0; k < c->raw; k++)
            raw |= c->t0[k] >= c->derived_t0[i] && c->t0[k] < c->derived_t0[i] + RESOLUTION_1D;
        kept += !raw;
    }
    return kept;
}

/* Edits that only the manifest shows. */
static const char *lacks_edits(const char *path, enum everything_end end)
{
    const struct store_options options = {.path = path, .inspect = true};
    struct store *store;
    struct err err;
    size_t marks = 0;
    require(store_open(&options, &store, &err), &err);
    const struct manifest *m = &store->manifest;
    for (size_t i = 0; i < m->n_quarantined; i++)
        marks += strstr(m->quarantined[i].name, ".lost-") != NULL;
    const char *lacks = NULL;
    if (end == END_SEALED && m->late.n < 1)
        lacks = "a mark of late cells";
    if (end == END_KEPT && marks < 1)
        lacks = "a mark of lost cells";
    if (end == END_KEPT && m->nothing.n < 1)
        lacks = "a derivation of which nothing came";
    store_close(&store);
    return lacks;
}

bool everything_is_there(const char *path, enum everything_end end, const char **lacks)
{
    struct census *c = calloc(1, sizeof *c);
    ensure(c);
    folder_each(path, count_file, c);
    size_t kept = count_kept(c);
    *lacks = c->raw < (end == END_KEPT ? 1 : 3)    ? "raw segments"
             : c->derived < 2                      ? "derived segments"
             : c->late < (end < END_SEALED)        ? "late segments"
             : c->damaged != 1                     ? "a damaged segment"
             : kept < (end == END_KEPT)            ? "kept segments"
             : c->runs < 1                         ? "runs"
             : (c->logs < 3) == (end != END_CLEAN) ? "a log"
             : c->checkpoints < 1                  ? "a checkpoint"
             : c->catalogs < 1                     ? "a catalogue"
             : c->deletions < 1                    ? "a deletion"
                                                   : NULL;
    if (!*lacks)
        *lacks = lacks_edits(path, end);
    printf("# %zu raw, %zu derived, %zu kept segments, %zu overlaps, %zu runs, %zu log files\n",
        c->raw, c->derived - kept, kept, c->late, c->runs, c->logs);
    free(c);
    return !*lacks;
}
