/*
 * State tables: what an ingestion must remember between events and across crashes (ids that were
 * seen, entities that are on their way) beside the cells that it makes of them. A table is named
 * and holds records of one fixed size (0: a set) by 128-bit keys, which are hashes made by the
 * caller. It is cut into *generations*, numbered by the caller (one event hour each, say), because
 * what is remembered goes by age: dropping a generation costs one edit, however large it is. A key
 * belongs to a generation; the same key in two of them are two.
 *
 *     struct txn *txn = txn_begin(store);
 *     txn_state_table(txn, SLICE("orders.ids"), 0, &ids, &err);
 *     if (txn_state_get(txn, ids, hour, key, NULL, &seen, &err) && !seen)
 *         txn_state_put(txn, ids, hour, key, NULL);
 *     txn_commit(&txn, &lsn, &err);
 *
 * Changes are made in transactions (store.h) and live or die with them: they are in the same frame
 * of the log as the cells, on disk when txn_commit returns true, visible from then on, gone with
 * txn_abort. Inside a transaction one sees its own changes first, then what is committed.
 *
 * Beneath lies a small log-structured merge tree per generation: a memtable, and immutable sorted
 * runs with a filter in memory (docs/format/state.md, docs/notes/). store_maintain flushes when
 * memory (store_options.state_bytes) or a checkpoint asks for it, and merges runs. When maintenance
 * falls behind, txn_commit does part of its work and so takes longer: neither memory nor the number
 * of runs grows without bound. To reach every step in a test: a small state_bytes, many commits
 * with a store_maintain after each, a small checkpoint_bytes; a drop while runs exist; and a new
 * open.
 *
 * Threads: as store.h. The txn_ calls are the writer's; store_state_get, store_state_table and
 * store_state_generations may be called from any thread, and wait for a commit that is being
 * applied, never for I/O of others.
 *
 * Calls that read fail with ERR_CORRUPT, naming file and page, where a page is damaged, or ERR_IO.
 */
#ifndef STORE_STATE_STATE_H
#define STORE_STATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/state/run.h"

struct store;
struct txn;

/* Tables in a store. */
#define STATE_TABLES_MAX 1024

/* The id of the table; defined in this transaction when it is new. name: 1 to STATE_TABLE_NAME_MAX
 * bytes without NUL; record_bytes: at most STATE_RECORD_BYTES_MAX. ERR_INVALID: the store knows it
 * with records of another size. Ids are dense from 0 and last as long as the store; a table is
 * never removed, its generations are. */
bool txn_state_table(
    struct txn *txn, struct slice name, uint32_t record_bytes, uint32_t *table, struct err *err);

/* record: record_bytes bytes; NULL for a set. Puts over what is there. */
void txn_state_put(
    struct txn *txn, uint32_t table, int64_t generation, struct hash128 key, const void *record);
/* A key that is not there is fine. */
void txn_state_delete(struct txn *txn, uint32_t table, int64_t generation, struct hash128 key);
/* Deletes all keys of the generation; further puts begin it anew. */
void txn_state_drop(struct txn *txn, uint32_t table, int64_t generation);
/* All with lower numbers, of those that are committed. */
void txn_state_drop_below(struct txn *txn, uint32_t table, int64_t below);

/* record: NULL, or room for the record. */
bool txn_state_get(struct txn *txn, uint32_t table, int64_t generation, struct hash128 key,
    void *record, bool *found, struct err *err);
/* The same in the generations from..to (at most STATE_FIND_MAX of them), the newest that has the
 * key first. */
#define STATE_FIND_MAX 4096
bool txn_state_find(struct txn *txn, uint32_t table, int64_t from, int64_t to, struct hash128 key,
    void *record, int64_t *generation, bool *found, struct err *err);
/* Says that a get of the key comes soon. With some tens of keys asked for ahead, a get of an absent
 * one takes a quarter of the time. */
void txn_state_prefetch(struct txn *txn, uint32_t table, int64_t generation, struct hash128 key);

/* The next keys of a generation, ascending, from *from on: at most max of them, with their records
 * one behind the other in `records` (may be NULL). *from is moved behind the last one; *end: there
 * are no more. Fewer than max may come before the end: a call reads a bounded number of pages, and
 * looks once at every key that is only in memory. The generation may
 * be changed between two calls. */
bool txn_state_list(struct txn *txn, uint32_t table, int64_t generation, struct hash128 *from,
    size_t max, struct hash128 *keys, void *records, size_t *n, bool *end, struct err *err);

/* The generations that hold anything, committed ones alone, ascending: how many there are, and the
 * first max of them in out (may be NULL when max is 0). */
size_t txn_state_generations(struct txn *txn, uint32_t table, int64_t *out, size_t max);

/*
 * A record that was deleted, or put over, stays in the table's files until they happen to be
 * merged. Where it must go, as personal data must, a purge says that this is to happen now:
 * maintenance flushes each generation of the table and merges its files into one, a generation a
 * step, and ends with a checkpoint, which forgets the log. What was deleted before the call is in
 * no file after it, but for generations with a damaged run, which stay as they are; the log and the
 * statistics say so. Runs that a repair has put away (store/put_away.h) go, too. A restart forgets
 * a purge that has not ended. ERR_NOT_FOUND: no such table.
 */
bool store_state_purge(struct store *store, uint32_t table, struct err *err);
/* Whether one has not ended. */
bool store_state_purging(struct store *store);

/* What is committed. False with ERR_NOT_FOUND: no such table. */
bool store_state_table(struct store *store, struct slice name, uint32_t *table,
    uint32_t *record_bytes, struct err *err);
bool store_state_get(struct store *store, uint32_t table, int64_t generation, struct hash128 key,
    void *record, bool *found, struct err *err);
/* As txn_state_generations, from any thread; does not wait for a replay. */
size_t store_state_generations(struct store *store, uint32_t table, int64_t *out, size_t max);

#endif
