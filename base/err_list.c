#include "base/err_list.h"

#include <stdlib.h>

#include "base/mem.h"

void err_list_add(struct err_list *list, const struct err *err)
{
    if (list->n == ERR_LIST_MAX)
        return;
    GROW(list->items, list->cap, list->n + 1);
    list->items[list->n++] = *err;
}

static bool before(const struct err *a, const struct err *b)
{
    return a->line != b->line ? a->line < b->line : a->col < b->col;
}

/* Insertion: stable, and the list is short. */
void err_list_sort(struct err_list *list)
{
    for (size_t i = 1; i < list->n; i++) {
        struct err moved = list->items[i];
        size_t j = i;
        for (; j > 0 && before(&moved, &list->items[j - 1]); j--)
            list->items[j] = list->items[j - 1];
        list->items[j] = moved;
    }
}

void err_list_fini(struct err_list *list)
{
    free(list->items);
    *list = (struct err_list){0};
}
