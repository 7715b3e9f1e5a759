/*
 * What a transaction changes in state tables: new tables, and per generation a batch of puts and
 * deletes, or that the generation is dropped first. The same structure is what an open transaction
 * reads its own changes from, what a WAL frame or checkpoint carries, and what is applied.
 *
 * Sections of a transaction's payload (docs/format/wal.md):
 *
 *     10  new tables            first id varint; then per table: name string, record bytes varint
 *     11  puts                  batch, record bytes varint, n varint, (key 16 | record) * n
 *     12  deletes               batch, record bytes varint, n varint, key 16 * n
 *     13  dropped generations   batch
 *     batch := table id varint, generation svarint less that of the batch before
 *
 * A key is hi u64, lo u64. Batches are written by table, then generation; drops come before puts
 * and deletes in their effect, wherever they stand.
 */
#ifndef STORE_STATE_STATE_CHANGES_H
#define STORE_STATE_STATE_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/map.h"
#include "base/slice.h"
#include "store/state/memtable.h"

struct state_view;

struct state_table_def {
    char *name; /* heap */
    uint32_t record_bytes;
};

struct state_batch {
    uint32_t table;
    int64_t generation;
    uint32_t record_bytes;
    bool dropped;             /* before the changes */
    struct memtable *changes; /* NULL: none */
    struct state_view *view;  /* what the open transaction sees beneath; NULL: nothing */
    bool looked;              /* view is set */
};

struct state_changes {
    uint32_t first_table;
    struct state_table_def *tables;
    size_t n_tables, tables_cap;
    struct state_batch *batches;
    size_t n_batches, batches_cap;
    struct map map; /* of batches */
    size_t last;    /* the batch that was found last */
};

void state_changes_init(struct state_changes *changes);
void state_changes_fini(struct state_changes *changes);

/* The id counts from first_table. */
void state_changes_table(struct state_changes *changes, struct slice name, uint32_t record_bytes);
/* The batch, made when there is none. Borrowed until the next call. */
struct state_batch *state_changes_batch(
    struct state_changes *changes, uint32_t table, int64_t generation, uint32_t record_bytes);
struct state_batch *state_changes_find(
    struct state_changes *changes, uint32_t table, int64_t generation);
void state_batch_put(struct state_batch *batch, struct hash128 key, const void *record);
void state_batch_delete(struct state_batch *batch, struct hash128 key);
/* Forgets what was changed before. */
void state_batch_drop(struct state_batch *batch);

void state_changes_encode(const struct state_changes *changes, struct buf *out);
/* Readers of the sections' entries; what is wrong sets r->failed. */
void state_changes_read_tables(struct reader *r, struct state_changes *changes, uint64_t n);
void state_changes_read_puts(struct reader *r, struct state_changes *changes, uint64_t n);
void state_changes_read_deletes(struct reader *r, struct state_changes *changes, uint64_t n);
void state_changes_read_drops(struct reader *r, struct state_changes *changes, uint64_t n);

#endif
