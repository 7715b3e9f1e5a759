/*
 * What a rollup was, and from which window on: its *generations*. A definition holds for windows.
 * When it is changed, the new one begins at the first window after everything that was read by
 * then, so that no window mixes two, and events that come late for windows before still go by the
 * definition of those, which is kept as text:
 *
 *     windows, by their ends     ... after 1] (after 1 .. after 2] (after 2 ...
 *     generation                 none         1                    2, the config's
 *
 * A rollup that is taken out of the config has a generation without a definition at the end. The
 * list lies in the store, as the state of the source "rollup/NAME", changed by transactions;
 * docs/notes/031-generations.md says why.
 */
#ifndef INGEST_ROLLUP_HISTORY_H
#define INGEST_ROLLUP_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/checksum.h"
#include "base/err.h"
#include "store/store.h"

/* Older ones are forgotten. Of a lifecycle none may be, since its facts lie in a layout that knows
 * their fields: a definition more than one less than these is refused, so that an end finds room.
 */
#define GENERATIONS_MAX 8

struct generation {
    uint32_t number;        /* from 1 */
    int64_t after_ms;       /* it has the windows with later ends; INT64_MIN: from the beginning */
    bool none;              /* there was no such rollup */
    struct hash128 meaning; /* rollup_text.h */
    struct slice text;      /* rollup_text.h; "": it was too long to be kept */
};

struct rollup_history {
    struct slice name;
    struct generation items[GENERATIONS_MAX]; /* in order of time */
    size_t n;                                 /* at least 1 */
};

/* Those of all rollups that the store knows. */
struct rollup_histories {
    struct arena arena; /* holds names and texts */
    struct rollup_history *items;
    size_t n, cap;
};

/* ERR_CORRUPT: a list does not read. Waits for a replay. The caller frees. */
bool rollup_histories_read(struct store *store, struct rollup_histories *out, struct err *err);
/* NULL: there is none of that name. */
struct rollup_history *rollup_history_find(struct rollup_histories *histories, struct slice name);
void rollup_histories_fini(struct rollup_histories *histories);

/* The newest definition holds for windows after after_ms too: those before it end there. Those that
 * have no window left stay in the list, each with a span of 1 ms right behind after_ms, in which no
 * window ends: one of a lifecycle, as any of them may have been, keeps its facts in a layout that
 * knows their fields. */
void rollup_history_extend(struct rollup_history *history, int64_t after_ms);
/* After which windows the newest definition holds, of windows of that length. INT64_MIN: all. */
int64_t rollup_history_begin(const struct rollup_history *history, int64_t every_ms);

/* Whether the store has room for the list, and for so many bytes more. */
bool rollup_history_fits(const struct rollup_history *history, size_t more);
/* Forgets generations, oldest first, and at last the text of the newest, until it fits. */
void rollup_history_trim(struct rollup_history *history);
/* Puts the list, which fits, into the transaction. */
bool rollup_history_write(const struct rollup_history *history, struct txn *txn);

#endif
