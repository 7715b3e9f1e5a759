#include "query/script_nhcb.h"

#include <math.h>
#include <stdlib.h>

#include "base/number.h"

enum part { PART_NONE, PART_BUCKET, PART_COUNT, PART_SUM };

/* One series of a classic histogram. */
struct piece {
    enum part part;
    double le;
    const struct script_series *series;
};

/* All series that agree in the base name and the labels but le. */
struct family {
    struct labels labels;
    struct piece *pieces;
    size_t n, cap;
};

struct converting {
    struct arena *arena;
    struct err *err;
    struct family *families;
    size_t n, cap;
};

static bool full(struct converting *c)
{
    return err_set(c->err, ERR_LIMIT, "a script of this size needs too much memory");
}

static bool parse_le(struct slice text, double *out)
{
    if (slice_is(text, "+Inf") || slice_is(text, "Inf")) {
        *out = INFINITY;
        return true;
    }
    if (slice_is(text, "-Inf")) {
        *out = -INFINITY;
        return true;
    }
    return number_parse(text, out) && !isnan(*out);
}

static bool cut_suffix(struct slice *name, const char *suffix)
{
    size_t len = strlen(suffix);
    if (name->len <= len || memcmp(name->ptr + name->len - len, suffix, len) != 0)
        return false;
    name->len -= len;
    return true;
}

static struct piece piece_of(const struct script_series *s, struct slice *base)
{
    struct piece piece = {PART_NONE, 0, s};
    *base = labels_get(s->labels, SLICE(LABEL_METRIC_NAME));
    if (cut_suffix(base, "_bucket")) {
        if (parse_le(labels_get(s->labels, SLICE("le")), &piece.le))
            piece.part = PART_BUCKET;
    } else if (cut_suffix(base, "_count")) {
        piece.part = PART_COUNT;
    } else if (cut_suffix(base, "_sum")) {
        piece.part = PART_SUM;
    }
    return piece;
}

/* Without le, and with the base name. The array is the caller's, of LABELS_MAX. */
static struct labels base_labels(struct labels in, struct slice base, struct label *items)
{
    struct labels out = {items, 0};
    for (size_t i = 0; i < in.n; i++) {
        if (slice_is(in.items[i].name, "le"))
            continue;
        items[out.n] = in.items[i];
        if (slice_is(in.items[i].name, LABEL_METRIC_NAME))
            items[out.n].value = base;
        out.n++;
    }
    return out;
}

static struct family *family_of(struct converting *c, struct labels labels)
{
    for (size_t i = 0; i < c->n; i++)
        if (labels_cmp(c->families[i].labels, labels) == 0)
            return &c->families[i];
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 16;
        struct family *more = arena_array(c->arena, cap, sizeof *more);
        if (!more)
            return NULL;
        if (c->n)
            memcpy(more, c->families, c->n * sizeof *more);
        c->families = more;
        c->cap = cap;
    }
    struct family *family = &c->families[c->n];
    *family = (struct family){.labels = labels_copy(c->arena, labels)};
    if (!family->labels.items)
        return NULL;
    c->n++;
    return family;
}

static bool add_piece(struct converting *c, struct family *family, struct piece piece)
{
    if (family->n == family->cap) {
        size_t cap = family->cap ? family->cap * 2 : 16;
        struct piece *more = arena_array(c->arena, cap, sizeof *more);
        if (!more)
            return full(c);
        if (family->n)
            memcpy(more, family->pieces, family->n * sizeof *more);
        family->pieces = more;
        family->cap = cap;
    }
    family->pieces[family->n++] = piece;
    return true;
}

static bool collect(struct converting *c, const struct script_load *load)
{
    struct label items[LABELS_MAX];
    for (size_t i = 0; i < load->n; i++) {
        struct slice base;
        struct piece piece = piece_of(&load->series[i], &base);
        if (piece.part == PART_NONE)
            continue;
        struct family *family = family_of(c, base_labels(load->series[i].labels, base, items));
        if (!family)
            return full(c);
        if (!add_piece(c, family, piece))
            return false;
    }
    return true;
}

/* Buckets first, by their bounds. */
static int cmp_pieces(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->part != y->part)
        return (x->part > y->part) - (x->part < y->part);
    return (x->le > y->le) - (x->le < y->le);
}

static bool has_float(const struct piece *piece, size_t at)
{
    const struct script_series *s = piece->series;
    return at < s->n && !s->values[at].omitted && !s->values[at].h &&
           !script_is_stale(s->values[at].v);
}

/* What is known of one family at one time: cumulative counts by rising bounds. */
struct classic {
    double *le, *cumulative;
    size_t n;
    bool has_count, any;
    double count, sum;
};

static void gather(const struct family *family, size_t at, struct classic *out)
{
    out->n = 0;
    out->has_count = out->any = false;
    out->count = out->sum = 0;
    for (size_t i = 0; i < family->n; i++) {
        const struct piece *piece = &family->pieces[i];
        if (!has_float(piece, at))
            continue;
        double v = piece->series->values[at].v;
        out->any = true;
        if (piece->part == PART_SUM) {
            out->sum = v;
        } else if (piece->part == PART_COUNT) {
            out->count = v;
            out->has_count = true;
        } else if (out->n == 0 || out->le[out->n - 1] < piece->le) {
            out->le[out->n] = piece->le;
            out->cumulative[out->n++] = v;
        }
    }
}

/* The last bucket is +Inf, with the count of all. */
static bool complete(struct converting *c, struct classic *k)
{
    if (!k->has_count && k->n > 0)
        k->count = k->cumulative[k->n - 1];
    if (k->n == 0 || !isinf(k->le[k->n - 1]) || k->le[k->n - 1] < 0) {
        k->le[k->n] = INFINITY;
        k->cumulative[k->n++] = k->count;
    }
    for (size_t i = 1; i < k->n; i++)
        if (k->cumulative[i] < k->cumulative[i - 1])
            return err_set(
                c->err, ERR_INVALID, "buckets of a classic histogram are not cumulative");
    if (k->cumulative[k->n - 1] != k->count)
        return err_set(c->err, ERR_INVALID, "count of a classic histogram is not that of +Inf");
    return true;
}

static const struct hist *convert(struct converting *c, const struct classic *k)
{
    struct hist *h = arena_zalloc(c->arena, sizeof *h);
    double *bounds = arena_array(c->arena, k->n - 1, sizeof *bounds);
    struct hist_fbucket *buckets = arena_array(c->arena, k->n, sizeof *buckets);
    if (!h || !bounds || !buckets)
        return NULL;
    h->schema = HIST_SCHEMA_CUSTOM;
    h->count = k->count;
    h->sum = k->sum;
    for (size_t i = 0; i < k->n; i++) {
        double v = k->cumulative[i] - (i ? k->cumulative[i - 1] : 0);
        if (i + 1 < k->n)
            bounds[i] = k->le[i];
        if (v != 0)
            buckets[h->n_positive++] = (struct hist_fbucket){(int32_t)i, v};
    }
    h->positive = buckets;
    h->bounds = bounds;
    h->n_bounds = (uint32_t)(k->n - 1);
    return h;
}

static bool convert_family(struct converting *c, struct family *family, struct script_series *out)
{
    size_t length = 0;
    for (size_t i = 0; i < family->n; i++)
        if (family->pieces[i].series->n > length)
            length = family->pieces[i].series->n;
    qsort(family->pieces, family->n, sizeof *family->pieces, cmp_pieces);
    struct classic k = {.le = arena_array(c->arena, family->n + 1, sizeof *k.le),
        .cumulative = arena_array(c->arena, family->n + 1, sizeof *k.cumulative)};
    *out = (struct script_series){.labels = family->labels,
        .values = arena_array(c->arena, length, sizeof *out->values),
        .n = length};
    if (!k.le || !k.cumulative || !out->values)
        return full(c);
    for (size_t at = 0; at < length; at++) {
        out->values[at] = (struct script_value){.omitted = true};
        gather(family, at, &k);
        if (!k.any)
            continue;
        if (!complete(c, &k))
            return false;
        out->values[at] = (struct script_value){.h = convert(c, &k)};
        if (!out->values[at].h)
            return full(c);
    }
    return true;
}

bool script_nhcb(const struct script_load *load, struct arena *arena, struct script_series **out,
    size_t *n, struct err *err)
{
    struct converting c = {.arena = arena, .err = err};
    if (!collect(&c, load))
        return false;
    *n = c.n;
    *out = arena_array(arena, c.n, sizeof **out);
    if (!*out)
        return full(&c);
    for (size_t i = 0; i < c.n; i++)
        if (!convert_family(&c, &c.families[i], &(*out)[i]))
            return false;
    return true;
}
