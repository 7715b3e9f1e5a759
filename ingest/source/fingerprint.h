/*
 * What a record looked like: its offset, and a hash of its key, value and timestamp. That of the
 * last record that was delivered is stored with its partition's position. When reading begins anew,
 * the record at that offset is read again: when it is another one, the topic is not the one that
 * was read.
 */
#ifndef INGEST_FINGERPRINT_H
#define INGEST_FINGERPRINT_H

#include <stdint.h>

#include "base/slice.h"

struct fingerprint {
    int64_t offset; /* -1: none is known */
    uint64_t hash;
};

#define FINGERPRINT_NONE ((struct fingerprint){-1, 0})

/* ptr NULL: the record has no key, or no value, which is not the same as an empty one. */
struct fingerprint fingerprint_of(
    int64_t offset, struct slice key, struct slice value, int64_t timestamp_ms);

#endif
