#include "store/state/state_changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/state/generation.h"
#include "store/state/run.h"

enum section { SECTION_TABLES = 10, SECTION_PUTS = 11, SECTION_DELETES = 12, SECTION_DROPS = 13 };

void state_changes_init(struct state_changes *changes)
{
    *changes = (struct state_changes){0};
    map_init(&changes->map);
}

void state_changes_fini(struct state_changes *changes)
{
    for (size_t i = 0; i < changes->n_tables; i++)
        free(changes->tables[i].name);
    for (size_t i = 0; i < changes->n_batches; i++) {
        memtable_unref(&changes->batches[i].changes);
        state_view_unref(&changes->batches[i].view);
    }
    free(changes->tables);
    free(changes->batches);
    map_fini(&changes->map);
    *changes = (struct state_changes){0};
}

void state_changes_table(struct state_changes *changes, struct slice name, uint32_t record_bytes)
{
    GROW(changes->tables, changes->tables_cap, changes->n_tables + 1);
    changes->tables[changes->n_tables++] =
        (struct state_table_def){xstrndup(name.ptr, name.len), record_bytes};
}

/* ---- batches ---- */

static bool is_batch(const struct state_batch *b, uint32_t table, int64_t generation)
{
    return b->table == table && b->generation == generation;
}

struct batch_key {
    uint32_t table;
    int64_t generation;
};

static bool batch_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct state_changes *changes = ctx;
    const struct batch_key *k = key;
    ensure(id < changes->n_batches && changes->batches);
    return is_batch(&changes->batches[id], k->table, k->generation);
}

static uint64_t batch_hash(uint32_t table, int64_t generation)
{
    uint64_t h = ((uint64_t)generation + table * UINT64_C(0x9e3779b97f4a7c15)) *
                 UINT64_C(0xc2b2ae3d27d4eb4f);
    return h ^ h >> 29;
}

struct state_batch *state_changes_find(
    struct state_changes *changes, uint32_t table, int64_t generation)
{
    if (changes->batches && changes->last < changes->n_batches &&
        is_batch(&changes->batches[changes->last], table, generation))
        return &changes->batches[changes->last];
    struct batch_key key = {table, generation};
    uint32_t id =
        map_find(&changes->map, batch_hash(table, generation), batch_matches, changes, &key);
    if (id == MAP_NONE)
        return NULL;
    changes->last = id;
    return &changes->batches[id];
}

struct state_batch *state_changes_batch(
    struct state_changes *changes, uint32_t table, int64_t generation, uint32_t record_bytes)
{
    struct state_batch *b = state_changes_find(changes, table, generation);
    if (b)
        return b;
    ensure(changes->n_batches < MAP_NONE);
    GROW(changes->batches, changes->batches_cap, changes->n_batches + 1);
    changes->last = changes->n_batches;
    b = &changes->batches[changes->n_batches++];
    *b = (struct state_batch){
        .table = table, .generation = generation, .record_bytes = record_bytes};
    map_insert(&changes->map, batch_hash(table, generation), (uint32_t)changes->last);
    return b;
}

static struct memtable *changes_of(struct state_batch *batch)
{
    if (!batch->changes)
        batch->changes = memtable_new(batch->record_bytes);
    return batch->changes;
}

void state_batch_put(struct state_batch *batch, struct hash128 key, const void *record)
{
    memtable_put(changes_of(batch), key, record);
}

void state_batch_delete(struct state_batch *batch, struct hash128 key)
{
    memtable_delete(changes_of(batch), key);
}

void state_batch_drop(struct state_batch *batch)
{
    memtable_unref(&batch->changes);
    batch->dropped = true;
}

/* ---- writing ---- */

static int by_table_and_generation(const void *a, const void *b)
{
    const struct state_batch *x = *(const struct state_batch *const *)a;
    const struct state_batch *y = *(const struct state_batch *const *)b;
    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    return (x->generation > y->generation) - (x->generation < y->generation);
}

static bool in_section(const struct state_batch *b, enum section section)
{
    switch (section) {
    case SECTION_PUTS: return b->changes && b->changes->n > b->changes->deleted;
    case SECTION_DELETES: return b->changes && b->changes->deleted > 0;
    case SECTION_DROPS: return b->dropped;
    case SECTION_TABLES: break;
    }
    return false;
}

static void encode_batch(const struct state_batch *b, enum section section, struct buf *out)
{
    const struct memtable *m = b->changes;
    bool deletes = section == SECTION_DELETES;
    buf_varint(out, b->record_bytes);
    buf_varint(out, deletes ? m->deleted : m->n - m->deleted);
    size_t entry_bytes = STATE_KEY_BYTES + (deletes ? 0 : b->record_bytes);
    char *p = buf_reserve(out, (deletes ? m->deleted : m->n - m->deleted) * entry_bytes);
    char *from = p;
    ensure(p != NULL);
    for (uint32_t at = 0; at < m->n; at++) {
        if (memtable_gone(m, at) != deletes)
            continue;
        struct hash128 key = memtable_key(m, at);
        le64_put(p, key.hi);
        le64_put(p + 8, key.lo);
        if (!deletes && b->record_bytes)
            memcpy(p + STATE_KEY_BYTES, memtable_record(m, at), b->record_bytes);
        p += entry_bytes;
    }
    out->len += (size_t)(p - from);
}

static void encode_section(
    const struct state_batch **sorted, size_t n, enum section section, struct buf *out)
{
    size_t count = 0;
    int64_t last = 0;
    for (size_t i = 0; i < n; i++)
        count += in_section(sorted[i], section);
    if (!count)
        return;
    buf_u8(out, (uint8_t)section);
    buf_varint(out, count);
    for (size_t i = 0; i < n; i++) {
        if (!in_section(sorted[i], section))
            continue;
        buf_varint(out, sorted[i]->table);
        buf_svarint(out, (int64_t)((uint64_t)sorted[i]->generation - (uint64_t)last));
        last = sorted[i]->generation;
        if (section != SECTION_DROPS)
            encode_batch(sorted[i], section, out);
    }
}

void state_changes_encode(const struct state_changes *changes, struct buf *out)
{
    if (changes->n_tables) {
        buf_u8(out, SECTION_TABLES);
        buf_varint(out, changes->n_tables);
        buf_varint(out, changes->first_table);
        for (size_t i = 0; i < changes->n_tables; i++) {
            buf_lstr(out, slice_from(changes->tables[i].name));
            buf_varint(out, changes->tables[i].record_bytes);
        }
    }
    if (!changes->n_batches)
        return;
    const struct state_batch **sorted = xcalloc(changes->n_batches, sizeof *sorted);
    for (size_t i = 0; i < changes->n_batches; i++)
        sorted[i] = &changes->batches[i];
    qsort(sorted, changes->n_batches, sizeof *sorted, by_table_and_generation);
    encode_section(sorted, changes->n_batches, SECTION_PUTS, out);
    encode_section(sorted, changes->n_batches, SECTION_DELETES, out);
    encode_section(sorted, changes->n_batches, SECTION_DROPS, out);
    free(sorted);
}

/* ---- reading ---- */

void state_changes_read_tables(struct reader *r, struct state_changes *changes, uint64_t n)
{
    changes->first_table = (uint32_t)read_varint(r);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        struct slice name = read_lstr(r);
        uint64_t record_bytes = read_varint(r);
        if (r->failed || name.len == 0 || name.len > STATE_TABLE_NAME_MAX ||
            memchr(name.ptr, 0, name.len) || record_bytes > STATE_RECORD_BYTES_MAX) {
            r->failed = true;
            return;
        }
        state_changes_table(changes, name, (uint32_t)record_bytes);
    }
}

static void read_place(struct reader *r, uint32_t *table, int64_t *generation)
{
    uint64_t id = read_varint(r);
    *generation = (int64_t)((uint64_t)*generation + (uint64_t)read_svarint(r));
    if (id > UINT32_MAX)
        r->failed = true;
    *table = (uint32_t)id;
}

static void read_entries(struct reader *r, struct state_batch *b, uint64_t n, bool deletes)
{
    for (uint64_t k = 0; k < n && !r->failed; k++) {
        struct hash128 key;
        key.hi = read_le64(r);
        key.lo = read_le64(r);
        if (deletes) {
            state_batch_delete(b, key);
            continue;
        }
        struct slice record = read_bytes(r, b->record_bytes);
        if (!r->failed)
            state_batch_put(b, key, record.ptr);
    }
}

static void read_batches(struct reader *r, struct state_changes *changes, uint64_t n, bool deletes)
{
    uint32_t table;
    int64_t generation = 0;
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        read_place(r, &table, &generation);
        uint64_t record_bytes = read_varint(r), entries = read_varint(r);
        if (r->failed || record_bytes > STATE_RECORD_BYTES_MAX ||
            entries > reader_left(r) / (STATE_KEY_BYTES + (deletes ? 0 : record_bytes))) {
            r->failed = true;
            return;
        }
        struct state_batch *b =
            state_changes_batch(changes, table, generation, (uint32_t)record_bytes);
        if (b->record_bytes != record_bytes)
            r->failed = true;
        else
            read_entries(r, b, entries, deletes);
    }
}

void state_changes_read_puts(struct reader *r, struct state_changes *changes, uint64_t n)
{
    read_batches(r, changes, n, false);
}

void state_changes_read_deletes(struct reader *r, struct state_changes *changes, uint64_t n)
{
    read_batches(r, changes, n, true);
}

void state_changes_read_drops(struct reader *r, struct state_changes *changes, uint64_t n)
{
    uint32_t table;
    int64_t generation = 0;
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        read_place(r, &table, &generation);
        if (r->failed)
            return;
        struct state_batch *b = state_changes_find(changes, table, generation);
        if (!b)
            b = state_changes_batch(changes, table, generation, 0);
        b->dropped = true;
    }
}
