/*
 * JSON as Prometheus writes it, appended to a struct buf with a byte limit: the caller checks the
 * buffer's `failed` once, at the end.
 *
 *     {"status":"success","data":...,"warnings":[...],"infos":[...]}
 *     {"status":"error","errorType":"bad_data","error":"..."}
 *
 * Values are strings ("1.5", "NaN", "+Inf"), times are numbers of seconds with at most three
 * decimals. What is written is valid UTF-8 whatever comes in: a broken sequence becomes U+FFFD.
 */
#ifndef API_JSON_OUT_H
#define API_JSON_OUT_H

#include "base/buf.h"
#include "query/value.h"
#include "store/labels.h"

void json_out_string(struct buf *out, struct slice text);
void json_out_time(struct buf *out, int64_t ms);
/* A float in quotes: 'f', and 'e' below 1e-6 and from 1e21. */
void json_out_number(struct buf *out, double v);
void json_out_labels(struct buf *out, struct labels labels);
/* {"count":"..","sum":"..","buckets":[[boundaries,"lower","upper","count"],...]}; boundaries: 0
 * open to the left, 1 open to the right, 2 open on both sides, 3 closed on both. Empty buckets are
 * left out. */
void json_out_histogram(struct buf *out, const struct hist *h);
/* {"resultType":"vector","result":[...]}, of a vector or matrix the first limit series. stats: an
 * object that is added as "stats", or NULL. */
void json_out_value(struct buf *out, const struct value *value, size_t limit, const char *stats);

/* An answer around its data. notes may be NULL; at most 10 of each kind are written, and how many
 * more there are. truncated adds the warning that a limit cut the results. */
void json_out_begin(struct buf *out);
void json_out_end(struct buf *out, const struct notes *notes, bool truncated);
void json_out_error(struct buf *out, const char *type, struct slice text);

#endif
