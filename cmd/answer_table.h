/*
 * The answer to a query as rows and columns: labels, time, value.
 *
 *     market  stage      VALUE          an instant vector
 *     zrh     delivered     42
 *
 *     market  TIME                  VALUE    a range: the labels stand at a series' first point
 *     zrh     2026-11-20T18:00:00Z     40
 *             2026-11-20T18:01:00Z     42
 *
 * A scalar or a string is printed alone. CSV (RFC 4180) has the same columns, every cell filled,
 * times as Unix seconds.
 */
#ifndef CMD_ANSWER_TABLE_H
#define CMD_ANSWER_TABLE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* data: the "data" of Prometheus' envelope. ERR_INVALID: it does not have that form. */
bool answer_table(const json_t *data, bool csv, struct buf *out, struct err *err);

#endif
