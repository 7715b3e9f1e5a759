/*
 * Late cells of sealed blocks: where the sources stood when maintenance first saw them. The
 * manifest keeps it, so that a restart changes nothing about when they make a segment; sealing the
 * block takes its mark away.
 */
#ifndef STORE_LATE_MARKS_H
#define STORE_LATE_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct late_mark {
    int64_t block, since_ms;
};

/* By block, each at most once. Zero is empty. */
struct late_marks {
    struct late_mark *items;
    size_t n, cap;
};

void late_marks_fini(struct late_marks *marks);
/* NULL: the block has none. */
const struct late_mark *late_marks_find(const struct late_marks *marks, int64_t block);
/* False when the block has one already. */
bool late_marks_add(struct late_marks *marks, struct late_mark mark);
void late_marks_remove(struct late_marks *marks, int64_t block);

#endif
