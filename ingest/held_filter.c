#include "ingest/held_filter.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pages.h"

#define LINE_WORDS 16
#define LINE_BYTES (LINE_WORDS * sizeof(uint32_t))
#define PROBES     4

/* At first, if they may be taken. */
#define LINES_FIRST 4096
/* Ids of a generation for each line, past which it grows: then one absent id in 18 is taken for
 * possible in it, and half as many soon after. */
#define IDS_PER_LINE 2

struct held_filter {
    size_t *left; /* bytes that may be taken */
    size_t room;  /* bytes that words is for */
    size_t n;     /* lines */
    uint32_t *words;
    int64_t generations[HELD_COLUMNS];
    uint64_t ids[HELD_COLUMNS];
    uint32_t used; /* columns */
};

static bool take(struct held_filter *f, size_t lines)
{
    if (lines * LINE_BYTES > *f->left)
        return false;
    *f->left -= lines * LINE_BYTES;
    return true;
}

struct held_filter *held_filter_new(size_t *left)
{
    struct held_filter *f = xcalloc(1, sizeof *f);
    f->left = left;
    f->room = *left + LINE_BYTES;
    f->n = take(f, LINES_FIRST) ? LINES_FIRST : 1;
    f->words = pages_new(f->room);
    return f;
}

void held_filter_free(struct held_filter **filter)
{
    struct held_filter *f = *filter;
    *filter = NULL;
    if (!f)
        return;
    pages_free(f->words, f->room);
    free(f);
}

/* ---- columns ---- */

uint32_t held_filter_column(const struct held_filter *filter, int64_t generation)
{
    for (uint32_t left = filter->used; left; left &= left - 1)
        if (filter->generations[__builtin_ctz(left)] == generation)
            return left & -left;
    return 0;
}

void held_filter_begin(struct held_filter *filter, int64_t generation)
{
    if (filter->used == UINT32_MAX || held_filter_column(filter, generation))
        return;
    unsigned column = (unsigned)__builtin_ctz(~filter->used);
    filter->generations[column] = generation;
    filter->ids[column] = 0;
    filter->used |= UINT32_C(1) << column;
}

/* One pass over all of it, as often as a generation goes. */
static void clear_columns(struct held_filter *f, uint32_t gone)
{
    if (!gone)
        return;
    f->used &= ~gone;
    for (size_t i = 0; i < f->n * LINE_WORDS; i++)
        f->words[i] &= ~gone;
}

void held_filter_drop(struct held_filter *filter, int64_t below)
{
    uint32_t gone = 0;
    for (uint32_t left = filter->used; left; left &= left - 1)
        if (filter->generations[__builtin_ctz(left)] < below)
            gone |= left & -left;
    clear_columns(filter, gone);
}

void held_filter_end(struct held_filter *filter, int64_t generation)
{
    clear_columns(filter, held_filter_column(filter, generation));
}

/* ---- ids ---- */

static uint32_t *line_of(const struct held_filter *f, struct hash128 id)
{
    return f->words + (size_t)((unsigned __int128)id.hi * f->n >> 64) * LINE_WORDS;
}

/* Which word of the line: 4 bits of the id for each. */
static size_t word_of(struct hash128 id, unsigned probe)
{
    return (size_t)(id.lo >> (16 + 4 * probe)) % LINE_WORDS;
}

void held_filter_add(struct held_filter *filter, struct hash128 id, uint32_t column)
{
    uint32_t *line = line_of(filter, id);
    for (unsigned i = 0; i < PROBES; i++)
        line[word_of(id, i)] |= column;
    filter->ids[__builtin_ctz(column)]++;
}

static uint64_t most_ids(const struct held_filter *f)
{
    uint64_t most = 0;
    for (uint32_t left = f->used; left; left &= left - 1) {
        uint64_t ids = f->ids[__builtin_ctz(left)];
        most = ids > most ? ids : most;
    }
    return most;
}

static void double_lines(struct held_filter *f)
{
    for (size_t i = f->n; i-- > 0;) {
        uint32_t line[LINE_WORDS];
        memcpy(line, f->words + i * LINE_WORDS, LINE_BYTES);
        memcpy(f->words + 2 * i * LINE_WORDS, line, LINE_BYTES);
        memcpy(f->words + (2 * i + 1) * LINE_WORDS, line, LINE_BYTES);
    }
    f->n *= 2;
}

/* An id's line is chosen by its first bits: it lies in one of the two behind each other. */
void held_filter_expect(struct held_filter *filter, uint64_t ids)
{
    while (ids > filter->n * IDS_PER_LINE && take(filter, filter->n))
        double_lines(filter);
}

void held_filter_grow(struct held_filter *filter)
{
    held_filter_expect(filter, most_ids(filter));
}

void held_filter_prefetch(const struct held_filter *filter, struct hash128 id)
{
    __builtin_prefetch(line_of(filter, id));
}

uint32_t held_filter_may_have(const struct held_filter *filter, struct hash128 id)
{
    const uint32_t *line = line_of(filter, id);
    uint32_t mask = UINT32_MAX;
    for (unsigned i = 0; i < PROBES; i++)
        mask &= line[word_of(id, i)];
    return mask;
}
