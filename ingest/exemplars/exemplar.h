/*
 * An exemplar: one event of a series and a minute of event time, with the trace that it belongs to,
 * so that a person who looks at the series can look at a request of it. Where it lies, and which
 * event it is, follow from the set of events alone:
 *
 *     table "exemplars/STREAM", generations of one hour of event time
 *     key     hash of {metric, minute, place}; place: EXEMPLAR_PLACES of a metric and minute, of
 *             which each series has one, another one each minute
 *     record  series u128 | trace id 16 | span id 8 | value i64 | event time i64; little-endian
 *
 * So a metric has at most EXEMPLAR_PLACES exemplars of a minute, however many series it has. Of the
 * series that meet at a place the one with the least hash has it; of its events the one with the
 * greatest value, then the earliest, then the least trace and span id.
 */
#ifndef INGEST_EXEMPLARS_EXEMPLAR_H
#define INGEST_EXEMPLARS_EXEMPLAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/slice.h"
#include "store/labels.h"
#include "store/state/run.h"

#define EXEMPLAR_PLACES      1024
#define EXEMPLAR_BYTES       56
#define EXEMPLAR_MINUTE_MS   60000
#define EXEMPLAR_HOUR_MS     3600000
#define EXEMPLAR_TRACE_BYTES 16
#define EXEMPLAR_SPAN_BYTES  8

struct exemplar {
    struct hash128 series; /* exemplar_series: the labels in that minute */
    uint8_t trace_id[EXEMPLAR_TRACE_BYTES], span_id[EXEMPLAR_SPAN_BYTES];
    int64_t value; /* scaled by the digits of the metric */
    int64_t time_ms;
};

/* Whether a is kept, and not b, when both are of one place. */
bool exemplar_wins(const struct exemplar *a, const struct exemplar *b);

/* Towards the past. */
int64_t exemplar_minute(int64_t time_ms);
/* The generation of a minute. */
int64_t exemplar_hour(int64_t minute);

/* Of a whole label set, the metric's name among them, at most LABELS_MAX. */
struct hash128 exemplar_labels(struct labels labels);
struct hash128 exemplar_series(struct hash128 labels, int64_t minute);
struct hash128 exemplar_key(struct slice metric, int64_t minute, struct hash128 series);

/* The name of the table of a stream; out has STATE_TABLE_NAME_MAX + 1 bytes. */
void exemplar_table(struct slice stream, char out[STATE_TABLE_NAME_MAX + 1]);

void exemplar_encode(const struct exemplar *exemplar, uint8_t out[EXEMPLAR_BYTES]);
void exemplar_decode(const uint8_t in[EXEMPLAR_BYTES], struct exemplar *out);

#endif
