/*
 * One schema from a registry, over HTTP: what registry.c's thread does. It waits.
 */
#ifndef INGEST_REGISTRY_REGISTRY_FETCH_H
#define INGEST_REGISTRY_REGISTRY_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "ingest/registry/registry.h"

struct registry_fetch;

/* The options outlive it. *stop ends a request that is under way. */
struct registry_fetch *registry_fetch_new(
    const struct registry_options *options, const atomic_bool *stop);
void registry_fetch_free(struct registry_fetch **fetch);

/*
 * The schema with what it refers to, parsed. False with
 *   ERR_NOT_FOUND    the registry says that there is none
 *   ERR_UNSUPPORTED  it is no Avro schema, but one of another kind
 *   ERR_INVALID      it breaks a rule of Avro's, ERR_LIMIT: or is too large
 *   another          the registry is away, does not let us in, or answers nonsense
 */
bool registry_fetch_schema(struct registry_fetch *fetch, const struct schema_ref *ref,
    struct avro_schema **out, struct err *err);

#endif
