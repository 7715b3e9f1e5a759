#include "ingest/label_values.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/number.h"

/* The text of a label's value; numbers without trailing zeros behind the point. */
static struct slice label_text(const struct expr *expr, const struct field_value *v, char tmp[32])
{
    int digits = expr_digits(expr);
    if (expr_type(expr) == EXPR_STRING)
        return v->str;
    if (expr_type(expr) == EXPR_BOOL)
        return v->num ? SLICE("true") : SLICE("false");
    int64_t scale = pow10_int(digits);
    int64_t whole = v->num / scale, rest = v->num % scale;
    int n = snprintf(tmp, 32, "%s%" PRId64, v->num < 0 && whole == 0 ? "-" : "", whole);
    if (rest) {
        n += snprintf(tmp + n, 32 - (size_t)n, ".%0*" PRId64, digits, rest < 0 ? -rest : rest);
        while (tmp[n - 1] == '0')
            n--;
    }
    return slice_of(tmp, (size_t)n);
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
