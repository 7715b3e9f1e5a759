/*
 * Labels: sorted by name in byte order, no name twice, no empty value. The metric's name is the
 * label
 * __name__, sorted among the others. A set is a borrowed array; who made it owns it.
 */
#ifndef STORE_LABELS_H
#define STORE_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

#define LABEL_METRIC_NAME "__name__"
#define LABELS_MAX        64    /* labels of one series, the name included */
#define LABEL_NAME_MAX    1024  /* bytes */
#define LABEL_VALUE_MAX   65536 /* bytes */

struct label {
    struct slice name, value;
};

struct labels {
    const struct label *items;
    size_t n;
};

/* Sorts in place by name. False when a name occurs twice. Empty values are removed: *n shrinks. */
bool labels_sort(struct label *items, size_t *n);
/* The value, or {NULL, 0}. */
struct slice labels_get(struct labels labels, struct slice name);
/* Order of names and values, pair by pair; shorter first. */
int labels_cmp(struct labels a, struct labels b);
uint64_t labels_hash(struct labels labels);
/* A deep copy; items is NULL when the arena's limit is reached (or when n is 0). */
struct labels labels_copy(struct arena *arena, struct labels labels);
/* [a-zA-Z_][a-zA-Z0-9_]*: the names that need no quotes. Metric names may have colons too. */
bool label_name_is_plain(struct slice name);
bool metric_name_is_plain(struct slice name);

#endif
