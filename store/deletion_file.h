/*
 * The file of the deletions that wait: `deletions`, beside the manifest; absent when there are
 * none. It is written as a whole and renamed, so it is the one before a change or the one after it.
 *
 *     deletions := "LDEL" | version u32 | crc32c u32 of what follows | manifest number u32 |
 *                  edits u64 | count varint | deletion*
 *     deletion  := lsn u64 | from u64 | to u64 | matchers varint | (op u8 | name lstr | value
 * lstr)*
 *
 * A damaged one stops the start: nothing is shown that was to be gone.
 */
#ifndef STORE_DELETION_FILE_H
#define STORE_DELETION_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "store/delete.h"

#define MATCHERS_MAX 256 /* of one deletion */

void deletion_fini(struct deletion *deletion);
void deleted_ids_put(struct deleted_ids **ids);
/* Copies a matcher; a pattern is compiled. There is room for it. */
bool deletion_add_matcher(struct deletion *deletion, enum match_op op, struct slice name,
    struct slice value, struct err *err);
/* Fills in the series that the matchers match. */
bool deletion_select(struct store *store, struct deletion *deletion, struct err *err);
/* Makes the file say the first n of the store's deletions; n 0: there is no file. */
bool deletions_save(struct store *store, size_t n, struct err *err);
/* After a failure of that: whether the file may say so all the same, since only its folder could
 * not be synced. */
bool deletions_may_be_saved(const struct store *store, size_t n);

#endif
