/*
 * Heirs: derived segments that have cells of raw ones which are set aside, or which a mark stands
 * for (mark.h), and which nobody can make again. A derived segment is one when its inputs are the
 * raw segments of its window that count and those others, and not the first alone.
 *
 *     raw A, raw Q (set aside)        1h of A and Q: an heir of Q
 *     A is rewritten: A'              1h of A' and Q, the same file: told in the same edit
 *
 * So it goes on holding, and readers of coarser cells go on being answered, whatever becomes of the
 * raw segments beside it: a deletion rewrites them, and it in its turn (rewrite.h); compaction
 * leaves those alone that it was made from (compact.h); when raw cells have had their age, it is
 * kept (keep.h).
 */
#ifndef STORE_HEIRS_H
#define STORE_HEIRS_H

#include <stdbool.h>
#include <stddef.h>

#include "store/manifest.h"

/* An edit, with what the heirs have to be told: they go, and come with other inputs. */
struct heirs {
    struct manifest_edit edit;
    const char **drops;
    struct manifest_segment *adds;
};

/* Of an edit that drops raw segments, quarantined ones too, and adds those that take their place.
 * It is borrowed. */
void heirs_init(
    struct heirs *heirs, const struct manifest *manifest, const struct manifest_edit *edit);
void heirs_fini(struct heirs *heirs);

/* Of the raw segment `gone`, which the manifest still names, and which leaves nothing: its heirs as
 * they will be, into out, which has room for all segments. How many they are. */
size_t heirs_of(const struct manifest *manifest, const struct manifest_segment *gone,
    struct manifest_segment *out);

/* Whether a segment is raw, in the window of the derived one, and not later than it. */
bool heirs_is_input(const struct manifest_segment *segment, const struct manifest_segment *derived);

/* By what the manifest names, wherever their files are: whether the derived segment can be made
 * again: all that it was made from counts, or it does not hold any more. */
bool heirs_can_be_made(const struct manifest *manifest, const struct manifest_segment *derived);

#endif
