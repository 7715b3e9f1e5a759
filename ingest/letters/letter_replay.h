/*
 * Sends the letters of a stream to its retry topic, from where the ingestion reads them as any
 * other record: with the original key, value, headers and timestamp, and the origin in a header.
 * Sent twice they count once, since the event's id, or its origin where it has none, is known by
 * then.
 *
 * A letter stays where it is, counted, when
 *   - it was cut: the event is not in it
 *   - the contract as it is now refuses it still
 *   - the ids of its event's hour are not kept any more, so that nothing could tell whether it was
 *     counted before
 */
#ifndef INGEST_LETTERS_LETTER_REPLAY_H
#define INGEST_LETTERS_LETTER_REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/ingest.h"

struct replay_counts {
    uint64_t messages; /* of the dead-letter topic, read so far */
    uint64_t all;      /* that there are, as of the start */
    uint64_t letters;  /* of the stream, as they were asked for, each origin once */
    uint64_t sent;     /* or, dry, that would be */
    uint64_t cut, refused[REFUSALS], gone;
};

struct letter_replay {
    const struct ingest_options *options;
    size_t stream;
    enum refusal reason; /* REFUSED_NOT: any */
    int64_t from_ms,
        to_ms;          /* the record's timestamp lies in [from, to); INT64_MIN, INT64_MAX: any */
    int64_t horizon_ms; /* the stream's; INT64_MIN: not known, then all ids are kept */
    bool dry;
    const atomic_bool *stop;
    void (*progress)(void *ctx, const struct replay_counts *counts); /* now and then */
    void *ctx;
};

/* out is filled in any case. ERR_NOT_FOUND: a topic does not exist; ERR_UNAVAILABLE; ERR_CANCELED.
 */
bool letter_replay(const struct letter_replay *replay, struct replay_counts *out, struct err *err);

#endif
