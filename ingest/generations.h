/*
 * Which generation of its rollups a config is. Made when the config is taken over, while nothing of
 * its streams is read: what was read by then says where definitions that are new begin
 * (rollup_history.h).
 *
 *     generations_new -> the streams of the config, in which each rollup knows its windows
 *     generations_write into each transaction until one is committed -> generations_written
 */
#ifndef INGEST_GENERATIONS_H
#define INGEST_GENERATIONS_H

#include "ingest/ingest.h"
#include "ingest/rollup.h"
#include "ingest/rollup_history.h"

struct generations;

/* config: with its former rollups, as streams_config_read gives them, which outlives it.
 * ERR_CORRUPT as rollup_histories_read; ERR_LIMIT: a rollup of a lifecycle has changed too often.
 */
bool generations_new(
    struct store *store, const struct streams *config, struct generations **out, struct err *err);
void generations_free(struct generations **generations);

/* To run on, instead of the config's. */
const struct streams *generations_streams(const struct generations *generations);

/* Takes over what the store says now of the rollups' past, in which the config's definitions are
 * still the newest: each rollup that runs knows its windows anew. False: it stays as it was. */
bool generations_again(struct generations *generations, struct err *err);

/* What the store refuses fails the commit, as cells do. */
void generations_write(struct generations *generations, struct txn *txn);
void generations_written(struct generations *generations);

/* Of all of them; any thread, as long as they live. out has room for n; returns how many. */
size_t generations_stats(
    const struct generations *generations, struct generation_stats *out, size_t n);

#endif
