#include "ingest/letters/refusal_cause.h"

#include <inttypes.h>
#include <stdio.h>

static const char *type_name(const struct field *field)
{
    switch (field->type) {
    case FIELD_STRING: return "a string";
    case FIELD_INT: return "an int: a number without a fraction";
    case FIELD_DECIMAL: return "a decimal: a number";
    case FIELD_TIME: return "a time: RFC 3339, or integer milliseconds";
    case FIELD_BOOL: return "a bool";
    }
    return "of its type";
}

static const char *malformed(const struct stream *stream, const struct refusal_case *r)
{
    if (r->value_bytes > EVENT_BYTES_MAX)
        return "the message is larger than 1 MiB";
    return stream->format == FORMAT_JSON ? "the message is not one JSON object of at most 32 levels"
                                         : "the message is none of its Avro schema";
}

static const char *range_of(const struct field *field)
{
    if (field->type == FIELD_STRING)
        return "has more than 1024 bytes";
    return field->has_min || field->has_max ? "lies outside 'min' and 'max', or beyond 64 bits"
                                            : "does not fit 64 bits";
}

static void of_field(const struct field *field, enum refusal reason, char *out, size_t size)
{
    struct slice name = field->name;
    switch (reason) {
    case REFUSED_MALFORMED:
        snprintf(out, size, "field '%.*s' is there twice", SLICE_FMT(name));
        return;
    case REFUSED_MISSING:
        snprintf(out, size, "field '%.*s' is required, and not there", SLICE_FMT(name));
        return;
    case REFUSED_TYPE:
        snprintf(out, size, "field '%.*s' is not %s", SLICE_FMT(name), type_name(field));
        return;
    case REFUSED_RANGE:
        snprintf(out, size, "field '%.*s' %s", SLICE_FMT(name), range_of(field));
        return;
    case REFUSED_NOT_ALLOWED:
        snprintf(
            out, size, "field '%.*s' has a value that is not among 'allowed'", SLICE_FMT(name));
        return;
    default: snprintf(out, size, "field '%.*s': %s", SLICE_FMT(name), refusal_name(reason)); return;
    }
}

static void of_time(const struct contract *c, const struct refusal_case *r, char *out, size_t size)
{
    const char *against = c->arrival_partition ? "the partition's newest event" : "its record";
    bool late = r->reason == REFUSED_LATE;
    /* As if unsigned: a record says what time it likes. */
    uint64_t past = (uint64_t)r->arrival_ms - (uint64_t)r->time_ms;
    if (r->arrival_ms == INT64_MIN) {
        snprintf(
            out, size, "the event's time lies in an hour that is over: ids that old are not kept");
        return;
    }
    snprintf(out, size, "the event's time is %" PRIu64 " ms %s %s; '%s' is %" PRId64 " ms",
        late ? past : 0 - past, late ? "behind" : "before", late ? against : "its record",
        late ? "late" : "ahead", late ? c->late_ms : c->ahead_ms);
}

const char *refusal_cause(
    const struct stream *stream, const struct refusal_case *refused, char *out, size_t size)
{
    const struct contract *c = &stream->contract;
    enum refusal reason = refused->reason;
    if (reason == REFUSED_LATE || reason == REFUSED_AHEAD)
        of_time(c, refused, out, size);
    else if (refused->field >= 0)
        of_field(&c->fields[refused->field], reason, out, size);
    else if (reason == REFUSED_MALFORMED)
        snprintf(out, size, "%s", malformed(stream, refused));
    else if (reason == REFUSED_SCHEMA)
        snprintf(
            out, size, "its schema is not there, or does not resolve to what the stream reads");
    else
        snprintf(out, size, "what a rollup or lifecycle makes of it does not fit 64 bits");
    return out;
}
