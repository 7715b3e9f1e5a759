/*
 * Makes the cells of a metric in one store what they are in another one, window by window, by what
 * both differ in: inverse cells of what is there, and cells of what is to be there, merged. So it
 * takes no cell away, a transaction shows all of its windows at once, and doing it again changes
 * nothing. Counters, histograms and levels; a gauge's cells have no inverse.
 *
 *     store        m{a="1"} 5     m{b="2"} 7     m{b="3"} 1
 *     like                        m{b="2"} 9     m{b="3"} 1
 *     written      m{a="1"} -5    m{b="2"} 2
 */
#ifndef INGEST_REPLAY_REPLAY_NET_H
#define INGEST_REPLAY_REPLAY_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/store.h"

struct replay_net;

/* What is to be written of the windows with ends in (after_ms, until_ms], as both stores are now;
 * nobody else writes cells of the metric until it is committed. ERR_LIMIT: it is more than a few
 * hundred MiB. ERR_UNSUPPORTED: of some of the windows the store has coarser cells alone, which
 * would stay beside what is written. */
bool replay_net_new(struct store *store, struct store *like, const struct metric_def *def,
    int64_t after_ms, int64_t until_ms, struct replay_net **out, struct err *err);
void replay_net_free(struct replay_net **net);
/* Cells that differ. */
size_t replay_net_cells(const struct replay_net *net);
/* Puts them into a transaction of the store. *refused: cells whose label sets a limit of the store
 * refuses; they are left out. */
bool replay_net_write(
    const struct replay_net *net, struct txn *txn, uint64_t *refused, struct err *err);

#endif
