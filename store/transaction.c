#include "store/transaction.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "store/bounds.h"
#include "store/cell_code.h"
#include "store/old_cells.h"

/* payload := section*       section := tag u8, count varint, entry* */
enum section_tag {
    SECTION_METRICS = 1,
    SECTION_UPDATES = 2,
    SECTION_SERIES = 3,
    SECTION_OLD_ADDS = 4,
    SECTION_OLD_GAUGES = 5,
    SECTION_OLD_HISTOGRAMS = 6,
    SECTION_OLD_SAMPLES = 7,
    SECTION_SOURCES = 8,
    SECTION_CLOCKS = 9,
    SECTION_STATE_TABLES = 10,
    SECTION_STATE_PUTS = 11,
    SECTION_STATE_DELETES = 12,
    SECTION_STATE_DROPS = 13,
    SECTION_ADDS = 16,
    SECTION_GAUGES = 17,
    SECTION_HISTOGRAMS = 18,
    SECTION_SAMPLES = 19,
    SECTION_FOLDS = 20,
};

void transaction_init(struct transaction *t)
{
    *t = (struct transaction){0};
    arena_init(&t->arena, 0);
    state_changes_init(&t->state);
}

void transaction_fini(struct transaction *t)
{
    arena_fini(&t->arena);
    state_changes_fini(&t->state);
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
    free(t->folds);
    *t = (struct transaction){0};
}

size_t transaction_cells(const struct transaction *t)
{
    return t->n_adds + t->n_gauges + t->n_hists + t->n_samples;
}

size_t transaction_bytes(const struct transaction *t)
{
    return t->arena.used_bytes + t->metrics_cap * sizeof *t->metrics +
           t->updates_cap * sizeof *t->updates + t->series_cap * sizeof *t->series +
           t->adds_cap * sizeof *t->adds + t->gauges_cap * sizeof *t->gauges +
           t->hists_cap * sizeof *t->hists + t->buckets_cap * sizeof *t->buckets +
           t->samples_cap * sizeof *t->samples + t->sources_cap * sizeof *t->sources +
           t->clocks_cap * sizeof *t->clocks + t->folds_cap * sizeof *t->folds;
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
    if (schema < INT8_MIN || schema > INT8_MAX || !metric_def_check(m, NULL))
        r->failed = true;
}

static void encode_metrics(const struct transaction *t, struct buf *out)
{
    buf_varint(out, t->first_metric);
    for (size_t i = 0; i < t->n_metrics; i++)
        put_metric(out, &t->metrics[i]);
}

static void encode_updates(const struct transaction *t, struct buf *out)
{
    for (size_t i = 0; i < t->n_updates; i++)
        put_metric(out, &t->updates[i]);
}

static void encode_series(const struct transaction *t, struct buf *out)
{
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

static void encode_sources(const struct transaction *t, struct buf *out)
{
    for (size_t i = 0; i < t->n_sources; i++) {
        buf_lstr(out, t->sources[i].name);
        buf_svarint(out, t->sources[i].next);
        buf_svarint(out, t->sources[i].newest_ms);
        buf_lstr(out, t->sources[i].state);
    }
}

static void encode_clocks(const struct transaction *t, struct buf *out)
{
    for (size_t i = 0; i < t->n_clocks; i++) {
        buf_lstr(out, t->clocks[i].name);
        buf_svarint(out, t->clocks[i].frontier_ms);
        buf_svarint(out, t->clocks[i].watermark_ms);
    }
}

static void encode_folds(const struct transaction *t, struct buf *out)
{
    for (size_t i = 0; i < t->n_folds; i++) {
        buf_varint(out, t->folds[i].metric);
        buf_svarint(out, t->folds[i].until_ms);
        buf_lstr(out, t->folds[i].label);
        buf_varint(out, t->folds[i].values);
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
        if (!r->failed && !labels_check(s->labels, NULL))
            r->failed = true;
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
        if (!source_check(s->name, s->newest_ms, s->state, NULL))
            r->failed = true;
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
        if (!clock_check(c->name, NULL))
            r->failed = true;
    }
}

static void read_folds(struct reader *r, struct transaction *t, uint64_t n)
{
    GROW(t->folds, t->folds_cap, n);
    for (; t->n_folds < n && !r->failed; t->n_folds++) {
        struct fold_entry *f = &t->folds[t->n_folds];
        uint64_t metric = read_varint(r);
        f->metric = (uint32_t)metric;
        f->until_ms = read_svarint(r);
        f->label = read_lstr(r);
        f->values = read_varint(r);
        if (metric > UINT32_MAX || f->label.len > LABEL_NAME_MAX)
            r->failed = true;
    }
}

static void read_state_tables(struct reader *r, struct transaction *t, uint64_t n)
{
    state_changes_read_tables(r, &t->state, n);
}

static void read_state_puts(struct reader *r, struct transaction *t, uint64_t n)
{
    state_changes_read_puts(r, &t->state, n);
}

static void read_state_deletes(struct reader *r, struct transaction *t, uint64_t n)
{
    state_changes_read_deletes(r, &t->state, n);
}

static void read_state_drops(struct reader *r, struct transaction *t, uint64_t n)
{
    state_changes_read_drops(r, &t->state, n);
}

/* ---- sections ---- */

struct section {
    unsigned tag;
    unsigned min_bytes; /* of an entry: bounds a count before anything is allocated */
    size_t count_at;    /* of the size_t in struct transaction */
    void (*encode)(const struct transaction *t, struct buf *out); /* NULL: only read */
    void (*decode)(struct reader *r, struct transaction *t, uint64_t n);
};

#define COUNT(field) offsetof(struct transaction, field)

/* In order of their tags. Tags 10 to 15 belong to state tables. */
static const struct section sections[] = {
    {SECTION_METRICS, 9, COUNT(n_metrics), encode_metrics, read_metrics},
    {SECTION_UPDATES, 9, COUNT(n_updates), encode_updates, read_updates},
    {SECTION_SERIES, 2, COUNT(n_series), encode_series, read_series},
    {SECTION_OLD_ADDS, 3, COUNT(n_adds), NULL, old_cells_decode_adds},
    {SECTION_OLD_GAUGES, 8, COUNT(n_gauges), NULL, old_cells_decode_gauges},
    {SECTION_OLD_HISTOGRAMS, 4, COUNT(n_hists), NULL, old_cells_decode_hists},
    {SECTION_OLD_SAMPLES, 10, COUNT(n_samples), NULL, old_cells_decode_samples},
    {SECTION_SOURCES, 4, COUNT(n_sources), encode_sources, read_sources},
    {SECTION_CLOCKS, 3, COUNT(n_clocks), encode_clocks, read_clocks},
    {SECTION_STATE_TABLES, 2, COUNT(state.n_tables), NULL, read_state_tables},
    {SECTION_STATE_PUTS, 4, COUNT(state.n_batches), NULL, read_state_puts},
    {SECTION_STATE_DELETES, 4, COUNT(state.n_batches), NULL, read_state_deletes},
    {SECTION_STATE_DROPS, 2, COUNT(state.n_batches), NULL, read_state_drops},
    {SECTION_ADDS, 1, COUNT(n_adds), cells_encode_adds, cells_decode_adds},
    {SECTION_GAUGES, 3, COUNT(n_gauges), cells_encode_gauges, cells_decode_gauges},
    {SECTION_HISTOGRAMS, 3, COUNT(n_hists), cells_encode_hists, cells_decode_hists},
    {SECTION_SAMPLES, 1, COUNT(n_samples), cells_encode_samples, cells_decode_samples},
    {SECTION_FOLDS, 4, COUNT(n_folds), encode_folds, read_folds},
};

#define N_SECTIONS (sizeof sections / sizeof *sections)

static size_t section_count(const struct section *s, const struct transaction *t)
{
    return *(const size_t *)((const char *)t + s->count_at);
}

void transaction_encode(const struct transaction *t, struct buf *out)
{
    for (size_t i = 0; i < N_SECTIONS; i++) {
        const struct section *s = &sections[i];
        size_t n = section_count(s, t);
        if (s->tag == SECTION_STATE_TABLES)
            state_changes_encode(&t->state, out); /* all four sections */
        if (n == 0 || !s->encode)
            continue;
        buf_u8(out, (uint8_t)s->tag);
        buf_varint(out, n);
        s->encode(t, out);
    }
}

static const struct section *section_of(unsigned tag)
{
    for (size_t i = 0; i < N_SECTIONS; i++)
        if (sections[i].tag == tag)
            return &sections[i];
    return NULL;
}

/* Sections with tags up to last_tag. */
static bool decode(
    struct slice payload, unsigned last_tag, struct transaction *out, struct err *err)
{
    struct reader r = reader_of(payload);
    unsigned tag = 0, before = 0;
    while (reader_left(&r) > 0 && !r.failed) {
        tag = read_u8(&r);
        if (tag > last_tag)
            break;
        const struct section *s = section_of(tag);
        if (!s)
            return err_set(err, ERR_CORRUPT,
                "transaction: section %u at byte %zu is not known to this program", tag,
                payload.len - reader_left(&r) - 1);
        uint64_t n = read_varint(&r);
        if (tag <= before || n > reader_left(&r) / s->min_bytes ||
            n > TRANSACTION_CELLS_MAX - transaction_cells(out))
            r.failed = true;
        else
            s->decode(&r, out, n);
        before = tag;
    }
    if (r.failed)
        return err_set(err, ERR_CORRUPT, "transaction: bad section %u before byte %zu", tag,
            payload.len - reader_left(&r));
    return true;
}

bool transaction_decode(struct slice payload, struct transaction *out, struct err *err)
{
    return decode(payload, UINT_MAX, out, err);
}

bool transaction_decode_definitions(struct slice payload, struct transaction *out, struct err *err)
{
    return decode(payload, SECTION_SERIES, out, err);
}
