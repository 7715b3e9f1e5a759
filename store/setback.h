/*
 * Work of maintenance that has failed: it is left alone for the next 1, 2, 4, ... calls that would
 * do it, at most 64, so that what comes behind it gets its turn.
 */
#ifndef STORE_SETBACK_H
#define STORE_SETBACK_H

#include <stdbool.h>

struct setback {
    unsigned failures, waits;
};

/* Whether the work may be tried by this call. */
static inline bool setback_is_over(struct setback *setback)
{
    unsigned n = setback->failures;
    return n == 0 || setback->waits++ >= 1u << (n < 7 ? n - 1 : 6);
}

/* It was tried. Returns ok. */
static inline bool setback_note(struct setback *setback, bool ok)
{
    *setback = (struct setback){.failures = ok ? 0 : setback->failures + 1};
    return ok;
}

#endif
