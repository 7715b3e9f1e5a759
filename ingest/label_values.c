#include "ingest/label_values.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/number.h"

/* Without trailing zeros behind the point. */
static struct slice number_text(const struct field_value *v, int digits, char tmp[LABEL_NUMBER_MAX])
{
    int64_t scale = pow10_int(digits);
    int64_t whole = v->num / scale, rest = v->num % scale;
    int n =
        snprintf(tmp, LABEL_NUMBER_MAX, "%s%" PRId64, v->num < 0 && whole == 0 ? "-" : "", whole);
    if (rest) {
        n += snprintf(
            tmp + n, LABEL_NUMBER_MAX - (size_t)n, ".%0*" PRId64, digits, rest < 0 ? -rest : rest);
        while (tmp[n - 1] == '0')
            n--;
    }
    return slice_of(tmp, (size_t)n);
}

static struct slice bool_text(const struct field_value *v)
{
    return v->num ? SLICE("true") : SLICE("false");
}

static struct slice label_text(
    const struct expr *expr, const struct field_value *v, char tmp[LABEL_NUMBER_MAX])
{
    switch (expr_type(expr)) {
    case EXPR_STRING: return v->str;
    case EXPR_BOOL: return bool_text(v);
    default: return number_text(v, expr_digits(expr), tmp);
    }
}

struct slice label_field_text(
    const struct field *field, const struct field_value *value, char number[LABEL_NUMBER_MAX])
{
    if (!value->present)
        return SLICE("");
    switch (field->type) {
    case FIELD_STRING: return value->str;
    case FIELD_BOOL: return bool_text(value);
    default: return number_text(value, field->digits, number);
    }
}

enum expr_result label_values_eval(
    const struct rollup *rollup, const struct event *event, struct label_values *out)
{
    for (size_t i = 0; i < rollup->n_labels; i++) {
        struct field_value v;
        enum expr_result rc = expr_eval(rollup->labels[i].value, event, &v);
        if (rc == EXPR_RANGE)
            return rc;
        out->values[i] = rc == EXPR_ABSENT
                             ? (struct slice){"", 0}
                             : label_text(rollup->labels[i].value, &v, out->numbers[i]);
    }
    return EXPR_OK;
}
