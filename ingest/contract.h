/*
 * A contract: what an event of a stream looks like. It is made once, from larder.yml, and is
 * immutable afterwards. An event that breaks it is refused for the first reason that applies.
 */
#ifndef INGEST_CONTRACT_H
#define INGEST_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define FIELDS_MAX       64
#define FIELD_NAME_MAX   128  /* bytes */
#define FIELD_STRING_MAX 1024 /* bytes of a string field that is kept; longer is refused: range */
#define EVENT_BYTES_MAX  (1u << 20) /* a larger message is refused: malformed */

/* Why an event is refused, in the order of the design; the order of fields decides among several.
 */
enum refusal {
    REFUSED_NOT = 0,
    REFUSED_MALFORMED,
    REFUSED_SCHEMA,
    REFUSED_MISSING,
    REFUSED_TYPE,
    REFUSED_RANGE,
    REFUSED_NOT_ALLOWED,
    REFUSED_LATE,
    REFUSED_AHEAD,
    REFUSALS,
};

/* "malformed", ... */
const char *refusal_name(enum refusal refusal);

enum field_type {
    FIELD_STRING,
    FIELD_INT,     /* digits 0 */
    FIELD_DECIMAL, /* scaled by 10^digits; half to even; must fit 64 bits */
    FIELD_TIME,    /* RFC 3339 with any offset, or integer milliseconds; kept as ms */
    FIELD_BOOL,
};

/* Where a field's value stands: in the message, or beside it. */
enum field_from { FROM_VALUE, FROM_KEY, FROM_HEADER };

struct field {
    struct slice name;
    enum field_from from;
    struct slice header; /* FROM_HEADER: its name; it ends in NUL */
    enum field_type type;
    int digits; /* of FIELD_DECIMAL */
    bool required;
    bool personal;  /* never a label */
    bool unbounded; /* ever new values, such as order ids: never a label */
    bool has_min, has_max;
    int64_t min, max; /* in the field's scaled integer */
    const struct slice *allowed;
    size_t n_allowed; /* 0: everything */
    struct slice unit, help;
};

struct contract {
    struct slice stream;
    struct field fields[FIELDS_MAX];
    size_t n_fields;
    int event_time, event_id, key; /* index of the field, or -1 (event_id, key) */
    int revision; /* likewise: of two events that say the same, the one with the greater counts */
    int64_t late_ms, ahead_ms;
    bool arrival_partition; /* judge lateness against the partition's greatest event time */
    struct slice owner;
};

/* A field of one event. num holds ints, scaled decimals, ms, booleans; str is borrowed from the
 * message (or from the decoder's arena) and lives as long as it. */
struct field_value {
    bool present; /* JSON null counts as absent */
    int64_t num;
    struct slice str;
};

/* W3C Trace Context: which trace the event belongs to, and whether it is recorded (in flags). */
#define TRACE_SAMPLED 0x01
struct trace {
    bool present;
    uint8_t trace_id[16], parent_id[8], flags;
};

struct event {
    const struct contract *contract;
    struct trace trace; /* of the header traceparent: exemplars/exemplar.h */
    struct field_value v[FIELDS_MAX];
    int64_t time_ms; /* the event time */
};

/* Whether the event comes too late or too early, by its record alone. timestamp_ms: the record's;
 * INT64_MIN: it has none. newest_ms: the greatest event time of the partition before it, INT64_MIN:
 * none; of use for arrival: partition, which measures lateness against that instead. *arrival_ms is
 * what decided, INT64_MIN: nothing did. An event exactly late_ms or ahead_ms away is accepted.
 * REFUSED_NOT, REFUSED_LATE or REFUSED_AHEAD. */
enum refusal contract_judge_time(const struct contract *contract, int64_t time_ms,
    int64_t timestamp_ms, int64_t newest_ms, int64_t *arrival_ms);

#endif
