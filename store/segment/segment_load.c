/*
 * From sections to memory. Order: dictionaries, then metrics and label columns (which need the
 * dictionaries' sizes), then postings (which need them too), directory, provenance. Each section is
 * read whole, its CRC checked, its pages walked; the bytes go when it is done.
 *
 * Cross checks that are cheap are made here; those that need data pages are segment_verify's.
 */
#include "store/segment/segment_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/codec/codec.h"
#include "store/segment/label_index.h"
#include "store/segment/postings.h"

/* ---- sections ---- */

struct loaded {
    const struct section *section;
    char *bytes;
    char part[48];
};

static bool load_bytes(
    const struct segment *s, enum section_id id, struct loaded *out, struct err *err)
{
    const struct section *section = footer_section(&s->footer, (uint16_t)id);
    *out = (struct loaded){.section = section};
    snprintf(out->part, sizeof out->part, "section %s", section_name((uint16_t)id));
    out->bytes = malloc(section->bytes + 1);
    if (!out->bytes)
        return err_set(err, ERR_LIMIT, "%s: no memory for %" PRIu64 " bytes of section %s", s->path,
            section->bytes, section_name((uint16_t)id));
    if (!segment_pread(s, section->offset, out->bytes, section->bytes, out->part, err))
        return false;
    struct place place = {s->path, out->part, section->offset};
    if (crc32c(0, out->bytes, section->bytes) != section->crc)
        return place_corrupt(&place, err, "checksum does not match");
    snprintf(out->part, sizeof out->part, "section %s, page", section_name((uint16_t)id));
    return true;
}

typedef bool page_f(
    struct segment *s, uint8_t type, struct slice raw, const struct place *place, struct err *err);

static bool each_page(struct segment *s, const struct loaded *loaded, page_f *page, struct err *err)
{
    struct section_walk walk;
    const struct section *section = loaded->section;
    walk_init(
        &walk, slice_of(loaded->bytes, section->bytes), s->path, loaded->part, section->offset);
    bool ok = true;
    while (ok && !walk_at_end(&walk)) {
        uint8_t type;
        struct slice raw;
        struct place place;
        ok = walk_next(&walk, &type, &raw, &place, err) && page(s, type, raw, &place, err);
    }
    walk_fini(&walk);
    return ok;
}

static bool no_memory(const struct place *place, struct err *err)
{
    return place_corrupt(place, err, "unpacks to more memory than a file of this size may");
}

/* ---- dictionaries ---- */

static bool load_names_done(struct segment *s, const struct place *place, struct err *err)
{
    size_t bytes = s->names.n * sizeof *s->labels;
    s->labels = arena_zalloc(&s->arena, bytes);
    if (!s->labels)
        return no_memory(place, err);
    for (uint32_t i = 0; i < s->names.n; i++)
        s->labels[i].values.max_len = LABEL_VALUE_MAX;
    return true;
}

/* Dictionary 0 is complete before dictionary 1 begins, and so on. */
static bool dict_page(
    struct segment *s, uint8_t type, struct slice raw, const struct place *place, struct err *err)
{
    uint32_t id;
    if (type != PAGE_DICT)
        return true;
    if (!dict_page_of(raw, place, &id, err))
        return false;
    if (id == 0 && s->labels)
        return place_corrupt(place, err, "names after values");
    if (id > 0 && !s->labels)
        return place_corrupt(place, err, "values before the names are complete");
    if (id > s->names.n)
        return place_corrupt(place, err, "dictionary %" PRIu32 " of no name", id);
    struct dict *dict = id == 0 ? &s->names : &s->labels[id - 1].values;
    if (!dict_page_get(dict, raw, place, &s->arena, err))
        return false;
    return id > 0 || dict->n < dict->total || load_names_done(s, place, err);
}

static bool load_dicts(struct segment *s, const struct loaded *l, struct err *err)
{
    struct place place = {s->path, l->part, l->section->offset};
    uint64_t values = 0;
    s->names.max_len = LABEL_NAME_MAX;
    if (!each_page(s, l, dict_page, err))
        return false;
    if (!s->labels)
        return place_corrupt(&place, err, "names are missing");
    for (uint32_t i = 0; i < s->names.n; i++) {
        const struct dict *d = &s->labels[i].values;
        if (d->n == 0 || d->n != d->total || d->n > s->info.series)
            return place_corrupt(
                &place, err, "dictionary %" PRIu32 " has %" PRIu32 " values", i + 1, d->n);
        values += d->n;
    }
    if (values + s->names.n != l->section->rows)
        return place_corrupt(&place, err, "%" PRIu64 " values in all", values);
    s->metric_name = dict_find(&s->names, SLICE(LABEL_METRIC_NAME));
    if (s->metric_name == UINT32_MAX)
        return place_corrupt(&place, err, "no label " LABEL_METRIC_NAME);
    return true;
}

/* ---- label columns ---- */

struct column_page {
    uint32_t name, first, n;
    uint8_t codec;
};

static bool column_codes(struct segment *s, struct slice raw, struct column_page *page,
    int64_t *codes, const struct place *place, struct err *err)
{
    struct reader r = reader_of(raw);
    page->name = read_le32(&r);
    page->first = read_le32(&r);
    page->n = read_le32(&r);
    page->codec = read_u8(&r);
    read_bytes(&r, 3);
    uint64_t left = page->first < s->info.series ? s->info.series - page->first : 0;
    if (r.failed || page->name >= s->names.n || page->first % COLUMN_GROUP || page->n == 0 ||
        page->n != (left < COLUMN_GROUP ? left : COLUMN_GROUP))
        return place_corrupt(place, err, "a column of ordinals %" PRIu32 ", %" PRIu32 " of them",
            page->first, page->n);
    if (!codec_known(page->codec))
        return place_unsupported(place, err, "not supported yet: codec %d", page->codec);
    if (!codec_decode(page->codec, &r, page->n, codes) || reader_left(&r) > 0)
        return place_corrupt(place, err, "a column does not decode");
    uint32_t n_values = s->labels[page->name].values.n;
    for (uint32_t i = 0; i < page->n; i++)
        if (codes[i] < 0 || codes[i] > n_values)
            return place_corrupt(place, err, "code %" PRId64 " of %" PRIu32, codes[i], n_values);
    return true;
}

/* Codes of one page at a time; what is done with them differs from pass to pass. */
typedef void column_f(struct segment *s, const struct column_page *page, const int64_t *codes);

static void count_labels(struct segment *s, const struct column_page *page, const int64_t *codes)
{
    for (uint32_t i = 0; i < page->n; i++)
        s->label_end[page->first + i] += codes[i] != 0;
}

/* Before this pass label_end[i] is where the labels of series i begin; after it, where they end. */
static void fill_labels(struct segment *s, const struct column_page *page, const int64_t *codes)
{
    const struct slice *values = s->labels[page->name].values.values;
    for (uint32_t i = 0; i < page->n; i++) {
        if (codes[i] == 0)
            continue;
        s->label[s->label_end[page->first + i]++] =
            (struct label){s->names.values[page->name], values[codes[i] - 1]};
        if (page->name == s->metric_name)
            s->metric_of[page->first + i] = (uint32_t)(codes[i] - 1);
    }
}

/* Pages of columns come by name, then ordinal, so that labels are filled in by name. */
static bool each_column(
    struct segment *s, const struct loaded *l, column_f *column, struct err *err)
{
    struct section_walk walk;
    struct column_page page = {0};
    uint64_t before = 0;
    int64_t *codes = xreallocarray(NULL, COLUMN_GROUP, sizeof *codes);
    walk_init(&walk, slice_of(l->bytes, l->section->bytes), s->path, l->part, l->section->offset);
    bool ok = true;
    while (ok && !walk_at_end(&walk)) {
        uint8_t type;
        struct slice raw;
        struct place place;
        ok = walk_next(&walk, &type, &raw, &place, err);
        if (!ok || type != PAGE_COLUMN)
            continue;
        ok = column_codes(s, raw, &page, codes, &place, err);
        uint64_t key = ((uint64_t)page.name << 32 | page.first) + 1;
        if (ok && key <= before)
            ok = place_corrupt(&place, err, "columns are out of order");
        before = key;
        if (ok)
            column(s, &page, codes);
    }
    walk_fini(&walk);
    free(codes);
    return ok;
}

static bool place_labels(struct segment *s, const struct place *place, struct err *err)
{
    uint64_t total = 0;
    for (uint64_t i = 0; i < s->info.series; i++) {
        uint32_t n = s->label_end[i];
        if (n == 0 || n > LABELS_MAX)
            return place_corrupt(place, err, "series %" PRIu64 " has %" PRIu32 " labels", i, n);
        s->label_end[i] = (uint32_t)total;
        total += n;
    }
    s->label = arena_array(&s->arena, total, sizeof *s->label);
    s->metric_of = arena_array(&s->arena, s->info.series, sizeof *s->metric_of);
    if (!s->label || !s->metric_of)
        return no_memory(place, err);
    for (uint64_t i = 0; i < s->info.series; i++)
        s->metric_of[i] = UINT32_MAX;
    return true;
}

static bool check_series(struct segment *s, const struct place *place, struct err *err)
{
    for (uint32_t i = 0; i < s->info.series; i++) {
        if (s->metric_of[i] == UINT32_MAX)
            return place_corrupt(place, err, "series %" PRIu32 " has no name", i);
        if (i == 0)
            continue;
        if (s->metric_of[i] < s->metric_of[i - 1] ||
            (s->metric_of[i] == s->metric_of[i - 1] &&
                labels_cmp(labels_of(s, i - 1), labels_of(s, i)) >= 0))
            return place_corrupt(place, err, "series %" PRIu32 " is out of order", i);
    }
    return true;
}

static bool metric_page(
    struct segment *s, uint8_t type, struct slice raw, const struct place *place, struct err *err)
{
    return type != PAGE_METRICS || metric_table_get(&s->metrics, raw, place, &s->arena, err);
}

static bool load_metrics(struct segment *s, const struct loaded *l, struct err *err)
{
    struct place place = {s->path, l->part, l->section->offset};
    const struct dict *names = &s->labels[s->metric_name].values;
    if (!each_page(s, l, metric_page, err))
        return false;
    if (s->metrics.n != s->metrics.total || s->metrics.n != names->n)
        return place_corrupt(
            &place, err, "%" PRIu32 " metrics with %" PRIu32 " names", s->metrics.n, names->n);
    for (uint32_t i = 0; i < s->metrics.n; i++)
        s->metrics.defs[i].name = names->values[i];
    return true;
}

static bool load_series(struct segment *s, const struct loaded *l, struct err *err)
{
    struct place place = {s->path, l->part, l->section->offset};
    if (l->section->rows != s->info.series)
        return place_corrupt(&place, err, "%" PRIu64 " series", l->section->rows);
    s->label_end = arena_zalloc(&s->arena, s->info.series * sizeof *s->label_end);
    if (!s->label_end)
        return no_memory(&place, err);
    return load_metrics(s, l, err) && each_column(s, l, count_labels, err) &&
           place_labels(s, &place, err) && each_column(s, l, fill_labels, err) &&
           check_series(s, &place, err);
}

/* ---- postings ---- */

/* Offsets ascend inside the page, and every list is one. */
static bool check_lists(
    struct segment *s, const struct postings_page *page, const struct place *place, struct err *err)
{
    size_t at = 12 + 4 * (size_t)page->n;
    for (uint32_t i = 0; i < page->n; i++) {
        size_t from = le32_get(page->raw.ptr + 12 + 4 * (size_t)i);
        size_t to = i + 1 < page->n ? le32_get(page->raw.ptr + 16 + 4 * (size_t)i) : page->raw.len;
        size_t n;
        if (from != at || to < from || to > page->raw.len ||
            !postings_check(
                slice_of(page->raw.ptr + from, to - from), (uint32_t)s->info.series, &n))
            return place_corrupt(place, err, "list %" PRIu32 " does not decode", page->first + i);
        at = to;
    }
    return true;
}

static bool postings_page(
    struct segment *s, uint8_t type, struct slice raw, const struct place *place, struct err *err)
{
    struct reader r = reader_of(raw);
    if (type != PAGE_POSTINGS)
        return true;
    uint32_t name = read_le32(&r);
    struct postings_page page = {.first = read_le32(&r), .n = read_le32(&r)};
    if (r.failed || name >= s->names.n || page.n == 0 || page.n > reader_left(&r) / 4)
        return place_corrupt(place, err, "%" PRIu32 " lists of name %" PRIu32, page.n, name);
    struct label_name *label = &s->labels[name];
    const struct postings_page *last = label->n_pages ? &label->pages[label->n_pages - 1] : NULL;
    uint32_t first = last ? last->first + last->n : 0;
    if (page.first != first || page.n > label->values.n - first)
        return place_corrupt(place, err, "lists from %" PRIu32 " on do not follow", page.first);
    page.raw = arena_slice(&s->arena, raw);
    if (!page.raw.ptr)
        return no_memory(place, err);
    GROW(label->pages, label->pages_cap, label->n_pages + 1);
    label->pages[label->n_pages++] = page;
    return check_lists(s, &page, place, err);
}

static bool load_postings(struct segment *s, const struct loaded *l, struct err *err)
{
    struct place place = {s->path, l->part, l->section->offset};
    if (!each_page(s, l, postings_page, err))
        return false;
    for (uint32_t i = 0; i < s->names.n; i++) {
        const struct label_name *label = &s->labels[i];
        const struct postings_page *last =
            label->n_pages ? &label->pages[label->n_pages - 1] : NULL;
        if (!last || last->first + last->n != label->values.n)
            return place_corrupt(&place, err, "lists of name %" PRIu32 " are missing", i);
    }
    return true;
}

/* ---- directory, provenance ---- */

static bool load_directory(struct segment *s, const struct loaded *l, struct err *err)
{
    struct place place = {s->path, l->part, l->section->offset};
    if (!directory_load(&s->directory, slice_of(l->bytes, l->section->bytes), s->path, &s->header,
            &s->footer, err))
        return false;
    for (size_t i = 0; i < s->directory.n_chunks; i++) {
        const struct chunk *c = &s->directory.chunks[i];
        bool hist = metric_of(s, c->ordinal)->kind == KIND_HISTOGRAM;
        if (s->directory.pages[c->page].type != (hist ? PAGE_HIST : PAGE_VALUES))
            return place_corrupt(&place, err, "chunk %zu is in a page of another kind", i);
    }
    return true;
}

static bool source_page(
    struct segment *s, uint8_t type, struct slice raw, const struct place *place, struct err *err)
{
    return type != PAGE_SOURCES || provenance_get(&s->provenance, raw, place, &s->arena, err);
}

static bool load_sources(struct segment *s, const struct loaded *l, struct err *err)
{
    struct place place = {s->path, l->part, l->section->offset};
    if (!each_page(s, l, source_page, err))
        return false;
    if (s->provenance.n != s->provenance.total || s->provenance.n != l->section->rows)
        return place_corrupt(&place, err, "%" PRIu32 " sources", s->provenance.n);
    return true;
}

typedef bool load_f(struct segment *s, const struct loaded *loaded, struct err *err);

bool segment_load(struct segment *segment, struct err *err)
{
    static const struct {
        enum section_id id;
        load_f *load;
    } order[] = {
        {SECTION_DICT, load_dicts},
        {SECTION_SERIES, load_series},
        {SECTION_POSTINGS, load_postings},
        {SECTION_CHUNKDIR, load_directory},
        {SECTION_PROVENANCE, load_sources},
    };
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        struct loaded loaded;
        bool ok =
            load_bytes(segment, order[i].id, &loaded, err) && order[i].load(segment, &loaded, err);
        free(loaded.bytes);
        if (!ok)
            return false;
    }
    return true;
}
