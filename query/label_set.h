/*
 * Label sets inside the engine: picking and changing labels, and numbering sets, so that grouping
 * and matching are done once per query on integers. Names and values are never copied: sets share
 * the bytes of those they are made from.
 *
 *     label_ids_init(&ids, arena);
 *     for each series: label_ids_pick(&ids, labels, &pick, &id)    ids are dense from 0
 *     ids.sets[id]
 *     label_ids_fini(&ids);                                        the sets stay, in the arena
 */
#ifndef QUERY_LABEL_SET_H
#define QUERY_LABEL_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "store/labels.h"

/* Which labels of a set stay: those named (keep), or all but those named and, with drop_name,
 * __name__. */
struct label_pick {
    bool keep, drop_name;
    const struct slice *names;
    size_t n;
};

/* False: the arena is full. *out shares items with labels when nothing goes. */
bool labels_pick(
    struct arena *arena, struct labels labels, const struct label_pick *pick, struct labels *out);
/* With the label set, or removed when value is empty. */
bool labels_with(struct arena *arena, struct labels labels, struct slice name, struct slice value,
    struct labels *out);
/* {__name__="x", a="1"}, as errors show it. */
void labels_text(struct labels labels, struct buf *out);

struct label_ids {
    struct arena *arena;
    struct map map;
    struct labels *sets;
    size_t n, cap;
    struct label *scratch;
    size_t scratch_cap;
};

void label_ids_init(struct label_ids *ids, struct arena *arena);
void label_ids_fini(struct label_ids *ids);
/* The id of the set, a new one when it has none. False: the arena is full. */
bool label_ids_put(struct label_ids *ids, struct labels labels, uint32_t *id);
/* The id of what is picked from the set; allocates only for new ones. */
bool label_ids_pick(
    struct label_ids *ids, struct labels labels, const struct label_pick *pick, uint32_t *id);

#endif
