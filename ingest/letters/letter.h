/*
 * A dead letter: an event that was refused, why, and its record as it came, on its way to the
 * dead-letter topic. Its bytes, as they lie in the outbox (outbox.h):
 *
 *     version u8 | reason u8 | cut u8 | partition lstr | offset svarint | origin lstr |
 *     timestamp svarint | cause lstr | key bytes varint | value bytes varint | value crc32c u32 |
 *     key | n varint, (name lstr, value) * n | value
 *     key, value := 0 u8 (there is none) | 1 u8, lstr
 *
 * Version 1. What is added later comes with a new version, which readers of this one refuse.
 *
 * A record may be as large as the broker lets it be, and a letter may not: what is too large is
 * *cut*, and says so, with the length and the checksum that the value had; its origin still names
 * the record. A letter in the outbox has at most LETTER_BYTES_MAX bytes; where the dead-letter
 * topic takes less, it is cut once more when it is sent.
 */
#ifndef INGEST_LETTERS_LETTER_H
#define INGEST_LETTERS_LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/checksum.h"
#include "base/err.h"
#include "base/slice.h"
#include "ingest/contract.h"

#define LETTER_BYTES_MAX   (8u << 20)
#define LETTER_HEADERS_MAX 1000
#define LETTER_CAUSE_MAX   512 /* bytes */
#define LETTER_PLACE_MAX   320 /* of "topic/partition/offset", with its NUL */

struct letter_header {
    struct slice name, value; /* value.ptr NULL: null */
};

/* What was cut off. */
enum { LETTER_CUT_KEY = 1, LETTER_CUT_HEADERS = 2, LETTER_CUT_VALUE = 4 };

struct letter {
    enum refusal reason;
    unsigned cut;
    struct slice partition; /* "topic/number", where the record lay */
    int64_t offset;
    struct slice origin;  /* of a record that was sent anew: the place of its first one; else "" */
    int64_t timestamp_ms; /* of the record; INT64_MIN: it had none */
    struct slice cause;   /* for a person */
    struct slice key, value;         /* ptr NULL: none */
    uint64_t key_bytes, value_bytes; /* before they were cut */
    uint32_t value_crc;              /* CRC32C, likewise */
    const struct letter_header *headers;
    size_t n_headers;
};

/* How far a letter is cut: not at all; to some tens of KiB each of key, headers and value; to
 * nothing of them. */
enum letter_cut { LETTER_WHOLE, LETTER_SMALL, LETTER_BARE };

/* Cuts; what is small enough stays as it is. */
void letter_cut(struct letter *letter, enum letter_cut cut);

/* Appends the bytes; a letter that has too many is cut on the way. */
void letter_encode(const struct letter *letter, struct buf *out);
/* The letter borrows from bytes, and from the arena. ERR_CORRUPT. */
bool letter_decode(struct slice bytes, struct arena *arena, struct letter *out, struct err *err);

/* "topic/partition/offset" of the record, and its hash: what tells a letter from all others.
 * Returns out. */
const char *letter_place(const struct letter *letter, char out[LETTER_PLACE_MAX]);
struct hash128 letter_id(const struct letter *letter);

/* A place, taken apart. */
struct letter_place {
    struct slice partition; /* "topic/number" */
    int32_t number;
    int64_t offset;
};

/* False: the text is no place. The slice borrows from it. */
bool letter_place_parse(struct slice text, struct letter_place *out);

#endif
