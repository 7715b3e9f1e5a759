/*
 * One segment of a store that is closed is damaged, so that a start sets it aside; later it is made
 * whole again, as from a backup.
 */
#ifndef TESTS_STORE_SUPPORT_BROKEN_H
#define TESTS_STORE_SUPPORT_BROKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/store/support/folder.h"

struct broken {
    char path[FOLDER_MAX]; /* of the segment; "": there is none */
    int64_t t0, t1;        /* its time */
    char *bytes;           /* of the whole file */
    size_t n;
};

/* Damages the footer of the one that comes so manieth, counted round and round, in the store's
 * folder. */
void broken_make(struct broken *broken, const char *store, uint32_t number);
/* Makes it whole where it still is; it may have gone with its age. Ends the use of broken. */
void broken_mend(struct broken *broken);

#endif
