/*
 * Looking up exemplars, from any thread and beside the ingestion: as of the last commit before each
 * look. One thread uses a reader.
 */
#ifndef INGEST_EXEMPLARS_EXEMPLAR_READER_H
#define INGEST_EXEMPLARS_EXEMPLAR_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/exemplars/exemplar.h"
#include "store/store.h"

struct exemplar_reader;

/* Of the stream's events from..to; the log is replayed (store_await_replay). */
struct exemplar_reader *exemplar_reader_new(
    struct store *store, struct slice stream, int64_t from_ms, int64_t to_ms);
/* NULL is fine. */
void exemplar_reader_free(struct exemplar_reader **reader);

/* Minutes that may have exemplars, numbered from 0, the earliest first. */
size_t exemplar_reader_minutes(const struct exemplar_reader *reader);
/* The exemplar of the series with these labels (exemplar_labels) in minute i, if its time is in the
 * range. ERR_CORRUPT, ERR_IO as store/state/state.h. */
bool exemplar_reader_find(struct exemplar_reader *reader, struct slice metric,
    struct hash128 labels, size_t i, struct exemplar *out, bool *found, struct err *err);

#endif
