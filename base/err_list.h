/*
 * Many errors of one input, to be shown in one go. Bounded: past the limit the rest is dropped.
 */
#ifndef BASE_ERR_LIST_H
#define BASE_ERR_LIST_H

#include "base/err.h"

#define ERR_LIST_MAX 100

struct err_list {
    struct err *items;
    size_t n, cap;
};

/* Adds a copy. */
void err_list_add(struct err_list *list, const struct err *err);
/* By line and column; those without a place first. Keeps the order of equal ones. */
void err_list_sort(struct err_list *list);
void err_list_fini(struct err_list *list);

#endif
