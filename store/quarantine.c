#include "store/quarantine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/attach.h"
#include "store/mark.h"
#include "store/resolution.h"
#include "store/store_priv.h"

bool segment_name_times(const char *name, int64_t *t0, int64_t *t1)
{
    char dot;
    return sscanf(name, "%" SCNd64 "-%" SCNd64 "%c", t0, t1, &dot) == 3 && dot == '.' && *t0 < *t1;
}

static struct quarantined describe(const struct manifest_segment *s)
{
    struct quarantined q = {.lsn = s->lsn, .derived = s->derived, .unread = s->unread};
    memcpy(q.name, s->name, sizeof q.name);
    if (!segment_name_times(q.name, &q.t0, &q.t1)) { /* it may hold anything */
        q.t0 = INT64_MIN;
        q.t1 = INT64_MAX;
    }
    q.kept = s->derived && s->inputs == 0;
    q.mark = mark_is(s->name);
    q.gone = q.mark && !mark_is_lost(s->name);
    q.resolution_ms = mark_resolution(s->name);
    return q;
}

struct quarantined *quarantine_list(
    const struct manifest *manifest, const struct quarantined *before, size_t n_before, size_t *n)
{
    struct quarantined *all = xcalloc(manifest->n_quarantined + manifest->n_segments, sizeof *all);
    *n = 0;
    for (size_t i = 0; i < manifest->n_quarantined; i++)
        all[(*n)++] = describe(&manifest->quarantined[i]);
    for (size_t i = 0; i < manifest->n_segments; i++)
        if (manifest->segments[i].unread)
            all[(*n)++] = describe(&manifest->segments[i]);
    for (size_t i = 0; i < *n; i++)
        for (size_t k = 0; k < n_before; k++)
            if (strcmp(all[i].name, before[k].name) == 0)
                all[i].clean = before[k].clean;
    return all;
}

bool quarantine_segment(
    struct store *store, const char *name, const struct err *why, struct err *err)
{
    char copy[SEGMENT_NAME_MAX];
    int64_t t0, t1;
    snprintf(copy, sizeof copy, "%s", name);
    if (!segments_change(store, &(struct manifest_edit){.quarantine = copy}, err))
        return false;
    if (!segment_name_times(copy, &t0, &t1)) /* it may hold anything */
        t0 = INT64_MIN, t1 = INT64_MAX;
    changes_note(store, NULL, 0, t0, t1);
    log_error("segment %s is set aside, its file is kept: %s", copy, why->text);
    return true;
}

bool input_set_aside(struct store *store, const char *name, int64_t t0, int64_t t1,
    const struct err *why, struct err *err)
{
    bool may_pass = why->code == ERR_IO || why->code == ERR_UNAVAILABLE || why->code == ERR_TIMEOUT;
    if (why->code == ERR_CORRUPT || why->code == ERR_UNSUPPORTED)
        return quarantine_segment(store, name, why, err);
    if (may_pass)
        skips_add(&store->maintenance.skips, t0, t1, why);
    else
        *err = *why;
    return may_pass;
}

/* ---- its age ---- */

static bool overlaps(const struct quarantined *q, int64_t t0, int64_t t1)
{
    return q->t0 < t1 && t0 < q->t1;
}

size_t quarantine_count(const struct store *store)
{
    size_t n = 0;
    for (size_t i = 0; i < store->n_quarantined; i++)
        n += !store->quarantined[i].gone;
    return n;
}

bool quarantine_has_kept(const struct store *store, int64_t t0, int64_t t1)
{
    for (size_t i = 0; i < store->n_quarantined; i++) {
        const struct quarantined *q = &store->quarantined[i];
        if (q->kept && !q->mark && overlaps(q, t0, t1))
            return true;
    }
    return false;
}

bool quarantine_stays(const struct quarantined *quarantined)
{
    const struct quarantined *q = quarantined;
    return q->t0 == INT64_MIN || (q->mark && q->kept && q->resolution_ms == RESOLUTION_1D);
}

static bool has_levels(struct store *store)
{
    bool has = false;
    catalog_lock_read(&store->catalog);
    for (size_t i = 0; i < store->catalog.n_metrics && !has; i++)
        has = store->catalog.metrics[i]->kind == KIND_LEVEL;
    catalog_unlock(&store->catalog);
    return has;
}

/* Whether cells of a day may be lost with it. Of kept segments there is one of each resolution. */
static bool loses_days(struct store *store, const struct quarantined *q)
{
    if (q->gone || (q->derived && !q->kept) || !has_levels(store) ||
        (q->mark && q->kept && q->resolution_ms != MARK_ANY_RESOLUTION))
        return false;
    for (size_t i = 0; i < store->n_segments && q->kept && !q->mark; i++) {
        const struct attached *a = &store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (a->kept && info->resolution_ms == RESOLUTION_1D && info->t0 == q->t0)
            return false;
    }
    return true;
}

bool quarantine_expire(struct store *store, const struct quarantined *quarantined, struct err *err)
{
    const struct quarantined *q = quarantined;
    struct manifest_segment mark = {.lsn = q->lsn, .derived = true};
    struct manifest_edit edit = {.drops = (const char *[]){q->name}, .n_drops = 1};
    if (loses_days(store, q)) {
        mark_lost(q->name, RESOLUTION_1D, mark.name);
        edit.adds = &mark;
        edit.n_adds = manifest_names(&store->manifest, mark.name) ? 0 : 1;
        edit.quarantine = edit.n_adds ? mark.name : NULL;
    }
    log_info("retention: %s, which was set aside, goes", q->name);
    return segments_change(store, &edit, err);
}
