#include "store/store.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/checkpoint.h"
#include "store/store_priv.h"

#define BLOCK_MS         (2 * 3600 * 1000)
#define WAL_FILE_BYTES   (64u << 20)
#define CHECKPOINT_BYTES (128u << 20)
#define HEAD_BYTES       (1ull << 30)
/* What is unpacked of the directories, labels and dictionaries of all segments. */
#define SEGMENT_CACHE_BYTES (128u << 20)
#define DEBT_BYTES          (4ull << 30)

void store_lock_read(struct store *store)
{
    gate_peek(&store->gate);
    mutex_lock(&store->lock);
}

void store_lock_write(struct store *store)
{
    gate_close(&store->gate);
    for (;;) {
        publish_all(store);
        mutex_lock(&store->lock);
        if (!store->pending)
            break;
        mutex_unlock(&store->lock); /* the writer was faster */
    }
    store->alone = true;
}

void store_lock_settled(struct store *store)
{
    store_lock_read(store);
    if (!store->pending)
        return;
    store_unlock(store);
    store_lock_write(store);
}

void store_unlock(struct store *store)
{
    bool alone = store->alone;
    store->alone = false;
    mutex_unlock(&store->lock);
    if (alone)
        gate_open(&store->gate);
    else
        gate_leave(&store->gate);
}

/* ---- opening ---- */

/* How the head keeps the cells of a series: by its metric. */
static struct run_shape shape_of(void *ctx, uint32_t series)
{
    struct catalog *c = &((struct store *)ctx)->catalog;
    catalog_lock_read(c);
    const struct metric_def *def = catalog_def(c, series);
    catalog_unlock(c);
    bool windows = def->every_ms > 0 && def->every_ms <= HEAD_BLOCK_MS_MAX;
    return (struct run_shape){def->kind, windows ? (uint32_t)def->every_ms : 1};
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
    if (!s->options.debt_bytes)
        s->options.debt_bytes = DEBT_BYTES;
    s->path = options->path ? xstrdup(options->path) : NULL;
    s->newest_ms = INT64_MIN;
    s->lock_fd = -1;
    s->manifest.fd = -1;
    commit_queue_init(&s->commit_queue);
    mutex_init(&s->seal);
    mutex_init(&s->lock);
    mutex_init(&s->limits.mutex);
    atomic_init(&s->limits.newest_cell_ms, INT64_MIN);
    gate_init(&s->gate);
    replay_init(&s->replay);
    change_log_init(&s->changes);
    s->pending_last = &s->pending;
    catalog_init(&s->catalog);
    head_init(&s->head, s->options.block_ms, shape_of, s);
    s->cache = segment_cache_new(SEGMENT_CACHE_BYTES);
    state_init(&s->state, s->path, s->options.state_bytes);
    if (s->path && !(store_recover(s, err) && replay_begin(s, err))) {
        store_close(&s);
        return false;
    }
    s->open = true;
    *out = s;
    return true;
}

/* After a clean stop there is nothing to replay. What fails here costs the next start its time, and
 * no more. */
static void write_last_checkpoint(struct store *store)
{
    struct err err = {0};
    if (!store->path || replay_phase(store) != REPLAY_OVER || store->failed || store->tail_held ||
        !manifest_works(&store->manifest) || store->lsn == store->manifest.checkpoint_lsn)
        return;
    mutex_lock(&store->seal);
    if (!checkpoint_write(store, &err))
        log_warn("no checkpoint at the end: %s", err.text);
    mutex_unlock(&store->seal);
}

void store_close(struct store **store)
{
    struct store *s = *store;
    *store = NULL;
    if (!s)
        return;
    ensure(s->txn == NULL);
    replay_stop(s);
    publish_all(s);
    if (s->open)
        write_last_checkpoint(s);
    deletions_fini(s);
    put_away_fini(s);
    free(s->limits.of_metric);
    frozen_free(&s->frozen);
    wal_close(&s->wal);
    manifest_close(&s->manifest);
    for (size_t i = 0; i < s->n_segments; i++)
        attached_fini(&s->segments[i]);
    for (size_t i = 0; i < s->n_sources; i++)
        free(s->sources[i].state);
    skips_fini(&s->maintenance.skips);
    free(s->segments);
    segment_cache_put(&s->cache);
    free(s->quarantined);
    progress_put(&s->progress);
    free(s->sources);
    free(s->clocks);
    head_fini(&s->head);
    catalog_fini(&s->catalog);
    state_fini(&s->state);
    replay_fini(s);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    gate_fini(&s->gate);
    change_log_fini(&s->changes);
    change_set_fini(&s->changed);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->limits.mutex);
    commit_queue_fini(&s->commit_queue);
    pthread_mutex_destroy(&s->seal);
    free(s->path);
    free(s);
}

/* ---- what the last commit left ---- */

bool store_source(struct store *store, struct slice name, struct source_state *out)
{
    replay_await(store, NULL);
    mutex_lock(&store->lock);
    const struct source *s = store_source_find(store, name);
    if (s) {
        out->next = s->next;
        out->newest_ms = s->newest_ms;
        out->state_len = s->state_len;
        if (s->state_len)
            memcpy(out->state, s->state, s->state_len);
    }
    mutex_unlock(&store->lock);
    return s != NULL;
}

void store_each_source(struct store *store, source_f *each, void *ctx)
{
    replay_await(store, NULL);
    mutex_lock(&store->lock);
    for (size_t i = 0; i < store->n_sources; i++)
        each(ctx, store->sources[i].name);
    mutex_unlock(&store->lock);
}

bool store_clock(
    struct store *store, struct slice name, int64_t *frontier_ms, int64_t *watermark_ms)
{
    mutex_lock(&store->lock);
    const struct stream_clock *c = store_clock_find(store, name);
    if (c) {
        *frontier_ms = c->frontier_ms;
        *watermark_ms = c->watermark_ms;
    }
    mutex_unlock(&store->lock);
    return c != NULL;
}

void store_stats(struct store *store, struct store_stats *out)
{
    struct state_stats state;
    state_stats(&store->state, &state);
    store_lock_read(store);
    const struct head_block *frozen = store->frozen ? store->frozen->block : NULL;
    *out = (struct store_stats){.lsn = store->lsn,
        .head_cells = head_cells(&store->head) + (frozen ? frozen->cells : 0),
        .head_bytes = head_bytes(&store->head) + (frozen ? head_block_bytes(frozen) : 0),
        .segments = store->n_segments,
        .wal_bytes = store->wal_written - store->wal_at_checkpoint,
        .commits = store->commits,
        .fsyncs = store->fsyncs,
        .cells = store->cells,
        .torn_frames = store->torn_frames,
        .quarantined = quarantine_count(store),
        .put_away = store->put_away.n,
        .unreadable_windows = store->maintenance.unreadable,
        .debt_bytes = store->maintenance.debt_bytes,
        .debt_segments = store->maintenance.debt_segments,
        .compactions = store->maintenance.compactions,
        .compacted_bytes = store->maintenance.compacted_bytes,
        .state_tables = state.tables,
        .state_generations = state.generations,
        .state_keys = state.keys,
        .state_runs = state.runs,
        .state_damaged = state.damaged,
        .state_memory_bytes = state.memory_bytes,
        .state_disk_bytes = state.disk_bytes,
        .deletions_pending = store->n_deletions,
        .deletions_done = store->deletions_done,
        .replayed_lsn = replay_lsn(store),
        .failed = store->failed};
    enum replay_phase phase = replay_phase(store);
    out->replaying = phase == REPLAY_RUNS || phase == REPLAY_WHOLE;
    for (size_t i = 0; i < store->n_segments; i++)
        out->derived_segments += store->segments[i].derived;
    for (size_t i = 0; i < store->n_segments; i++)
        out->segment_bytes += segment_info(store->segments[i].segment)->bytes;
    out->pending_bytes = store->pending_bytes;
    out->pending_waits = store->pending_waits;
    store_unlock(store);
    limits_stats(store, &out->limits);
    catalog_lock_read(&store->catalog);
    out->series = store->catalog.n_series - store->catalog.n_dead;
    out->metrics = store->catalog.n_metrics;
    catalog_unlock(&store->catalog);
}
