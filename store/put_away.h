/*
 * What a repair has put away (store/verify_store.h): damaged files as they were, in FOLDER/damaged.
 * The store reads none of them, and sees to it that none outlives what the rest of it may hold:
 *
 *     a deletion     removes segments of its time that have series of it, or of which nobody can
 *                    say that they have not, before it is called done
 *     retention      removes segments when nothing of their window may stay
 *     a purge of a   removes runs, of whatever table
 *     state table
 *
 * Files that are neither segments nor runs are somebody else's. The list is made when the store is
 * opened: only a repair adds to it, and none runs beside an open store.
 */
#ifndef STORE_PUT_AWAY_H
#define STORE_PUT_AWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct store;

#define PUT_AWAY_FOLDER "damaged"

/* Guarded by `seal`, and changed under `lock` too. */
struct put_away {
    char **names;
    size_t n, cap;
};

/* How many segments and runs are put away in the folder of a store. */
bool put_away_count(const char *folder, uint64_t *n, struct err *err);

/* Removes them all; nobody has the store open. */
bool put_away_discard(const char *folder, struct err *err);

bool put_away_load(struct store *store, struct err *err);
void put_away_fini(struct store *store);
/* Removes what the deletions that wait reach, or may reach. The caller holds `seal`, here and
 * below; false: something is still there. */
bool put_away_delete(struct store *store, struct err *err);
bool put_away_purge(struct store *store, struct err *err);
/* Removes segments for which goes says so of their times. */
typedef bool put_away_goes(void *ctx, int64_t t0, int64_t t1);
bool put_away_expire(struct store *store, put_away_goes *goes, void *ctx, struct err *err);

#endif
