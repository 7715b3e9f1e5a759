/*
 * A table seen at one moment, for who looks up many keys in many generations: what txn_state_find
 * finds, without a transaction, so that nobody's turn is held up, and from several threads at once.
 *
 * The caller is the only one who changes the table, and commits no change of it while a reader of
 * it is open: then what is read is what is committed. Maintenance goes on beside it.
 */
#ifndef STORE_STATE_STATE_READER_H
#define STORE_STATE_STATE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"

struct store;
struct state_reader;

/* The generations from..to of the table that hold anything. */
struct state_reader *state_reader_new(
    struct store *store, uint32_t table, int64_t from, int64_t to);
/* NULL is fine. */
void state_reader_free(struct state_reader **reader);

/* How many these are; numbered from 0, newest first. */
size_t state_reader_generations(const struct state_reader *reader);
int64_t state_reader_generation(const struct state_reader *reader, size_t i);
/* Its keys; one that was put twice may count twice. */
uint64_t state_reader_keys(const struct state_reader *reader, size_t i);
/* Says that a find of the key comes soon; as txn_state_prefetch. */
void state_reader_prefetch(const struct state_reader *reader, struct hash128 key);
/* The newest generation that has the key. record: NULL, or room for it. Any thread. Errors as those
 * of state.h. */
bool state_reader_find(struct state_reader *reader, struct hash128 key, void *record,
    int64_t *generation, bool *found, struct err *err);

/* The two for one generation, for who knows where a key may be. */
void state_reader_prefetch_in(const struct state_reader *reader, size_t i, struct hash128 key);
bool state_reader_find_in(struct state_reader *reader, size_t i, struct hash128 key, void *record,
    bool *found, struct err *err);

#endif
