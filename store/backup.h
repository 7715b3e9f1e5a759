/*
 * A backup: a folder beside the store's that opens as a store, made while the store runs.
 *
 * A checkpoint is written, so that the log is short. Immutable files (segments, runs of state
 * tables) are hard links, or copies where there can be none (another file system, one without
 * links, a file with too many); what is appended
 * to (manifest, catalogue, log) is copied while the writer waits for a moment: the backup holds
 * exactly what was committed then. It is made under a name of its own and renamed when everything
 * is on disk, so that a folder of the given name is complete.
 *
 * Segments that lie elsewhere (struct segment_remote) are named and not copied, which the log says:
 * a backup has everything when it is opened with the same source of segments, for as long as that
 * keeps them. What `larder verify --repair` has put away is in no backup.
 *
 * A link keeps what it is of: a later deletion (store/delete.h) writes new files for the store, and
 * does not reach the backup's. Who deletes personal data removes the older backups, too, or makes
 * them anew.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct store;

/* folder: its parent exists, itself does not (ERR_INVALID). *lsn is the last transaction that is in
 * it. No transaction is open in this thread. ERR_UNSUPPORTED: a store in memory only. */
bool store_backup(struct store *store, const char *folder, uint64_t *lsn, struct err *err);

#endif
