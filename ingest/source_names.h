/*
 * Names of the sources that a store knows, copied: the store must not be asked while it tells them.
 */
#ifndef INGEST_SOURCE_NAMES_H
#define INGEST_SOURCE_NAMES_H

#include <stddef.h>

#include "base/arena.h"
#include "store/store.h"

struct source_names {
    struct arena arena; /* holds them */
    struct slice *items;
    size_t n, cap;
};

/* Those that begin with the prefix, whole, in no order. The caller frees. */
void source_names_read(struct store *store, struct slice prefix, struct source_names *out);
void source_names_free(struct source_names *names);

#endif
