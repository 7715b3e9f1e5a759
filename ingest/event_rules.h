/*
 * A contract at work on one event, whatever format it comes in. A decoder puts down each field's
 * value, or what is wrong with it, as a bit of the field in the set of the reason: the whole
 * message must be seen before it can be said which reason and which field come first. The sets are
 * words with a bit for each field of the contract, so the verdict costs a few operations, and the
 * lowest bit is the first field.
 */
#ifndef INGEST_EVENT_RULES_H
#define INGEST_EVENT_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "ingest/contract.h"
#include "ingest/json_names.h"
#include "ingest/json_scan.h"

_Static_assert(FIELDS_MAX <= 64, "the fields of a contract have one bit each in a word");

/* Of times: 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z */
#define EVENT_TIME_MS_MIN INT64_C(-62167219200000)
#define EVENT_TIME_MS_MAX INT64_C(253402300799999)

/* Prepared once from a contract. Immutable, shared by threads. */
struct event_rules {
    const struct contract *contract;
    struct json_names allowed[FIELDS_MAX]; /* slots NULL: everything is allowed */
    uint64_t required;
};

/* The contract outlives the rules. */
void event_rules_init(struct event_rules *rules, const struct contract *contract);
void event_rules_fini(struct event_rules *rules);

struct verdict {
    uint64_t present, bad_type, bad_range, not_allowed;
};

/* What the fields that stand beside the message's value hold: the key's and the headers'. */
struct record_fields {
    struct verdict verdict;
    uint64_t fields; /* a bit for each of them */
    struct field_value v[FIELDS_MAX];
};

/* Whether the field's value stands in the message. */
static inline bool event_field_inside(const struct event_rules *rules, int field)
{
    return rules->contract->fields[field].from == FROM_VALUE;
}

/* Forgets what the event held, and takes over what stands beside the value; NULL: nothing. */
void event_clear(struct event *event, const struct event_rules *rules,
    const struct record_fields *beside, struct verdict *verdict);

/* The text of a FIELD_STRING. end: that far bytes may be read behind it. */
static inline void event_text(struct event *event, const struct event_rules *rules,
    struct verdict *verdict, int field, struct slice text, const char *end)
{
    uint64_t bit = UINT64_C(1) << field;
    const struct json_names *allowed = &rules->allowed[field];
    if (text.len > FIELD_STRING_MAX)
        verdict->bad_range |= bit;
    else if (allowed->slots && json_names_find(allowed, text, end) < 0)
        verdict->not_allowed |= bit;
    else
        event->v[field].str = text;
}

/* The value of a FIELD_INT, FIELD_DECIMAL (scaled) or FIELD_TIME (ms). */
static inline void event_number(struct event *event, const struct event_rules *rules,
    struct verdict *verdict, int field, int64_t value)
{
    const struct field *f = &rules->contract->fields[field];
    event->v[field].num = value;
    if ((f->has_min && value < f->min) || (f->has_max && value > f->max) ||
        (f->type == FIELD_TIME && (value < EVENT_TIME_MS_MIN || value > EVENT_TIME_MS_MAX)))
        verdict->bad_range |= UINT64_C(1) << field;
}

/* The same of a number that was written in decimal: a FIELD_DECIMAL is rounded, half even, and
 * nothing else has a fraction. */
static inline void event_number_text(struct event *event, const struct event_rules *rules,
    struct verdict *verdict, int field, const struct json_number *number)
{
    bool decimal = rules->contract->fields[field].type == FIELD_DECIMAL, exact;
    int64_t value;
    if (!json_number_scale(
            number, decimal ? rules->contract->fields[field].digits : 0, &value, &exact))
        verdict->bad_range |= UINT64_C(1) << field;
    else if (!exact && !decimal)
        verdict->bad_type |= UINT64_C(1) << field;
    else
        event_number(event, rules, verdict, field, value);
}

/* What becomes of the event, which is complete then. REFUSED_NOT, or the first of missing, type,
 * range, not_allowed that applies to any field; then *field (may be NULL) is the first one with it.
 */
enum refusal event_end(struct event *event, const struct event_rules *rules,
    const struct verdict *verdict, int *field);

#endif
