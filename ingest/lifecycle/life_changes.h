/*
 * What a batch changes in the lives of its entities: how many there were and are, and which outputs
 * are taken back and put. It is a function of an entity's facts, as they are committed and as they
 * are now, and of how far expiry has come; so a crew finds it, some entities each, and whoever does
 * which, the same is found.
 *
 *     life_changes_find(changes, crew, 0, 8192, was, is) | life_changes_at(changes, 0) ...
 */
#ifndef INGEST_LIFECYCLE_LIFE_CHANGES_H
#define INGEST_LIFECYCLE_LIFE_CHANGES_H

#include <stdbool.h>
#include <stddef.h>

#include "ingest/crew.h"
#include "ingest/lifecycle/entities.h"
#include "ingest/lifecycle/life_counts.h"
#include "ingest/lifecycle/life_outputs.h"

struct life_changes;

/* Both outlive it. */
struct life_changes *life_changes_new(
    const struct life_rollups *rollups, const struct entities *entities);
void life_changes_free(struct life_changes **changes);

struct life_change {
    struct life_tally before, now;  /* but for the generations */
    size_t outside_before, outside; /* facts of no life */
    bool ended;                     /* no life goes on */
    const struct life_output *outputs;
    size_t n;
};

/* Of the batch's entities number from..to. was, is: how far expiry had come with what is committed,
 * and how far it comes with the batch. */
void life_changes_find(struct life_changes *changes, struct crew *crew, size_t from, size_t to,
    struct expiry was, struct expiry is);
/* Of an entity among these; it is borrowed until others are looked for. */
void life_changes_at(const struct life_changes *changes, size_t entity, struct life_change *out);
/* Of one entity; likewise. */
void life_changes_of(struct life_changes *changes, size_t entity, struct expiry was,
    struct expiry is, struct life_change *out);

#endif
