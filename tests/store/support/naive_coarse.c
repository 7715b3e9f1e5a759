/* Coarser cells and openings, computed from the model's raw cells alone. See naive.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/double_bits.h"
#include "store/resolution.h"
#include "store/segment/scaled.h"
#include "tests/store/support/naive.h"

/* The times here are positive. */
static int64_t floor_to(int64_t t, int64_t ms)
{
    return t / ms * ms;
}

static int64_t ceil_to(int64_t t, int64_t ms)
{
    return (t + ms - 1) / ms * ms;
}

static bool fits(const struct metric_def *def, int64_t resolution_ms)
{
    if (resolution_ms == RESOLUTION_1D && def->kind != KIND_LEVEL)
        return false;
    return def->kind == KIND_SAMPLE ||
           (def->every_ms < resolution_ms && resolution_ms % def->every_ms == 0);
}

/* ---- one bucket ---- */

/* What the cells of a bucket come to; samples have the second half. */
struct bucket {
    struct naive_cell cell;
    int64_t first_ms, resets;
    uint64_t first_bits, last_bits, min_bits, max_bits;
    double sum, compensation, reset_sum;
    bool numbers, vague;
    const struct naive_cell *cells; /* what it was made of */
    size_t n;
};

static uint64_t bits_of(double v)
{
    return isnan(v) ? NAN_BITS : double_bits(v);
}

static void add_sample(struct bucket *b, const struct naive_cell *c)
{
    double v = bits_double(c->bits), t = b->sum + v;
    b->vague |= c->vague;
    if (c->bits == STALE_BITS)
        return;
    /* Neumaier's sum. */
    if (isinf(t))
        b->compensation = 0;
    else
        b->compensation += fabs(b->sum) >= fabs(v) ? (b->sum - t) + v : (v - t) + b->sum;
    b->sum = t;
    if (!isnan(v) && (!b->numbers || v < bits_double(b->min_bits)))
        b->min_bits = c->bits;
    if (!isnan(v) && (!b->numbers || v > bits_double(b->max_bits)))
        b->max_bits = c->bits;
    b->numbers |= !isnan(v);
    if (b->cell.count == 0) {
        b->first_bits = c->bits;
        b->first_ms = c->t;
    } else if (v < bits_double(b->last_bits)) {
        b->reset_sum += bits_double(b->last_bits);
        b->resets++;
    }
    b->last_bits = c->bits;
    b->cell.last_ms = c->t;
    b->cell.count++;
}

static void add_gauge(struct naive_cell *to, const struct naive_cell *c)
{
    if (to->count == 0 || c->last_ms > to->last_ms ||
        (c->last_ms == to->last_ms && c->last > to->last)) {
        to->last = c->last;
        to->last_ms = c->last_ms;
    }
    to->min = to->count == 0 || c->min < to->min ? c->min : to->min;
    to->max = to->count == 0 || c->max > to->max ? c->max : to->max;
    to->count += c->count;
}

static void add_cell(struct bucket *b, enum kind kind, const struct naive_cell *c)
{
    b->cell.amount += c->amount;
    for (uint32_t i = 0; i < c->n_buckets; i++)
        naive_add_bucket(&b->cell, c->buckets[i]);
    if (kind == KIND_GAUGE)
        add_gauge(&b->cell, c);
    if (kind == KIND_SAMPLE)
        add_sample(b, c);
}

static bool is_nothing(const struct bucket *b, enum kind kind)
{
    if (kind == KIND_GAUGE || kind == KIND_SAMPLE)
        return b->cell.count == 0;
    return b->cell.amount == 0 && b->cell.n_buckets == 0;
}

/* Whether v is the double nearest to *k / 10^digits, by its text. */
static bool is_decimal(double v, int digits, int64_t *k)
{
    char text[64], *point;
    if (!isfinite(v) || (v == 0 && signbit(v)) || fabs(v) * pow(10, digits) >= 0x1p53)
        return false;
    snprintf(text, sizeof text, "%.*f", digits, v);
    if (strtod(text, NULL) != v)
        return false;
    if ((point = strchr(text, '.')))
        memmove(point, point + 1, strlen(point));
    *k = strtoll(text, NULL, 10);
    return true;
}

/* The exact sums of a bucket's samples as integers over 10^digits; false when they have none. */
static bool exact_sums(const struct bucket *b, int digits, int128 *sum, int128 *reset_sum)
{
    int64_t k = 0, before = 0;
    bool first = true;
    *sum = *reset_sum = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->cells[i].bits == STALE_BITS)
            continue;
        if (!is_decimal(bits_double(b->cells[i].bits), digits, &k))
            return false;
        *sum += k;
        *reset_sum += !first && k < before ? before : 0;
        before = k;
        first = false;
    }
    return true;
}

/* Whether the store may miss that samples are decimals of so many digits: doubles end there. */
static bool is_close(const struct bucket *b, int digits)
{
    bool close = false;
    for (size_t i = 0; i < b->n; i++)
        close |= fabs(bits_double(b->cells[i].bits)) * pow(10, digits) >= 0x1p51;
    return close;
}

/* Exact sums may be over a greater power of ten than they need. */
static bool same_sums(const struct bucket *b, const struct columns *c, size_t i)
{
    int128 sum, reset_sum;
    int digits = 0;
    while (digits <= DECIMAL_DIGITS && !exact_sums(b, digits, &sum, &reset_sum))
        digits++;
    if (digits > DECIMAL_DIGITS || (c->digits[i] == DIGITS_INEXACT && is_close(b, digits))) {
        sum = (int128)((uint128)bits_of(b->compensation) << 64 | bits_of(b->sum));
        return c->digits[i] == DIGITS_INEXACT && c->sum[i] == sum &&
               (uint64_t)c->reset_sum[i] == bits_of(b->reset_sum);
    }
    for (int k = digits; k < c->digits[i]; k++) {
        sum *= 10;
        reset_sum *= 10;
    }
    return c->digits[i] >= digits && c->sum[i] == sum && c->reset_sum[i] == reset_sum;
}

static bool same_samples(const struct bucket *b, const struct columns *c, size_t i)
{
    uint64_t min = b->numbers ? b->min_bits : NAN_BITS;
    uint64_t max = b->numbers ? b->max_bits : NAN_BITS;
    return c->first && c->count[i] == b->cell.count && (uint64_t)c->first[i] == b->first_bits &&
           c->first_ms[i] == b->first_ms && (uint64_t)c->last[i] == b->last_bits &&
           c->last_ms[i] == b->cell.last_ms && (uint64_t)c->min[i] == min &&
           (uint64_t)c->max[i] == max && c->resets[i] == b->resets && same_sums(b, c, i);
}

static bool same_histogram(const struct naive_cell *n, const struct columns *c, size_t i)
{
    uint32_t at = c->bucket_at[i];
    bool same = c->sum[i] == n->amount && c->bucket_at[i + 1] - at == n->n_buckets;
    for (uint32_t k = 0; same && k < n->n_buckets; k++)
        same = c->bucket[at + k].key == n->buckets[k].key &&
               c->bucket[at + k].count == n->buckets[k].count;
    return same;
}

static bool same_bucket(const struct bucket *b, const struct columns *c, size_t i)
{
    const struct naive_cell *n = &b->cell;
    switch (c->kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: return c->amount[i] == n->amount;
    case KIND_HISTOGRAM: return same_histogram(n, c, i);
    case KIND_GAUGE:
        return c->last[i] == n->last && c->last_ms[i] == n->last_ms && c->min[i] == n->min &&
               c->max[i] == n->max && c->count[i] == n->count && c->sum[i] == n->amount;
    case KIND_SAMPLE: return same_samples(b, c, i);
    }
    return false;
}

/* ---- one series ---- */

struct range {
    int64_t resolution_ms, from, to;
    bool deletes; /* deletions wait for maintenance */
};

/* What of the range can be compared. Deletions are of whole hours where raw cells may be gone: a
 * day that they touch in part is left out until maintenance has made it anew from its hours. */
static int64_t range_start(const struct naive_series *s, const struct range *r)
{
    int64_t gone = r->deletes ? s->gone[NAIVE_RAW] : INT64_MIN;
    if (r->resolution_ms != RESOLUTION_1D)
        gone = naive_gone(s, r->resolution_ms == RESOLUTION_1M ? NAIVE_MINUTE : NAIVE_HOUR);
    return r->from > gone ? r->from : gone;
}

/* c: what the store says, NULL: nothing. */
static bool same_coarse(const struct naive_series *s, const struct columns *c,
    const struct range *r, struct difference *d)
{
    char name[200];
    size_t k = 0, n = c ? c->n : 0;
    bool ok = true;
    naive_name(s, name, sizeof name);
    for (size_t i = naive_place(s, range_start(s, r) + 1);
         ok && i < s->n && s->cells[i].t <= r->to;) {
        struct bucket b = {.cells = &s->cells[i]};
        int64_t end = ceil_to(s->cells[i].t, r->resolution_ms);
        for (; i < s->n && s->cells[i].t <= end; i++, b.n++)
            add_cell(&b, s->def.kind, &s->cells[i]);
        bool there = k < n && c->t[k] == end;
        if (!b.vague && there != !is_nothing(&b, s->def.kind))
            ok = naive_differs(d, "{%s}: the cell of %" PRId64 " s at %" PRId64 " is %s", name,
                r->resolution_ms / 1000, end, there ? "there and should not be" : "missing");
        else if (!b.vague && there && !same_bucket(&b, c, k))
            ok =
                naive_differs(d, "{%s}: the cell of %" PRId64 " s at %" PRId64 " has another value",
                    name, r->resolution_ms / 1000, end);
        k += there;
        free(b.cell.buckets);
        if (ok && k < n && c->t[k] <= end)
            break; /* between two buckets, where nothing was written */
    }
    if (ok && k < n)
        ok = naive_differs(d, "{%s}: a cell of %" PRId64 " s at %" PRId64 " should not be there",
            name, r->resolution_ms / 1000, c->t[k]);
    return ok;
}

bool naive_is_coarse(const struct naive_series *s, int64_t resolution_ms)
{
    return fits(&s->def, resolution_ms) && !s->histograms;
}

bool naive_has_coarse(const struct naive_series *s, int64_t resolution_ms, int64_t from, int64_t to)
{
    bool has = false;
    size_t i = naive_place(s, from + 1);
    if (!naive_is_coarse(s, resolution_ms))
        return false;
    while (!has && i < s->n && s->cells[i].t <= to) {
        struct bucket b = {0};
        int64_t end = ceil_to(s->cells[i].t, resolution_ms);
        for (; i < s->n && s->cells[i].t <= end; i++)
            add_cell(&b, s->def.kind, &s->cells[i]);
        has = !b.vague && !is_nothing(&b, s->def.kind);
        free(b.cell.buckets);
    }
    return has;
}

static bool same_planned(const struct naive_series *const *all, size_t n, const struct plan *plan,
    bool *found, const struct range *r, struct difference *d)
{
    struct arena arena;
    bool ok = true;
    arena_init(&arena, 0);
    for (size_t i = 0; ok && i < plan_n(plan); i++) {
        struct columns c;
        struct err err;
        const struct naive_series *s = naive_among(all, n, plan_labels(plan, i));
        if (!s || !naive_is_coarse(s, r->resolution_ms))
            continue;
        arena_reset(&arena);
        for (size_t k = 0; k < n; k++)
            found[k] |= all[k] == s;
        if (!plan_columns(plan, i, &arena, &c, &err))
            ok = naive_fails(d, "plan_columns", &err);
        else
            ok = same_coarse(s, &c, r, d);
    }
    arena_fini(&arena);
    return ok;
}

bool naive_compare_coarse(const struct naive *naive, struct store *store,
    const struct naive_selection *selection, int64_t resolution_ms, int64_t from, int64_t to,
    struct difference *d)
{
    struct snapshot *snap = snapshot_get(store);
    struct scope scope;
    struct plan *plan;
    struct err err;
    size_t n;
    struct store_stats stats;
    store_stats(store, &stats);
    struct range r = {resolution_ms, from, to, stats.deletions_pending > 0};
    const struct naive_series **all = naive_select(naive, selection, &n);
    bool *found = calloc(n + 1, sizeof *found);
    bool ok = naive_plan(snap, selection, &scope, &plan, d);
    for (size_t i = 0; ok && i < plan_n(plan); i++) {
        const struct naive_series *s = naive_among(all, n, plan_labels(plan, i));
        if (!s || !naive_is_coarse(s, resolution_ms))
            continue;
        plan_range(plan, i, range_start(s, &r), r.to);
        plan_resolution(plan, i, resolution_ms);
    }
    if (ok && !snapshot_fetch(snap, NULL, NULL, &err))
        ok = naive_fails(d, "reading", &err);
    ok = ok && same_planned(all, n, plan, found, &r, d);
    for (size_t k = 0; ok && k < n; k++)
        if (!found[k] && naive_is_coarse(all[k], resolution_ms))
            ok = same_coarse(all[k], NULL, &r, d);
    snapshot_put(&snap);
    free(found);
    free(all);
    return ok;
}

/* ---- what levels stand at ---- */

/* Where raw cells may be gone, the last hour or day that ended. */
static int64_t opening_time(const struct naive_series *s, int64_t at_ms)
{
    if (at_ms >= s->gone[NAIVE_RAW])
        return at_ms;
    return floor_to(at_ms, at_ms < naive_gone(s, NAIVE_HOUR) ? RESOLUTION_1D : RESOLUTION_1H);
}

static bool same_opening(const struct naive_series *s, const struct plan *plan, size_t i,
    int64_t at_ms, struct difference *d)
{
    struct arena arena;
    struct err err;
    char name[200];
    int128 want = 0, got = 0;
    bool ok = true;
    for (size_t k = 0; k < s->n && s->cells[k].t <= at_ms; k++)
        want += s->cells[k].amount;
    arena_init(&arena, 0);
    naive_name(s, name, sizeof name);
    if (i < plan_n(plan) && !plan_opening_sum(plan, i, &arena, &got, &err))
        ok = naive_fails(d, "plan_opening_sum", &err);
    else if (got != want)
        ok = naive_differs(d,
            "{%s} stands at %" PRId64 " and not at %" PRId64 " (last 64 bits) at %" PRId64, name,
            (int64_t)got, (int64_t)want, at_ms);
    arena_fini(&arena);
    return ok;
}

/* The place of the series in the plan, plan_n when it has none. */
static size_t place_in(const struct plan *plan, const struct naive_series *s)
{
    size_t i = 0;
    struct labels labels = {s->labels, s->n_labels};
    while (i < plan_n(plan) && labels_cmp(plan_labels(plan, i), labels) != 0)
        i++;
    return i;
}

bool naive_compare_openings(const struct naive *naive, struct store *store,
    const struct naive_selection *selection, int64_t at_ms, struct difference *d)
{
    struct snapshot *snap = snapshot_get(store);
    struct scope scope;
    struct plan *plan;
    struct err err;
    size_t n;
    const struct naive_series **all = naive_select(naive, selection, &n);
    bool ok = naive_plan(snap, selection, &scope, &plan, d);
    for (size_t i = 0; ok && i < plan_n(plan); i++) {
        const struct naive_series *s = naive_among(all, n, plan_labels(plan, i));
        if (s && s->def.kind == KIND_LEVEL && !plan_opening(plan, i, opening_time(s, at_ms), &err))
            ok = naive_fails(d, "plan_opening", &err);
    }
    if (ok && !snapshot_fetch(snap, NULL, NULL, &err))
        ok = naive_fails(d, "reading", &err);
    for (size_t k = 0; ok && k < n; k++)
        if (all[k]->def.kind == KIND_LEVEL)
            ok = same_opening(all[k], plan, place_in(plan, all[k]), opening_time(all[k], at_ms), d);
    snapshot_put(&snap);
    free(all);
    return ok;
}
