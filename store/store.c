#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/store_priv.h"

#define BLOCK_MS         (2 * 3600 * 1000)
#define WAL_FILE_BYTES   (64u << 20)
#define CHECKPOINT_BYTES (128u << 20)
#define HEAD_BYTES       (1ull << 30)

void store_lock_read(struct store *store)
{
    ensure(pthread_rwlock_rdlock(&store->lock) == 0);
}

void store_lock_write(struct store *store)
{
    ensure(pthread_rwlock_wrlock(&store->lock) == 0);
}

void store_unlock(struct store *store)
{
    ensure(pthread_rwlock_unlock(&store->lock) == 0);
}

/* ---- applying a transaction ---- */

static bool bad(struct err *err, const char *what, uint64_t id)
{
    return err_set(err, ERR_CORRUPT, "transaction refers to %s %" PRIu64, what, id);
}

static bool check_cell(
    const struct store *store, uint32_t series, enum kind kind, enum kind or_kind, struct err *err)
{
    const struct catalog *c = &store->catalog;
    if (series >= c->n_series)
        return bad(err, "unknown series", series);
    enum kind k = c->metrics[c->series[series].metric]->kind;
    return k == kind || k == or_kind || bad(err, "a cell of another kind than its series", series);
}

/* Everything in a payload that the catalogue has to know about, before anything is changed. */
static bool check_transaction(
    const struct store *store, const struct transaction *t, struct err *err)
{
    for (size_t i = 0; i < t->n_adds; i++)
        if (!check_cell(store, t->adds[i].series, KIND_COUNTER, KIND_LEVEL, err))
            return false;
    for (size_t i = 0; i < t->n_gauges; i++)
        if (!check_cell(store, t->gauges[i].series, KIND_GAUGE, KIND_GAUGE, err))
            return false;
    for (size_t i = 0; i < t->n_hists; i++)
        if (!check_cell(store, t->hists[i].series, KIND_HISTOGRAM, KIND_HISTOGRAM, err))
            return false;
    for (size_t i = 0; i < t->n_samples; i++)
        if (!check_cell(store, t->samples[i].series, KIND_SAMPLE, KIND_SAMPLE, err))
            return false;
    return true;
}

static bool apply_definitions(struct store *store, const struct transaction *t, struct err *err)
{
    struct catalog *c = &store->catalog;
    if (t->n_metrics && t->first_metric != c->n_metrics)
        return bad(err, "first new metric", t->first_metric);
    for (size_t i = 0; i < t->n_metrics; i++) {
        if (catalog_find_metric(c, t->metrics[i].name) != MAP_NONE)
            return bad(err, "a metric that is known already, number", i);
        catalog_add_metric(c, &t->metrics[i]);
    }
    for (size_t i = 0; i < t->n_updates; i++) {
        uint32_t id = catalog_find_metric(c, t->updates[i].name);
        if (id == MAP_NONE)
            return bad(err, "an unknown metric, number", i);
        catalog_update_metric(c, id, &t->updates[i]);
    }
    if (t->n_series && t->first_series != c->n_series)
        return bad(err, "first new series", t->first_series);
    for (size_t i = 0; i < t->n_series; i++) {
        if (t->series[i].metric >= c->n_metrics)
            return bad(err, "unknown metric", t->series[i].metric);
        if (catalog_find_series(c, t->series[i].labels) != MAP_NONE)
            return bad(err, "a series that is known already, number", i);
        catalog_add_series(c, t->series[i].metric, t->series[i].labels);
    }
    return true;
}

/* Whether a replayed cell is in a segment already. */
static bool in_segment(const struct store *store, bool replay, int64_t t, uint64_t lsn)
{
    if (!replay || store->manifest.n_sealed == 0)
        return false;
    return lsn <= manifest_sealed_lsn(&store->manifest, head_block_of(&store->head, t));
}

static void apply_cells(struct store *store, const struct transaction *t, uint64_t lsn, bool replay)
{
    struct head *head = &store->head;
    const struct catalog *c = &store->catalog;
    for (size_t i = 0; i < t->n_adds; i++) {
        const struct add_cell *a = &t->adds[i];
        if (!in_segment(store, replay, a->t, lsn))
            head_add(
                head, a->series, c->metrics[c->series[a->series].metric]->kind, a->t, a->amount);
    }
    for (size_t i = 0; i < t->n_gauges; i++) {
        const struct gauge_entry *g = &t->gauges[i];
        if (!in_segment(store, replay, g->t, lsn))
            head_gauge(head, g->series, g->t, &g->cell);
    }
    for (size_t i = 0; i < t->n_hists; i++) {
        const struct hist_entry *h = &t->hists[i];
        if (!in_segment(store, replay, h->t, lsn))
            head_histogram(head, h->series, h->t, h->sum, t->buckets + h->first, h->n);
    }
    for (size_t i = 0; i < t->n_samples; i++) {
        const struct sample_entry *s = &t->samples[i];
        if (!in_segment(store, replay, s->t, lsn))
            head_sample(head, s->series, s->t, s->bits, s->hist);
    }
}

static struct source *source_find(struct store *store, struct slice name)
{
    for (size_t i = 0; i < store->n_sources; i++)
        if (slice_eq(store->sources[i].name, name))
            return &store->sources[i];
    return NULL;
}

static void apply_source(struct store *store, const struct source_entry *e)
{
    struct source *s = source_find(store, e->name);
    if (!s) {
        GROW(store->sources, store->sources_cap, store->n_sources + 1);
        s = &store->sources[store->n_sources++];
        *s = (struct source){.name = arena_slice(&store->catalog.strings, e->name)};
    }
    s->next = e->next;
    s->newest_ms = e->newest_ms;
    s->state = xrealloc(s->state, e->state.len);
    if (e->state.len)
        memcpy(s->state, e->state.ptr, e->state.len);
    s->state_len = e->state.len;
}

static struct stream_clock *clock_find(struct store *store, struct slice name)
{
    for (size_t i = 0; i < store->n_clocks; i++)
        if (slice_eq(store->clocks[i].name, name))
            return &store->clocks[i];
    return NULL;
}

static void apply_clock(struct store *store, const struct clock_entry *e)
{
    struct stream_clock *c = clock_find(store, e->name);
    if (!c) {
        GROW(store->clocks, store->clocks_cap, store->n_clocks + 1);
        c = &store->clocks[store->n_clocks++];
        *c = (struct stream_clock){
            arena_slice(&store->catalog.strings, e->name), INT64_MIN, INT64_MIN};
    }
    if (e->frontier_ms > c->frontier_ms)
        c->frontier_ms = e->frontier_ms;
    if (e->watermark_ms > c->watermark_ms)
        c->watermark_ms = e->watermark_ms;
}

bool store_apply(
    struct store *store, const struct transaction *t, uint64_t lsn, bool replay, struct err *err)
{
    if (!apply_definitions(store, t, err) || !check_transaction(store, t, err))
        return false;
    apply_cells(store, t, lsn, replay);
    for (size_t i = 0; i < t->n_sources; i++)
        apply_source(store, &t->sources[i]);
    for (size_t i = 0; i < t->n_clocks; i++)
        apply_clock(store, &t->clocks[i]);
    store->lsn = lsn;
    store->cells += transaction_cells(t);
    return true;
}

/* ---- opening ---- */

static bool take_lock(struct store *store, struct err *err)
{
    char path[PATH_BYTES], owner[32] = "";
    if (!path_join(path, store->path, "LOCK", err))
        return false;
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (store->lock_fd < 0)
        return err_sys(err, "cannot open %s", path);
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return err_sys(err, "cannot lock %s", path);
        ssize_t n = pread(store->lock_fd, owner, sizeof owner - 1, 0);
        owner[n > 0 ? n : 0] = 0;
        owner[strcspn(owner, "\n")] = 0;
        return err_set(err, ERR_BUSY, "the data folder %s is in use by another larder%s%s",
            store->path, owner[0] ? ", process " : "", owner);
    }
    int n = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    if (ftruncate(store->lock_fd, 0) != 0 || pwrite(store->lock_fd, owner, (size_t)n, 0) != n)
        return err_sys(err, "cannot write %s", path);
    return true;
}

/* Files that no manifest names: what a crash left behind. */
static bool sweep_segment(void *ctx, const char *name, struct err *err)
{
    struct store *store = ctx;
    char dir[PATH_BYTES], path[PATH_BYTES];
    for (size_t i = 0; i < store->manifest.n_segments; i++)
        if (strcmp(store->manifest.segments[i].name, name) == 0)
            return true;
    return path_join(dir, store->path, "seg", err) && path_join(path, dir, name, err) &&
           file_remove(path, err);
}

static bool sweep_checkpoint(void *ctx, const char *name, struct err *err)
{
    struct store *store = ctx;
    char current[CHECKPOINT_NAME_MAX], path[PATH_BYTES];
    checkpoint_name(store->manifest.checkpoint_lsn, current);
    if (strncmp(name, "checkpoint-", 11) != 0 || strcmp(name, current) == 0)
        return true;
    return path_join(path, store->path, name, err) && file_remove(path, err);
}

static bool sweep(struct store *store, struct err *err)
{
    char dir[PATH_BYTES];
    return path_join(dir, store->path, "seg", err) && dir_each(dir, sweep_segment, store, err) &&
           dir_each(store->path, sweep_checkpoint, store, err);
}

static bool open_segments(struct store *store, struct err *err)
{
    char dir[PATH_BYTES], path[PATH_BYTES];
    if (!path_join(dir, store->path, "seg", err) || !dir_make(dir, err))
        return false;
    for (size_t i = 0; i < store->manifest.n_segments; i++) {
        struct segment *segment;
        if (!path_join(path, dir, store->manifest.segments[i].name, err) ||
            !segment_open(path, &segment, err) || !store_attach(store, segment, err))
            return false;
    }
    return true;
}

static bool replay_frame(
    void *ctx, const struct frame *frame, struct slice payload, struct err *err)
{
    struct store *store = ctx;
    struct transaction t;
    transaction_init(&t);
    bool ok = transaction_decode(payload, &t, err) && store_apply(store, &t, frame->lsn, true, err);
    transaction_fini(&t);
    store->wal_written += payload.len;
    return ok;
}

static bool recover(struct store *store, struct err *err)
{
    unsigned torn = 0;
    uint64_t checkpoint = 0;
    if (!dir_make(store->path, err) || !take_lock(store, err))
        return false;
    if (!manifest_open(store->path, store->options.block_ms, &store->manifest, err))
        return false;
    checkpoint = store->manifest.checkpoint_lsn;
    if (checkpoint && !checkpoint_load(store, checkpoint, err))
        return false;
    /* An empty folder gets its manifest before anything else, so that what comes later is never
     * without. */
    if (store->manifest.number == 0 && !manifest_begin(&store->manifest, err))
        return false;
    if (!wal_open(store->path, checkpoint, replay_frame, store, &store->wal, &torn, err))
        return false;
    store->torn_frames = torn;
    store->lsn = wal_last_lsn(store->wal);
    if (!open_segments(store, err))
        return false;
    /* Everything was found whole: only now something is written or swept away. */
    return (manifest_works(&store->manifest) || manifest_begin(&store->manifest, err)) &&
           sweep(store, err);
}

static void init_locks(struct store *store)
{
    pthread_rwlockattr_t attr;
    mutex_init(&store->writer);
    mutex_init(&store->seal);
    ensure(pthread_rwlockattr_init(&attr) == 0);
    /* Readers come all the time: the writer must not wait for a moment without any. */
    ensure(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0);
    ensure(pthread_rwlock_init(&store->lock, &attr) == 0);
    pthread_rwlockattr_destroy(&attr);
}

bool store_open(const struct store_options *options, struct store **out, struct err *err)
{
    struct store *s = xcalloc(1, sizeof *s);
    *out = NULL;
    s->options = *options;
    if (!s->options.block_ms)
        s->options.block_ms = BLOCK_MS;
    if (!s->options.wal_file_bytes)
        s->options.wal_file_bytes = WAL_FILE_BYTES;
    if (!s->options.checkpoint_bytes)
        s->options.checkpoint_bytes = CHECKPOINT_BYTES;
    if (!s->options.head_bytes)
        s->options.head_bytes = HEAD_BYTES;
    s->path = options->path ? xstrdup(options->path) : NULL;
    s->lock_fd = -1;
    s->manifest.fd = -1;
    init_locks(s);
    catalog_init(&s->catalog);
    head_init(&s->head, s->options.block_ms);
    arena_init(&s->histograms, 0);
    if (s->path && !recover(s, err)) {
        store_close(&s);
        return false;
    }
    *out = s;
    return true;
}

void store_close(struct store **store)
{
    struct store *s = *store;
    *store = NULL;
    if (!s)
        return;
    ensure(s->txn == NULL);
    frozen_free(&s->frozen);
    wal_close(&s->wal);
    manifest_close(&s->manifest);
    for (size_t i = 0; i < s->n_segments; i++) {
        segment_put(&s->segments[i].segment);
        free(s->segments[i].series);
    }
    for (size_t i = 0; i < s->n_sources; i++)
        free(s->sources[i].state);
    free(s->segments);
    free(s->sources);
    free(s->clocks);
    head_fini(&s->head);
    catalog_fini(&s->catalog);
    arena_fini(&s->histograms);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    pthread_rwlock_destroy(&s->lock);
    pthread_mutex_destroy(&s->writer);
    pthread_mutex_destroy(&s->seal);
    free(s->path);
    free(s);
}

/* ---- what the last commit left ---- */

bool store_source(struct store *store, struct slice name, struct source_state *out)
{
    store_lock_read(store);
    const struct source *s = source_find(store, name);
    if (s) {
        out->next = s->next;
        out->newest_ms = s->newest_ms;
        out->state_len = s->state_len;
        if (s->state_len)
            memcpy(out->state, s->state, s->state_len);
    }
    store_unlock(store);
    return s != NULL;
}

void store_each_source(struct store *store, source_f *each, void *ctx)
{
    store_lock_read(store);
    for (size_t i = 0; i < store->n_sources; i++)
        each(ctx, store->sources[i].name);
    store_unlock(store);
}

bool store_clock(
    struct store *store, struct slice name, int64_t *frontier_ms, int64_t *watermark_ms)
{
    store_lock_read(store);
    const struct stream_clock *c = clock_find(store, name);
    if (c) {
        *frontier_ms = c->frontier_ms;
        *watermark_ms = c->watermark_ms;
    }
    store_unlock(store);
    return c != NULL;
}

void store_stats(struct store *store, struct store_stats *out)
{
    store_lock_read(store);
    *out = (struct store_stats){.lsn = store->lsn,
        .series = store->catalog.n_series,
        .metrics = store->catalog.n_metrics,
        .head_cells = store->head.cells + (store->frozen ? store->frozen->cells : 0),
        .head_bytes = store->head.bytes + (store->frozen ? store->frozen->bytes : 0),
        .segments = store->n_segments,
        .wal_bytes = store->wal_written - store->wal_at_checkpoint,
        .commits = store->commits,
        .fsyncs = store->fsyncs,
        .cells = store->cells,
        .torn_frames = store->torn_frames,
        .failed = store->failed};
    for (size_t i = 0; i < store->n_segments; i++)
        out->segment_bytes += segment_info(store->segments[i].segment)->bytes;
    store_unlock(store);
}
