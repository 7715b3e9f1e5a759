#include "query/histogram_side.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "query/kahan.h"
#include "store/cell.h"

/* ---- bounds and zero buckets ---- */

double hist_exponential_bound(int32_t index, int schema)
{
    double lower, upper;
    hist_bucket_bounds(index, schema, &lower, &upper);
    return isinf(upper) && !isinf(lower) ? DBL_MAX : upper;
}

/* Adds the buckets that begin below *threshold; when a populated one reaches beyond, the threshold
 * moves to its end. */
static void absorb(const struct hist *h, const struct hist_fbucket *buckets, uint32_t n,
    double *threshold, double *count)
{
    for (uint32_t i = 0; i < n; i++) {
        if (hist_exponential_bound(buckets[i].index - 1, h->schema) >= *threshold)
            return;
        *count += buckets[i].count;
        double upper = hist_exponential_bound(buckets[i].index, h->schema);
        if (upper > *threshold) {
            if (buckets[i].count != 0)
                *threshold = upper;
            return;
        }
    }
}

double hist_zero_count_at(const struct hist *h, double *threshold)
{
    if (*threshold == h->zero_threshold)
        return h->zero_count;
    for (;;) {
        double count = h->zero_count;
        absorb(h, h->positive, h->n_positive, threshold, &count);
        double before = *threshold;
        absorb(h, h->negative, h->n_negative, threshold, &count);
        if (*threshold == before)
            return count;
    }
}

bool hist_bounds_equal(const struct hist *a, const struct hist *b)
{
    if (a->n_bounds != b->n_bounds)
        return false;
    if (a->bounds == b->bounds)
        return true;
    for (uint32_t i = 0; i < a->n_bounds; i++)
        if (a->bounds[i] != b->bounds[i])
            return false;
    return true;
}

/* ---- mapping ---- */

/* The first of the common bounds that is not below the bucket's. */
static int32_t common_index(
    int32_t index, const double *from, uint32_t n_from, const double *to, uint32_t n_to)
{
    if (index < 0)
        return 0;
    if ((uint32_t)index >= n_from)
        return (int32_t)n_to;
    uint32_t low = 0, high = n_to;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (to[mid] >= from[index])
            high = mid;
        else
            low = mid + 1;
    }
    return (int32_t)low;
}

int32_t hist_map_index(const struct hist_mapping *m, int32_t index)
{
    if (m->from)
        return common_index(index, m->from, m->n_from, m->to, m->n_to);
    return hist_reduced_index(index, m->shift);
}

static void add_at(struct hist_side *side, uint32_t i, double v)
{
    struct kahan k = {side->bucket[i].count, side->comp[i]};
    kahan_add(&k, v);
    side->bucket[i].count = k.sum;
    side->comp[i] = k.comp;
}

bool hist_side_reserve(struct arena *arena, struct hist_side *side, uint32_t n)
{
    if (n <= side->cap)
        return true;
    uint32_t cap = side->cap && n <= UINT32_MAX / 2 ? 2 * side->cap : n;
    if (cap < n)
        cap = n;
    side->bucket = arena_array(arena, cap, sizeof *side->bucket);
    side->comp = arena_array(arena, cap, sizeof *side->comp);
    side->n = 0;
    side->cap = side->bucket && side->comp ? cap : 0;
    return side->cap != 0;
}

void hist_side_map(struct hist_side *side, const struct hist_mapping *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < side->n; i++) {
        int32_t index = hist_map_index(m, side->bucket[i].index);
        if (n && side->bucket[n - 1].index == index) {
            add_at(side, n - 1, side->bucket[i].count);
            side->comp[n - 1] += side->comp[i];
            continue;
        }
        side->bucket[n] = (struct hist_fbucket){index, side->bucket[i].count};
        side->comp[n++] = side->comp[i];
    }
    side->n = n;
}

static bool side_has_all(const struct hist_side *side, const struct hist_fbucket *b, uint32_t n,
    const struct hist_mapping *m)
{
    uint32_t i = 0;
    for (uint32_t j = 0; j < n; j++) {
        int32_t index = hist_map_index(m, b[j].index);
        while (i < side->n && side->bucket[i].index < index)
            i++;
        if (i == side->n || side->bucket[i].index != index)
            return false;
    }
    return true;
}

static void side_add_present(
    struct hist_side *side, const struct hist_fbucket *b, uint32_t n, const struct hist_mapping *m)
{
    uint32_t i = 0;
    for (uint32_t j = 0; j < n; j++) {
        int32_t index = hist_map_index(m, b[j].index);
        while (side->bucket[i].index < index)
            i++;
        add_at(side, i, b[j].count * m->factor / m->divisor);
    }
}

bool hist_side_add(struct arena *arena, struct hist_side *side, struct hist_side *spare,
    const struct hist_fbucket *b, uint32_t n, const struct hist_mapping *m)
{
    if (side_has_all(side, b, n, m)) {
        side_add_present(side, b, n, m);
        return true;
    }
    if (n > UINT32_MAX - side->n || !hist_side_reserve(arena, spare, side->n + n))
        return false;
    uint32_t i = 0, j = 0, k = 0;
    while (i < side->n || j < n) {
        int32_t theirs = j < n ? hist_map_index(m, b[j].index) : INT32_MAX;
        if (i < side->n && side->bucket[i].index <= theirs) {
            spare->bucket[k] = side->bucket[i];
            spare->comp[k] = side->comp[i++];
        } else {
            spare->bucket[k] = (struct hist_fbucket){theirs, 0};
            spare->comp[k] = 0;
        }
        for (; j < n && hist_map_index(m, b[j].index) == spare->bucket[k].index; j++)
            add_at(spare, k, b[j].count * m->factor / m->divisor);
        k++;
    }
    spare->n = k;
    struct hist_side old = *side;
    *side = *spare;
    *spare = old;
    return true;
}
