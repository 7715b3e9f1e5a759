/*
 * Reload: the config file is read again while the server runs. A config that checks, and that the
 * ingestion takes over, is in force from then on; any other leaves the one that was in force, says
 * why in the log, and larder_config_last_reload_successful is 0 until one works.
 *
 * Streams, lifecycles, rollups, the registry, the broker's settings and `ingest` change so. `http`,
 * `store`, `query` and the store's part of `ingest.memory` are for a start: what is changed there
 * is named in the log, and waits for the next one.
 */
#ifndef CMD_RELOAD_H
#define CMD_RELOAD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "cmd/config.h"
#include "store/store.h"

struct reload;

/* Takes over another config; true: nobody uses the one before any more. False: everything is as it
 * was. cancel may be NULL. */
typedef bool reload_apply_f(
    void *ctx, const struct config *config, const atomic_bool *cancel, struct err *err);

/* start: the config of the start, which outlives it. */
struct reload *reload_new(const struct config *start, reload_apply_f *apply, void *ctx);
void reload_free(struct reload **reload);

/* Takes over the config of the start, once the store is replayed: the file is read again when the
 * store knows of a past that rollups have. As reload_now. */
bool reload_first(struct reload *reload, struct store *store, struct err *err);
/* Reads the file again, with the overrides of the start. Any thread; one after the other. err: the
 * first mistake, all of them are in the log. */
bool reload_now(
    struct reload *reload, struct store *store, const atomic_bool *cancel, struct err *err);

/* Calls f when no config is being taken over, and none is until it has returned. */
bool reload_hold(
    struct reload *reload, bool (*f)(void *ctx, struct err *err), void *ctx, struct err *err);

/* The two metrics that Prometheus has of it. */
void reload_metrics(struct reload *reload, struct buf *out);

#endif
