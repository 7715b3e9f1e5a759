#include "store/state/memtable.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"

#define SLOT_BITS_MIN 4
#define CAP_MIN       8
#define TAG_BITS      6
#define TAG_MASK      ((1u << TAG_BITS) - 1)
/* A bucket of memtable_order holds about this many keys when they are hashes. */
#define BUCKET_KEYS 4
/* Buckets above it are sorted by qsort: keys that are no hashes. */
#define INSERTION_MAX 32

struct memtable *memtable_new(uint32_t record_bytes)
{
    struct memtable *m = xcalloc(1, sizeof *m);
    atomic_init(&m->refs, 1);
    m->record_bytes = record_bytes;
    m->entry_bytes = STATE_KEY_BYTES + record_bytes;
    return m;
}

struct memtable *memtable_ref(struct memtable *memtable)
{
    if (memtable)
        atomic_fetch_add_explicit(&memtable->refs, 1, memory_order_relaxed);
    return memtable;
}

void memtable_unref(struct memtable **memtable)
{
    struct memtable *m = *memtable;
    *memtable = NULL;
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i * MEMTABLE_PAGE < m->cap; i++)
        free(m->pages[i]);
    free(m->pages);
    free(m->gone);
    free(m->slots);
    free(m);
}

/* ---- slots ---- */

/* One multiplication spreads keys that are no hashes; the slot is taken from the top bits, the tag
 * from low ones. */
static uint64_t mix(struct hash128 key)
{
    return (key.lo ^ (key.hi << 32 | key.hi >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint32_t tag_of(uint64_t mixed)
{
    return (uint32_t)(mixed >> 8) & TAG_MASK;
}

static size_t slot_of(const struct memtable *m, uint64_t mixed)
{
    return (size_t)(mixed >> (64 - m->slot_bits));
}

uint32_t memtable_find(const struct memtable *m, struct hash128 key)
{
    if (!m->slot_bits)
        return MEMTABLE_NONE;
    uint64_t mixed = mix(key);
    uint32_t tag = tag_of(mixed);
    size_t mask = ((size_t)1 << m->slot_bits) - 1;
    for (size_t i = slot_of(m, mixed);; i = (i + 1) & mask) {
        uint32_t slot = m->slots[i];
        if (slot == 0)
            return MEMTABLE_NONE;
        uint32_t at = (slot >> TAG_BITS) - 1;
        if ((slot & TAG_MASK) == tag && hash128_eq(memtable_key(m, at), key))
            return at;
    }
}

void memtable_prefetch(const struct memtable *m, struct hash128 key)
{
    if (m->slot_bits)
        __builtin_prefetch(&m->slots[slot_of(m, mix(key))], 1);
}

static void fill_slot(struct memtable *m, struct hash128 key, uint32_t at)
{
    uint64_t mixed = mix(key);
    size_t mask = ((size_t)1 << m->slot_bits) - 1;
    size_t i = slot_of(m, mixed);
    while (m->slots[i])
        i = (i + 1) & mask;
    m->slots[i] = (at + 1) << TAG_BITS | tag_of(mixed);
}

static void grow_slots(struct memtable *m)
{
    m->slot_bits = m->slot_bits ? m->slot_bits + 1 : SLOT_BITS_MIN;
    free(m->slots);
    m->slots = xcalloc((size_t)1 << m->slot_bits, sizeof *m->slots);
    for (uint32_t at = 0; at < m->n; at++) {
        if (at + 16 < m->n)
            memtable_prefetch(m, memtable_key(m, at + 16));
        fill_slot(m, memtable_key(m, at), at);
    }
}

/* ---- entries ---- */

static size_t gone_words(size_t cap)
{
    return (cap + 63) / 64;
}

static void grow_entries(struct memtable *m)
{
    size_t old = m->cap, page = old / MEMTABLE_PAGE;
    m->cap = old < CAP_MIN ? CAP_MIN : old < MEMTABLE_PAGE ? old * 2 : old + MEMTABLE_PAGE;
    GROW(m->pages, m->pages_cap, page + 1);
    size_t n = m->cap - page * MEMTABLE_PAGE;
    m->pages[page] = xreallocarray(old % MEMTABLE_PAGE ? m->pages[page] : NULL, n, m->entry_bytes);
    if (m->gone) {
        m->gone = xreallocarray(m->gone, gone_words(m->cap), sizeof *m->gone);
        memset(
            m->gone + gone_words(old), 0, (gone_words(m->cap) - gone_words(old)) * sizeof *m->gone);
    }
}

static uint32_t add_entry(struct memtable *m, struct hash128 key)
{
    ensure(m->n < MEMTABLE_ENTRIES_MAX);
    if (m->n == m->cap)
        grow_entries(m);
    if (!m->slot_bits || m->n >= ((size_t)3 << m->slot_bits) / 4)
        grow_slots(m);
    uint32_t at = m->n++;
    memcpy(memtable_entry(m, at), &key, sizeof key);
    fill_slot(m, key, at);
    return at;
}

static void set_gone(struct memtable *m, uint32_t at, bool gone)
{
    if (memtable_gone(m, at) == gone)
        return;
    if (!m->gone)
        m->gone = xcalloc(gone_words(m->cap), sizeof *m->gone);
    m->gone[at / 64] ^= UINT64_C(1) << at % 64;
    m->deleted += gone ? 1 : -1;
}

static void change(struct memtable *m, struct hash128 key, const void *record, bool gone)
{
    uint32_t at = memtable_find(m, key);
    if (at == MEMTABLE_NONE)
        at = add_entry(m, key);
    uint8_t *to = memtable_entry(m, at) + STATE_KEY_BYTES;
    if (m->record_bytes && record)
        memcpy(to, record, m->record_bytes);
    else if (m->record_bytes)
        memset(to, 0, m->record_bytes);
    set_gone(m, at, gone);
}

void memtable_put(struct memtable *memtable, struct hash128 key, const void *record)
{
    ensure(record || !memtable->record_bytes);
    change(memtable, key, record, false);
}

void memtable_delete(struct memtable *memtable, struct hash128 key)
{
    change(memtable, key, NULL, true);
}

size_t memtable_bytes(const struct memtable *m)
{
    return sizeof *m + m->cap * m->entry_bytes + m->pages_cap * sizeof *m->pages +
           (m->gone ? gone_words(m->cap) * 8 : 0) +
           (m->slot_bits ? ((size_t)4 << m->slot_bits) : 0);
}

/* ---- order ---- */

struct ordered {
    struct hash128 key;
    uint32_t at;
};

static int by_key(const void *a, const void *b)
{
    return state_key_cmp(((const struct ordered *)a)->key, ((const struct ordered *)b)->key);
}

static void sort_bucket(struct ordered *o, size_t n)
{
    if (n > INSERTION_MAX) {
        qsort(o, n, sizeof *o, by_key);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct ordered x = o[i];
        size_t k = i;
        for (; k && state_key_cmp(o[k - 1].key, x.key) > 0; k--)
            o[k] = o[k - 1];
        o[k] = x;
    }
}

/* Keys are dealt into buckets by their first bits, and sorted there: hashes spread evenly. */
void memtable_order(const struct memtable *m, uint32_t *order)
{
    unsigned bits = 1;
    while (bits < 26 && (m->n >> bits) > BUCKET_KEYS)
        bits++;
    size_t buckets = (size_t)1 << bits;
    uint32_t *start = xcalloc(buckets + 1, sizeof *start);
    struct ordered *sorted = xreallocarray(NULL, m->n, sizeof *sorted);
    for (uint32_t at = 0; at < m->n; at++)
        start[(memtable_key(m, at).hi >> (64 - bits)) + 1]++;
    for (size_t b = 0; b < buckets; b++)
        start[b + 1] += start[b];
    for (uint32_t at = 0; at < m->n; at++) {
        struct hash128 key = memtable_key(m, at);
        sorted[start[key.hi >> (64 - bits)]++] = (struct ordered){key, at};
    }
    /* Every start has moved to its bucket's end. */
    for (size_t b = 0, from = 0; b < buckets; from = start[b++])
        sort_bucket(sorted + from, start[b] - from);
    for (uint32_t i = 0; i < m->n; i++)
        order[i] = sorted[i].at;
    free(sorted);
    free(start);
}
