/*
 * What series are: their labels and ids, and the lists that lead to them.
 */
#include <string.h>

#include "base/ensure.h"
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
        segment_damaged(s, SECTION_DICT, "a value of a label is missing", err);
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
        return segment_damaged(s, SECTION_DICT, "the dictionary of a label is missing", err);
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
            return segment_damaged(segment, SECTION_SERIES, SEGMENT_MANY_LABELS, err);
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

static void add_range(struct ordinals *to, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        ordinals_add(to, i);
}

/* The series whose code of the name is this one; 0: those without the label. */
static bool scan_column(
    const struct segment *s, uint32_t name, uint32_t code, struct ordinals *to, struct err *err)
{
    uint32_t series = (uint32_t)s->info.series;
    for (uint32_t first = 0; first < series; first += COLUMN_GROUP) {
        const struct page_ref *ref = page_index_find(&s->index, PAGE_COLUMN, name, first);
        uint32_t end = series - first < COLUMN_GROUP ? series : first + COLUMN_GROUP;
        if (!ref || ref->first != first) {
            if (code == 0)
                add_range(to, first, end);
            continue;
        }
        struct cache_entry *entry = segment_hold(s, ref, err);
        if (!entry)
            return false;
        const struct column_page *page = entry->value;
        for (uint32_t i = 0; i < page->n; i++)
            if (page->codes[i] == code)
                ordinals_add(to, first + i);
        segment_release(s, entry);
    }
    return true;
}

static bool read_list(
    const struct segment *s, uint32_t name, uint32_t rank, struct ordinals *to, struct err *err)
{
    const struct page_ref *ref = page_index_find(&s->index, PAGE_POSTINGS, name, rank);
    if (!ref)
        return scan_column(s, name, rank + 1, to, err);
    if (rank - ref->first >= ref->rows)
        return segment_damaged(s, SECTION_POSTINGS, "a list is missing", err);
    struct cache_entry *entry = segment_hold(s, ref, err);
    if (!entry)
        return false;
    to->n = postings_get(postings_list(entry->value, rank - ref->first), to->out, to->max);
    segment_release(s, entry);
    return true;
}

static bool series_of_metric(
    const struct segment *s, struct slice name, struct ordinals *to, struct err *err)
{
    const struct metric_table *metrics = segment_metrics(s, err);
    if (!metrics)
        return false;
    for (uint32_t lo = 0, hi = metrics->n; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = slice_cmp(metrics->defs[mid].name, name);
        if (c == 0) {
            add_range(to, mid ? metrics->end[mid - 1] : 0, metrics->end[mid]);
            return true;
        }
        *(c < 0 ? &lo : &hi) = c < 0 ? mid + 1 : mid;
    }
    return true;
}

bool segment_postings(const struct segment *segment, struct slice name, struct slice value,
    uint32_t *out, size_t *n, struct err *err)
{
    struct ordinals to = {out, 0, *n};
    uint32_t name_rank = dict_find(&segment->names, name), rank = 0;
    bool ok = true;
    if (name_rank == UINT32_MAX) {
        if (value.len == 0)
            add_range(&to, 0, (uint32_t)segment->info.series);
    } else if (name_rank == segment->metric_name) {
        ok = series_of_metric(segment, value, &to, err);
    } else if (value.len == 0) {
        ok = scan_column(segment, name_rank, 0, &to, err);
    } else {
        ok = find_value(segment, name_rank, value, &rank, err) &&
             (rank == UINT32_MAX || read_list(segment, name_rank, rank, &to, err));
    }
    *n = to.n;
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
