/*
 * Times as people and APIs write them: RFC 3339, "2026-11-20T18:04:05.25+01:00", and milliseconds
 * since 1970-01-01 UTC inside. The calendar is the proleptic Gregorian one, years 0000 to 9999;
 * leap seconds do not exist, as in POSIX and Go.
 */
#ifndef BASE_RFC3339_H
#define BASE_RFC3339_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Bytes that rfc3339_format may write, with the NUL. */
#define RFC3339_MAX 40

/* Exactly one time, nothing around it. Digits past the milliseconds are cut off towards the past,
 * so that a time never lands in a later millisecond. False: not such a time, *ms is untouched. */
bool rfc3339_parse(struct slice text, int64_t *ms);

/* UTC, with milliseconds only when there are some: "2026-11-20T17:04:05Z", "...05.250Z". A year
 * outside 0000..9999 is written as seconds, "@253402300800". Returns the length. */
size_t rfc3339_format(int64_t ms, char out[RFC3339_MAX]);

#endif
