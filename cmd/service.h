/*
 * The running server: HTTP, store, ingestion and the store's maintenance, made from a config. What
 * `larder serve` and `larder demo` have in common.
 *
 *     open:   HTTP (answers 503) -> store -> queries answered, but for what the log touches
 *     await:  the store's log is replayed
 *     run:    ingestion -> maintenance
 *     reload: the config file is read again, and the ingestion goes on with it (reload.h)
 *     stop:   HTTP drains -> ingestion drains and commits -> maintenance -> store
 */
#ifndef CMD_SERVICE_H
#define CMD_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "cmd/config.h"
#include "ingest/ingest.h"
#include "store/store.h"

struct service;

/* The caller blocks the signals that it wants to wait for first: the libraries' threads inherit its
 * mask. The config outlives the service. ERR_BUSY: the port or the data folder is in use, and the
 * text says which. */
bool service_open(const struct config *config, struct service **out, struct err *err);
/* Waits up to ms for the replay: as store_await_replay. */
bool service_await(struct service *service, int64_t ms, struct err *err);
/* Once the log is replayed. */
bool service_run(struct service *service, struct err *err);
/* All three, for who keeps what service_ingest gives: its config stays, a reload is refused. */
bool service_start(const struct config *config, struct service **out, struct err *err);
int service_port(const struct service *service);
/* Reads the config file again: as reload_now. Any thread; ERR_UNAVAILABLE before service_run has
 * ended. */
bool service_reload(struct service *service, const atomic_bool *cancel, struct err *err);
/* Borrowed until a reload; NULL when the config has no streams. */
struct ingest *service_ingest(struct service *service);
void service_stop(struct service **service);

/* How far maintenance may take time to have passed: as far as the sources have come, and not beyond
 * now. A producer whose clock runs ahead moves the sources' clocks, and would make everything else
 * old: what it sent is kept and answered, and nothing is sealed or goes because of it. */
int64_t service_passed_ms(int64_t sources_ms, int64_t now_ms);

#endif
