/*
 * Edits of the manifest: as bytes, docs/format/manifest.md, and what they do to the manifest in
 * memory. No file is touched here: manifest.c writes an edit first and takes it then.
 */
#ifndef STORE_MANIFEST_EDIT_H
#define STORE_MANIFEST_EDIT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/manifest.h"

/* Appends the edit; nothing for one that changes nothing. */
void manifest_edit_put(struct buf *out, const struct manifest_edit *edit);
/* Appends the one edit that makes an empty manifest this one. */
void manifest_state_put(struct buf *out, const struct manifest *manifest);
/* Does what the bytes say. ERR_CORRUPT with the place in them; what stood before it is done. */
bool manifest_edit_read(struct manifest *manifest, struct slice bytes, struct err *err);
/* Does what the edit says, which is on disk. */
void manifest_edit_take(struct manifest *manifest, const struct manifest_edit *edit);

#endif
