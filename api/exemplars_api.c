#include "api/exemplars_api.h"

#include <stdlib.h>

#include "api/json_out.h"
#include "api/series_search.h"
#include "base/number.h"
#include "ingest/exemplars/exemplar_reader.h"

/* The longest window: a cell of an event at the range's end may end so much later. */
#define WINDOW_MAX_MS INT64_C(3600000)

struct found_series {
    struct labels labels;
    uint32_t reader; /* number of its stream's */
    int digits;
};

struct stream_reader {
    struct slice stream;
    struct exemplar_reader *reader;
};

struct finding {
    const struct api *api;
    struct arena *arena;
    struct series_search *search;
    int64_t start_ms, end_ms;
    struct stream_reader *readers;
    size_t n_readers, readers_cap;
    struct found_series *series;
    size_t n_series, series_cap;
    struct err *err;
};

/* ---- series ---- */

/* False: the arena is full. */
static bool reader_of_stream(struct finding *f, struct slice stream, uint32_t *number)
{
    size_t i = 0;
    while (i < f->n_readers && !slice_eq(f->readers[i].stream, stream))
        i++;
    *number = (uint32_t)i;
    if (i < f->n_readers)
        return true;
    struct stream_reader *readers =
        arena_grow(f->arena, f->readers, f->n_readers, &f->readers_cap, sizeof *readers);
    struct slice name = arena_slice(f->arena, stream);
    if (!readers || (stream.len && !name.ptr))
        return false;
    f->readers = readers;
    f->readers[f->n_readers++] = (struct stream_reader){
        name, exemplar_reader_new(f->api->store, stream, f->start_ms, f->end_ms)};
    return true;
}

static bool found_labels(void *ctx, struct labels labels, const struct metric_def *def)
{
    struct finding *f = ctx;
    struct found_series found = {.digits = def->digits};
    if (def->kind != KIND_COUNTER && def->kind != KIND_HISTOGRAM)
        return true;
    struct found_series *series =
        arena_grow(f->arena, f->series, f->n_series, &f->series_cap, sizeof *series);
    if (!series)
        return search_full(f->err);
    f->series = series;
    found.labels = labels_copy(f->arena, labels);
    if ((labels.n && !found.labels.items) || !reader_of_stream(f, def->clock, &found.reader))
        return search_full(f->err);
    f->series[f->n_series++] = found;
    return true;
}

static bool ask_series(void *ctx, const struct listing *listing, struct err *err)
{
    struct finding *f = ctx;
    f->err = err;
    err->code = ERR_OK;
    return store_list_series(f->api->store, listing, found_labels, f, err) && err->code == ERR_OK;
}

static int by_labels(const void *a, const void *b)
{
    return labels_cmp(
        ((const struct found_series *)a)->labels, ((const struct found_series *)b)->labels);
}

/* What two selectors match is one series. */
static void sort_series(struct finding *f)
{
    size_t n = 0;
    if (f->n_series)
        qsort(f->series, f->n_series, sizeof *f->series, by_labels);
    for (size_t i = 0; i < f->n_series; i++)
        if (n == 0 || labels_cmp(f->series[n - 1].labels, f->series[i].labels) != 0)
            f->series[n++] = f->series[i];
    f->n_series = n;
}

static size_t minutes_of(const struct finding *f, const struct found_series *series)
{
    return exemplar_reader_minutes(f->readers[series->reader].reader);
}

static bool check_work(const struct finding *f, struct err *err)
{
    uint64_t looks = 0;
    for (size_t i = 0; i < f->n_series; i++)
        looks += minutes_of(f, &f->series[i]);
    return looks <= EXEMPLAR_LOOKS_MAX ||
           err_set(err, ERR_LIMIT,
               "exemplars of %zu series take %llu looks, one for each of their minutes, and one "
               "request may take %d: ask for fewer series or a shorter range",
               f->n_series, (unsigned long long)looks, EXEMPLAR_LOOKS_MAX);
}

/* ---- the answer ---- */

static void write_id(struct buf *out, const char *name, const uint8_t *bytes, size_t n)
{
    buf_printf(out, "\"%s\":\"", name);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%02x", bytes[i]);
    buf_char(out, '"');
}

static void write_exemplar(struct buf *out, const struct exemplar *e, int digits)
{
    buf_str(out, "{\"labels\":{");
    write_id(out, "trace_id", e->trace_id, sizeof e->trace_id);
    buf_char(out, ',');
    write_id(out, "span_id", e->span_id, sizeof e->span_id);
    buf_str(out, "},\"value\":");
    json_out_number(out, scaled_to_double(e->value, digits));
    buf_str(out, ",\"timestamp\":");
    json_out_time(out, e->time_ms);
    buf_char(out, '}');
}

/* Nothing of a series without exemplars. *any: one was written before. */
static bool write_series(struct finding *f, const struct found_series *series, struct buf *out,
    bool *any, struct err *err)
{
    struct exemplar_reader *reader = f->readers[series->reader].reader;
    struct slice metric = labels_get(series->labels, SLICE(LABEL_METRIC_NAME));
    struct hash128 hash = exemplar_labels(series->labels);
    size_t n = exemplar_reader_minutes(reader), written = 0;
    for (size_t i = 0; i < n && !out->failed; i++) {
        struct exemplar exemplar;
        bool found;
        if (!exemplar_reader_find(reader, metric, hash, i, &exemplar, &found, err))
            return false;
        if (!found)
            continue;
        if (written == 0) {
            buf_str(out, *any ? ",{\"seriesLabels\":" : "{\"seriesLabels\":");
            json_out_labels(out, series->labels);
            buf_str(out, ",\"exemplars\":[");
        }
        buf_str(out, written++ ? "," : "");
        write_exemplar(out, &exemplar, series->digits);
        *any = true;
    }
    if (written)
        buf_str(out, "]}");
    return true;
}

static bool write_all(struct finding *f, struct buf *out, struct err *err)
{
    struct notes notes = search_notes(f->search);
    bool any = false;
    json_out_begin(out);
    buf_char(out, '[');
    for (size_t i = 0; i < f->n_series && !out->failed; i++)
        if (!search_goes_on(f->search, err) || !write_series(f, &f->series[i], out, &any, err))
            return false;
    buf_char(out, ']');
    json_out_end(out, &notes, false);
    return true;
}

/* An expression without a selector has no series; search_run would take that for all of them. */
static bool find_series(struct finding *f, struct err *err)
{
    size_t n;
    if (!search_expression(f->search, &n, err))
        return false;
    search_range(f->search, &f->start_ms, &f->end_ms);
    search_reach(f->search, WINDOW_MAX_MS);
    if (n == 0)
        return true;
    if (!store_await_replay(f->api->store, 0, err))
        return err->code == ERR_TIMEOUT
                   ? err_set(err, ERR_UNAVAILABLE,
                         "the log is being replayed: exemplars are answered when that has ended")
                   : false;
    return search_run(f->search, ask_series, f, err);
}

void exemplars_query(const struct api *api, struct request *request, struct response *response)
{
    struct err err = {0};
    struct finding f = {.api = api, .arena = request->arena, .search = search_new(api, request)};
    bool ok = find_series(&f, &err);
    sort_series(&f);
    if (!ok || !check_work(&f, &err) || !write_all(&f, &response->body, &err))
        response_err(response, &err);
    for (size_t i = 0; i < f.n_readers; i++)
        exemplar_reader_free(&f.readers[i].reader);
    search_free(&f.search);
}
