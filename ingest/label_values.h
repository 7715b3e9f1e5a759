/*
 * The label values of an event in a rollup.
 */
#ifndef INGEST_LABEL_VALUES_H
#define INGEST_LABEL_VALUES_H

#include "ingest/rollup.h"

#define LABEL_NUMBER_MAX 32

/* By the rollup's labels. Texts are the event's, or in `numbers`. */
struct label_values {
    struct slice values[ROLLUP_LABELS_MAX];
    char numbers[ROLLUP_LABELS_MAX][LABEL_NUMBER_MAX];
};

/* The text of a field as a label; "" when it is absent. number: room for it. */
struct slice label_field_text(
    const struct field *field, const struct field_value *value, char number[LABEL_NUMBER_MAX]);

/* Evaluates them; an absent or empty one is {.., 0}: the label is left out. EXPR_RANGE: one does
 * not fit. */
enum expr_result label_values_eval(
    const struct rollup *rollup, const struct event *event, struct label_values *out);

#endif
