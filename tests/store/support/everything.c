#include "tests/store/support/everything.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "store/files.h"
#include "store/quarantine.h"
#include "store/segment.h"
#include "tests/store/support/folder.h"

#define SERIES    3
#define HISTORY   120
#define CELLS     90
#define DAYS      90 /* commits of 25 minutes each: a day and a half, so that one is compacted */
#define LATER     30 /* in the log, behind the checkpoint */
#define STATE     1500
#define FILES_MAX 300

bool everything_open(const char *path, struct store **store, struct err *err)
{
    struct store_options options = {.path = path,
        .block_ms = WORKLOAD_BLOCK,
        .wal_file_bytes = 1000,
        .checkpoint_bytes = 1 << 20,
        .state_bytes = STATE};
    return store_open(&options, store, err);
}

/* ---- making ---- */

struct maker {
    struct everything *out;
    struct store *store; /* NULL: the model alone */
    const char *path;
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
    w->newest += 5;
    require(!txn || txn_commit(&txn, NULL, &err), &err);
}

static void maintain(struct maker *m, int64_t now)
{
    struct err err;
    require(!m->store || store_maintain(m->store, now, &err), &err);
}

static void reopen(struct maker *m)
{
    struct err err;
    if (!m->store)
        return;
    store_close(&m->store);
    require(everything_open(m->path, &m->store, &err), &err);
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

/* A byte of its header changes while the store is closed; the next start sets it aside. */
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
    ensure(fd >= 0 && pread(fd, &byte, 1, 20) == 1);
    byte ^= 1;
    ensure(pwrite(fd, &byte, 1, 20) == 1 && close(fd) == 0);
    m->out->hidden_from_ms = n.t0;
    m->out->hidden_to_ms = n.t1;
    require(everything_open(m->path, &m->store, &err), &err);
    store_stats(m->store, &stats);
    ensure(stats.quarantined == 1);
}

static void delete_some(struct maker *m)
{
    struct err err;
    require(workload_delete(&m->out->load, m->store, &err), &err);
}

/* `last`: with the last transaction. */
static void make(struct maker *m, uint64_t seed, enum everything_end end, bool last)
{
    struct workload *w = &m->out->load;
    workload_init(w, seed, SERIES, HISTORY);
    w->histograms = true;
    for (int i = 0; i < DAYS; i++) {
        commit(m);
        if (i == DAYS / 2)
            delete_some(m);
        if (i % 4 == 3)
            maintain(m, workload_end(w->newest - 12));
    }
    damage_newest(m);
    reopen(m);
    for (int i = 0; i < LATER; i++)
        commit(m);
    if (end != END_SEALED)
        delete_some(m);
    if (last)
        commit(m);
    if (end == END_SEALED) {
        maintain(m, workload_end(w->newest + 100));
        delete_some(m);
    }
}

void everything_make(struct everything *e, uint64_t seed, enum everything_end end, const char *path,
    const char *copy)
{
    struct maker m = {.out = e, .path = path};
    struct err err;
    *e = (struct everything){.hidden_from_ms = 0};
    require(everything_open(path, &m.store, &err), &err);
    make(&m, seed, end, true);
    if (end == END_CLEAN)
        store_close(&m.store);
    folder_copy(path, copy);
    if (m.store)
        store_close(&m.store);
}

void everything_before(struct everything *e, uint64_t seed, enum everything_end end)
{
    struct maker m = {.out = e};
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
        c->derived++;
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

bool everything_is_there(const char *path, enum everything_end end, const char **lacks)
{
    struct census *c = calloc(1, sizeof *c);
    ensure(c);
    folder_each(path, count_file, c);
    *lacks = c->raw < 3                            ? "raw segments"
             : c->derived < 2                      ? "derived segments"
             : c->late < (end != END_SEALED)       ? "late segments"
             : c->damaged != 1                     ? "a damaged segment"
             : c->runs < 1                         ? "runs"
             : (c->logs < 3) == (end != END_CLEAN) ? "a log"
             : c->checkpoints < 1                  ? "a checkpoint"
             : c->catalogs < 1                     ? "a catalogue"
             : c->deletions < 1                    ? "a deletion"
                                                   : NULL;
    printf("# %zu raw, %zu derived segments, %zu overlaps, %zu runs, %zu log files\n", c->raw,
        c->derived, c->late, c->runs, c->logs);
    free(c);
    return !*lacks;
}
