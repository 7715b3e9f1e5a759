#include "store/late_marks.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void late_marks_fini(struct late_marks *marks)
{
    free(marks->items);
    *marks = (struct late_marks){0};
}

/* Every step of maintenance asks for each block of the head, and thousands may have late cells. */
static size_t place_of(const struct late_marks *marks, int64_t block)
{
    size_t lo = 0, hi = marks->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (marks->items[mid].block < block)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct late_mark *late_marks_find(const struct late_marks *marks, int64_t block)
{
    size_t i = place_of(marks, block);
    return i < marks->n && marks->items[i].block == block ? &marks->items[i] : NULL;
}

bool late_marks_add(struct late_marks *marks, struct late_mark mark)
{
    size_t i = place_of(marks, mark.block);
    if (late_marks_find(marks, mark.block))
        return false;
    GROW(marks->items, marks->cap, marks->n + 1);
    memmove(&marks->items[i + 1], &marks->items[i], (marks->n - i) * sizeof *marks->items);
    marks->items[i] = mark;
    marks->n++;
    return true;
}

void late_marks_remove(struct late_marks *marks, int64_t block)
{
    size_t i = place_of(marks, block);
    if (!late_marks_find(marks, block))
        return;
    memmove(&marks->items[i], &marks->items[i + 1], (marks->n - i - 1) * sizeof *marks->items);
    marks->n--;
}
