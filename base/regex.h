/*
 * Regular expressions: RE2's syntax, as in Prometheus, behind a C interface. Matching is linear in
 * the text. A compiled expression may be used from several threads at once.
 */
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

struct regex;

#define REGEX_GROUPS_MAX 32

/* Compiled fully anchored, dot matching newlines, as Prometheus' matchers and label_replace do.
 * The memory of a program is bounded; what is too large is ERR_INVALID. The caller frees. */
bool regex_new(struct slice pattern, struct regex **out, struct err *err);
void regex_free(struct regex **regex);
bool regex_match(const struct regex *regex, struct slice text);
/* When the pattern is a list of plain words: the *n words, in byte order, owned by the expression.
 * NULL when it is none. */
const struct slice *regex_words(const struct regex *regex, size_t *n);
/* Number of capturing groups, the whole match not counted. */
int regex_groups(const struct regex *regex);
/* The group of that name, or -1. */
int regex_group_named(const struct regex *regex, struct slice name);
/* groups[0] is the whole match, groups[i] the i-th group ({NULL, 0}: it took no part). False when
 * the text does not match. n at most REGEX_GROUPS_MAX. */
bool regex_capture(const struct regex *regex, struct slice text, struct slice *groups, int n);

#ifdef __cplusplus
}
#endif

#endif
