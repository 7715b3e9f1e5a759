#include "query/when.h"

#include <math.h>

#include "base/ensure.h"
#include "query/parse.h"

#define SUBQUERY_STEP_DEFAULT_MS 60000

static bool invalid(
    const struct query *query, const struct node *node, const char *what, struct err *err)
{
    int line, col;
    text_place(query->text, node->start, &line, &col);
    err_set(err, ERR_INVALID, "%s", what);
    return err_at(err, NULL, line, col);
}

static bool seconds(
    const struct query *query, const struct node *node, double *out, struct err *err);

static bool operate(const struct query *query, const struct node *node, double a, double b,
    double *out, struct err *err)
{
    switch (node->u.duration.op) {
    case '+': *out = a + b; return true;
    case '-': *out = node->u.duration.lhs ? a - b : -b; return true;
    case '*': *out = a * b; return true;
    case '/':
        if (b == 0)
            return invalid(query, node, "division by zero", err);
        *out = a / b;
        return true;
    case '%':
        if (b == 0)
            return invalid(query, node, "modulo by zero", err);
        *out = fmod(a, b);
        return true;
    case '^': *out = pow(a, b); return true;
    case 's': *out = (double)query->step_ms / 1000; return true;
    case 'r': *out = (double)(query->end_ms - query->start_ms) / 1000; return true;
    case 'm': *out = a < b ? a : b; return true;
    case 'M': *out = a > b ? a : b; return true;
    default: unreachable("operator of a duration");
    }
}

/* A duration expression in seconds. Its depth is bounded by the parser. */
static bool seconds(
    const struct query *query, const struct node *node, double *out, struct err *err)
{
    double a = 0, b = 0;
    switch (node->type) {
    case NODE_NUMBER: *out = node->u.number.v; return true;
    case NODE_PAREN: return seconds(query, node->u.paren, out, err);
    case NODE_UNARY:
        if (!seconds(query, node->u.unary.expr, &a, err))
            return false;
        *out = node->u.unary.minus ? -a : a;
        return true;
    case NODE_DURATION:
        if (node->u.duration.lhs && !seconds(query, node->u.duration.lhs, &a, err))
            return false;
        if (node->u.duration.rhs && !seconds(query, node->u.duration.rhs, &b, err))
            return false;
        return operate(query, node, a, b, out, err);
    default: unreachable("node of a duration");
    }
}

bool duration_ms(const struct query *query, const struct duration *duration, bool may_be_negative,
    int64_t *ms, struct err *err)
{
    if (!duration->expr) {
        *ms = time_clamp(duration->ms);
        return true;
    }
    double v;
    if (!seconds(query, duration->expr, &v, err))
        return false;
    if (v <= 0 && !may_be_negative)
        return invalid(query, duration->expr, "duration must be greater than 0", err);
    v *= 1000;
    if (!(fabs(v) < (double)TIME_MAX_MS))
        return invalid(query, duration->expr, "duration is out of range", err);
    *ms = (int64_t)v;
    return true;
}

bool when_moment(
    const struct query *query, const struct when *when, struct moment *out, struct err *err)
{
    *out = (struct moment){.fixed = when->at != AT_NONE};
    switch (when->at) {
    case AT_NONE: break;
    case AT_TIME: out->at_ms = time_clamp(when->at_ms); break;
    case AT_START: out->at_ms = query->start_ms; break;
    case AT_END: out->at_ms = query->end_ms; break;
    }
    return duration_ms(query, &when->offset, true, &out->offset_ms, err);
}

bool subquery_steps(const struct query *query, const struct engine_options *options,
    const struct node *subquery, int64_t first_ms, int64_t last_ms, struct inner_steps *out,
    struct err *err)
{
    struct moment moment;
    int64_t range, step;
    if (!when_moment(query, &subquery->u.subquery.when, &moment, err) ||
        !duration_ms(query, &subquery->u.subquery.range, false, &range, err) ||
        !duration_ms(query, &subquery->u.subquery.step, false, &step, err))
        return false;
    if (step == 0)
        step = options->default_step_ms ? options->default_step_ms : SUBQUERY_STEP_DEFAULT_MS;
    int64_t after = moment_at(&moment, first_ms) - range, last = moment_at(&moment, last_ms);
    int64_t start = time_floor(after, step) + step;
    *out = (struct inner_steps){.start_ms = start, .step_ms = step};
    if (first_ms > last_ms || start > last)
        return true;
    int64_t n = (last - start) / step + 1;
    if ((uint64_t)n > options->max_samples)
        return err_set(err, ERR_LIMIT, "subquery asks for %lld steps, allowed are %llu",
            (long long)n, (unsigned long long)options->max_samples);
    out->n = (size_t)n;
    return true;
}
