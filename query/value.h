/*
 * What a query answers with. All arrays live in the query's arena.
 */
#ifndef QUERY_VALUE_H
#define QUERY_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "query/ast.h"
#include "store/histogram.h"
#include "store/labels.h"

/* A float, or a histogram when h is set. */
struct point {
    int64_t t_ms;
    double v;
    const struct hist *h;
};

struct series {
    struct labels labels;
    struct point *points;
    size_t n;
};

/*
 * type VALUE_SCALAR: points of series[0], one per step, no labels; VALUE_STRING: string.
 * VALUE_VECTOR: every series has one point, at the evaluation time. VALUE_MATRIX: series sorted by
 * labels.
 */
struct value {
    enum value_type type;
    struct series *series;
    size_t n;
    struct slice string;
    int64_t t_ms; /* of a scalar or string of an instant query */
};

/* Annotations: Prometheus' texts, with the place in the query where it has one. */
struct notes {
    const char **warnings, **infos;
    size_t n_warnings, n_infos;
};

#endif
