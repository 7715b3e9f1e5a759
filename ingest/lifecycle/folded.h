/*
 * Where outputs of lives went that have no series of their own: into the overflow series of their
 * metric, or nowhere, as a limit of the store said when they were put (store/limits.h). When one is
 * taken back, later, its label set may have a series of its own; what is taken back must come from
 * where it was put. So each of them is noted in a state table, which is there only if ever there
 * was one:
 *
 *     lifecycle/NAME/folded     hash of {entity, metric, output} -> fate u8, in the generation that
 * the entity lies in
 *
 *     folded_ask ... (folded_note | folded_take_back) ... | folded_write | folded_clear
 *
 * One thread uses it, and nothing else changes the table.
 */
#ifndef INGEST_LIFECYCLE_FOLDED_H
#define INGEST_LIFECYCLE_FOLDED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/lifecycle/life_outputs.h"
#include "ingest/rollup_run.h"
#include "store/store.h"

struct folded;

/* of: whose outputs; number: the lifecycle's in streams. All outlive it. */
struct folded *folded_new(struct store *store, const struct life_rollups *of, size_t number,
    struct rollup_runner *rollups);
void folded_free(struct folded **folded);

/* Whether any output is noted; if not, all have their own series. */
bool folded_any(struct folded *folded);
/* Looks up what is to be taken back, so that folded_take_back can. False: the table cannot be read
 * now. */
bool folded_ask(struct folded *folded, struct hash128 entity, const struct life_output *output,
    struct err *err);
/* Takes the output back if it has no series of its own, and forgets it. False: it has, and is to be
 * taken back from there. */
bool folded_take_back(
    struct folded *folded, struct hash128 entity, const struct life_output *output);
/* Whether an output that is put into the series has to be noted. */
bool folded_doubts(const struct folded *folded, struct rollup_series series);
/* The output was put into the series, for an entity of the generation. */
void folded_note(struct folded *folded, struct hash128 entity, const struct life_output *output,
    struct rollup_series series, int64_t generation);

/* Once the rollups are written. Generations below `gone` are dropped. */
bool folded_write(struct folded *folded, struct txn *txn, int64_t gone, struct err *err);
void folded_clear(struct folded *folded);

#endif
