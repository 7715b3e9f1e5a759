/*
 * Writing a segment. One pass over the series, in their order: times and cells go to pages of the
 * data section, which goes to the file as its pages fill; labels, directory and metrics are
 * gathered in memory and follow at the end; the header, which holds the content id, comes last.
 *
 *     next series -> label_index -> cut every CHUNK_CELLS_MAX cells -> times_index -> chunks,
 *                                                                  less their bases: families
 *                                                                  data_writer | directory_writer
 *                                                                     all pages -> page_index
 *
 * The bytes depend on the input alone: on no clock, address, hash order or thread.
 */
#include "store/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/codec/codec.h"
#include "store/segment/aggregate.h"
#include "store/segment/chunk.h"
#include "store/segment/data_writer.h"
#include "store/segment/directory.h"
#include "store/segment/families.h"
#include "store/segment/ids.h"
#include "store/segment/label_index.h"
#include "store/segment/layout.h"
#include "store/segment/metric_table.h"
#include "store/segment/provenance.h"

struct writer {
    const struct segment_input *input;
    struct outfile file;
    struct data_writer data;
    struct directory_writer directory;
    struct page_index index;
    struct times_index times;
    struct label_index labels;
    struct families families;
    struct arena arena; /* texts of the metrics */
    struct metric_def *metrics;
    uint32_t *metric_series; /* number of each metric's series */
    size_t n_metrics, metrics_cap, metric_series_cap;
    uint32_t *ids; /* by ordinal */
    size_t ids_cap;
    uint64_t cells;
    int64_t min_t, max_t;
    struct buf scratch;
    struct section_buf sections[SECTION_END];
    struct footer footer;
    struct hash128 id;
};

static void writer_init(struct writer *w, const struct segment_input *input)
{
    *w = (struct writer){.input = input, .min_t = INT64_MAX, .max_t = INT64_MIN};
    w->file.fd = -1;
    data_writer_init(&w->data, &w->file, &w->index);
    directory_writer_init(&w->directory, input->t0);
    times_index_init(&w->times);
    label_index_init(&w->labels);
    families_init(&w->families);
    arena_init(&w->arena, 0);
}

static void writer_fini(struct writer *w)
{
    outfile_discard(&w->file);
    data_writer_fini(&w->data);
    directory_writer_fini(&w->directory);
    times_index_fini(&w->times);
    page_index_fini(&w->index);
    label_index_fini(&w->labels);
    families_fini(&w->families);
    arena_fini(&w->arena);
    free(w->metrics);
    free(w->metric_series);
    free(w->ids);
    buf_fini(&w->scratch);
    for (int id = 0; id < SECTION_END; id++)
        section_fini(&w->sections[id]);
}

/* ---- checking what comes in ---- */

/* The labels come last: they may be long, and a text of an error is not. */
static bool bad_series(const struct segment_series *series, const char *what, struct err *err)
{
    struct buf text;
    buf_init(&text, 0);
    for (size_t i = 0; i < series->labels.n && text.len < ERR_TEXT_MAX; i++) {
        const struct label *l = &series->labels.items[i];
        if (slice_is(l->name, LABEL_METRIC_NAME))
            continue;
        buf_str(&text, text.len ? ", " : "");
        buf_slice(&text, l->name);
        buf_str(&text, "=\"");
        buf_slice(&text, l->value);
        buf_str(&text, "\"");
    }
    err_set(err, ERR_INVALID, "%s: series %.*s{%.*s}", what, SLICE_FMT(series->def->name),
        SLICE_FMT(buf_view(&text)));
    buf_fini(&text);
    return false;
}

static bool bad_cell(
    const struct segment_series *series, size_t i, const char *what, struct err *err)
{
    char text[128];
    snprintf(text, sizeof text, "%s at %" PRId64 " ms", what, series->columns.t[i]);
    return bad_series(series, text, err);
}

static bool check_columns(
    const struct writer *w, const struct segment_series *series, struct err *err)
{
    const struct columns *c = &series->columns;
    if (c->kind != series->def->kind)
        return bad_series(series, "its cells are of another kind", err);
    if (c->kind == KIND_SAMPLE && (c->first != NULL) != (w->input->resolution_ms > 0))
        return bad_series(series, "samples that are derived, or not, as the segment is not", err);
    if (c->n == 0)
        return bad_series(series, "no cells", err);
    for (size_t i = 1; i < c->n; i++)
        if (c->t[i] <= c->t[i - 1])
            return bad_cell(series, i, "times do not ascend", err);
    if (c->t[0] <= w->input->t0)
        return bad_cell(series, 0, "a cell before the time block", err);
    if (c->t[c->n - 1] > w->input->t1)
        return bad_cell(series, c->n - 1, "a cell behind the time block", err);
    for (size_t i = 0; i < c->n; i++)
        if (columns_is_zero(c, i))
            return bad_cell(series, i, "a cell that is zero", err);
    return true;
}

/* Order of metric name, then labels. */
static bool check_order(
    const struct writer *w, const struct segment_series *series, struct err *err)
{
    struct slice name = labels_get(series->labels, SLICE(LABEL_METRIC_NAME));
    if (!slice_eq(name, series->def->name))
        return bad_series(series, "its labels have another metric name", err);
    if (w->n_metrics == 0)
        return true;
    struct label before[LABELS_MAX];
    const struct metric_def *last = &w->metrics[w->n_metrics - 1];
    int order = slice_cmp(last->name, name);
    if (order > 0 ||
        (order == 0 && labels_cmp(label_index_last(&w->labels, before), series->labels) >= 0))
        return bad_series(series, "out of order", err);
    if (order == 0 && !metric_def_agrees(last, series->def))
        return bad_series(series, "its metric is defined in two ways", err);
    return true;
}

/* ---- series ---- */

static void add_metric(struct writer *w, const struct metric_def *def)
{
    struct metric_def copy = *def;
    copy.name = arena_slice(&w->arena, def->name);
    copy.clock = arena_slice(&w->arena, def->clock);
    copy.help = arena_slice(&w->arena, def->help);
    copy.unit = arena_slice(&w->arena, def->unit);
    GROW(w->metrics, w->metrics_cap, w->n_metrics + 1);
    GROW(w->metric_series, w->metric_series_cap, w->n_metrics + 1);
    w->metric_series[w->n_metrics] = 0;
    w->metrics[w->n_metrics++] = copy;
}

static bool add_labels(struct writer *w, const struct segment_series *series, struct err *err)
{
    if (w->labels.n_series == SEGMENT_SERIES_MAX)
        return err_set(err, ERR_LIMIT, "more than %u series in a segment", SEGMENT_SERIES_MAX);
    if (!label_index_add(&w->labels, series->labels, err))
        return false;
    if (w->labels.n_names > SEGMENT_SERIES_MAX)
        return err_set(err, ERR_LIMIT, "more than %u label names", SEGMENT_SERIES_MAX);
    if (w->n_metrics == 0 || !slice_eq(w->metrics[w->n_metrics - 1].name, series->def->name)) {
        if (!metric_def_check(series->def, err))
            return false;
        add_metric(w, series->def);
    }
    w->metric_series[w->n_metrics - 1]++;
    GROW(w->ids, w->ids_cap, w->labels.n_series);
    w->ids[w->labels.n_series - 1] = series->id;
    return true;
}

/* The id of the vector of these times, stored when it is new. */
static bool add_vector(
    struct writer *w, const int64_t *t, size_t n, struct chunk *chunk, struct err *err)
{
    bool is_new;
    struct vector v = {.first = t[0], .last = t[n - 1], .n = (uint32_t)n, .codec = CODEC_NONE};
    bool steps = times_step(t, n, &v.step);
    chunk->vector = times_index_add(&w->times, t, n, &is_new);
    chunk->vector_n = v.n;
    chunk->at.times.codec = steps ? CODEC_NONE : CODEC_PLAIN;
    if (!is_new)
        return true;
    if (!steps) {
        v.codec = codec_choose(t, n);
        buf_clear(&w->scratch);
        codec_encode(v.codec, t, n, &w->scratch);
        v.bytes = (uint32_t)w->scratch.len;
        if (!data_writer_add(&w->data, PAGE_TIMES, buf_view(&w->scratch), &v.page, &v.offset, err))
            return false;
    }
    directory_add_vector(&w->directory, &v);
    return true;
}

/* The cells of the chunk, or fewer: when every count is as large as can be, those that fit by their
 * number may pass a page. One cell never does. */
static void encode_cells(
    struct writer *w, const struct columns *c, size_t from, struct segment_chunk *at)
{
    for (;; at->n = (at->n + 1) / 2) {
        buf_clear(&w->scratch);
        chunk_encode(c, from, at->n, &w->scratch, at->codecs);
        if (w->scratch.len <= PAGE_RAW_MAX)
            return;
        ensure(at->n > 1);
    }
}

/* Of the chunk's cells, as many as fit: at.n says how many those are. */
static bool add_chunk(
    struct writer *w, const struct columns *c, size_t from, struct chunk *chunk, struct err *err)
{
    struct segment_chunk *at = &chunk->at;
    encode_cells(w, c, from, at);
    enum page_type type = chunk_page_type(c, from, at->n);
    at->min_t = c->t[from];
    at->max_t = c->t[from + at->n - 1];
    at->back = families_encode(&w->families, c, from,
        &(struct family_key){.vector = chunk->vector, .start = at->times.start, .n = at->n},
        (uint32_t)w->directory.n_chunks, &w->scratch, at->codecs);
    at->bytes = (uint32_t)w->scratch.len;
    if (!data_writer_add(&w->data, type, buf_view(&w->scratch), &at->page, &at->offset, err))
        return false;
    aggregate_of(c, from, at->n, &chunk->aggregate);
    directory_add_chunk(&w->directory, chunk);
    return true;
}

/* Up to CHUNK_CELLS_MAX cells: one vector of times, and as many chunks as they need. */
static bool add_piece(
    struct writer *w, const struct segment_series *series, size_t from, size_t n, struct err *err)
{
    const struct columns *c = &series->columns;
    struct chunk chunk = {.metric = (uint32_t)w->n_metrics - 1,
        .doubles = c->kind == KIND_SAMPLE,
        .at.ordinal = (uint32_t)w->labels.n_series - 1};
    if (!add_vector(w, c->t + from, n, &chunk, err))
        return false;
    for (size_t start = 0; start < n;) {
        size_t m = chunk_cells(c, from + start, n - start);
        if (m == 0)
            return bad_cell(series, from + start, "a histogram with too many buckets", err);
        if (w->directory.n_chunks == SEGMENT_CHUNKS_MAX)
            return err_set(err, ERR_LIMIT, "more than %u chunks", SEGMENT_CHUNKS_MAX);
        chunk.at.times.start = (uint32_t)start;
        chunk.at.n = (uint32_t)m;
        if (!add_chunk(w, c, from + start, &chunk, err))
            return false;
        start += chunk.at.n;
    }
    return true;
}

static bool add_series(struct writer *w, const struct segment_series *series, struct err *err)
{
    const struct columns *c = &series->columns;
    if (!check_order(w, series, err) || !check_columns(w, series, err) ||
        !add_labels(w, series, err))
        return false;
    families_series(&w->families, series->labels);
    for (size_t from = 0; from < c->n; from += CHUNK_CELLS_MAX) {
        size_t left = c->n - from;
        if (!add_piece(w, series, from, left < CHUNK_CELLS_MAX ? left : CHUNK_CELLS_MAX, err))
            return false;
    }
    w->cells += c->n;
    w->min_t = c->t[0] < w->min_t ? c->t[0] : w->min_t;
    w->max_t = c->t[c->n - 1] > w->max_t ? c->t[c->n - 1] : w->max_t;
    return true;
}

/* ---- the file ---- */

static bool write_data(struct writer *w, struct err *err)
{
    const struct segment_input *in = w->input;
    struct segment_series series = {0};
    static const char zeros[HEADER_BYTES];
    if (!outfile_add(&w->file, slice_of(zeros, sizeof zeros), err))
        return false;
    while (in->next(in->ctx, &series))
        if (!add_series(w, &series, err))
            return false;
    if (in->failed && in->failed(in->ctx, err))
        return false;
    if (w->labels.n_series == 0)
        return err_set(err, ERR_INVALID, "a segment without series");
    return data_writer_finish(&w->data, err);
}

static bool make_sections(struct writer *w, struct err *err)
{
    struct section_buf *s = w->sections;
    directory_finish(&w->directory, &s[SECTION_CHUNKDIR]);
    metric_table_put(&s[SECTION_SERIES], w->metrics, w->metric_series, (uint32_t)w->n_metrics);
    label_index_put(&w->labels, &s[SECTION_SERIES], &s[SECTION_DICT], &s[SECTION_POSTINGS]);
    return provenance_put(&s[SECTION_PROVENANCE], w->input->sources, w->input->n_sources, err) &&
           ids_put(&s[SECTION_IDS], w->ids, (uint32_t)w->labels.n_series, err);
}

/* The index of pages covers all sections but itself. */
static void make_index(struct writer *w)
{
    uint64_t offset = w->file.bytes;
    for (unsigned id = SECTION_CHUNKDIR; id < SECTION_INDEX; id++) {
        const struct section_buf *s = &w->sections[id];
        for (size_t i = 0; i < s->n_pages; i++) {
            struct page_ref page = s->pages[i];
            page.offset += offset;
            page_index_add(&w->index, &page);
        }
        offset += s->bytes.len;
    }
    ensure(page_index_finish(&w->index));
    page_index_put(&w->index, &w->sections[SECTION_INDEX]);
}

static void add_section(
    struct writer *w, uint16_t id, uint64_t offset, uint64_t bytes, uint64_t rows, uint32_t crc)
{
    w->footer.sections[w->footer.n_sections++] = (struct section){.id = id,
        .version = SECTION_VERSION,
        .crc = crc,
        .offset = offset,
        .bytes = bytes,
        .rows = rows};
}

static bool write_sections(struct writer *w, struct err *err)
{
    const struct segment_input *in = w->input;
    struct buf *digest = &w->data.digest;
    add_section(
        w, SECTION_DATA, HEADER_BYTES, w->file.bytes - HEADER_BYTES, w->index.n, w->data.crc);
    make_index(w);
    for (unsigned id = SECTION_CHUNKDIR; id < SECTION_END; id++) {
        struct section_buf *s = &w->sections[id];
        add_section(w, (uint16_t)id, w->file.bytes, s->bytes.len, s->rows,
            crc32c(0, s->bytes.ptr, s->bytes.len));
        buf_slice(digest, buf_view(&s->digest));
        if (!outfile_add(&w->file, buf_view(&s->bytes), err))
            return false;
    }
    w->id = digest_id(in->t0, in->t1, in->resolution_ms, digest);
    return true;
}

static bool write_footer(struct writer *w, struct err *err)
{
    w->footer.id = w->id;
    w->footer.series = w->labels.n_series;
    w->footer.chunks = w->directory.n_chunks;
    w->footer.cells = w->cells;
    w->footer.min_t = w->min_t;
    w->footer.max_t = w->max_t;
    buf_clear(&w->scratch);
    footer_put(&w->scratch, &w->footer);
    return outfile_add(&w->file, buf_view(&w->scratch), err);
}

static bool finish(struct writer *w, struct segment_info *out, struct err *err)
{
    const struct segment_input *in = w->input;
    bool whole = !w->directory.goes_on;
    struct header header = {.major = whole ? SEGMENT_MAJOR_WHOLE : SEGMENT_MAJOR,
        .minor = whole ? SEGMENT_MINOR_WHOLE : SEGMENT_MINOR,
        .id = w->id,
        .t0 = in->t0,
        .t1 = in->t1,
        .resolution_ms = in->resolution_ms};
    uint8_t head[HEADER_BYTES];
    header_put(head, &header);
    layout_info(out, &header, &w->footer, w->file.bytes);
    return outfile_finish(&w->file, slice_of(head, sizeof head), out->name, err);
}

bool segment_write(
    const char *dir, const struct segment_input *input, struct segment_info *out, struct err *err)
{
    struct writer w;
    struct segment_info info;
    if (input->t0 >= input->t1 || input->resolution_ms < 0)
        return err_set(
            err, ERR_INVALID, "a time block (%" PRId64 ", %" PRId64 "]", input->t0, input->t1);
    writer_init(&w, input);
    bool ok = outfile_open(&w.file, dir, err) && write_data(&w, err) && make_sections(&w, err) &&
              write_sections(&w, err) && write_footer(&w, err) && finish(&w, &info, err);
    writer_fini(&w);
    if (ok && out)
        *out = info;
    return ok;
}
