/*
 * What the text of a regular expression says without an automaton. Dashboards mostly ask for lists
 * of words (`a|b|c`) and for prefixes (`web-.*`): these are answered by looking words up, or by
 * comparing bytes, and the answers for UTF-8 text are those of the automaton.
 *
 * Recognised, with an optional group around the whole: alternatives of plain words; a word with
 * `.*` or `.+` before it, behind it or on both sides. Escaped punctuation counts as plain. All else
 * has no shape.
 */
#ifndef BASE_REGEX_SHAPE_H
#define BASE_REGEX_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

enum regex_shape_kind { SHAPE_NONE, SHAPE_WORDS, SHAPE_AROUND };

#define SHAPE_WORDS_MAX 4096

struct regex_shape {
    enum regex_shape_kind kind;
    struct slice *words; /* in order, none twice; SHAPE_AROUND: the one in the middle */
    size_t n;
    char *text; /* of the words */
    /* SHAPE_AROUND: how many bytes must, and whether more may, come before and behind. */
    size_t least_before, least_behind;
    bool more_before, more_behind;
};

void regex_shape_init(struct regex_shape *shape, struct slice pattern);
void regex_shape_fini(struct regex_shape *shape);
/* Of a shape other than SHAPE_NONE. */
bool regex_shape_match(const struct regex_shape *shape, struct slice text);

#ifdef __cplusplus
}
#endif

#endif
