/*
 * Rollups at work: events of one batch to cells. One thread uses a runner.
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

#include "base/err.h"
#include "ingest/label_values.h"
#include "ingest/rollup.h"
#include "store/store.h"

struct rollup_runner;

/* The streams outlive the runner. */
struct rollup_runner *rollup_runner_new(const struct streams *streams);
void rollup_runner_free(struct rollup_runner **runner);

/* Counts an event of the stream. REFUSED_RANGE: a value, or the end of its window, does not fit;
 * nothing was counted. */
enum refusal rollup_runner_event(
    struct rollup_runner *runner, size_t stream, const struct event *event);

/* Adds the value to the cell of rollup number i of the lifecycle (among those of it, in their
 * order) with these label values, by its labels; "": the label is left out. negative: takes it
 * back. False: the end of its window does not fit; nothing was added. */
bool rollup_runner_put(struct rollup_runner *runner, size_t lifecycle, uint32_t i,
    const struct label_values *labels, int64_t time_ms, int64_t value, bool negative);

/*
 * Where the cells of a label set go: to a series of its own, for ever; or, at a limit of the store
 * (store/limits.h), into the overflow series of its metric, or nowhere. Who takes cells back later
 * must know. Of the label set that rollup_runner_put was given last, doubts is false when it is
 * known to have its own; else *slot is its number, and fate says after rollup_runner_write what
 * became of it.
 */
enum cell_fate { FATE_OWN, FATE_FOLDED, FATE_REFUSED };
bool rollup_runner_doubts(const struct rollup_runner *runner, uint32_t *slot);
enum cell_fate rollup_runner_fate(
    const struct rollup_runner *runner, size_t lifecycle, uint32_t i, uint32_t slot);
/* Takes the value back from the overflow series, as rollup_runner_put does from a label set's own.
 */
bool rollup_runner_take_folded(
    struct rollup_runner *runner, size_t lifecycle, uint32_t i, int64_t time_ms, int64_t value);

/* Puts the batch's cells, and what they need to be defined, into the transaction. ERR_INVALID: the
 * store knows a metric otherwise. */
bool rollup_runner_write(struct rollup_runner *runner, struct txn *txn, struct err *err);
/* The transaction was aborted: the batch is to be written again, into another one. */
void rollup_runner_unwrite(struct rollup_runner *runner);
/* Forgets the batch, once it is committed (or given up). */
void rollup_runner_clear(struct rollup_runner *runner);
/* Cells of the batch so far. */
size_t rollup_runner_cells(const struct rollup_runner *runner);
/* Cells that were left out since it was made, because the store refused their label sets; those of
 * batches that are done. */
uint64_t rollup_runner_refused(const struct rollup_runner *runner);

/* The end of the window (end - every_ms, end] that t_ms lies in. */
int64_t window_end(int64_t t_ms, int64_t every_ms);

#endif
