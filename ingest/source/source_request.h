/*
 * What an operator asks of the source, and what comes back. Asked by any thread (the server's, for
 * `larder source`), done by the ingest thread between two batches.
 */
#ifndef INGEST_SOURCE_REQUEST_H
#define INGEST_SOURCE_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "ingest/source/partition_marks.h"

enum source_action {
    SOURCE_LIST,
    SOURCE_PAUSE,  /* it is not read, restarts or not, until it is resumed */
    SOURCE_RESUME, /* a halted one is tried again */
    SOURCE_SKIP,   /* what cannot be read, or comes before a place, is left out */
    SOURCE_SEEK,   /* it is read from a place on */
};

enum source_place { PLACE_NONE, PLACE_EARLIEST, PLACE_LATEST, PLACE_OFFSET, PLACE_TIME };

struct source_request {
    enum source_action action;
    struct slice
        target; /* "topic/3", or "topic" for all of it; "" for everything, of a list alone */
    enum source_place place;
    int64_t at;       /* PLACE_OFFSET: an offset; PLACE_TIME: ms */
    bool again;       /* what is read twice may count twice */
    struct slice who; /* for the record; not checked */
    int64_t now_ms;
    const atomic_bool *cancel; /* becomes true when who asks gives up; NULL: never */
};

/* earliest, latest, an offset, or a time in RFC 3339. False: none of these. */
bool source_place_parse(struct slice text, enum source_place *place, int64_t *at);

struct source_row {
    struct slice name, stream;
    const char *state;  /* caught_up, reading, waiting, paused, given_up, halted */
    struct slice cause; /* of waiting and halted; "": there is nothing to say */
    const char *advice; /* what may be done, when it is halted; else NULL */
    int64_t next;       /* -1: never read */
    int64_t end;        /* of the log; -1: not known */
    int64_t lag;        /* -1: not known */
    int64_t newest_ms;  /* greatest event time; INT64_MIN: none */
    struct partition_marks marks;
};

/* In the arena of whoever asks. */
struct source_answer {
    struct source_row *rows; /* by name */
    size_t n;
    struct slice *notes; /* what should be known about what was done */
    size_t n_notes;
};

#endif
