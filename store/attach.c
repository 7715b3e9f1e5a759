#include "store/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/derive.h"
#include "store/store_priv.h"

/* So many series are looked up before the lock is let go for a moment. */
#define LOOKUPS 512

static int by_series(const void *a, const void *b)
{
    const struct attached_series *x = a, *y = b;
    return (x->series > y->series) - (x->series < y->series);
}

static bool same_kind(struct store *store, const struct segment *segment, uint32_t series,
    const struct metric_def *def, struct err *err)
{
    const struct catalog *c = &store->catalog;
    enum kind kind = catalog_def(c, series)->kind;
    return kind == def->kind ||
           err_set(err, ERR_CORRUPT, "%s holds metric %.*s as a %s, the catalogue as a %s",
               segment_info(segment)->name, SLICE_FMT(def->name), kind_name(def->kind),
               kind_name(kind));
}

static bool series_of(struct store *store, struct segment *segment, uint32_t ordinal, bool new,
    struct arena *scratch, uint32_t *out, struct err *err)
{
    struct catalog *c = &store->catalog;
    struct labels labels;
    const struct metric_def *def;
    arena_reset(scratch);
    if (!segment_labels(segment, ordinal, scratch, &labels, err) ||
        !segment_metric(segment, ordinal, &def, err))
        return false;
    *out = catalog_find_series(c, labels);
    if (*out == MAP_NONE && !new)
        return err_set(err, ERR_CORRUPT, "%s has a series of %.*s that the catalogue does not know",
            segment_info(segment)->name, SLICE_FMT(def->name));
    if (*out == MAP_NONE) {
        uint32_t metric = catalog_find_metric(c, def->name);
        if (metric == MAP_NONE)
            metric = catalog_add_metric(c, def);
        *out = catalog_add_series(c, metric, labels);
    }
    return same_kind(store, segment, *out, def, err);
}

static bool look_up(struct store *store, struct attached *a, bool new, struct err *err)
{
    size_t n = segment_info(a->segment)->series;
    struct arena scratch;
    bool ok = true;
    arena_init(&scratch, 0);
    a->series = xcalloc(n, sizeof *a->series);
    a->refs = xmalloc(sizeof *a->refs);
    atomic_init(a->refs, 1);
    while (ok && a->n < n) {
        size_t end = n - a->n < LOOKUPS ? n : a->n + LOOKUPS;
        if (!new)
            catalog_lock_read(&store->catalog);
        for (; ok && a->n < end; a->n++) {
            struct attached_series *s = &a->series[a->n];
            s->ordinal = (uint32_t)a->n;
            ok = series_of(store, a->segment, s->ordinal, new, &scratch, &s->series, err);
        }
        if (!new)
            catalog_unlock(&store->catalog);
    }
    arena_fini(&scratch);
    if (ok && n)
        qsort(a->series, n, sizeof *a->series, by_series);
    return ok;
}

/* So many series are compared with the catalogue before a segment's ids are believed. */
#define IDS_TRIED 8

/* Whether series `ordinal` is in the catalogue what it is in the segment. */
static bool id_agrees(struct store *store, const struct segment *segment, uint32_t ordinal,
    struct arena *scratch, bool *agrees, struct err *err)
{
    struct catalog *c = &store->catalog;
    struct labels labels;
    uint32_t found, id;
    arena_reset(scratch);
    if (!segment_labels(segment, ordinal, scratch, &labels, err))
        return false;
    catalog_lock_read(c);
    id = catalog_find_series(c, labels);
    catalog_unlock(c);
    *agrees = id != MAP_NONE;
    if (*agrees && !segment_find(segment, id, &found, err))
        return false;
    *agrees = *agrees && found == ordinal;
    return true;
}

/* A folder may have been put together by hand: some series from all over the segment are tried. */
static bool try_ids(
    struct store *store, const struct segment *segment, bool *agree, struct err *err)
{
    uint64_t n = segment_info(segment)->series, step = n / IDS_TRIED + 1;
    struct arena scratch;
    bool ok = true;
    *agree = segment_has_ids(segment);
    arena_init(&scratch, 0);
    for (uint64_t i = 0; ok && *agree && i < n; i += step)
        ok = id_agrees(store, segment, (uint32_t)i, &scratch, agree, err);
    arena_fini(&scratch);
    return ok;
}

static bool know_series(struct store *store, struct attached *a, bool new, struct err *err)
{
    bool agree;
    return try_ids(store, a->segment, &agree, err) && (agree || look_up(store, a, new, err));
}

bool attach_is_here(const struct store *store, const char *name)
{
    char dir[PATH_BYTES], path[PATH_BYTES];
    return path_join(dir, store->path, "seg", NULL) && path_join(path, dir, name, NULL) &&
           (access(path, F_OK) == 0 || errno != ENOENT);
}

bool attach_open(struct store *store, const char *name, struct segment **out, struct err *err)
{
    const struct segment_remote *remote = &store->options.remote;
    struct segment_file file;
    char dir[PATH_BYTES], path[PATH_BYTES];
    if (!path_join(dir, store->path, "seg", err) || !path_join(path, dir, name, err))
        return false;
    if (!remote->open || attach_is_here(store, name))
        return segment_open(path, store->cache, out, err);
    if (remote->open(remote->ctx, name, &file, err))
        return segment_open_file(name, &file, store->cache, out, err);
    /* It is nowhere: that is what opening the local file says. */
    return err->code == ERR_NOT_FOUND && segment_open(path, store->cache, out, err);
}

/* new: series that the catalogue does not know enter it; then nobody else has the store yet. */
static bool attach(struct store *store, const struct manifest_segment *entry, bool new,
    struct attached *out, struct err *err)
{
    *out = (struct attached){.lsn = entry->lsn, .inputs = entry->inputs, .derived = entry->derived};
    if (attach_open(store, entry->name, &out->segment, err) && know_series(store, out, new, err))
        return true;
    attached_fini(out);
    return false;
}

struct attached attached_get(const struct attached *attached)
{
    struct attached a = *attached;
    segment_get(a.segment);
    if (a.refs)
        atomic_fetch_add_explicit(a.refs, 1, memory_order_relaxed);
    return a;
}

void attached_fini(struct attached *attached)
{
    if (attached->segment)
        segment_put(&attached->segment);
    if (attached->refs && atomic_fetch_sub_explicit(attached->refs, 1, memory_order_acq_rel) == 1) {
        free(attached->series);
        free(attached->refs);
    }
    *attached = (struct attached){0};
}

bool attached_find(
    const struct attached *attached, uint32_t series, uint32_t *ordinal, struct err *err)
{
    size_t lo = 0, hi = attached->n;
    if (!attached->series)
        return segment_find(attached->segment, series, ordinal, err);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (attached->series[mid].series < series)
            lo = mid + 1;
        else
            hi = mid;
    }
    bool is_there = lo < attached->n && attached->series[lo].series == series;
    *ordinal = is_there ? attached->series[lo].ordinal : SEGMENT_NO_ID;
    return true;
}

bool attached_has_metric(
    const struct attached *attached, struct slice metric, bool *has, struct err *err)
{
    uint32_t ordinal;
    size_t n = 1;
    bool ok =
        segment_postings(attached->segment, SLICE(LABEL_METRIC_NAME), metric, &ordinal, &n, err);
    *has = ok && n > 0;
    return ok;
}

bool attach_recover(struct store *store, const struct manifest_segment *entry, struct err *err)
{
    struct attached a;
    if (!attach(store, entry, true, &a, err))
        return false;
    GROW(store->segments, store->segments_cap, store->n_segments + 1);
    store->segments[store->n_segments++] = a; /* the manifest has them by LSN */
    return true;
}

bool attached_ids(const struct attached *attached, uint32_t **out, size_t *n, struct err *err)
{
    *n = segment_info(attached->segment)->series;
    *out = xreallocarray(NULL, *n + 1, sizeof **out);
    if (!attached->series) {
        if (segment_ids(attached->segment, *out, err))
            return true;
        free(*out);
        *out = NULL;
        return false;
    }
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = attached->series[i].series;
    return true;
}

/* ---- changing ---- */

/* A file that no edit names, for sure. */
static void remove_file(struct store *store, const char *name)
{
    char dir[PATH_BYTES], path[PATH_BYTES];
    if (manifest_works(&store->manifest) && !manifest_names(&store->manifest, name) &&
        path_join(dir, store->path, "seg", NULL) && path_join(path, dir, name, NULL))
        file_remove(path, NULL); /* what stays is swept away by the next open, or by retention */
}

/* A list of segments as it will be; who holds `seal` is the only one who changes it. */
struct attached_list {
    struct attached *items;
    size_t n, cap;
};

/* Behind those with the same LSN. */
static void insert(struct attached_list *list, const struct attached *a)
{
    size_t i = list->n++;
    for (; i > 0 && list->items[i - 1].lsn > a->lsn; i--)
        list->items[i] = list->items[i - 1];
    list->items[i] = *a;
}

/* The list after the edit, and in *gone what is in it no more. */
static void make_list(const struct store *store, const struct manifest_edit *edit,
    const struct attached *adds, struct attached_list *next, struct attached_list *gone)
{
    *next = (struct attached_list){.cap = store->n_segments + edit->n_adds};
    *gone = (struct attached_list){.cap = store->n_segments};
    next->items = xcalloc(next->cap, sizeof *next->items);
    gone->items = xcalloc(gone->cap, sizeof *gone->items);
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        struct attached_list *to =
            manifest_edit_drops(edit, segment_info(a->segment)->name) ? gone : next;
        to->items[to->n++] = *a;
    }
    for (size_t i = 0; i < edit->n_adds; i++)
        if (adds[i].segment)
            insert(next, &adds[i]);
}

static void publish(
    struct store *store, const struct manifest_edit *edit, const struct attached *adds)
{
    struct attached_list next, gone;
    size_t n_quarantined;
    struct quarantined *quarantined =
        quarantine_list(&store->manifest, store->quarantined, store->n_quarantined, &n_quarantined);
    struct frozen *done = NULL;
    make_list(store, edit, adds, &next, &gone);
    derive_refresh(next.items, next.n, &store->manifest);
    mutex_lock(&store->lock);
    struct attached *before = store->segments;
    struct quarantined *quarantined_before = store->quarantined;
    store->segments = next.items;
    store->n_segments = next.n;
    store->segments_cap = next.cap;
    store->quarantined = quarantined;
    store->n_quarantined = n_quarantined;
    if (edit->seal) {
        done = store->frozen;
        store->frozen = NULL;
    }
    mutex_unlock(&store->lock);
    frozen_free(&done);
    for (size_t i = 0; i < edit->n_drops; i++) /* the names may be those of the segments */
        remove_file(store, edit->drops[i]);
    for (size_t i = 0; i < gone.n; i++)
        attached_fini(&gone.items[i]);
    free(gone.items);
    free(before);
    free(quarantined_before);
}

/* The edit, but what is added takes the place of a quarantined segment of its name: derived anew
 * from the same cells, it is the same file again, and whole. *drops is for the caller to free. */
static struct manifest_edit with_replaced(
    const struct store *store, const struct manifest_edit *edit, const char ***drops)
{
    const struct manifest *m = &store->manifest;
    struct manifest_edit more = *edit;
    *drops = xcalloc(edit->n_drops + edit->n_adds, sizeof **drops);
    for (size_t i = 0; i < edit->n_drops; i++)
        (*drops)[i] = edit->drops[i];
    for (size_t i = 0; i < edit->n_adds; i++)
        for (size_t k = 0; k < m->n_quarantined; k++)
            if (strcmp(edit->adds[i].name, m->quarantined[k].name) == 0)
                (*drops)[more.n_drops++] = edit->adds[i].name;
    more.drops = *drops;
    return more;
}

/* It has a name and no file: it says what is lost (store/salvage.h). */
static bool is_set_aside(const struct manifest_edit *edit, size_t add)
{
    return edit->quarantine && strcmp(edit->quarantine, edit->adds[add].name) == 0;
}

static bool change(struct store *store, const struct manifest_edit *edit, struct err *err)
{
    struct attached *adds = xcalloc(edit->n_adds, sizeof *adds);
    size_t n = 0;
    while (n < edit->n_adds &&
           (is_set_aside(edit, n) || attach(store, &edit->adds[n], false, &adds[n], err)))
        n++;
    bool ok = n == edit->n_adds && manifest_apply(&store->manifest, edit, err);
    if (ok)
        publish(store, edit, adds);
    for (size_t i = 0; !ok && i < n; i++)
        attached_fini(&adds[i]);
    for (size_t i = 0; !ok && i < edit->n_adds; i++)
        remove_file(store, edit->adds[i].name);
    free(adds);
    return ok;
}

bool attach_again(struct store *store, struct manifest_segment *entry, struct err *err)
{
    struct attached a;
    if (!attach(store, entry, false, &a, err))
        return false;
    entry->unread = false;
    publish(store, &(struct manifest_edit){.n_adds = 1}, &a);
    return true;
}

bool segments_change(struct store *store, const struct manifest_edit *edit, struct err *err)
{
    const char **drops;
    struct manifest_edit more = with_replaced(store, edit, &drops);
    bool ok = change(store, &more, err);
    free(drops);
    return ok;
}
