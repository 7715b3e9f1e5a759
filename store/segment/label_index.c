#include "store/segment/label_index.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/bounds.h"
#include "store/codec/codec.h"
#include "store/segment/dictionary.h"
#include "store/segment/postings.h"

void label_index_init(struct label_index *index)
{
    *index = (struct label_index){0};
    arena_init(&index->strings, 0);
    map_init(&index->name_map);
    map_init(&index->pair_map);
}

void label_index_fini(struct label_index *index)
{
    arena_fini(&index->strings);
    map_fini(&index->name_map);
    map_fini(&index->pair_map);
    free(index->names);
    free(index->pairs);
    free(index->labels);
    free(index->label_end);
}

/* ---- adding ---- */

static bool is_name(const void *ctx, const void *key, uint32_t id)
{
    const struct label_index *index = ctx;
    return slice_eq(index->names[id], *(const struct slice *)key);
}

static bool is_pair(const void *ctx, const void *key, uint32_t id)
{
    const struct label_index *index = ctx;
    const struct label_pair *pair = key;
    return index->pairs[id].name == pair->name && slice_eq(index->pairs[id].value, pair->value);
}

static uint32_t name_id(struct label_index *index, struct slice name)
{
    uint64_t hash = hash64(name.ptr, name.len);
    uint32_t id = map_find(&index->name_map, hash, is_name, index, &name);
    if (id != MAP_NONE)
        return id;
    id = (uint32_t)index->n_names;
    GROW(index->names, index->names_cap, index->n_names + 1);
    index->names[index->n_names++] = arena_slice(&index->strings, name);
    map_insert(&index->name_map, hash, id);
    return id;
}

static uint32_t pair_id(struct label_index *index, uint32_t name, struct slice value)
{
    struct label_pair pair = {name, value};
    uint64_t hash = hash64(value.ptr, value.len) ^ (name + 1) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t id = map_find(&index->pair_map, hash, is_pair, index, &pair);
    if (id != MAP_NONE)
        return id;
    id = (uint32_t)index->n_pairs;
    pair.value = arena_slice(&index->strings, value);
    GROW(index->pairs, index->pairs_cap, index->n_pairs + 1);
    index->pairs[index->n_pairs++] = pair;
    map_insert(&index->pair_map, hash, id);
    return id;
}

bool label_index_add(struct label_index *index, struct labels labels, struct err *err)
{
    if (labels.n == 0)
        return err_set(err, ERR_INVALID, "a series without labels");
    if (!labels_check(labels, err))
        return false;
    GROW(index->labels, index->labels_cap, index->n_labels + labels.n);
    for (size_t i = 0; i < labels.n; i++) {
        uint32_t name = name_id(index, labels.items[i].name);
        index->labels[index->n_labels++] = pair_id(index, name, labels.items[i].value);
    }
    GROW(index->label_end, index->series_cap, index->n_series + 1);
    index->label_end[index->n_series++] = index->n_labels;
    return true;
}

struct labels label_index_last(const struct label_index *index, struct label out[LABELS_MAX])
{
    ensure(index->n_series > 0);
    size_t from = index->n_series > 1 ? index->label_end[index->n_series - 2] : 0;
    size_t n = index->n_labels - from;
    for (size_t i = 0; i < n; i++) {
        const struct label_pair *pair = &index->pairs[index->labels[from + i]];
        out[i] = (struct label){index->names[pair->name], pair->value};
    }
    return (struct labels){out, n};
}

/* ---- writing ---- */

/* Everything in its final order, made once from the index. */
struct sorted {
    const struct label_index *index;
    uint32_t *names; /* ids by rank */
    uint32_t *pairs; /* ids by rank of name, then value */
    uint32_t *rank;  /* of each name id */
    size_t *list_at; /* where each pair's ordinals begin in `ordinals`; n_pairs + 1 */
    uint32_t *ordinals;
    int64_t *codes;  /* of one name, by ordinal; all 0 between names */
    uint32_t *stamp; /* of each column group: rank + 1 of the last name seen in it */
};

static int by_name(const void *a, const void *b, void *ctx)
{
    const struct label_index *index = ctx;
    return slice_cmp(index->names[*(const uint32_t *)a], index->names[*(const uint32_t *)b]);
}

static int by_pair(const void *a, const void *b, void *ctx)
{
    const struct sorted *s = ctx;
    const struct label_pair *x = &s->index->pairs[*(const uint32_t *)a];
    const struct label_pair *y = &s->index->pairs[*(const uint32_t *)b];
    if (x->name != y->name)
        return s->rank[x->name] < s->rank[y->name] ? -1 : 1;
    return slice_cmp(x->value, y->value);
}

static void sort_names_and_pairs(struct sorted *s, struct label_index *index)
{
    s->names = xreallocarray(NULL, index->n_names, sizeof *s->names);
    s->rank = xreallocarray(NULL, index->n_names, sizeof *s->rank);
    for (uint32_t i = 0; i < index->n_names; i++)
        s->names[i] = i;
    qsort_r(s->names, index->n_names, sizeof *s->names, by_name, index);
    for (uint32_t i = 0; i < index->n_names; i++)
        s->rank[s->names[i]] = i;
    s->pairs = xreallocarray(NULL, index->n_pairs, sizeof *s->pairs);
    for (uint32_t i = 0; i < index->n_pairs; i++)
        s->pairs[i] = i;
    qsort_r(s->pairs, index->n_pairs, sizeof *s->pairs, by_pair, s);
}

/* A counting sort: ordinals come out ascending because series are passed in their order. */
static void collect_ordinals(struct sorted *s)
{
    const struct label_index *index = s->index;
    s->list_at = xcalloc(index->n_pairs + 2, sizeof *s->list_at);
    s->ordinals = xreallocarray(NULL, index->n_labels, sizeof *s->ordinals);
    for (size_t i = 0; i < index->n_labels; i++)
        s->list_at[index->labels[i] + 2]++;
    for (size_t i = 2; i < index->n_pairs + 2; i++)
        s->list_at[i] += s->list_at[i - 1];
    for (uint32_t ordinal = 0, at = 0; ordinal < index->n_series; ordinal++)
        for (; at < index->label_end[ordinal]; at++)
            s->ordinals[s->list_at[index->labels[at] + 1]++] = ordinal;
}

static const uint32_t *list_of(const struct sorted *s, uint32_t pair, size_t *n)
{
    *n = s->list_at[pair + 1] - s->list_at[pair];
    return s->ordinals + s->list_at[pair];
}

static void put_dict(
    const struct sorted *s, uint32_t rank, size_t first, size_t end, struct section_buf *out)
{
    struct slice *values = xreallocarray(NULL, end - first, sizeof *values);
    for (size_t i = first; i < end; i++)
        values[i - first] = s->index->pairs[s->pairs[i]].value;
    dict_put(out, rank + 1, values, (uint32_t)(end - first));
    free(values);
}

static void put_column_group(
    const struct sorted *s, uint32_t rank, uint32_t group, struct section_buf *out)
{
    struct buf raw;
    uint32_t first = group * COLUMN_GROUP, left = (uint32_t)s->index->n_series - first;
    uint32_t n = left < COLUMN_GROUP ? left : COLUMN_GROUP;
    uint8_t codec = codec_choose(s->codes + first, n);
    buf_init(&raw, 0);
    buf_le32(&raw, rank);
    buf_le32(&raw, first);
    buf_le32(&raw, n);
    buf_le32(&raw, codec);
    codec_encode(codec, s->codes + first, n, &raw);
    section_add(out, (struct page_ref){.type = PAGE_COLUMN, .key = rank, .first = first, .rows = n},
        buf_view(&raw));
    buf_fini(&raw);
}

static void put_column(
    struct sorted *s, uint32_t rank, size_t first, size_t end, struct section_buf *out)
{
    uint32_t lo = UINT32_MAX, hi = 0;
    for (size_t i = first; i < end; i++) {
        size_t n;
        const uint32_t *list = list_of(s, s->pairs[i], &n);
        for (size_t k = 0; k < n; k++) {
            s->codes[list[k]] = (int64_t)(i - first + 1);
            s->stamp[list[k] / COLUMN_GROUP] = rank + 1;
        }
        lo = list[0] < lo ? list[0] : lo;
        hi = list[n - 1] > hi ? list[n - 1] : hi;
    }
    for (uint32_t group = lo / COLUMN_GROUP; group <= hi / COLUMN_GROUP; group++)
        if (s->stamp[group] == rank + 1)
            put_column_group(s, rank, group, out);
    memset(s->codes + lo, 0, (hi - lo + 1) * sizeof *s->codes);
}

static void flush_lists(
    struct section_buf *out, uint32_t rank, uint32_t first, struct buf *offsets, struct buf *lists)
{
    struct buf raw;
    uint32_t n = (uint32_t)(offsets->len / 4);
    buf_init(&raw, 0);
    buf_le32(&raw, rank);
    buf_le32(&raw, first);
    buf_le32(&raw, n);
    for (uint32_t i = 0; i < n; i++)
        buf_le32(&raw, 12 + 4 * n + le32_get(offsets->ptr + 4 * (size_t)i));
    buf_slice(&raw, buf_view(lists));
    section_add(out,
        (struct page_ref){.type = PAGE_POSTINGS, .key = rank, .first = first, .rows = n},
        buf_view(&raw));
    buf_fini(&raw);
    buf_clear(offsets);
    buf_clear(lists);
}

static void put_lists(
    const struct sorted *s, uint32_t rank, size_t first, size_t end, struct section_buf *out)
{
    struct buf offsets, lists;
    uint32_t page_first = 0;
    buf_init(&offsets, 0);
    buf_init(&lists, 0);
    for (size_t i = first; i < end; i++) {
        size_t n;
        const uint32_t *list = list_of(s, s->pairs[i], &n);
        buf_le32(&offsets, (uint32_t)lists.len);
        postings_put(&lists, list, n);
        if (12 + offsets.len + lists.len >= PAGE_RAW_TARGET) {
            flush_lists(out, rank, page_first, &offsets, &lists);
            page_first = (uint32_t)(i + 1 - first);
        }
    }
    if (offsets.len)
        flush_lists(out, rank, page_first, &offsets, &lists);
    out->rows += end - first;
    buf_fini(&offsets);
    buf_fini(&lists);
}

static void put_names(const struct sorted *s, struct section_buf *out)
{
    struct slice *names = xreallocarray(NULL, s->index->n_names, sizeof *names);
    for (size_t i = 0; i < s->index->n_names; i++)
        names[i] = s->index->names[s->names[i]];
    dict_put(out, 0, names, (uint32_t)s->index->n_names);
    free(names);
}

void label_index_put(struct label_index *index, struct section_buf *series,
    struct section_buf *dict, struct section_buf *postings)
{
    struct sorted s = {.index = index};
    ensure(index->n_series > 0);
    sort_names_and_pairs(&s, index);
    collect_ordinals(&s);
    s.codes = xcalloc(index->n_series, sizeof *s.codes);
    s.stamp = xcalloc(index->n_series / COLUMN_GROUP + 1, sizeof *s.stamp);
    put_names(&s, dict);
    for (size_t first = 0, end; first < index->n_pairs; first = end) {
        uint32_t rank = s.rank[index->pairs[s.pairs[first]].name];
        for (end = first + 1; end < index->n_pairs; end++)
            if (s.rank[index->pairs[s.pairs[end]].name] != rank)
                break;
        put_dict(&s, rank, first, end, dict);
        if (slice_is(index->names[s.names[rank]], LABEL_METRIC_NAME))
            continue;
        put_column(&s, rank, first, end, series);
        if (index->n_series >= POSTINGS_SERIES_MIN)
            put_lists(&s, rank, first, end, postings);
    }
    series->rows = index->n_series;
    free(s.names);
    free(s.pairs);
    free(s.rank);
    free(s.list_at);
    free(s.ordinals);
    free(s.codes);
    free(s.stamp);
}
