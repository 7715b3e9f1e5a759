/*
 * Heirs: derived segments that have all cells of a raw one which is gone for good, in the manifest
 * of a store that nobody has open. They are kept (keep.h) when nothing else of their window is
 * left, as if the raw cells had gone for their age; where other raw cells are left, coarser ones
 * are made anew from those, so that both say the same.
 */
#ifndef STORE_HEIRS_H
#define STORE_HEIRS_H

#include <stdbool.h>
#include <stddef.h>

#include "store/manifest.h"

/* Of the raw segment `gone`, which the manifest still names, and which leaves nothing: its heirs as
 * they will be, into out, which has room for all segments. How many they are. */
size_t heirs_of(const struct manifest *manifest, const struct manifest_segment *gone,
    struct manifest_segment *out);

/* Whether the derived segment can be made again: all that it was made from counts, or it does not
 * hold any more. */
bool heirs_can_be_made(const struct manifest *manifest, const struct manifest_segment *derived);

#endif
