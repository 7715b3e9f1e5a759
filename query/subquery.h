/*
 * Subqueries: expr[range:step]. The inner expression is evaluated once at every multiple of the
 * step that any of the outer windows needs; the points are then windowed like those of a series.
 */
#ifndef QUERY_SUBQUERY_H
#define QUERY_SUBQUERY_H

#include "query/points.h"
#include "query/vector.h"
#include "query/when.h"

struct subquery {
    struct inner_steps steps;
    struct vector inner; /* at these steps */
};

bool subquery_eval(
    struct eval *eval, const struct node *node, struct subquery *out, struct err *err);
/* The points of one series; times and values in the scratch arena. */
bool subquery_points(struct eval *eval, const struct subquery *subquery, size_t series,
    struct arena *scratch, struct points *out, struct err *err);

#endif
