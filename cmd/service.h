/*
 * The running server: HTTP, store, ingestion and the store's maintenance, made from a config. What
 * `larder serve` and `larder demo` have in common.
 *
 *     start:  HTTP (503) -> store (recovers) -> queries answered -> ingestion -> maintenance
 *     stop:   HTTP drains -> ingestion drains and commits -> maintenance -> store
 */
#ifndef CMD_SERVICE_H
#define CMD_SERVICE_H

#include <stdbool.h>

#include "base/err.h"
#include "cmd/config.h"
#include "ingest/ingest.h"
#include "store/store.h"

struct service;

/* The caller blocks the signals that it wants to wait for first: the libraries' threads inherit its
 * mask. The config outlives the service. ERR_BUSY: the port or the data folder is in use, and the
 * text says which. */
bool service_start(const struct config *config, struct service **out, struct err *err);
int service_port(const struct service *service);
/* Borrowed; NULL when the config has no streams. */
struct ingest *service_ingest(struct service *service);
void service_stop(struct service **service);

#endif
