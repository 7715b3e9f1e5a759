/*
 * Repairing a run: a new one from the pages that can be read. Fences and filter are made anew, so
 * only the header has to be whole. Keys of a lost page are forgotten: an id that was in it would be
 * taken for a new one, and an entity begins again.
 */
#ifndef STORE_STATE_RUN_REPAIR_H
#define STORE_STATE_RUN_REPAIR_H

#include "store/state/run.h"

struct run_repaired {
    char name[RUN_NAME_MAX]; /* of the new run; empty: nothing is left, and there is none */
    uint32_t pages, lost_pages;
    uint64_t entries, lost_entries; /* of the old run; that are not in the new one */
};

/* Writes it beside the old one, whose file stays. ERR_CORRUPT: the header is damaged. */
bool run_repair(const char *dir, const char *name, struct run_repaired *out, struct err *err);

#endif
