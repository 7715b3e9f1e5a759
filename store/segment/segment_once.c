/*
 * What a segment reads once, when it is first asked for, and hands out by pointer from then on: its
 * metrics and its sources.
 */
#include "base/ensure.h"
#include "store/segment/label_index.h"
#include "store/segment/segment_reader.h"

struct table_load {
    const struct segment *segment;
    struct metric_table *metrics; /* one of the two */
    struct provenance *provenance;
    struct arena *arena;
};

typedef bool page_f(
    const struct table_load *load, struct slice raw, const struct place *place, struct err *err);

static bool each_page(
    const struct table_load *load, enum page_type type, page_f *each, struct err *err)
{
    const struct segment *s = load->segment;
    const struct page_range range = s->index.types[type];
    struct buf stored, scratch;
    bool ok = true;
    buf_init(&stored, 0);
    buf_init(&scratch, 0);
    for (uint32_t i = range.begin; ok && i < range.end; i++) {
        struct slice raw;
        struct place place;
        ok = segment_raw(s, &s->index.pages[i], &stored, &scratch, &raw, &place, err) &&
             each(load, raw, &place, err);
    }
    buf_fini(&stored);
    buf_fini(&scratch);
    return ok;
}

/* ---- metrics ---- */

/* Version 1 has a column of names in the stead of numbers of series. */
static bool ends_from_column(const struct segment *s, struct metric_table *metrics, struct err *err)
{
    uint32_t metric = 0, series = (uint32_t)s->info.series;
    for (uint32_t first = 0; first < series; first += COLUMN_GROUP) {
        const struct page_ref *ref = page_index_find(&s->index, PAGE_COLUMN, s->metric_name, first);
        if (!ref || ref->first != first)
            return segment_damaged(s, SECTION_SERIES, "the name of a series is missing", err);
        struct cache_entry *entry = segment_hold(s, ref, err);
        if (!entry)
            return false;
        const struct column_page *page = entry->value;
        bool ascend = true;
        for (uint32_t i = 0; ascend && i < page->n; i++) {
            if (page->codes[i] == metric + 2 && first + i > 0)
                metrics->end[metric++] = first + i;
            ascend = page->codes[i] == metric + 1;
        }
        segment_release(s, entry);
        if (!ascend || metric >= metrics->n)
            return segment_damaged(s, SECTION_SERIES, "names of series do not ascend", err);
    }
    if (metric + 1 != metrics->n)
        return segment_damaged(s, SECTION_SERIES, "a metric has no series", err);
    metrics->end[metric] = series;
    return true;
}

static bool load_names(
    const struct segment *s, struct metric_table *metrics, struct arena *arena, struct err *err)
{
    if (metrics->n != page_index_rows(&s->index, PAGE_DICT, s->metric_name + 1))
        return segment_damaged(s, SECTION_SERIES, "there are not as many metrics as names", err);
    for (uint32_t i = 0; i < metrics->n; i++)
        if (!segment_copy_value(s, s->metric_name, i, arena, &metrics->defs[i].name, err))
            return false;
    return true;
}

static bool add_metrics(
    const struct table_load *load, struct slice raw, const struct place *place, struct err *err)
{
    bool counts = load->segment->header.major > 1;
    return metric_table_get(load->metrics, raw, counts, place, load->arena, err);
}

static bool load_metrics(
    const struct segment *s, struct metric_table *metrics, struct arena *arena, struct err *err)
{
    bool v1 = s->header.major == 1;
    struct table_load load = {.segment = s, .metrics = metrics, .arena = arena};
    if (!each_page(&load, PAGE_METRICS, add_metrics, err))
        return false;
    if (metrics->n == 0 || !metrics->end || metrics->n != metrics->total ||
        (!v1 && metrics->end[metrics->n - 1] != s->info.series))
        return segment_damaged(
            s, SECTION_SERIES, "metrics are missing, or their series are not all there are", err);
    return load_names(s, metrics, arena, err) && (!v1 || ends_from_column(s, metrics, err));
}

const struct metric_table *segment_metrics(const struct segment *segment, struct err *err)
{
    struct segment_once *once = segment->once;
    if (atomic_load_explicit(&once->metrics_there, memory_order_acquire))
        return &once->metrics;
    pthread_mutex_lock(&once->lock);
    bool ok = atomic_load_explicit(&once->metrics_there, memory_order_relaxed);
    if (!ok) {
        struct metric_table metrics = {0};
        ok = load_metrics(segment, &metrics, &once->metrics_arena, err);
        if (ok) {
            once->metrics = metrics;
            atomic_store_explicit(&once->metrics_there, true, memory_order_release);
        } else {
            arena_fini(&once->metrics_arena);
        }
    }
    pthread_mutex_unlock(&once->lock);
    return ok ? &once->metrics : NULL;
}

/* Of the metric of a series. */
static uint32_t metric_rank(const struct metric_table *metrics, uint32_t ordinal)
{
    uint32_t lo = 0, hi = metrics->n - 1;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (metrics->end[mid] <= ordinal)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool segment_metric(
    const struct segment *segment, uint32_t ordinal, const struct metric_def **out, struct err *err)
{
    ensure(ordinal < segment->info.series);
    const struct metric_table *metrics = segment_metrics(segment, err);
    if (!metrics)
        return false;
    *out = &metrics->defs[metric_rank(metrics, ordinal)];
    return true;
}

/* ---- sources ---- */

static bool add_sources(
    const struct table_load *load, struct slice raw, const struct place *place, struct err *err)
{
    return provenance_get(load->provenance, raw, place, load->arena, err);
}

static bool load_sources(
    const struct segment *s, struct provenance *out, struct arena *arena, struct err *err)
{
    struct table_load load = {.segment = s, .provenance = out, .arena = arena};
    if (!each_page(&load, PAGE_SOURCES, add_sources, err))
        return false;
    return out->n == out->total ||
           segment_damaged(s, SECTION_PROVENANCE, "a source is missing", err);
}

bool segment_sources(
    const struct segment *segment, const struct segment_source **out, size_t *n, struct err *err)
{
    struct segment_once *once = segment->once;
    pthread_mutex_lock(&once->lock);
    bool ok = atomic_load_explicit(&once->sources_there, memory_order_relaxed);
    if (!ok) {
        struct provenance provenance = {0};
        ok = load_sources(segment, &provenance, &once->sources_arena, err);
        if (ok) {
            once->provenance = provenance;
            atomic_store_explicit(&once->sources_there, true, memory_order_relaxed);
        } else {
            arena_fini(&once->sources_arena);
        }
    }
    *out = once->provenance.sources;
    *n = once->provenance.n;
    pthread_mutex_unlock(&once->lock);
    return ok;
}
