#include "store/retention.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/thread.h"
#include "store/checkpoint.h"
#include "store/compact.h"
#include "store/folder_lock.h"
#include "store/inherit.h"
#include "store/keep.h"
#include "store/seal.h"
#include "store/store_priv.h"

/* So many steps that find nothing to do share one weight of the folder. */
#define WEIGHED_FOR 256

/* ---- ages ---- */

/* By raw, 1m, 1h; a day's cells have no age. */
static int64_t pick(int64_t raw_ms, int64_t minute_ms, int64_t hour_ms, int64_t resolution_ms)
{
    switch (resolution_ms) {
    case 0: return raw_ms;
    case RESOLUTION_1M: return minute_ms;
    case RESOLUTION_1H: return hour_ms;
    default: return RETENTION_FOR_EVER;
    }
}

static int64_t general_age(const struct retention *r, int64_t resolution_ms)
{
    int64_t age = pick(r->raw_ms, r->minute_ms, r->hour_ms, resolution_ms);
    return age ? age : RETENTION_FOR_EVER;
}

static int64_t own_age(
    const struct retention *r, const struct metric_retention *m, int64_t resolution_ms)
{
    int64_t age = pick(m->raw_ms, m->minute_ms, m->hour_ms, resolution_ms);
    return age ? age : general_age(r, resolution_ms);
}

static int64_t age_of(const struct retention *r, struct slice metric, int64_t resolution_ms)
{
    for (size_t i = 0; i < r->n_metrics; i++)
        if (slice_eq(r->metrics[i].metric, metric))
            return own_age(r, &r->metrics[i], resolution_ms);
    return general_age(r, resolution_ms);
}

static int64_t longest_age(const struct retention *r, int64_t resolution_ms)
{
    int64_t longest = general_age(r, resolution_ms);
    for (size_t i = 0; i < r->n_metrics; i++) {
        int64_t own = own_age(r, &r->metrics[i], resolution_ms);
        longest = own > longest ? own : longest;
    }
    return longest;
}

/* After which nothing is left but cells of a day. */
static int64_t age_of_all(const struct retention *r)
{
    int64_t all = longest_age(r, 0);
    for (int64_t resolution = RESOLUTION_1M; resolution <= RESOLUTION_1H; resolution *= 60) {
        int64_t coarse = longest_age(r, resolution);
        all = coarse > all ? coarse : all;
    }
    return all;
}

/* When what ends at end_ms has the age; never: INT64_MAX. */
static int64_t leaves(int64_t end_ms, int64_t age_ms)
{
    bool never = age_ms == RETENTION_FOR_EVER || (end_ms > 0 && age_ms > INT64_MAX - end_ms);
    return never ? INT64_MAX : end_ms + age_ms;
}

static bool has_left(int64_t end_ms, int64_t age_ms, int64_t newest_ms)
{
    int64_t at = leaves(end_ms, age_ms);
    return at != INT64_MAX && at <= newest_ms;
}

bool retention_takes(const struct retention *retention, struct slice metric, int64_t resolution_ms,
    int64_t window_end_ms, int64_t newest_ms)
{
    return has_left(window_end_ms, age_of(retention, metric, resolution_ms), newest_ms);
}

bool retention_takes_all(const struct retention *retention, int64_t resolution_ms,
    int64_t window_end_ms, int64_t newest_ms)
{
    return has_left(window_end_ms, longest_age(retention, resolution_ms), newest_ms);
}

int64_t retention_newest(const struct store *store, int64_t passed_ms)
{
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < store->n_segments; i++) {
        int64_t t1 = segment_info(store->segments[i].segment)->t1;
        if (t1 <= passed_ms && t1 > newest)
            newest = t1;
    }
    return newest;
}

/* ---- what is the next to go ---- */

/* The oldest window comes first, in it the finest cells, and what is damaged last. */
struct leaving {
    bool any;
    int64_t t0, t1; /* the window */
    int64_t resolution_ms;
    size_t at;                         /* of the segment */
    const struct quarantined *damaged; /* NULL, or one that was set aside */
};
#define DAMAGED INT64_MAX /* in the place of a resolution */

static bool is_next(const struct leaving *best, const struct leaving *other)
{
    return !best->any || other->t0 < best->t0 ||
           (other->t0 == best->t0 && other->resolution_ms < best->resolution_ms);
}

/* Whether raw cells of the window stay for now, whatever their age (keep.h). */
static bool raw_waits(struct store *store, const struct leaving *raw, int64_t newest_ms, bool all)
{
    const struct keeping keeping = {raw->t0, raw->t1, newest_ms, all};
    return quarantine_has_kept(store, raw->t0, raw->t1) || inherit_waits(store, &keeping);
}

/* Segments of windows that end after INT64_MAX never go. */
static bool window_of(const struct store *store, int64_t t1, struct leaving *out)
{
    int64_t window = window_ms(store->options.block_ms), t0 = window_start(t1, window);
    if (t0 == INT64_MIN || t0 > INT64_MAX - window)
        return false;
    out->any = true;
    out->t0 = t0;
    out->t1 = t0 + window;
    return true;
}

/* When the first of a segment's metrics goes: found once. */
static bool first_leaves(struct store *store, struct attached *a, int64_t end_ms, struct err *err)
{
    const struct retention *r = &store->options.retention;
    const struct segment *s = a->segment;
    int64_t resolution = segment_info(s)->resolution_ms, shortest = RETENTION_FOR_EVER;
    struct arena arena;
    bool ok = true;
    if (a->leaves_ms != 0)
        return true;
    arena_init(&arena, 0);
    for (size_t name = 0; ok && name < segment_label_names(s); name++) {
        bool metrics = r->n_metrics && slice_is(segment_label_name(s, name), LABEL_METRIC_NAME);
        size_t n = metrics ? segment_label_values(s, name) : 0;
        for (size_t i = 0; ok && i < n; i++) {
            struct slice metric;
            arena_reset(&arena);
            ok = segment_label_value(s, name, i, &arena, &metric, err);
            int64_t age = ok ? age_of(r, metric, resolution) : RETENTION_FOR_EVER;
            shortest = age < shortest ? age : shortest;
        }
    }
    arena_fini(&arena);
    if (ok) {
        mutex_lock(&store->lock); /* snapshots copy the list */
        a->leaves_ms = leaves(end_ms, r->n_metrics ? shortest : general_age(r, resolution));
        mutex_unlock(&store->lock);
    }
    return ok;
}

static bool has_raw_elsewhere(const struct store *store, const struct leaving *window)
{
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct segment_info *info = segment_info(store->segments[i].segment);
        struct leaving raw = {0};
        if (info->resolution_ms == 0 && window_of(store, info->t1, &raw) && raw.t0 == window->t0 &&
            !attach_is_here(store, info->name))
            return true;
    }
    return false;
}

/* What lies elsewhere takes no room here. Raw cells of a window go together, and what was derived
 * of them would be made again, so neither does when some of them lie there. */
static bool makes_room(
    const struct store *store, const struct attached *a, const struct leaving *window)
{
    return attach_is_here(store, segment_info(a->segment)->name) &&
           (a->kept || !has_raw_elsewhere(store, window));
}

/* The next to go by age (newest_ms) or, when `any`, whatever its age, if that makes room. *bad:
 * after ERR_CORRUPT, the segment that is damaged. */
static bool find_next(struct store *store, int64_t newest_ms, bool any, struct leaving *out,
    const char **bad, struct err *err)
{
    *out = (struct leaving){0};
    for (size_t i = 0; i < store->n_segments; i++) {
        struct attached *a = &store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        struct leaving x = {.resolution_ms = info->resolution_ms, .at = i};
        if (info->resolution_ms == RESOLUTION_1D || !window_of(store, info->t1, &x) ||
            skips_find(&store->maintenance.skips, x.t0, x.t1))
            continue;
        if (!any && !first_leaves(store, a, x.t1, err)) {
            *bad = info->name;
            return false;
        }
        if ((any || (a->leaves_ms != INT64_MAX && a->leaves_ms <= newest_ms)) && is_next(out, &x) &&
            !(info->resolution_ms == 0 && raw_waits(store, &x, newest_ms, any)) &&
            (!any || makes_room(store, a, &x)))
            *out = x;
    }
    return true;
}

/* Whether its heirs are kept, and it goes. */
static bool is_inherited(
    struct store *store, const struct quarantined *q, const struct keeping *keeping)
{
    return inherit_has(store, keeping, q) &&
           !quarantine_has_kept(store, keeping->t0, keeping->t1) && !inherit_waits(store, keeping);
}

/* Of what is set aside: it goes when nothing else of its window may stay; raw cells that were
 * derived, at their own age. */
static void find_damaged(struct store *store, int64_t newest_ms, bool any, struct leaving *out)
{
    const struct retention *r = &store->options.retention;
    int64_t raw = longest_age(r, 0), all = age_of_all(r);
    for (size_t i = 0; i < store->n_quarantined; i++) {
        const struct quarantined *q = &store->quarantined[i];
        struct leaving x = {.resolution_ms = DAMAGED, .damaged = q};
        if (q->unread || quarantine_stays(q) || !window_of(store, q->t1, &x))
            continue;
        const struct keeping keeping = {x.t0, x.t1, newest_ms, any};
        if ((any || has_left(x.t1, all, newest_ms) ||
                (has_left(x.t1, raw, newest_ms) && is_inherited(store, q, &keeping))) &&
            is_next(out, &x))
            *out = x;
    }
}

/* ---- going ---- */

struct left {
    const struct retention *retention;
    const struct leaving *leaving;
    int64_t newest_ms;
};

static bool is_left(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n)
{
    const struct left *l = ctx;
    (void)labels, (void)out, (void)n;
    return !retention_takes(
        l->retention, def->name, l->leaving->resolution_ms, l->leaving->t1, l->newest_ms);
}

static bool drop_file(struct store *store, const char *name, struct err *err)
{
    const struct manifest_edit edit = {.drops = &name, .n_drops = 1};
    log_info("retention: segment %s goes", name);
    return segments_change(store, &edit, err);
}

static bool take_cells(struct store *store, const struct leaving *l, int64_t newest_ms, bool whole,
    const char **bad, struct err *err)
{
    struct left left = {&store->options.retention, l, newest_ms};
    const struct merge_options options = {.filter = is_left, .ctx = &left};
    char name[SEGMENT_NAME_MAX];
    store->maintenance.series_left = true;
    const struct keeping keeping = {l->t0, l->t1, newest_ms, whole};
    if (l->resolution_ms == 0 || (l->damaged && is_inherited(store, l->damaged, &keeping)))
        return keep_window(store, &keeping, err);
    if (l->damaged)
        return quarantine_expire(store, l->damaged, err);
    *bad = segment_info(store->segments[l->at].segment)->name;
    if (whole || store->options.retention.n_metrics == 0)
        return drop_file(store, *bad, err);
    return segment_rewrite(store, l->at, &options, name, err);
}

/* A block of the window with late cells that are in no segment yet. */
static bool late_block(struct store *store, const struct leaving *l, int64_t *block)
{
    bool found = false;
    store_lock_read(store);
    for (size_t i = 0; i < store->head.n_blocks && !found; i++) {
        const struct head_block *b = store->head.blocks[i];
        found = b->start >= l->t0 && b->start + b->ms <= l->t1;
        *block = b->number;
    }
    store_unlock(store);
    return found;
}

/* whole: the segment goes with all its metrics. Late cells are sealed first, one block per call:
 * they came while the others were there. Whoever keeps answers hears of it. */
static bool take(struct store *store, const struct leaving *l, int64_t newest_ms, bool whole,
    const char **bad, struct err *err)
{
    int64_t block;
    if (l->resolution_ms == 0 && late_block(store, l, &block))
        return seal_block(store, block, err);
    if (!take_cells(store, l, newest_ms, whole, bad, err))
        return false;
    changes_note(store, NULL, 0, l->t0, l->t1);
    return true;
}

/* ---- bytes ---- */

/* Where a walk through a folder is. */
struct weighing {
    const char *dir;
    const struct manifest_runs *runs; /* not NULL: only these of its files count */
    uint64_t bytes;
};

static bool add_file(void *ctx, const char *name, struct err *err)
{
    struct weighing *w = ctx;
    char path[PATH_BYTES];
    struct stat st;
    if ((w->runs && !manifest_runs_name(w->runs, name)) || strcmp(name, FOLDER_LOCK_NAME) == 0)
        return true;
    if (!path_join(path, w->dir, name, err))
        return false;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) /* the writer drops files of the log */
        w->bytes += (uint64_t)st.st_size;
    return true;
}

/* Of all files that are the store's: its own folder's, and those of the log, of segments and of
 * state tables. A run that is merged is there until nobody reads it, and counts no more; the lock
 * says which process has the folder, and what goes may not depend on that. */
static bool weigh(const struct store *store, uint64_t *bytes, struct err *err)
{
    static const char *const folders[] = {"wal", "seg", "state"};
    struct weighing w = {.dir = store->path};
    bool ok = dir_each(store->path, add_file, &w, err);
    for (size_t i = 0; ok && i < sizeof folders / sizeof *folders; i++) {
        char dir[PATH_BYTES];
        struct stat st;
        w.dir = dir;
        w.runs = strcmp(folders[i], "state") == 0 ? &store->manifest.runs : NULL;
        ok = path_join(dir, store->path, folders[i], err) &&
             (stat(dir, &st) != 0 || dir_each(dir, add_file, &w, err));
    }
    *bytes = w.bytes;
    return ok;
}

/* Over the bound, files that nobody needs any more go before anything else does: one that could not
 * be removed takes its room still, and taking cells instead would take all of them. */
static bool weigh_swept(struct store *store, uint64_t *bytes, struct err *err)
{
    if (!weigh(store, bytes, err))
        return false;
    return *bytes <= store->options.retention.max_bytes ||
           (store_sweep(store, err) && checkpoint_forget_log(store, err) &&
               weigh(store, bytes, err));
}

/* Whether the folder takes more than the bound. Files come and go by edits of the manifest, and the
 * log grows: while neither has happened, what was weighed before is what there is, but for files
 * that are none of the store's doing, so it is weighed again after a while. Nothing goes because of
 * anything but a fresh weight. */
static bool is_over(struct store *store, bool *over, struct err *err)
{
    struct retention_weight *w = &store->maintenance.weight;
    const struct manifest *m = &store->manifest;
    uint64_t max = store->options.retention.max_bytes, log = wal_taken(store->wal);
    *over = false;
    if (w->rounds > 0 && w->number == m->number && w->edits == m->edits &&
        w->bytes + (log - w->log) <= max) {
        w->rounds--;
        return true;
    }
    *w = (struct retention_weight){.number = m->number, .edits = m->edits, .log = log};
    if (!weigh_swept(store, &w->bytes, err))
        return false;
    w->rounds = WEIGHED_FOR;
    *over = w->bytes > max;
    return true;
}

/* ---- steps ---- */

/* From when ages count now, for readers too. */
static int64_t note_newest(struct store *store, int64_t passed_ms)
{
    int64_t newest = retention_newest(store, passed_ms);
    mutex_lock(&store->lock);
    store->newest_ms = newest;
    mutex_unlock(&store->lock);
    return newest;
}

/* Of a step that could not read segment `bad`, or NULL: it failed for another reason. */
static bool set_aside(
    struct store *store, const char *bad, const struct err *why, bool *did, struct err *err)
{
    int64_t t0 = INT64_MIN, t1 = INT64_MAX;
    if (!bad) {
        *err = *why;
        return false;
    }
    *did = true;
    segment_name_times(bad, &t0, &t1);
    return input_set_aside(store, bad, t0, t1, why, err);
}

static bool take_old(
    struct store *store, int64_t newest_ms, bool *did, const char **bad, struct err *err)
{
    struct leaving next;
    if (!find_next(store, newest_ms, false, &next, bad, err))
        return false;
    find_damaged(store, newest_ms, false, &next);
    *did = next.any;
    return !*did || take(store, &next, newest_ms, false, bad, err);
}

bool retention_by_age(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    const char *bad = NULL;
    struct err why = {0};
    int64_t newest = note_newest(store, passed_ms);
    *did = false;
    return newest == INT64_MIN || take_old(store, newest, did, &bad, &why) ||
           set_aside(store, bad, &why, did, err);
}

static bool take_over(struct store *store, int64_t newest_ms, int64_t passed_ms, bool *did,
    const char **bad, struct err *err)
{
    struct leaving next;
    bool over;
    if (!find_next(store, newest_ms, true, &next, bad, err))
        return false;
    find_damaged(store, newest_ms, true, &next);
    if (!next.any || next.t1 > passed_ms)
        return true;
    if (!is_over(store, &over, err))
        return false;
    *did = over;
    if (over)
        log_info("retention: %" PRIu64 " bytes of %" PRIu64 " are taken",
            store->maintenance.weight.bytes, store->options.retention.max_bytes);
    return !over || take(store, &next, newest_ms, true, bad, err);
}

bool retention_by_bytes(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    const char *bad = NULL;
    struct err why = {0};
    int64_t newest = note_newest(store, passed_ms);
    *did = false;
    return newest == INT64_MIN || store->options.retention.max_bytes == 0 ||
           take_over(store, newest, passed_ms, did, &bad, &why) ||
           set_aside(store, bad, &why, did, err);
}

struct expiry {
    const struct store *store;
    int64_t newest_ms;
};

static bool has_expired(void *ctx, int64_t t0, int64_t t1)
{
    const struct expiry *e = ctx;
    struct leaving x = {0};
    (void)t0;
    return window_of(e->store, t1, &x) &&
           has_left(x.t1, age_of_all(&e->store->options.retention), e->newest_ms);
}

bool retention_put_away(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    struct expiry expiry = {store, note_newest(store, passed_ms)};
    *did = false;
    return expiry.newest_ms == INT64_MIN || put_away_expire(store, has_expired, &expiry, err);
}

bool retention_forget(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    (void)passed_ms;
    *did = store->maintenance.series_left && !forget_waits(store);
    return !*did || forget_series(store, err);
}
