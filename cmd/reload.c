#include "cmd/reload.h"

#include <stdlib.h>
#include <string.h>

#include "api/exposition.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

struct reload {
    const struct config *start;
    reload_apply_f *apply;
    void *ctx;
    pthread_mutex_t lock; /* one at a time; guards `own` */
    struct config *own;   /* in force; NULL: that of the start is */
    atomic_bool successful;
    _Atomic int64_t success_ms;
};

struct reload *reload_new(const struct config *start, reload_apply_f *apply, void *ctx)
{
    struct reload *r = xcalloc(1, sizeof *r);
    r->start = start;
    r->apply = apply;
    r->ctx = ctx;
    mutex_init(&r->lock);
    atomic_init(&r->successful, true);
    atomic_init(&r->success_ms, clock_now_ms());
    return r;
}

static void free_config(struct config *config)
{
    if (config)
        config_free(config);
    free(config);
}

void reload_free(struct reload **reload)
{
    struct reload *r = *reload;
    *reload = NULL;
    if (!r)
        return;
    free_config(r->own);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- what a reload does not change ---- */

static bool same_retention(const struct retention *a, const struct retention *b)
{
    if (a->raw_ms != b->raw_ms || a->minute_ms != b->minute_ms || a->hour_ms != b->hour_ms ||
        a->max_bytes != b->max_bytes || a->n_metrics != b->n_metrics)
        return false;
    for (size_t i = 0; i < a->n_metrics; i++) {
        const struct metric_retention *m = &a->metrics[i], *o = &b->metrics[i];
        if (!slice_eq(m->metric, o->metric) || m->raw_ms != o->raw_ms ||
            m->minute_ms != o->minute_ms || m->hour_ms != o->hour_ms)
            return false;
    }
    return true;
}

static bool same_limits(const struct limits *a, const struct limits *b)
{
    return a->series == b->series && a->series_per_metric == b->series_per_metric &&
           a->labels_per_series == b->labels_per_series &&
           a->label_name_bytes == b->label_name_bytes &&
           a->label_value_bytes == b->label_value_bytes && a->sample_age_ms == b->sample_age_ms &&
           a->sample_ahead_ms == b->sample_ahead_ms;
}

static bool same_query(const struct query_limits *a, const struct query_limits *b)
{
    return a->timeout_ms == b->timeout_ms && a->concurrency == b->concurrency &&
           a->queue == b->queue && a->max_samples == b->max_samples &&
           a->max_series == b->max_series && a->memory_bytes == b->memory_bytes;
}

static void tell_what_waits(const struct config *a, const struct config *b)
{
    const struct {
        const char *key;
        bool same;
    } all[] = {
        {"http.listen",
            strcmp(a->http_address, b->http_address) == 0 && a->http_port == b->http_port},
        {"store.path", strcmp(a->store_path, b->store_path) == 0},
        {"store.head_memory", a->store_head_bytes == b->store_head_bytes},
        {"store.retention", same_retention(&a->retention, &b->retention)},
        {"store.limits", same_limits(&a->limits, &b->limits)},
        {"query", same_query(&a->query, &b->query)},
        {"ingest.memory", a->ingest.memory_bytes == b->ingest.memory_bytes},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!all[i].same)
            log_warn("reload: '%s' changes with the next start", all[i].key);
}

/* ---- reading again ---- */

static bool load(const struct config *start, const struct rollup_histories *past,
    struct config *out, struct err *err)
{
    char line[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    struct err_list errors;
    bool ok =
        config_load_with(start->file, start->overrides, start->n_overrides, past, out, &errors);
    for (size_t i = 0; i < errors.n; i++)
        log_error("%s", err_format(&errors.items[i], line, sizeof line));
    if (!ok)
        *err = errors.items[0];
    err_list_fini(&errors);
    return ok;
}

/* What the file says now, and the ingestion with it. */
static bool take(struct reload *r, const struct rollup_histories *past, const atomic_bool *cancel,
    struct err *err)
{
    char line[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    struct config *config = xcalloc(1, sizeof *config);
    bool loaded = load(r->start, past, config, err);
    if (!loaded || !r->apply(r->ctx, config, cancel, err)) {
        if (loaded)
            log_error("%s", err_format(err, line, sizeof line));
        free_config(config);
        return false;
    }
    tell_what_waits(r->start, config);
    free_config(r->own);
    r->own = config;
    return true;
}

bool reload_first(struct reload *reload, struct store *store, struct err *err)
{
    struct rollup_histories past;
    if (!rollup_histories_read(store, &past, err))
        return false;
    mutex_lock(&reload->lock);
    bool ok = past.n ? take(reload, &past, NULL, err)
                     : reload->apply(reload->ctx, reload->start, NULL, err);
    mutex_unlock(&reload->lock);
    rollup_histories_fini(&past);
    return ok;
}

bool reload_now(
    struct reload *reload, struct store *store, const atomic_bool *cancel, struct err *err)
{
    struct rollup_histories past;
    mutex_lock(&reload->lock);
    bool ok = rollup_histories_read(store, &past, err);
    if (ok) {
        ok = take(reload, &past, cancel, err);
        rollup_histories_fini(&past);
    }
    mutex_unlock(&reload->lock);
    atomic_store(&reload->successful, ok);
    if (ok) {
        atomic_store(&reload->success_ms, clock_now_ms());
        log_info("reload: %s is in force", reload->start->file);
    } else {
        log_error(
            "reload: %s is not taken over; the config before stays in force", reload->start->file);
    }
    return ok;
}

bool reload_hold(
    struct reload *reload, bool (*f)(void *ctx, struct err *err), void *ctx, struct err *err)
{
    mutex_lock(&reload->lock);
    bool ok = f(ctx, err);
    mutex_unlock(&reload->lock);
    return ok;
}

void reload_metrics(struct reload *reload, struct buf *out)
{
    exposition_one(out, "larder_config_last_reload_successful", "gauge",
        "Whether the last configuration reload attempt was successful.",
        atomic_load(&reload->successful));
    exposition_one(out, "larder_config_last_reload_success_timestamp_seconds", "gauge",
        "Timestamp of the last successful configuration reload.",
        (double)atomic_load(&reload->success_ms) / 1e3);
}
