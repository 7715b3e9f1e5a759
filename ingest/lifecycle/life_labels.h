/*
 * The label values that the firsts of a lifecycle's entities have: a few sets of texts for millions
 * of entities, each of which keeps a hash of 64 bits. The texts are in memory once they were
 * needed, and for good in a state table:
 *
 *     hash of {hash, piece} -> 128 bytes of: bytes u32, { len u16, text }*      zeros behind
 *
 * Two sets never have one hash: the later one takes the next number that is free. One thread uses
 * it, and nothing else changes the table.
 */
#ifndef INGEST_LIFECYCLE_LIFE_LABELS_H
#define INGEST_LIFECYCLE_LIFE_LABELS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/label_values.h"
#include "ingest/lifecycle/life_outputs.h"
#include "store/store.h"

struct life_labels;

/* Both outlive it. Texts are in memory until they take more than memory_bytes; then they are read
 * anew. */
struct life_labels *life_labels_new(
    struct store *store, const struct lifecycle *lifecycle, size_t memory_bytes);
void life_labels_free(struct life_labels **labels);
/* Another bound. What they take. */
void life_labels_bound(struct life_labels *labels, size_t memory_bytes);
size_t life_labels_bytes(const struct life_labels *labels);

/* *hash: of the values that an event of the first stage has. False: the table cannot be read now.
 */
bool life_labels_keep(
    struct life_labels *labels, const struct event *event, uint64_t *hash, struct err *err);
/* Makes sure that the texts are in memory. ERR_CORRUPT: the table has none. */
bool life_labels_load(struct life_labels *labels, uint64_t hash, struct err *err);
/* The label values of an output, whose hash was kept or loaded. Borrowed until
 * life_labels_clear. */
void life_labels_values(const struct life_labels *labels, const struct rollup *rollup,
    const struct life_output *output, struct label_values *out);

/* Bytes of what the batch has kept anew. */
size_t life_labels_batch_bytes(const struct life_labels *labels);
/* Puts it. */
bool life_labels_write(struct life_labels *labels, struct txn *txn, struct err *err);
/* It is committed. */
void life_labels_clear(struct life_labels *labels);

#endif
