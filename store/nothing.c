#include "store/nothing.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void nothing_list_fini(struct nothing_list *list)
{
    free(list->items);
    *list = (struct nothing_list){0};
}

/* The first that is not before (t0, resolution). */
static size_t place_of(const struct nothing_list *list, int64_t t0, int64_t resolution_ms)
{
    size_t lo = 0, hi = list->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct nothing *x = &list->items[mid];
        if (x->t0 < t0 || (x->t0 == t0 && x->resolution_ms < resolution_ms))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct nothing *nothing_find(
    const struct nothing_list *list, int64_t t0, int64_t resolution_ms)
{
    size_t i = place_of(list, t0, resolution_ms);
    if (i == list->n) /* an empty list has no items at all */
        return NULL;
    const struct nothing *x = &list->items[i];
    return x->t0 == t0 && x->resolution_ms == resolution_ms ? x : NULL;
}

void nothing_set(struct nothing_list *list, const struct nothing *nothing)
{
    size_t i = place_of(list, nothing->t0, nothing->resolution_ms);
    bool is_there = nothing_find(list, nothing->t0, nothing->resolution_ms) != NULL;
    if (nothing->inputs == 0) {
        if (is_there)
            memmove(&list->items[i], &list->items[i + 1], (--list->n - i) * sizeof *list->items);
        return;
    }
    if (!is_there) {
        GROW(list->items, list->cap, list->n + 1);
        memmove(&list->items[i + 1], &list->items[i], (list->n++ - i) * sizeof *list->items);
    }
    list->items[i] = *nothing;
}

void nothing_put(struct buf *out, const struct nothing *nothing)
{
    buf_svarint(out, nothing->t0);
    buf_varint(out, (uint64_t)nothing->resolution_ms);
    buf_varint(out, nothing->lsn);
    buf_le64(out, nothing->inputs);
}

bool nothing_read(struct nothing_list *list, struct reader *in)
{
    struct nothing nothing = {.t0 = read_svarint(in)};
    uint64_t resolution = read_varint(in);
    nothing.lsn = read_varint(in);
    nothing.inputs = read_le64(in);
    if (in->failed || resolution == 0 || resolution > INT64_MAX)
        return false;
    nothing.resolution_ms = (int64_t)resolution;
    nothing_set(list, &nothing);
    return true;
}
