#include "store/retention.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/compact.h"
#include "store/derive.h"
#include "store/store_priv.h"

/* Raw, 1m, 1h. Cells of a day, which levels have, stay: they are what a level starts from. */
#define KEPT 3
static const int64_t kept_resolutions[KEPT] = {0, RESOLUTION_1M, RESOLUTION_1H};

static const struct segment_info *info_of(const struct store *store, size_t i)
{
    return segment_info(store->segments[i].segment);
}

/* The end of the newest segment that all sources have passed; INT64_MIN when there is none. */
static int64_t newest_sealed(const struct store *store, int64_t passed_ms)
{
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < store->n_segments; i++) {
        int64_t t1 = info_of(store, i)->t1;
        if (t1 <= passed_ms && t1 > newest)
            newest = t1;
    }
    return newest;
}

/* ---- one edit ---- */

struct removal {
    const char **drops;
    struct manifest_segment *adds; /* derived segments that no raw ones stand behind any more */
    size_t n_drops, n_adds;
    uint64_t bytes;
};

static bool goes(const struct store *store, size_t i, int64_t resolution, int64_t from, int64_t to)
{
    const struct segment_info *info = info_of(store, i);
    return info->resolution_ms == resolution && info->t0 >= from && info->t1 <= to;
}

/* The digest of the raw segments that stay, for a derived one. */
static uint64_t inputs_left(
    const struct store *store, const struct attached *d, int64_t from, int64_t to)
{
    const struct segment_info *info = segment_info(d->segment);
    struct manifest left = store->manifest;
    left.segments = xcalloc(left.n_segments, sizeof *left.segments);
    left.n_segments = 0;
    for (size_t i = 0; i < store->n_segments; i++) {
        struct manifest_segment *s = &left.segments[left.n_segments];
        if (goes(store, i, 0, from, to))
            continue;
        *s = (struct manifest_segment){
            .lsn = store->segments[i].lsn, .derived = store->segments[i].derived};
        snprintf(s->name, sizeof s->name, "%s", info_of(store, i)->name);
        left.n_segments++;
    }
    uint64_t inputs = derive_inputs(&left, info->t0, info->t1, d->lsn);
    free(left.segments);
    return inputs;
}

/* Removes all segments of a resolution that lie in [from, to]. *n: how many those are. */
static bool remove_window(
    struct store *store, int64_t resolution, int64_t from, int64_t to, size_t *n, struct err *err)
{
    struct removal r = {0};
    r.drops = xcalloc(store->n_segments, sizeof *r.drops);
    r.adds = xcalloc(store->n_segments, sizeof *r.adds);
    for (size_t i = 0; i < store->n_segments; i++)
        if (goes(store, i, resolution, from, to)) {
            r.drops[r.n_drops++] = info_of(store, i)->name;
            r.bytes += info_of(store, i)->bytes;
        }
    *n = r.n_drops;
    for (size_t i = 0; *n > 0 && resolution == 0 && i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        if (!a->holds || info_of(store, i)->t1 <= from || info_of(store, i)->t0 >= to)
            continue;
        struct manifest_segment *keep = &r.adds[r.n_adds++];
        *keep = (struct manifest_segment){
            .lsn = a->lsn, .derived = true, .inputs = inputs_left(store, a, from, to)};
        snprintf(keep->name, sizeof keep->name, "%s", info_of(store, i)->name);
        r.drops[r.n_drops++] = info_of(store, i)->name;
    }
    struct manifest_edit edit = {
        .drops = r.drops, .n_drops = r.n_drops, .adds = r.adds, .n_adds = r.n_adds};
    bool ok = *n == 0 || segments_change(store, &edit, err);
    if (ok && *n > 0)
        changes_note(store, NULL, 0, from, to);
    if (ok && *n > 0)
        log_info("retention: %zu segments of %" PRIu64 " bytes are gone, resolution %" PRId64 " ms",
            *n, r.bytes, resolution);
    free(r.drops);
    free(r.adds);
    return ok && (*n == 0 || forget_series(store, false, err));
}

/* ---- what goes ---- */

static bool by_age(struct store *store, int64_t newest, bool *did, struct err *err)
{
    const struct retention *r = &store->options.retention;
    const int64_t kept[KEPT] = {r->raw_ms, r->minute_ms, r->hour_ms};
    int64_t window = window_ms(store->options.block_ms);
    for (size_t i = 0; i < KEPT; i++) {
        size_t n;
        if (kept[i] == 0 || newest < INT64_MIN + kept[i] + window)
            continue;
        int64_t to = window_start(newest - kept[i] + 1, window);
        if (!remove_window(store, kept_resolutions[i], INT64_MIN, to, &n, err))
            return false;
        *did = n > 0;
        if (*did)
            return true;
    }
    return true;
}

static bool by_bytes(struct store *store, bool *did, struct err *err)
{
    int64_t window = window_ms(store->options.block_ms);
    uint64_t bytes = 0;
    for (size_t i = 0; i < store->n_segments; i++)
        bytes += info_of(store, i)->bytes;
    if (store->options.retention.max_bytes == 0 || bytes <= store->options.retention.max_bytes)
        return true;
    for (size_t r = 0; r < KEPT; r++) {
        int64_t oldest = INT64_MAX;
        size_t n;
        for (size_t i = 0; i < store->n_segments; i++)
            if (info_of(store, i)->resolution_ms == kept_resolutions[r] &&
                info_of(store, i)->t1 < oldest)
                oldest = info_of(store, i)->t1;
        if (oldest == INT64_MAX)
            continue;
        int64_t start = window_start(oldest, window);
        if (!remove_window(store, kept_resolutions[r], INT64_MIN, start + window, &n, err))
            return false;
        *did = n > 0;
        return true;
    }
    return true;
}

bool retention_step(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    *did = false;
    int64_t newest = newest_sealed(store, passed_ms);
    if (newest == INT64_MIN)
        return true;
    return by_age(store, newest, did, err) && (*did || by_bytes(store, did, err));
}
