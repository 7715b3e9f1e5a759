/*
 * A client of a schema registry: Confluent's REST interface, which many speak, or AWS Glue. Asking
 * never waits: a schema that is not known yet is fetched by the registry's own thread, and asked
 * for again.
 *
 *     registry_get ── known: the schema                    for ever: what an id names never changes
 *                  ── wait: on its way, or the registry    the thread tries again, at longer and
 *                           is away                        longer intervals
 *                  ── none: there is no such schema, or    said twice, but when there are many; for
 *                           it is none of Avro's           some minutes
 *
 * Any thread may ask. The cache is bounded: of schemas that are not there the oldest are forgotten;
 * of those that are there REGISTRY_SCHEMAS_MAX are kept, or as many as have REGISTRY_BYTES_MAX, and
 * whoever wants another waits.
 */
#ifndef INGEST_REGISTRY_REGISTRY_H
#define INGEST_REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "ingest/avro/avro_schema.h"
#include "ingest/registry/schema_framing.h"

#define REGISTRY_URLS_MAX    8
#define REGISTRY_SCHEMAS_MAX 4096
#define REGISTRY_BYTES_MAX   (32u << 20) /* of their texts */

struct registry_options {
    enum framing framing;
    struct slice urls[REGISTRY_URLS_MAX]; /* http:// or https://; one after the other is tried;
                                             Glue: none, or one in place of AWS' own */
    size_t n_urls;
    struct slice user, password;               /* HTTP's basic authentication; "": none */
    struct slice token;                        /* a bearer token, in its place */
    struct slice ca_file, cert_file, key_file; /* PEM */
    struct slice region, access_key, secret_key, session_token; /* Glue */
    uint32_t timeout_ms;                                        /* of one request; 0: 10,000 */
};

struct registry;

/* Starts the thread; connects when it is asked for the first time. The options' texts are copied.
 */
struct registry *registry_new(const struct registry_options *options);
void registry_free(struct registry **registry);

/* Whether it was made with these options, texts compared. */
bool registry_is(const struct registry *registry, const struct registry_options *options);

enum registry_answer { REGISTRY_KNOWN, REGISTRY_WAIT, REGISTRY_NONE };

/* REGISTRY_KNOWN: *schema, a writer's, borrowed until registry_free. Else why (may be NULL) says
 * what is the matter, for a person; "" when nothing is yet. */
enum registry_answer registry_get(struct registry *registry, const struct schema_ref *ref,
    const struct avro_schema **schema, struct err *why);

#endif
