#include "store/compact.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/merge.h"
#include "store/store_priv.h"

/* So many late segments are merged with each other: those of about one size. */
#define LATE_SEGMENTS 8
/* Late segments are merged in when they have 1 / LATE_SHARE of the bytes. */
#define LATE_SHARE 4

int64_t window_ms(int64_t block_ms)
{
    return block_ms <= DAY_MS && DAY_MS % block_ms == 0 ? DAY_MS : block_ms;
}

int64_t window_start(int64_t t, int64_t window)
{
    if (t <= INT64_MIN + window)
        return INT64_MIN;
    return ((t - 1) / window - ((t - 1) % window < 0)) * window;
}

/* ---- what is due ---- */

/* A raw segment, and where it belongs. */
struct placed {
    int64_t start; /* of the group: a window, or a block of one that is not passed */
    int64_t end;
    size_t part; /* how many that are set aside lie before it, in the order of commits */
    size_t at;   /* in store->segments */
};

static int by_start(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static void sort(struct placed *all, size_t n)
{
    if (n)
        qsort(all, n, sizeof *all, by_start);
}

/* The end of the group that begins with all[i]. */
static size_t group_end(const struct placed *all, size_t n, size_t i)
{
    size_t end = i + 1;
    while (end < n && all[end].start == all[i].start && all[end].part == all[i].part)
        end++;
    return end;
}

/* Whether the window was compacted: something in it is longer than a block. Then it was passed
 * once, whatever the sources say now: after a restart they are said to stand nowhere, and a new one
 * stands behind the others. */
static bool was_passed(const struct store *store, const struct placed *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct segment_info *info = segment_info(store->segments[all[i].at].segment);
        if (info->t1 - info->t0 > store->options.block_ms)
            return true;
    }
    return false;
}

static bool is_passed(
    const struct store *store, const struct placed *all, size_t n, int64_t passed_ms)
{
    int64_t window = window_ms(store->options.block_ms);
    return (all->start <= INT64_MAX - window && passed_ms >= all->start + window) ||
           was_passed(store, all, n);
}

/* Whether it is a part of what a derived segment was made from that cannot be made again, since
 * others of its inputs are set aside (heirs.h). */
static bool has_heir(const struct store *store, const struct attached *a)
{
    for (int r = 0; r < RESOLUTIONS; r++)
        if (a->cover[r] != NOT_COVERED && !store->segments[a->cover[r]].backed)
            return true;
    return false;
}

/* What is set aside may be put back, and then lies between the others. */
static size_t part_of(const struct store *store, const struct placed *p)
{
    size_t before = 0;
    for (size_t i = 0; i < store->n_quarantined; i++) {
        const struct quarantined *q = &store->quarantined[i];
        before += !q->derived && !q->mark && q->t0 < p->end && p->start < q->t1 &&
                  q->lsn < store->segments[p->at].lsn;
    }
    return before;
}

static void place_window(const struct store *store, struct placed *all, size_t n, int64_t passed_ms)
{
    bool passed = is_passed(store, all, n, passed_ms);
    for (size_t k = 0; k < n; k++) {
        const struct segment_info *info = segment_info(store->segments[all[k].at].segment);
        if (!passed) {
            all[k].start = info->t0;
            all[k].end = info->t1;
        }
        all[k].part = part_of(store, &all[k]);
    }
}

/* Groups, oldest first: all raw segments of a passed window are one, those of another one are a
 * group by block; but one ends where a segment is set aside. So of the segments that a group
 * overlaps none is left out that lies, in the order of commits, among its own. */
static struct placed *place_all(const struct store *store, int64_t passed_ms, size_t *n)
{
    struct placed *all = xcalloc(store->n_segments, sizeof *all);
    int64_t window = window_ms(store->options.block_ms);
    *n = 0;
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        int64_t start = window_start(segment_info(a->segment)->t1, window);
        int64_t end = start > INT64_MAX - window ? INT64_MAX : start + window;
        if (!a->derived && !has_heir(store, a))
            all[(*n)++] = (struct placed){.start = start, .end = end, .at = i};
    }
    sort(all, *n);
    for (size_t i = 0, end; i < *n; i = end) {
        end = group_end(all, *n, i);
        place_window(store, &all[i], end - i, passed_ms);
    }
    sort(all, *n);
    return all;
}

static uint64_t bytes_of(const struct store *store, const struct placed *all, size_t n)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += segment_info(store->segments[all[i].at].segment)->bytes;
    return bytes;
}

/* From where on the late segments of a compacted window are of one size: none is larger than all
 * that came after it. So whenever cells are written anew with others, there are twice as many. */
static size_t late_from(const struct store *store, const struct placed *group, size_t n)
{
    size_t from = n;
    uint64_t after = 0;
    while (from > 1) {
        uint64_t bytes = bytes_of(store, &group[from - 1], 1);
        if (from < n && bytes > after)
            break;
        after += bytes;
        from--;
    }
    return from;
}

/* How many of a group are left out, the oldest; n when nothing is due. */
static size_t due_from(const struct store *store, const struct placed *group, size_t n)
{
    if (n < 2)
        return n;
    const struct segment_info *first = segment_info(store->segments[group[0].at].segment);
    if (first->t0 != group->start || first->t1 != group->end)
        return 0; /* the window was never compacted */
    if (bytes_of(store, group + 1, n - 1) >= first->bytes / LATE_SHARE)
        return 0;
    size_t from = late_from(store, group, n);
    return n - from >= LATE_SEGMENTS ? from : n;
}

static void take(const struct store *store, const struct placed *group, size_t n, size_t from,
    struct compaction *out)
{
    *out = (struct compaction){.n = n - from, .t0 = INT64_MAX, .t1 = INT64_MIN};
    out->inputs = xcalloc(out->n, sizeof *out->inputs);
    for (size_t i = 0; i < out->n; i++) {
        const struct segment_info *info = segment_info(store->segments[group[from + i].at].segment);
        out->inputs[i] = group[from + i].at;
        out->t0 = info->t0 < out->t0 ? info->t0 : out->t0;
        out->t1 = info->t1 > out->t1 ? info->t1 : out->t1;
    }
    if (from == 0) {
        out->t0 = group->start;
        out->t1 = group->end;
    }
    out->bytes = bytes_of(store, group + from, out->n);
}

bool compact_due(
    struct store *store, int64_t passed_ms, struct compaction *out, struct compact_debt *debt)
{
    size_t n;
    bool due = false;
    struct placed *all = place_all(store, passed_ms, &n);
    *debt = (struct compact_debt){0};
    for (size_t i = 0, end; i < n; i = end) {
        end = group_end(all, n, i);
        size_t from = due_from(store, &all[i], end - i);
        if (from == end - i || skips_find(&store->maintenance.skips, all[i].start, all[i].end))
            continue;
        debt->segments += end - i - from;
        debt->bytes += bytes_of(store, &all[i + from], end - i - from);
        if (!due)
            take(store, &all[i], end - i, from, out);
        due = true;
    }
    free(all);
    return due;
}

void compaction_fini(struct compaction *compaction)
{
    free(compaction->inputs);
    *compaction = (struct compaction){0};
}

/* ---- doing it ---- */

/* out->series 0: everything cancelled out, and there is no file. */
static bool write_output(struct store *store, const struct compaction *c, struct segment_info *out,
    const char **bad, struct err *err)
{
    size_t at;
    struct segment **inputs = xcalloc(c->n, sizeof(struct segment *));
    struct segment_input input;
    struct merge *merge;
    char dir[PATH_BYTES];
    for (size_t i = 0; i < c->n; i++)
        inputs[i] = store->segments[c->inputs[i]].segment;
    merge_new(inputs, c->n, &(struct merge_options){.catalog = &store->catalog}, &merge);
    *out = (struct segment_info){0};
    bool ok = merge_input(merge, &input, err) && path_join(dir, store->path, "seg", err);
    input.t0 = c->t0;
    input.t1 = c->t1;
    ok = ok && (segment_write(dir, &input, out, err) || merge_is_empty(merge));
    *bad = !ok && merge_bad_segment(merge, &at) ? segment_info(inputs[at])->name : NULL;
    merge_free(&merge);
    free(inputs);
    return ok;
}

bool compact_run(
    struct store *store, const struct compaction *compaction, uint64_t *compacted, struct err *err)
{
    const struct compaction *c = compaction;
    struct segment_info info;
    const char *bad;
    struct err why = {0};
    *compacted = 0;
    if (!write_output(store, c, &info, &bad, &why)) {
        if (bad)
            return input_set_aside(store, bad, c->t0, c->t1, &why, err);
        *err = why;
        return false;
    }
    struct manifest_segment output = {0};
    const char **drops = xcalloc(c->n, sizeof *drops);
    for (size_t i = 0; i < c->n; i++) {
        const struct attached *a = &store->segments[c->inputs[i]];
        drops[i] = segment_info(a->segment)->name;
        output.lsn = a->lsn > output.lsn ? a->lsn : output.lsn;
    }
    snprintf(output.name, sizeof output.name, "%s", info.name);
    struct manifest_edit edit = {
        .drops = drops, .n_drops = c->n, .adds = &output, .n_adds = info.series ? 1 : 0};
    bool ok = segments_change(store, &edit, err);
    free(drops);
    *compacted = ok ? c->bytes : 0;
    if (ok)
        log_info("compacted %zu segments of %" PRIu64 " bytes to %s: %" PRIu64 " cells, %" PRIu64
                 " bytes",
            c->n, c->bytes, info.series ? info.name : "nothing", info.cells, info.bytes);
    return ok;
}
