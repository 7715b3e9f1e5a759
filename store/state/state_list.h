/*
 * One step of listing a generation in the order of its keys: changes of a transaction over a view.
 * Memtables are not sorted; a step picks their least keys, in time linear in what they hold.
 */
#ifndef STORE_STATE_STATE_LIST_H
#define STORE_STATE_STATE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"

struct memtable;
struct state_view;

struct state_list {
    size_t max;
    struct hash128 *keys; /* max of them */
    uint8_t *records;     /* max of record_bytes; NULL: not wanted */
    uint32_t record_bytes;
    const struct memtable *changes; /* NULL: none */
    const struct state_view *view;  /* NULL: nothing beneath */
    size_t n;                       /* how many came */
};

/* From *from on, which moves behind what was looked at. */
bool state_list_next(struct state_list *list, struct hash128 *from, bool *end, struct err *err);

#endif
