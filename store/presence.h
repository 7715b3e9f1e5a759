/*
 * Presence: which series have a cell in a range of time.
 *
 * The metadata of a segment mostly say it: the first and the last time of a chunk are those of
 * cells. Where they do not, cells are decoded: of the head, which may cancel out; where several
 * parts of a counter, level or histogram meet, since theirs may too; where the range lies between
 * the ends of a chunk; where something was deleted. Where raw cells are gone and only derived ones
 * are left, the finest of those count, as far as their windows reach into the range.
 *
 *     presence_begin -> presence_look* -> presence_end
 *
 * A look is at a batch of series, in a snapshot of its own: the memory in use is that of a batch,
 * however many series there are, and so is the time for which the gate is not left.
 */
#ifndef STORE_PRESENCE_H
#define STORE_PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "store/metadata.h"

/* So many series are looked at at once. */
#define PRESENCE_BATCH 1024

struct snapshot;

struct present {
    uint32_t id;
    struct labels labels;
    const struct metric_def *def;
    bool has;
};

struct presence {
    struct store *store;
    const struct listing *listing;
    struct snapshot *snapshot; /* of the last look; holds what it gave */
    struct arena cells, pages; /* of one series; of the batch */
};

void presence_begin(struct presence *presence, struct store *store, const struct listing *listing);
void presence_end(struct presence *presence);
/* Looks at n <= PRESENCE_BATCH series. *out: those that were not removed, in order of their labels,
 * valid until the next look. ERR_CANCELED, what go_on says, and what reading says. */
bool presence_look(struct presence *presence, const uint32_t *ids, size_t n, struct present **out,
    size_t *n_out, struct err *err);

#endif
