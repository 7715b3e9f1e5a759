/*
 * The histograms among the series of a vector, for functions that take both kinds: native samples,
 * and classic histograms put together from the series that differ only in le. That is done once:
 * bucket series are sorted by histogram and bound, and at each step the buckets that are there are
 * picked up in order.
 *
 *     ids.sets[g]                            labels without le, for g in 0 .. n_classic - 1
 *     members[start[g] .. start[g + 1])      its bucket series, by bound
 *
 * Annotations of what is odd are made here too. They name the metric only when the name is certain
 * to be that of the samples, which is so with delayed name removal.
 */
#ifndef QUERY_HISTOGRAM_GROUP_H
#define QUERY_HISTOGRAM_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/classic_histogram.h"
#include "query/label_set.h"
#include "query/vector.h"

struct histogram_member {
    double upper;
    uint32_t series, group;
};

struct fix_note;

struct histogram_group {
    struct eval *eval;
    const struct vector *in;
    const struct node *place; /* of the vector in the query, for annotations */
    struct label_ids ids;
    struct histogram_member *members;
    size_t n_members, n_classic;
    uint32_t *start;
    /* Native series and classic histograms of the same name and labels; MAP_NONE: none. */
    uint32_t *native;       /* per series: the histogram */
    uint32_t *native_first; /* per histogram: its first series, and per series the next */
    uint32_t *native_next;
    struct classic_bucket *buckets;
    struct fix_note *fixes;
};

/* Warns of series whose le is no number, and leaves them out. histogram_group_fini is needed also
 * when it fails. */
bool histogram_group_init(struct histogram_group *x, struct eval *eval, const struct vector *in,
    const struct node *place, struct err *err);
void histogram_group_fini(struct histogram_group *x);

/* The buckets of classic histogram g at the step, by bound, in x->buckets; their number. 0, with a
 * warning, when there is a native histogram of the same labels too. */
size_t histogram_group_pick(struct histogram_group *x, size_t g, size_t step);
/* The native sample of series s at the step; NULL: none, or there is a classic one too. */
const struct hist *histogram_group_native(const struct histogram_group *x, size_t s, size_t step);

/* "text", or "text for metric name ...", as an info. */
void histogram_group_info(const struct histogram_group *x, struct labels labels, const char *text);
/* Keeps in mind that counts had to be raised; told once per metric by histogram_group_tell. */
bool histogram_group_fixed(struct histogram_group *x, size_t g, size_t step,
    const struct monotonic_fix *fix, struct err *err);
void histogram_group_tell(const struct histogram_group *x);

#endif
