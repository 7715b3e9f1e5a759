/*
 * What is kept of a partition besides its position and its counts, in the same transactions: the
 * fingerprint of its last record, what was lost of it, whether somebody has paused it or given it
 * up, and who has changed anything by hand. All of it is bounded: of holes and changes the last
 * ones are kept.
 */
#ifndef INGEST_PARTITION_MARKS_H
#define INGEST_PARTITION_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "ingest/source/fingerprint.h"

#define HOLES_KEPT   8
#define CHANGES_KEPT 8
#define CHANGE_WHO   64 /* bytes of a name, its NUL among them */
#define CHANGE_WHAT  96

/* Offsets from `from` to before `to` were never read. */
struct hole {
    int64_t from, to;
};

/* What an operator has done. */
struct operator_change {
    int64_t at_ms;
    char who[CHANGE_WHO], what[CHANGE_WHAT];
};

struct partition_marks {
    struct fingerprint print;
    bool paused;
    bool given_up;                 /* its topic is gone for good, somebody says */
    uint64_t n_holes, lost;        /* all of them, and their offsets together */
    struct hole holes[HOLES_KEPT]; /* the newest first */
    uint64_t n_changes;
    struct operator_change changes[CHANGES_KEPT]; /* the newest first */
};

void marks_init(struct partition_marks *marks);
/* An empty one is none. */
void marks_hole(struct partition_marks *marks, int64_t from, int64_t to);
/* who and what are cut to their room; control characters of who become '?'. */
void marks_change(struct partition_marks *marks, int64_t at_ms, struct slice who, const char *what);
size_t marks_holes_kept(const struct partition_marks *marks);
size_t marks_changes_kept(const struct partition_marks *marks);

/* The stored form; False: it does not read, and nothing is known. */
void marks_encode(const struct partition_marks *marks, struct buf *out);
bool marks_decode(struct slice text, struct partition_marks *out);

#endif
