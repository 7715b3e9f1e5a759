#include "query/script_compare.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "base/number.h"
#include "query/label_set.h"
#include "query/quote.h"
#include "query/script_histogram.h"

#define EPSILON 1e-6

bool script_almost_equal(double a, double b)
{
    if (script_is_stale(a) || script_is_stale(b))
        return script_is_stale(a) && script_is_stale(b);
    if ((isnan(a) && isnan(b)) || a == b)
        return true;
    double sum = fabs(a) + fabs(b), diff = fabs(a - b);
    if (a == 0 || b == 0 || sum < DBL_MIN)
        return diff < EPSILON * DBL_MIN;
    return diff / fmin(sum, DBL_MAX) < EPSILON;
}

/* ---- histograms ---- */

static uint32_t skip_empty(const struct hist_fbucket *b, uint32_t n, uint32_t i)
{
    while (i < n && b[i].count == 0)
        i++;
    return i;
}

static bool same_side(
    const struct hist_fbucket *a, uint32_t n_a, const struct hist_fbucket *b, uint32_t n_b)
{
    uint32_t i = skip_empty(a, n_a, 0), k = skip_empty(b, n_b, 0);
    while (i < n_a && k < n_b) {
        if (a[i].index != b[k].index || !script_almost_equal(a[i].count, b[k].count))
            return false;
        i = skip_empty(a, n_a, i + 1);
        k = skip_empty(b, n_b, k + 1);
    }
    return i == n_a && k == n_b;
}

static bool same_bounds(const struct hist *a, const struct hist *b)
{
    if (a->n_bounds != b->n_bounds)
        return false;
    for (uint32_t i = 0; i < a->n_bounds; i++)
        if (a->bounds[i] != b->bounds[i])
            return false;
    return true;
}

static bool same_hist(const struct script_value *want, const struct hist *got)
{
    const struct hist *h = want->h;
    return h->schema == got->schema && script_almost_equal(h->count, got->count) &&
           script_almost_equal(h->sum, got->sum) && same_bounds(h, got) &&
           h->zero_threshold == got->zero_threshold &&
           script_almost_equal(h->zero_count, got->zero_count) &&
           same_side(h->negative, h->n_negative, got->negative, got->n_negative) &&
           same_side(h->positive, h->n_positive, got->positive, got->n_positive) &&
           (!want->hint_set || h->reset_hint == got->reset_hint);
}

/* ---- texts ---- */

static void print_value(double v, const struct hist *h, struct buf *out)
{
    char text[NUMBER_MAX];
    if (h) {
        script_histogram_print(h, out);
    } else if (script_is_stale(v)) {
        buf_str(out, "stale");
    } else {
        number_format_g(v, text);
        buf_str(out, text);
    }
}

static void print_points(const struct series *s, struct buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        buf_char(out, ' ');
        print_value(s->points[i].v, s->points[i].h, out);
        buf_printf(out, "@%" PRId64, s->points[i].t_ms);
    }
}

static bool unexpected_series(const struct series *s, struct buf *why)
{
    buf_str(why, "unexpected series ");
    labels_text(s->labels, why);
    print_points(s, why);
    return false;
}

static bool different(
    struct labels labels, const struct script_value *want, const struct point *got, struct buf *why)
{
    buf_str(why, "expected ");
    print_value(want->v, want->h, why);
    buf_str(why, " for ");
    labels_text(labels, why);
    buf_printf(why, " at %" PRId64 " ms, but got ", got->t_ms);
    print_value(got->v, got->h, why);
    return false;
}

/* ---- series ---- */

/* The last one that is written holds. */
static const struct script_series *find(
    const struct script_eval *eval, struct labels labels, size_t *at)
{
    for (size_t i = eval->n; i-- > 0;) {
        if (labels_cmp(eval->series[i].labels, labels) == 0) {
            *at = i;
            return &eval->series[i];
        }
    }
    return NULL;
}

static bool same_point(const struct script_value *want, const struct point *got)
{
    if (!want->h != !got->h)
        return false;
    return want->h ? same_hist(want, got->h) : script_almost_equal(want->v, got->v);
}

static bool all_found(const struct script_eval *eval, const struct value *value, struct buf *why)
{
    for (size_t i = 0; i < eval->n; i++) {
        bool found = false;
        for (size_t k = 0; k < value->n && !found; k++)
            found = labels_cmp(value->series[k].labels, eval->series[i].labels) == 0;
        if (!found) {
            buf_str(why, "expected series not found: ");
            labels_text(eval->series[i].labels, why);
            return false;
        }
    }
    return true;
}

static bool compare_vector(
    const struct script_eval *eval, const struct value *value, struct buf *why)
{
    for (size_t k = 0; k < value->n; k++) {
        const struct series *got = &value->series[k];
        size_t at;
        const struct script_series *want = find(eval, got->labels, &at);
        if (!want || want->n == 0 || got->n != 1)
            return unexpected_series(got, why);
        if (eval->ordered && at != k) {
            labels_text(got->labels, why);
            buf_printf(why, " expected at position %zu, but it was at %zu", at + 1, k + 1);
            return false;
        }
        if (!same_point(&want->values[0], &got->points[0]))
            return different(got->labels, &want->values[0], &got->points[0], why);
    }
    return all_found(eval, value, why);
}

/* Values stand at from, from + step ...; what is left out has no point. */
static bool compare_points(const struct script_eval *eval, const struct script_series *want,
    const struct series *got, struct buf *why)
{
    int64_t from = eval->range_vector ? eval->from_ms : eval->start_ms;
    int64_t to = eval->range_vector ? eval->to_ms : eval->end_ms;
    int64_t step = eval->range_vector ? eval->range_step_ms : eval->step_ms;
    size_t k = 0, i = 0;
    for (; i < want->n; i++) {
        int64_t t = from + (int64_t)i * step;
        if (t > to)
            break;
        if (want->values[i].omitted)
            continue;
        if (k == got->n || got->points[k].t_ms != t)
            break;
        if (!same_point(&want->values[i], &got->points[k]))
            return different(got->labels, &want->values[i], &got->points[k], why);
        k++;
    }
    if (i == want->n && k == got->n)
        return true;
    buf_printf(why, "expected %zu values from %" PRId64 " ms, %" PRId64 " apart, for ", want->n,
        from, step);
    labels_text(got->labels, why);
    buf_str(why, ", but got");
    print_points(got, why);
    return false;
}

static bool compare_matrix(
    const struct script_eval *eval, const struct value *value, struct buf *why)
{
    if (eval->ordered) {
        buf_str(why, "expected an ordered result, but the query gives a matrix");
        return false;
    }
    for (size_t k = 0; k < value->n; k++) {
        const struct series *got = &value->series[k];
        size_t at;
        const struct script_series *want = find(eval, got->labels, &at);
        if (!want)
            return unexpected_series(got, why);
        if (k > 0 && labels_cmp(value->series[k - 1].labels, got->labels) >= 0) {
            buf_str(why, "the matrix is not sorted by labels at ");
            labels_text(got->labels, why);
            return false;
        }
        if (!compare_points(eval, want, got, why))
            return false;
    }
    return all_found(eval, value, why);
}

static bool compare_scalar(
    const struct script_eval *eval, const struct value *value, struct buf *why)
{
    struct script_value want = {.v = eval->scalar};
    const struct point *got =
        value->n == 1 && value->series[0].n > 0 ? value->series[0].points : NULL;
    if (!got) {
        buf_str(why, "the scalar has no value");
        return false;
    }
    return same_point(&want, got) || different((struct labels){0}, &want, got, why);
}

static bool compare_string(
    const struct script_eval *eval, const struct value *value, struct buf *why)
{
    if (slice_eq(eval->string, value->string))
        return true;
    buf_str(why, "expected the string ");
    quote_text(eval->string, why);
    buf_str(why, ", but got ");
    quote_text(value->string, why);
    return false;
}

bool script_compare_value(
    const struct script_eval *eval, const struct value *value, struct buf *why)
{
    static const enum script_expect wanted[] = {[VALUE_SCALAR] = EXPECT_SCALAR,
        [VALUE_VECTOR] = EXPECT_SERIES,
        [VALUE_MATRIX] = EXPECT_SERIES,
        [VALUE_STRING] = EXPECT_STRING};
    if (wanted[value->type] != eval->expect) {
        buf_printf(why, "the result is of another type: %s", value_type_name(value->type));
        return false;
    }
    switch (value->type) {
    case VALUE_SCALAR: return compare_scalar(eval, value, why);
    case VALUE_STRING: return compare_string(eval, value, why);
    case VALUE_VECTOR: return compare_vector(eval, value, why);
    case VALUE_MATRIX: return compare_matrix(eval, value, why);
    }
    return false;
}

/* ---- annotations ---- */

bool script_match_ok(const struct script_match *match, const char *text)
{
    if (match->exact)
        return slice_is(match->text, text);
    return !match->regex || regex_match(match->regex, slice_from(text));
}

static bool compare_kind(const struct script_notes *want, const char *const *got, size_t n,
    const char *kind, struct buf *why)
{
    if (want->n == 0)
        return true;
    for (size_t i = 0; i < want->n; i++) {
        bool found = false;
        for (size_t k = 0; k < n && !found; k++)
            found = script_match_ok(&want->items[i], got[k]);
        if (!found) {
            buf_printf(why, "expected %s annotation not found: %.*s", kind,
                SLICE_FMT(want->items[i].text));
            buf_printf(why, "%s%s", n ? ", got: " : "", n ? got[0] : "");
            return false;
        }
    }
    for (size_t k = 0; k < n; k++) {
        bool found = false;
        for (size_t i = 0; i < want->n && !found; i++)
            found = script_match_ok(&want->items[i], got[k]);
        if (!found) {
            buf_printf(why, "unexpected %s annotation: %s", kind, got[k]);
            return false;
        }
    }
    return true;
}

bool script_compare_notes(
    const struct script_eval *eval, const struct notes *notes, struct buf *why)
{
    const struct script_notes *want = eval->notes;
    if (!compare_kind(&want[NOTE_WARN], notes->warnings, notes->n_warnings, "warn", why) ||
        !compare_kind(&want[NOTE_INFO], notes->infos, notes->n_infos, "info", why))
        return false;
    if (want[NOTE_NO_WARN].n && notes->n_warnings) {
        buf_printf(why, "unexpected warning: %s", notes->warnings[0]);
        return false;
    }
    if (want[NOTE_NO_INFO].n && notes->n_infos) {
        buf_printf(why, "unexpected info: %s", notes->infos[0]);
        return false;
    }
    return true;
}
