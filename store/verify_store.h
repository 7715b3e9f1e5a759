/*
 * Verifying a store's folder: everything in it is read and checked, and with `repair` what is
 * damaged is set right as far as that goes.
 *
 *   manifest, catalogue,   read as a start does. Damage there stops a start, and cannot be
 *   checkpoint, log        repaired: a backup, or the sources read anew, are the way back.
 *   segments               each page, chunk, aggregate and list. Repair: a segment of what can be
 *                          read takes the place of the damaged one, in one edit of the manifest; a
 *                          derived one that can be made anew is dropped, and left as it is
 *                          while a raw segment that it is made from is absent. What was set aside
 *                          (quarantine.h) is repaired too. What was derived of a raw segment that
 *                          has lost cells stays, with all of them (heirs.h): kept, or beside a mark
 *                          that readers are not told of.
 *   marks (mark.h)         of what is lost count as damage; a repair ends them.
 *   runs of state tables   each page. Repair: a run of the pages that can be read.
 *
 * A segment that is not in the folder may lie elsewhere, whole (struct segment_remote), where
 * nobody looks: it is told and left as it is, named in the manifest. Whoever knows that it is
 * nowhere gives it up: then it counts as damaged, and nothing of it can be read. A file that is
 * there and does not open for another reason than damage may be whole, too: a repair ends with that
 * error. A damaged file is kept: it is in FOLDER/damaged, where nothing reads it, before the
 * manifest names it no more. It may hold personal data, so the store sees to it that it goes when
 * something of it may be deleted (put_away.h); whoever needs none discards them, those of
 * earlier repairs too.
 */
#ifndef STORE_VERIFY_STORE_H
#define STORE_VERIFY_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/segment.h"

/* Who wants to know what is found, as it is found; calls that are NULL are left out. */
struct verify_watch {
    /* The file cannot be read as a whole; why names it and the place. */
    void (*damaged)(void *ctx, const struct err *why);
    /* The segment is not in the folder, and is left to where it may be. */
    void (*absent)(void *ctx, const struct err *why);
    /* What a repaired segment lacks. */
    void (*lost_cells)(void *ctx, const struct segment *segment, const struct segment_loss *loss);
    /* What a repaired run lacks. */
    void (*lost_keys)(void *ctx, const char *name, uint64_t lost, uint64_t of);
    /* The damaged derived segment stays: `absent`, which it was made from, is not in the folder. */
    void (*left)(void *ctx, const char *name, const char *absent);
    /* name was replaced by `by`; NULL: by nothing. `anew`: maintenance makes it again. */
    void (*repaired)(void *ctx, const char *name, const char *by, bool anew);
    /* One of `of` files is done. */
    void (*progress)(void *ctx, uint64_t done, uint64_t of);
    void *ctx;
};

/* What is done about what is found. The last two come with VERIFY_REPAIR alone. */
enum verify_mode {
    VERIFY_ONLY = 0,
    VERIFY_REPAIR = 1,
    VERIFY_DISCARD = 2, /* nothing damaged is kept, nor what earlier repairs have kept */
    VERIFY_GIVE_UP = 4  /* what is not in the folder is nowhere: it is lost */
};

struct verify_result {
    uint64_t segments, runs, series, cells, keys; /* that were found whole */
    uint64_t lsn;      /* of the last transaction; 0 when it does not start */
    uint64_t damaged;  /* files */
    uint64_t repaired; /* of them */
    uint64_t absent;   /* segments that are not in the folder; none of them is among the damaged */
    uint64_t put_away; /* files in FOLDER/damaged, afterwards */
    bool starts;       /* manifest, catalogue, checkpoint and log are whole */
};

/*
 * True: everything was looked at; out->damaged says whether all is whole. False: it was not
 * possible. ERR_NOT_FOUND: the folder is no store; ERR_BUSY: a process has it; ERR_CORRUPT: the
 * manifest itself is damaged.
 */
bool store_verify(const char *folder, enum verify_mode mode, const struct verify_watch *watch,
    struct verify_result *out, struct err *err);

#endif
