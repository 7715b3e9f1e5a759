#include "store/inherit.h"

#include "store/derive.h"
#include "store/mark.h"
#include "store/resolution.h"
#include "store/store_priv.h"
#include "store/timeline.h"

static bool is_heir(const struct attached *a)
{
    return a->derived && a->holds && !a->kept && !a->backed;
}

const struct attached *inherit_from(const struct store *store, int64_t t0, int64_t resolution_ms)
{
    if (store->n_quarantined == 0) /* all that was derived can be made again */
        return NULL;
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (is_heir(a) && info->t0 == t0 && info->resolution_ms == resolution_ms)
            return a;
    }
    return NULL;
}

bool inherit_any(const struct store *store, int64_t t0)
{
    for (int r = 0; r < RESOLUTIONS; r++)
        if (inherit_from(store, t0, resolutions[r]))
            return true;
    return false;
}

/* *some: at least one of them. */
static bool is_inherited(
    const struct store *store, const struct keeping *what, const struct quarantined *q, bool *some)
{
    bool all = true;
    *some = false;
    if (q->derived || q->t0 < what->t0 || q->t1 > what->t1)
        return false;
    for (int r = 0; r < RESOLUTIONS; r++) {
        const struct attached *heir = inherit_from(store, what->t0, resolutions[r]);
        all = all && (!heir || q->lsn <= heir->lsn);
        *some = *some || (heir && q->lsn <= heir->lsn);
    }
    return all && *some;
}

bool inherit_has(
    const struct store *store, const struct keeping *keeping, const struct quarantined *quarantined)
{
    bool some;
    return is_inherited(store, keeping, quarantined, &some);
}

static bool any_metric(
    struct store *store, bool (*is)(const struct metric_def *def, int64_t with), int64_t with)
{
    struct catalog *catalog = &store->catalog;
    bool any = false;
    catalog_lock_read(catalog);
    for (size_t i = 0; i < catalog->n_metrics && !any; i++)
        any = is(catalog->metrics[i], with);
    catalog_unlock(catalog);
    return any;
}

static bool is_of_kind(const struct metric_def *def, int64_t kind)
{
    return def->kind == (enum kind)kind;
}

/* Whether cells of the resolution that stay were in what is set aside, and are in no heir. */
static bool is_lost(struct store *store, const struct keeping *what, int64_t resolution_ms)
{
    struct timeline timeline;
    if (!derive_fits(what->t0, what->t1, resolution_ms) ||
        inherit_from(store, what->t0, resolution_ms) ||
        retention_takes_all(&store->options.retention, resolution_ms, what->t1, what->newest_ms) ||
        !any_metric(store, resolution_fits, resolution_ms))
        return false;
    const struct nothing *nothing = nothing_find(&store->manifest.nothing, what->t0, resolution_ms);
    timeline_init(&timeline, store->segments, store->n_segments, &store->manifest);
    bool none = nothing && nothing->inputs ==
                               timeline_digest(&timeline, what->t0, what->t1, nothing->lsn, true);
    timeline_fini(&timeline);
    return !none;
}

bool inherit_waits(struct store *store, const struct keeping *keeping)
{
    const struct keeping *what = keeping;
    if (!inherit_any(store, what->t0))
        return false;
    if (any_metric(store, is_of_kind, KIND_SAMPLE))
        return true;
    for (size_t i = 0; i < store->n_quarantined; i++) {
        bool some;
        if (!is_inherited(store, what, &store->quarantined[i], &some) && some)
            return true;
    }
    for (int r = 0; r < RESOLUTIONS && !what->all; r++)
        if (is_lost(store, what, resolutions[r]))
            return true; /* unless it is repaired */
    return !what->all &&
           !retention_takes_all(&store->options.retention, 0, what->t1, what->newest_ms);
}

static bool mark_one(
    struct store *store, const struct quarantined *q, int64_t resolution_ms, struct err *err)
{
    struct manifest_segment mark = {.lsn = q->lsn, .derived = true};
    mark_lost(q->name, resolution_ms, mark.name);
    return manifest_names(&store->manifest, mark.name) ||
           segments_change(store,
               &(struct manifest_edit){.adds = &mark, .n_adds = 1, .quarantine = mark.name}, err);
}

bool inherit_mark_lost(struct store *store, const struct keeping *keeping, struct err *err)
{
    if (!inherit_any(store, keeping->t0))
        return true;
    for (int r = 0; r < RESOLUTIONS; r++) {
        if (!is_lost(store, keeping, resolutions[r]))
            continue;
        for (size_t i = 0; i < store->n_quarantined; i++)
            if (inherit_has(store, keeping, &store->quarantined[i]) &&
                !mark_one(store, &store->quarantined[i], resolutions[r], err))
                return false;
    }
    return true;
}
