/*
 * Letters of one stream that its dead-letter topic has already, as the topic's end showed them
 * (letter_tail.h): what the outbox holds of them, or gets of them yet, needs no sending.
 *
 * A data folder that was put back as it was, or brought back from an archive, refuses again what it
 * had refused: letters that are found may enter the outbox later. That is over when all their
 * records were read, which the positions of the sources in the store tell. One thread uses it.
 */
#ifndef INGEST_LETTERS_FOUND_LETTERS_H
#define INGEST_LETTERS_FOUND_LETTERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/checksum.h"
#include "base/slice.h"
#include "store/store.h"

/* So many are kept in mind; with more, those that were found first are not. */
#define FOUND_LETTERS_MAX (1u << 20)

struct found_letters;

struct found_letters *found_letters_new(void);
void found_letters_free(struct found_letters **found);

/* place: "topic/partition/offset" of the record that was refused. */
void found_letters_add(struct found_letters *found, struct slice place);
/* id: letter_id. */
bool found_letters_has(const struct found_letters *found, struct hash128 id);
size_t found_letters_count(const struct found_letters *found);
/* Whether the store has read all their records: they enter no outbox any more. */
bool found_letters_are_read(const struct found_letters *found, struct store *store);
void found_letters_clear(struct found_letters *found);

#endif
