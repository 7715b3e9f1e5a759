/*
 * Derivations of which nothing came, as the manifest remembers them: most days have no level and so
 * no cells of a day, and to find that out again all raw segments would be read. One counts like a
 * derived segment does: while the raw segments of its window up to its LSN are those it was made
 * from.
 */
#ifndef STORE_NOTHING_H
#define STORE_NOTHING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"

struct nothing {
    int64_t t0, resolution_ms; /* of the window, and of the cells that there are none of */
    uint64_t lsn, inputs;      /* inputs 0: it is forgotten */
};

struct nothing_list {
    struct nothing *items; /* by t0, then resolution */
    size_t n, cap;
};

void nothing_list_fini(struct nothing_list *list);
/* In the place of what it says of that window and resolution. */
void nothing_set(struct nothing_list *list, const struct nothing *nothing);
/* NULL: nothing is said. */
const struct nothing *nothing_find(
    const struct nothing_list *list, int64_t t0, int64_t resolution_ms);

/* nothing := t0 svarint, resolution varint, LSN varint, inputs u64 */
void nothing_put(struct buf *out, const struct nothing *nothing);
/* False when it makes no sense. */
bool nothing_read(struct nothing_list *list, struct reader *in);

#endif
