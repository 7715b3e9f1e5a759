/*
 * What happens to the set of series of a vector, apart from their values: empty series go, the
 * metric's name goes (now or at the query's end), series that have become the same are made one.
 */
#ifndef QUERY_SERIES_SET_H
#define QUERY_SERIES_SET_H

#include "query/vector.h"

/* Takes out series without any point, keeping the order; gives their points back to the budget. */
void series_drop_empty(struct eval *eval, struct vector *x);

/* Labels without __name__, __type__ and __unit__; the same array when there is none of them.
 * items NULL with n > 0: the arena's limit. */
struct labels labels_without_metric(struct arena *arena, struct labels labels);

/* The metric's name has lost its meaning. With delayed name removal all series are marked, else the
 * labels go now. The arrays labels and drop_name of x must be its own. */
bool series_drop_names(struct eval *eval, struct vector *x, struct err *err);

/* series_drop_names, and when names go now, series_merge_same. */
bool series_lose_names(struct eval *eval, struct vector *x, struct err *err);

/* Series with equal labels become one; "vector cannot contain metrics with the same labelset" when
 * two of them have a point at one step. */
bool series_merge_same(struct eval *eval, struct vector *x, struct err *err);
/* The same error when two series with a point have equal labels, at whatever steps. */
bool series_check_same(struct eval *eval, const struct vector *x, struct err *err);

/* The end of delayed name removal: marked series lose their name, then series_merge_same. */
bool series_finish_names(struct eval *eval, struct vector *x, struct err *err);

#endif
