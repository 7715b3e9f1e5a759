/*
 * What series are: their metrics, labels, ids, and the lists that lead to them.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment/label_index.h"
#include "store/segment/postings.h"
#include "store/segment/segment_reader.h"

static bool full(struct err *err)
{
    return err_set(err, ERR_LIMIT, "no memory for what is read from a segment");
}

/* ---- values of labels ---- */

/* The page that holds the value, held; *value is borrowed from it. */
static struct cache_entry *hold_value(
    const struct segment *s, uint32_t name, uint32_t rank, struct slice *value, struct err *err)
{
    const struct page_ref *ref = page_index_find(&s->index, PAGE_DICT, name + 1, rank);
    struct cache_entry *entry = NULL;
    if (!ref || rank - ref->first >= ref->rows) {
        segment_missing(s, "a value of a label", err);
        return NULL;
    }
    entry = segment_hold(s, ref, err);
    if (entry) {
        const struct dict_page *page = entry->value;
        *value = page->values[rank - page->first];
    }
    return entry;
}

bool segment_copy_value(const struct segment *s, uint32_t name, uint32_t rank, struct arena *arena,
    struct slice *out, struct err *err)
{
    struct cache_entry *entry = hold_value(s, name, rank, out, err);
    if (!entry)
        return false;
    *out = arena_slice(arena, *out);
    segment_release(s, entry);
    return out->ptr || full(err);
}

/* The rank of a value, UINT32_MAX when it is not there: the page by its first value, then in it. */
static bool find_value(
    const struct segment *s, uint32_t name, struct slice value, uint32_t *rank, struct err *err)
{
    const struct page_ref *end = page_index_find(&s->index, PAGE_DICT, name + 1, UINT32_MAX);
    const struct page_ref *lo = page_index_find(&s->index, PAGE_DICT, name + 1, 0);
    *rank = UINT32_MAX;
    if (!lo)
        return segment_missing(s, "a dictionary", err);
    while (lo < end) {
        const struct page_ref *mid = lo + (end - lo + 1) / 2;
        struct cache_entry *entry = segment_hold(s, mid, err);
        if (!entry)
            return false;
        const struct dict_page *page = entry->value;
        if (slice_cmp(page->values[0], value) <= 0)
            lo = mid;
        else
            end = mid - 1;
        segment_release(s, entry);
    }
    struct cache_entry *entry = segment_hold(s, lo, err);
    if (!entry)
        return false;
    const struct dict_page *page = entry->value;
    uint32_t at = values_find(page->values, page->n, value);
    *rank = at == UINT32_MAX ? UINT32_MAX : page->first + at;
    segment_release(s, entry);
    return true;
}

size_t segment_label_names(const struct segment *segment)
{
    return segment->names.n;
}

struct slice segment_label_name(const struct segment *segment, size_t name)
{
    ensure(name < segment->names.n);
    return segment->names.values[name];
}

size_t segment_label_values(const struct segment *segment, size_t name)
{
    ensure(name < segment->names.n);
    return page_index_rows(&segment->index, PAGE_DICT, (uint32_t)name + 1);
}

bool segment_label_value(const struct segment *segment, size_t name, size_t value,
    struct arena *arena, struct slice *out, struct err *err)
{
    ensure(value < segment_label_values(segment, name));
    return segment_copy_value(segment, (uint32_t)name, (uint32_t)value, arena, out, err);
}

/* ---- metrics ---- */

/* Version 1 has a column of names in the stead of numbers of series. */
static bool ends_from_column(const struct segment *s, struct metric_table *metrics, struct err *err)
{
    uint32_t metric = 0, series = (uint32_t)s->info.series;
    for (uint32_t first = 0; first < series; first += COLUMN_GROUP) {
        const struct page_ref *ref = page_index_find(&s->index, PAGE_COLUMN, s->metric_name, first);
        if (!ref || ref->first != first)
            return segment_missing(s, "a name of a series", err);
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
            return segment_missing(s, "the order of metrics", err);
    }
    if (metric + 1 != metrics->n)
        return segment_missing(s, "a series of a metric", err);
    metrics->end[metric] = series;
    return true;
}

static bool load_names(
    const struct segment *s, struct metric_table *metrics, struct arena *arena, struct err *err)
{
    if (metrics->n != page_index_rows(&s->index, PAGE_DICT, s->metric_name + 1))
        return segment_missing(s, "a name of a metric", err);
    for (uint32_t i = 0; i < metrics->n; i++)
        if (!segment_copy_value(s, s->metric_name, i, arena, &metrics->defs[i].name, err))
            return false;
    return true;
}

static bool load_metrics(
    const struct segment *s, struct metric_table *metrics, struct arena *arena, struct err *err)
{
    struct buf stored, scratch;
    bool v1 = s->header.major == 1, ok = true;
    const struct page_range range = s->index.types[PAGE_METRICS];
    buf_init(&stored, 0);
    buf_init(&scratch, 0);
    for (uint32_t i = range.begin; ok && i < range.end; i++) {
        struct slice raw;
        struct place place;
        ok = segment_raw(s, &s->index.pages[i], &stored, &scratch, &raw, &place, err) &&
             metric_table_get(metrics, raw, !v1, &place, arena, err);
    }
    buf_fini(&stored);
    buf_fini(&scratch);
    if (!ok)
        return false;
    if (metrics->n == 0 || !metrics->end || metrics->n != metrics->total ||
        (!v1 && metrics->end[metrics->n - 1] != s->info.series))
        return segment_missing(s, "a metric", err);
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

uint32_t metric_rank(const struct metric_table *metrics, uint32_t ordinal)
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

static bool load_sources(
    const struct segment *s, struct provenance *out, struct arena *arena, struct err *err)
{
    struct buf stored, scratch;
    bool ok = true;
    const struct page_range range = s->index.types[PAGE_SOURCES];
    buf_init(&stored, 0);
    buf_init(&scratch, 0);
    for (uint32_t i = range.begin; ok && i < range.end; i++) {
        struct slice raw;
        struct place place;
        ok = segment_raw(s, &s->index.pages[i], &stored, &scratch, &raw, &place, err) &&
             provenance_get(out, raw, &place, arena, err);
    }
    buf_fini(&stored);
    buf_fini(&scratch);
    if (ok && out->n != out->total)
        ok = segment_missing(s, "a source", err);
    return ok;
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

/* ---- labels of a series ---- */

/* Groups without the label are left out. */
bool segment_code(
    const struct segment *s, uint32_t name, uint32_t ordinal, uint32_t *code, struct err *err)
{
    const struct page_ref *ref = page_index_find(&s->index, PAGE_COLUMN, name, ordinal);
    *code = 0;
    if (!ref || ordinal - ref->first >= ref->rows)
        return true;
    struct cache_entry *entry = segment_hold(s, ref, err);
    if (!entry)
        return false;
    *code = ((const struct column_page *)entry->value)->codes[ordinal - ref->first];
    segment_release(s, entry);
    return true;
}

static bool add_label(const struct segment *s, uint32_t name, uint32_t ordinal, struct arena *arena,
    struct label *label, bool *has, struct err *err)
{
    const struct metric_def *def;
    uint32_t code;
    label->name = s->names.values[name];
    *has = true;
    if (name == s->metric_name) {
        if (!segment_metric(s, ordinal, &def, err))
            return false;
        label->value = def->name;
        return true;
    }
    if (!segment_code(s, name, ordinal, &code, err))
        return false;
    *has = code != 0;
    return !*has || segment_copy_value(s, name, code - 1, arena, &label->value, err);
}

bool segment_labels(const struct segment *segment, uint32_t ordinal, struct arena *arena,
    struct labels *out, struct err *err)
{
    struct label items[LABELS_MAX];
    size_t n = 0;
    ensure(ordinal < segment->info.series);
    for (uint32_t name = 0; name < segment->names.n; name++) {
        struct label label;
        bool has;
        if (!add_label(segment, name, ordinal, arena, &label, &has, err))
            return false;
        if (has && n == LABELS_MAX)
            return segment_missing(segment, "an end to the labels of a series", err);
        if (has)
            items[n++] = label;
    }
    struct label *copy = arena_array(arena, n, sizeof *copy);
    if (!copy)
        return full(err);
    memcpy(copy, items, n * sizeof *copy);
    *out = (struct labels){copy, n};
    return true;
}

/* ---- lists ---- */

/* Where ordinals go: to out up to max, counted always. */
struct sink {
    uint32_t *out;
    size_t n, max;
};

static void sink_add(struct sink *sink, uint32_t ordinal)
{
    if (sink->n < sink->max)
        sink->out[sink->n] = ordinal;
    sink->n++;
}

static void sink_range(struct sink *sink, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        sink_add(sink, i);
}

/* The series whose code of the name is this one; 0: those without the label. */
static bool scan_column(
    const struct segment *s, uint32_t name, uint32_t code, struct sink *sink, struct err *err)
{
    uint32_t series = (uint32_t)s->info.series;
    for (uint32_t first = 0; first < series; first += COLUMN_GROUP) {
        const struct page_ref *ref = page_index_find(&s->index, PAGE_COLUMN, name, first);
        uint32_t end = series - first < COLUMN_GROUP ? series : first + COLUMN_GROUP;
        if (!ref || ref->first != first) {
            if (code == 0)
                sink_range(sink, first, end);
            continue;
        }
        struct cache_entry *entry = segment_hold(s, ref, err);
        if (!entry)
            return false;
        const struct column_page *page = entry->value;
        for (uint32_t i = 0; i < page->n; i++)
            if (page->codes[i] == code)
                sink_add(sink, first + i);
        segment_release(s, entry);
    }
    return true;
}

static bool read_list(
    const struct segment *s, uint32_t name, uint32_t rank, struct sink *sink, struct err *err)
{
    const struct page_ref *ref = page_index_find(&s->index, PAGE_POSTINGS, name, rank);
    if (!ref)
        return scan_column(s, name, rank + 1, sink, err);
    if (rank - ref->first >= ref->rows)
        return segment_missing(s, "a posting list", err);
    struct cache_entry *entry = segment_hold(s, ref, err);
    if (!entry)
        return false;
    sink->n = postings_get(postings_list(entry->value, rank - ref->first), sink->out, sink->max);
    segment_release(s, entry);
    return true;
}

static bool series_of_metric(
    const struct segment *s, struct slice name, struct sink *sink, struct err *err)
{
    const struct metric_table *metrics = segment_metrics(s, err);
    if (!metrics)
        return false;
    for (uint32_t lo = 0, hi = metrics->n; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = slice_cmp(metrics->defs[mid].name, name);
        if (c == 0) {
            sink_range(sink, mid ? metrics->end[mid - 1] : 0, metrics->end[mid]);
            return true;
        }
        *(c < 0 ? &lo : &hi) = c < 0 ? mid + 1 : mid;
    }
    return true;
}

bool segment_postings(const struct segment *segment, struct slice name, struct slice value,
    uint32_t *out, size_t *n, struct err *err)
{
    struct sink sink = {out, 0, *n};
    uint32_t name_rank = dict_find(&segment->names, name), rank = 0;
    bool ok = true;
    if (name_rank == UINT32_MAX) {
        if (value.len == 0)
            sink_range(&sink, 0, (uint32_t)segment->info.series);
    } else if (name_rank == segment->metric_name) {
        ok = series_of_metric(segment, value, &sink, err);
    } else if (value.len == 0) {
        ok = scan_column(segment, name_rank, 0, &sink, err);
    } else {
        ok = find_value(segment, name_rank, value, &rank, err) &&
             (rank == UINT32_MAX || read_list(segment, name_rank, rank, &sink, err));
    }
    *n = sink.n;
    return ok;
}

/* ---- ids ---- */

bool segment_has_ids(const struct segment *segment)
{
    const struct page_range range = segment->index.types[PAGE_IDS];
    uint64_t rows = 0;
    for (uint32_t i = range.begin; i < range.end; i++)
        rows += segment->index.pages[i].rows;
    return rows == segment->info.series;
}

bool segment_find(const struct segment *segment, uint32_t id, uint32_t *ordinal, struct err *err)
{
    const struct page_ref *ref = page_index_below(&segment->index, PAGE_IDS, id);
    *ordinal = SEGMENT_NO_ID;
    if (!ref)
        return true;
    struct cache_entry *entry = segment_hold(segment, ref, err);
    if (!entry)
        return false;
    const struct ids_page *page = entry->value;
    uint32_t lo = 0, hi = page->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (page->id[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < page->n && page->id[lo] == id)
        *ordinal = page->ordinal[lo];
    segment_release(segment, entry);
    return true;
}

bool segment_ids(const struct segment *segment, uint32_t *out, struct err *err)
{
    const struct page_range range = segment->index.types[PAGE_IDS];
    for (uint64_t i = 0; i < segment->info.series; i++)
        out[i] = SEGMENT_NO_ID;
    for (uint32_t i = range.begin; i < range.end; i++) {
        struct cache_entry *entry = segment_hold(segment, &segment->index.pages[i], err);
        if (!entry)
            return false;
        const struct ids_page *page = entry->value;
        for (uint32_t k = 0; k < page->n; k++)
            out[page->ordinal[k]] = page->id[k];
        segment_release(segment, entry);
    }
    return true;
}
