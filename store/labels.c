#include "store/labels.h"

#include "base/checksum.h"

/* Insertion sort: a series has a dozen labels, and they mostly come sorted. */
bool labels_sort(struct label *items, size_t *n)
{
    size_t m = 0;
    for (size_t i = 0; i < *n; i++) {
        struct label l = items[i];
        if (l.value.len == 0)
            continue;
        size_t at = m++;
        for (; at > 0 && slice_cmp(items[at - 1].name, l.name) > 0; at--)
            items[at] = items[at - 1];
        items[at] = l;
    }
    *n = m;
    for (size_t i = 1; i < m; i++)
        if (slice_eq(items[i - 1].name, items[i].name))
            return false;
    return true;
}

struct slice labels_get(struct labels labels, struct slice name)
{
    for (size_t i = 0; i < labels.n; i++)
        if (slice_eq(labels.items[i].name, name))
            return labels.items[i].value;
    return (struct slice){NULL, 0};
}

int labels_cmp(struct labels a, struct labels b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        int c = slice_cmp(a.items[i].name, b.items[i].name);
        if (c == 0)
            c = slice_cmp(a.items[i].value, b.items[i].value);
        if (c != 0)
            return c;
    }
    return (a.n > b.n) - (a.n < b.n);
}

uint64_t labels_hash(struct labels labels)
{
    uint64_t h = labels.n;
    for (size_t i = 0; i < labels.n; i++) {
        h = (h ^ hash64(labels.items[i].name.ptr, labels.items[i].name.len)) * 0x9e3779b97f4a7c15u;
        h = (h ^ hash64(labels.items[i].value.ptr, labels.items[i].value.len)) *
            0xc2b2ae3d27d4eb4fu;
        h ^= h >> 29;
    }
    return h;
}

struct labels labels_copy(struct arena *arena, struct labels labels)
{
    struct labels none = {NULL, 0};
    if (labels.n == 0)
        return none;
    struct label *items = arena_array(arena, labels.n, sizeof *items);
    if (!items)
        return none;
    for (size_t i = 0; i < labels.n; i++) {
        items[i].name = arena_slice(arena, labels.items[i].name);
        items[i].value = arena_slice(arena, labels.items[i].value);
        if (!items[i].name.ptr || !items[i].value.ptr)
            return none;
    }
    return (struct labels){items, labels.n};
}

static bool is_plain(struct slice name, bool colons)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(colons && c == ':') && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return name.len > 0;
}

bool label_name_is_plain(struct slice name)
{
    return is_plain(name, false);
}

bool metric_name_is_plain(struct slice name)
{
    return is_plain(name, true);
}
