/*
 * Rollups at work: events of one batch to cells. One thread uses a runner; while it changes
 * nothing, others may ask it what events come to (rollup_runner_look).
 *
 * An event is either counted in all rollups of its stream or, when a value or its time does not
 * fit, in none and refused. A label set that a limit of the store refuses costs its own cells
 * alone: they are left out and counted, and the log says so once per rollup. Label sets are kept by
 * 128-bit hash and resolved to series when the batch is written; accumulators, one per series and
 * window, live until then:
 *
 *     event -> label set -> slot -> (window end) -> accumulator -> cell of the transaction
 */
#ifndef INGEST_ROLLUP_RUN_H
#define INGEST_ROLLUP_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"
#include "ingest/label_values.h"
#include "ingest/rollup.h"
#include "store/store.h"

struct rollup_runner;

/* The streams outlive the runner. */
struct rollup_runner *rollup_runner_new(const struct streams *streams);
void rollup_runner_free(struct rollup_runner **runner);
/* Label sets are kept from batch to batch until they take more than so many bytes (16 MiB): then
 * all are forgotten, and found again as they come. What they take; how often they were forgotten.
 */
void rollup_runner_bound(struct rollup_runner *runner, size_t label_bytes);
size_t rollup_runner_label_bytes(const struct rollup_runner *runner);
uint64_t rollup_runner_forgotten(const struct rollup_runner *runner);

/* What an event is in one rollup. */
struct rollup_hit {
    uint32_t rollup, slot; /* of the runner; slot UINT32_MAX: a label set that is new to it */
    int64_t value;
    bool negative;
    struct hash128 labels; /* until slot is known */
};

/* The definition of a rollup that a hit names. */
const struct rollup *rollup_runner_rollup(const struct rollup_runner *runner, uint32_t rollup);
/* Rollups of the stream: hits that an event has at most. */
size_t rollup_runner_hits(const struct rollup_runner *runner, size_t stream);
/* Fills hits with what the event comes to, *n of them, whose slots are to be found. REFUSED_RANGE:
 * a value, or the end of its window, does not fit. Any thread, while no other call is made; so too
 * the next. */
enum refusal rollup_runner_look(const struct rollup_runner *runner, size_t stream,
    const struct event *event, struct rollup_hit *hits, size_t *n);
/* Finds the slots; cheapest for many events one after the other, behind their looks. */
void rollup_runner_find(const struct rollup_runner *runner, struct rollup_hit *hits, size_t n);
/* Says that these hits are counted soon. */
void rollup_runner_prefetch(
    const struct rollup_runner *runner, const struct rollup_hit *hits, size_t n);
/* Counts an event that was looked at, in this batch; one whose window no generation of a rollup has
 * is told by it. */
void rollup_runner_count(struct rollup_runner *runner, size_t stream, const struct event *event,
    const struct rollup_hit *hits, size_t n);

/* Names the series of rollup number i of the lifecycle (among those of it, in their order) that has
 * these label values, by its labels; "": the label is left out. It is named so until label sets are
 * forgotten, at the end of a batch. */
struct rollup_series {
    uint32_t rollup, slot;
};
struct rollup_series rollup_runner_series(
    struct rollup_runner *runner, size_t lifecycle, uint32_t i, const struct label_values *labels);
/* Adds the value to a cell of it. negative: takes it back. False: the end of its window does not
 * fit; nothing was added. */
bool rollup_runner_put(struct rollup_runner *runner, struct rollup_series series, int64_t time_ms,
    int64_t value, bool negative);

/*
 * Where the cells of a label set go: to a series of its own, for ever; or, at a limit of the store
 * (store/limits.h), into the overflow series of its metric, or nowhere. Who takes cells back later
 * must know. doubts is false when it is known to have its own; else fate says after
 * rollup_runner_write what became of it.
 */
enum cell_fate { FATE_OWN, FATE_FOLDED, FATE_REFUSED };
bool rollup_runner_doubts(const struct rollup_runner *runner, struct rollup_series series);
enum cell_fate rollup_runner_fate(const struct rollup_runner *runner, struct rollup_series series);
/* The overflow series of rollup number i of the lifecycle, to take back from it what has folded. */
struct rollup_series rollup_runner_overflow(
    struct rollup_runner *runner, size_t lifecycle, uint32_t i);

/* Puts the batch's cells, and what they need to be defined, into the transaction. ERR_INVALID: the
 * store knows a metric otherwise. */
bool rollup_runner_write(struct rollup_runner *runner, struct txn *txn, struct err *err);
/* The transaction was aborted: the batch is to be written again, into another one. */
void rollup_runner_unwrite(struct rollup_runner *runner);
/* Forgets the batch, once it is committed (or given up). */
void rollup_runner_clear(struct rollup_runner *runner);
/* Cells of the batch so far. */
size_t rollup_runner_cells(const struct rollup_runner *runner);
/* Bytes of the label sets that were seen for the first time in the batch so far. */
size_t rollup_runner_new_label_bytes(const struct rollup_runner *runner);
/* Cells that were left out since it was made, because the store refused their label sets; those of
 * batches that are done. */
uint64_t rollup_runner_refused(const struct rollup_runner *runner);

/* The end of the window (end - every_ms, end] that t_ms lies in. */
int64_t window_end(int64_t t_ms, int64_t every_ms);

#endif
