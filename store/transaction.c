#include "store/transaction.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/mem.h"

/*
 * payload := section*
 * section := tag u8, count varint, entry*
 *
 * Times and series ids are deltas to the entry before, zigzag; so cells that come in order are
 * small, and any order is valid.
 */
enum section {
    SECTION_METRICS = 1,
    SECTION_UPDATES = 2,
    SECTION_SERIES = 3,
    SECTION_ADDS = 4,
    SECTION_GAUGES = 5,
    SECTION_HISTOGRAMS = 6,
    SECTION_SAMPLES = 7,
    SECTION_SOURCES = 8,
    SECTION_CLOCKS = 9,
};

void transaction_init(struct transaction *t)
{
    *t = (struct transaction){0};
    arena_init(&t->arena, 0);
}

void transaction_clear(struct transaction *t)
{
    arena_reset(&t->arena);
    t->n_metrics = t->n_updates = t->n_series = t->n_adds = t->n_gauges = t->n_hists = 0;
    t->n_buckets = t->n_samples = t->n_sources = t->n_clocks = 0;
}

void transaction_fini(struct transaction *t)
{
    arena_fini(&t->arena);
    free(t->metrics);
    free(t->updates);
    free(t->series);
    free(t->adds);
    free(t->gauges);
    free(t->hists);
    free(t->buckets);
    free(t->samples);
    free(t->sources);
    free(t->clocks);
    *t = (struct transaction){0};
}

size_t transaction_cells(const struct transaction *t)
{
    return t->n_adds + t->n_gauges + t->n_hists + t->n_samples;
}

/* 128 bits as zigzag LEB128, at most 19 bytes. */
static void put_int128(struct buf *out, int128 v)
{
    uint128 u = ((uint128)v << 1) ^ (uint128)(v >> 127);
    for (; u >= 0x80; u >>= 7)
        buf_u8(out, (uint8_t)(u | 0x80));
    buf_u8(out, (uint8_t)u);
}

static int128 read_int128(struct reader *r)
{
    uint128 u = 0;
    for (unsigned shift = 0; shift < 128 && !r->failed; shift += 7) {
        uint8_t b = read_u8(r);
        if (shift == 126 && b > 3)
            break;
        u |= (uint128)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return (int128)(u >> 1) ^ -(int128)(u & 1);
    }
    r->failed = true;
    return 0;
}

/* Deltas of series id and time. */
struct at {
    uint32_t series;
    int64_t t;
};

static void put_at(struct buf *out, struct at *last, uint32_t series, int64_t t)
{
    buf_svarint(out, (int64_t)series - (int64_t)last->series);
    buf_svarint(out, (int64_t)((uint64_t)t - (uint64_t)last->t));
    *last = (struct at){series, t};
}

static void read_at(struct reader *r, struct at *last)
{
    int64_t series = (int64_t)last->series + read_svarint(r);
    if (series < 0 || series > UINT32_MAX)
        r->failed = true;
    last->series = (uint32_t)series;
    last->t = (int64_t)((uint64_t)last->t + (uint64_t)read_svarint(r));
}

static void put_metric(struct buf *out, const struct metric_def *m)
{
    buf_lstr(out, m->name);
    buf_u8(out, (uint8_t)m->kind);
    buf_u8(out, (uint8_t)m->digits);
    buf_svarint(out, m->schema);
    buf_varint(out, (uint64_t)m->every_ms);
    buf_varint(out, (uint64_t)m->stale_after_ms);
    buf_lstr(out, m->clock);
    buf_lstr(out, m->help);
    buf_lstr(out, m->unit);
}

static void read_metric(struct reader *r, struct metric_def *m)
{
    m->name = read_lstr(r);
    int kind = read_u8(r);
    m->kind = (enum kind)kind;
    m->digits = read_u8(r);
    int64_t schema = read_svarint(r);
    m->schema = (int)schema;
    m->every_ms = (int64_t)read_varint(r);
    m->stale_after_ms = (int64_t)read_varint(r);
    m->clock = read_lstr(r);
    m->help = read_lstr(r);
    m->unit = read_lstr(r);
    if (kind < KIND_COUNTER || kind > KIND_SAMPLE || m->digits > DIGITS_MAX || schema < -4 ||
        schema > 8 || m->every_ms < 0 || m->stale_after_ms < 0)
        r->failed = true;
}

static void begin(struct buf *out, enum section tag, size_t n)
{
    buf_u8(out, (uint8_t)tag);
    buf_varint(out, n);
}

static void encode_metrics(const struct transaction *t, struct buf *out)
{
    if (t->n_metrics) {
        begin(out, SECTION_METRICS, t->n_metrics);
        buf_varint(out, t->first_metric);
        for (size_t i = 0; i < t->n_metrics; i++)
            put_metric(out, &t->metrics[i]);
    }
    if (t->n_updates) {
        begin(out, SECTION_UPDATES, t->n_updates);
        for (size_t i = 0; i < t->n_updates; i++)
            put_metric(out, &t->updates[i]);
    }
}

static void encode_series(const struct transaction *t, struct buf *out)
{
    if (!t->n_series)
        return;
    begin(out, SECTION_SERIES, t->n_series);
    buf_varint(out, t->first_series);
    for (size_t i = 0; i < t->n_series; i++) {
        const struct series_def *s = &t->series[i];
        buf_varint(out, s->metric);
        buf_varint(out, s->labels.n);
        for (size_t k = 0; k < s->labels.n; k++) {
            buf_lstr(out, s->labels.items[k].name);
            buf_lstr(out, s->labels.items[k].value);
        }
    }
}

static void encode_cells(const struct transaction *t, struct buf *out)
{
    struct at at = {0, 0};
    if (t->n_adds)
        begin(out, SECTION_ADDS, t->n_adds);
    for (size_t i = 0; i < t->n_adds; i++) {
        put_at(out, &at, t->adds[i].series, t->adds[i].t);
        put_int128(out, t->adds[i].amount);
    }
    at = (struct at){0, 0};
    if (t->n_gauges)
        begin(out, SECTION_GAUGES, t->n_gauges);
    for (size_t i = 0; i < t->n_gauges; i++) {
        const struct gauge_entry *g = &t->gauges[i];
        put_at(out, &at, g->series, g->t);
        buf_svarint(out, g->cell.last);
        buf_svarint(out, g->cell.last_ms);
        buf_svarint(out, g->cell.min);
        buf_svarint(out, g->cell.max);
        buf_svarint(out, g->cell.count);
        put_int128(out, g->cell.sum);
    }
    at = (struct at){0, 0};
    if (t->n_hists)
        begin(out, SECTION_HISTOGRAMS, t->n_hists);
    for (size_t i = 0; i < t->n_hists; i++) {
        const struct hist_entry *h = &t->hists[i];
        put_at(out, &at, h->series, h->t);
        put_int128(out, h->sum);
        buf_varint(out, h->n);
        for (uint32_t k = h->first; k < h->first + h->n; k++) {
            buf_svarint(out, t->buckets[k].key);
            buf_svarint(out, t->buckets[k].count);
        }
    }
    at = (struct at){0, 0};
    if (t->n_samples)
        begin(out, SECTION_SAMPLES, t->n_samples);
    for (size_t i = 0; i < t->n_samples; i++) {
        put_at(out, &at, t->samples[i].series, t->samples[i].t);
        buf_le64(out, t->samples[i].bits);
    }
}

void transaction_encode(const struct transaction *t, struct buf *out)
{
    encode_metrics(t, out);
    encode_series(t, out);
    encode_cells(t, out);
    if (t->n_sources)
        begin(out, SECTION_SOURCES, t->n_sources);
    for (size_t i = 0; i < t->n_sources; i++) {
        buf_lstr(out, t->sources[i].name);
        buf_svarint(out, t->sources[i].next);
        buf_svarint(out, t->sources[i].newest_ms);
        buf_lstr(out, t->sources[i].state);
    }
    if (t->n_clocks)
        begin(out, SECTION_CLOCKS, t->n_clocks);
    for (size_t i = 0; i < t->n_clocks; i++) {
        buf_lstr(out, t->clocks[i].name);
        buf_svarint(out, t->clocks[i].frontier_ms);
        buf_svarint(out, t->clocks[i].watermark_ms);
    }
}

static void read_metrics(struct reader *r, struct transaction *t, uint64_t n)
{
    t->first_metric = (uint32_t)read_varint(r);
    GROW(t->metrics, t->metrics_cap, n);
    for (; t->n_metrics < n && !r->failed; t->n_metrics++)
        read_metric(r, &t->metrics[t->n_metrics]);
}

static void read_updates(struct reader *r, struct transaction *t, uint64_t n)
{
    GROW(t->updates, t->updates_cap, n);
    for (; t->n_updates < n && !r->failed; t->n_updates++)
        read_metric(r, &t->updates[t->n_updates]);
}

static bool labels_valid(const struct label *l, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (l[i].name.len == 0 || l[i].value.len == 0 || l[i].name.len > LABEL_NAME_MAX ||
            l[i].value.len > LABEL_VALUE_MAX || (i && slice_cmp(l[i - 1].name, l[i].name) >= 0))
            return false;
    return true;
}

static void read_series(struct reader *r, struct transaction *t, uint64_t n)
{
    t->first_series = (uint32_t)read_varint(r);
    GROW(t->series, t->series_cap, n);
    for (; t->n_series < n && !r->failed; t->n_series++) {
        struct series_def *s = &t->series[t->n_series];
        s->metric = (uint32_t)read_varint(r);
        uint64_t n_labels = read_varint(r);
        if (n_labels > LABELS_MAX) {
            r->failed = true;
            return;
        }
        struct label *l = arena_array(&t->arena, n_labels, sizeof *l);
        for (uint64_t k = 0; k < n_labels; k++) {
            l[k].name = read_lstr(r);
            l[k].value = read_lstr(r);
        }
        s->labels = (struct labels){l, n_labels};
        if (!r->failed && !labels_valid(l, n_labels))
            r->failed = true;
    }
}

static void read_adds(struct reader *r, struct transaction *t, uint64_t n)
{
    struct at at = {0, 0};
    GROW(t->adds, t->adds_cap, n);
    for (; t->n_adds < n && !r->failed; t->n_adds++) {
        read_at(r, &at);
        t->adds[t->n_adds] = (struct add_cell){at.series, at.t, read_int128(r)};
    }
}

static void read_gauges(struct reader *r, struct transaction *t, uint64_t n)
{
    struct at at = {0, 0};
    GROW(t->gauges, t->gauges_cap, n);
    for (; t->n_gauges < n && !r->failed; t->n_gauges++) {
        struct gauge_cell c;
        read_at(r, &at);
        c.last = read_svarint(r);
        c.last_ms = read_svarint(r);
        c.min = read_svarint(r);
        c.max = read_svarint(r);
        c.count = read_svarint(r);
        c.sum = read_int128(r);
        if (c.count < 1)
            r->failed = true;
        t->gauges[t->n_gauges] = (struct gauge_entry){at.series, at.t, c};
    }
}

static void read_buckets(struct reader *r, struct transaction *t, uint64_t n)
{
    if (n > reader_left(r) / 2 || t->n_buckets + n > UINT32_MAX) {
        r->failed = true;
        return;
    }
    GROW(t->buckets, t->buckets_cap, t->n_buckets + n);
    int64_t last = INT64_MIN;
    for (uint64_t k = 0; k < n && !r->failed; k++) {
        int64_t key = read_svarint(r);
        int64_t count = read_svarint(r);
        if (key <= last || key < INT32_MIN || key > HIST_INDEX_MAX || count == 0)
            r->failed = true;
        last = key;
        t->buckets[t->n_buckets++] = (struct hist_bucket){(int32_t)key, count};
    }
}

static void read_hists(struct reader *r, struct transaction *t, uint64_t n)
{
    struct at at = {0, 0};
    GROW(t->hists, t->hists_cap, n);
    for (; t->n_hists < n && !r->failed; t->n_hists++) {
        struct hist_entry h;
        read_at(r, &at);
        h.series = at.series;
        h.t = at.t;
        h.sum = read_int128(r);
        h.first = (uint32_t)t->n_buckets;
        uint64_t n_buckets = read_varint(r);
        read_buckets(r, t, n_buckets);
        h.n = (uint32_t)(t->n_buckets - h.first);
        t->hists[t->n_hists] = h;
    }
}

static void read_samples(struct reader *r, struct transaction *t, uint64_t n)
{
    struct at at = {0, 0};
    GROW(t->samples, t->samples_cap, n);
    for (; t->n_samples < n && !r->failed; t->n_samples++) {
        read_at(r, &at);
        t->samples[t->n_samples] = (struct sample_entry){at.series, at.t, read_le64(r), NULL};
    }
}

static void read_sources(struct reader *r, struct transaction *t, uint64_t n)
{
    GROW(t->sources, t->sources_cap, n);
    for (; t->n_sources < n && !r->failed; t->n_sources++) {
        struct source_entry *s = &t->sources[t->n_sources];
        s->name = read_lstr(r);
        s->next = read_svarint(r);
        s->newest_ms = read_svarint(r);
        s->state = read_lstr(r);
    }
}

static void read_clocks(struct reader *r, struct transaction *t, uint64_t n)
{
    GROW(t->clocks, t->clocks_cap, n);
    for (; t->n_clocks < n && !r->failed; t->n_clocks++) {
        struct clock_entry *c = &t->clocks[t->n_clocks];
        c->name = read_lstr(r);
        c->frontier_ms = read_svarint(r);
        c->watermark_ms = read_svarint(r);
    }
}

bool transaction_decode(struct slice payload, struct transaction *out, struct err *err)
{
    static void (*const sections[])(struct reader *, struct transaction *, uint64_t) = {
        [SECTION_METRICS] = read_metrics,
        [SECTION_UPDATES] = read_updates,
        [SECTION_SERIES] = read_series,
        [SECTION_ADDS] = read_adds,
        [SECTION_GAUGES] = read_gauges,
        [SECTION_HISTOGRAMS] = read_hists,
        [SECTION_SAMPLES] = read_samples,
        [SECTION_SOURCES] = read_sources,
        [SECTION_CLOCKS] = read_clocks,
    };
    struct reader r = reader_of(payload);
    unsigned last = 0;
    while (reader_left(&r) > 0 && !r.failed) {
        unsigned tag = read_u8(&r);
        uint64_t n = read_varint(&r);
        /* Each tag once, ascending; every entry has at least two bytes. */
        if (tag <= last || tag > SECTION_CLOCKS || n > reader_left(&r) / 2)
            r.failed = true;
        else
            sections[tag](&r, out, n);
        last = tag;
    }
    if (r.failed)
        return err_set(err, ERR_CORRUPT, "transaction: bad section %u before byte %zu", last,
            payload.len - reader_left(&r));
    return true;
}
