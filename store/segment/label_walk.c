#include "store/segment/label_walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment/label_index.h"
#include "store/segment/segment_reader.h"

struct has {
    uint32_t series, name, code; /* series: counted from the group's first */
};

struct label_walk {
    const struct segment *segment;
    uint32_t first, n; /* the group that is loaded; n 0: none */
    struct has *has;   /* by name, as the columns come */
    size_t n_has, cap;
    struct has *sorted; /* by series, then by name */
    size_t sorted_cap;
    uint32_t at[COLUMN_GROUP + 1]; /* where those of each series begin in `sorted` */
};

struct label_walk *label_walk_new(const struct segment *segment)
{
    struct label_walk *walk = xcalloc(1, sizeof *walk);
    walk->segment = segment;
    return walk;
}

void label_walk_free(struct label_walk **walk)
{
    struct label_walk *w = *walk;
    *walk = NULL;
    if (!w)
        return;
    free(w->has);
    free(w->sorted);
    free(w);
}

/* What the series of the group have by one page. */
static bool add_page(
    struct label_walk *w, uint32_t name, const struct page_ref *ref, uint32_t end, struct err *err)
{
    struct cache_entry *entry = segment_hold(w->segment, ref, err);
    if (!entry)
        return false;
    const struct column_page *page = entry->value;
    uint32_t from = ref->first > w->first ? ref->first : w->first;
    uint32_t to = ref->first + page->n < end ? ref->first + page->n : end;
    for (uint32_t i = from; i < to; i++) {
        uint32_t code = page->codes[i - ref->first];
        if (code == 0)
            continue;
        GROW(w->has, w->cap, w->n_has + 1);
        w->has[w->n_has++] = (struct has){i - w->first, name, code};
    }
    segment_release(w->segment, entry);
    return true;
}

static bool add_name(struct label_walk *w, uint32_t name, uint32_t end, struct err *err)
{
    const struct page_index *index = &w->segment->index;
    const struct page_ref *last = index->pages + index->types[PAGE_COLUMN].end;
    const struct page_ref *ref = page_index_find(index, PAGE_COLUMN, name, w->first);
    if (!ref) /* its first page lies behind, when there is one */
        ref = page_index_find(index, PAGE_COLUMN, name, end - 1);
    for (; ref && ref < last && ref->key == name && ref->first < end; ref++)
        if (ref->first + ref->rows > w->first && !add_page(w, name, ref, end, err))
            return false;
    return true;
}

/* Names came in order, so a stable sort by series leaves them so. */
static void sort_by_series(struct label_walk *w)
{
    memset(w->at, 0, sizeof w->at);
    GROW(w->sorted, w->sorted_cap, w->n_has + 1);
    for (size_t i = 0; i < w->n_has; i++)
        w->at[w->has[i].series + 1]++;
    for (uint32_t i = 0; i < COLUMN_GROUP; i++)
        w->at[i + 1] += w->at[i];
    for (size_t i = w->n_has; i-- > 0;)
        w->sorted[--w->at[w->has[i].series + 1]] = w->has[i];
    /* at[s + 1] is now where series s begins. */
    memmove(w->at, w->at + 1, COLUMN_GROUP * sizeof *w->at);
    w->at[COLUMN_GROUP] = (uint32_t)w->n_has;
}

/* A small file can claim a lot: no more is kept than its series may have. */
static bool add_names(struct label_walk *w, uint32_t n, struct err *err)
{
    const struct segment *s = w->segment;
    for (uint32_t name = 0; name < s->names.n; name++) {
        if (name != s->metric_name && !add_name(w, name, w->first + n, err))
            return false;
        if (w->n_has > (size_t)n * LABELS_MAX)
            return segment_damaged(s, SECTION_SERIES, SEGMENT_MANY_LABELS, err);
    }
    return true;
}

static bool load(struct label_walk *w, uint32_t ordinal, struct err *err)
{
    const struct segment *s = w->segment;
    uint32_t left = (uint32_t)s->info.series - ordinal / COLUMN_GROUP * COLUMN_GROUP;
    w->first = ordinal / COLUMN_GROUP * COLUMN_GROUP;
    w->n = 0;
    w->n_has = 0;
    uint32_t n = left < COLUMN_GROUP ? left : COLUMN_GROUP;
    if (!add_names(w, n, err))
        return false;
    sort_by_series(w);
    w->n = n;
    return true;
}

static bool add_metric(
    const struct segment *s, uint32_t ordinal, struct label *out, struct err *err)
{
    const struct metric_def *def;
    if (!segment_metric(s, ordinal, &def, err))
        return false;
    *out = (struct label){s->names.values[s->metric_name], def->name};
    return true;
}

bool label_walk_labels(struct label_walk *walk, uint32_t ordinal, struct arena *arena,
    struct labels *out, struct err *err)
{
    const struct segment *s = walk->segment;
    ensure(ordinal < s->info.series);
    if ((walk->n == 0 || ordinal < walk->first || ordinal - walk->first >= walk->n) &&
        !load(walk, ordinal, err))
        return false;
    uint32_t i = walk->at[ordinal - walk->first], end = walk->at[ordinal - walk->first + 1];
    size_t n = end - i + 1, k = 0;
    if (n > LABELS_MAX)
        return segment_damaged(s, SECTION_SERIES, SEGMENT_MANY_LABELS, err);
    struct label *items = arena_array(arena, n, sizeof *items);
    if (!items)
        return err_set(err, ERR_LIMIT, "no memory for what is read from a segment");
    bool metric = false;
    while (k < n) {
        if (!metric && (i == end || walk->sorted[i].name > s->metric_name)) {
            metric = true;
            if (!add_metric(s, ordinal, &items[k++], err))
                return false;
            continue;
        }
        const struct has *h = &walk->sorted[i++];
        items[k].name = s->names.values[h->name];
        if (!segment_copy_value(s, h->name, h->code - 1, arena, &items[k++].value, err))
            return false;
    }
    *out = (struct labels){items, n};
    return true;
}
