/*
 * One pass over the bytes. What breaks the contract on the way is only noted, as a bit of its field
 * in the set of its reason: the whole message must be seen before it can be said that it is not
 * malformed, and which reason and which field come first. The sets are words with a bit for each
 * field of the contract, so the verdict costs a few operations, and the lowest bit is the first
 * field.
 */
#include "ingest/json_event.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "ingest/json_names.h"
#include "ingest/json_scan.h"

/* 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z */
#define TIME_MS_MIN INT64_C(-62167219200000)
#define TIME_MS_MAX INT64_C(253402300799999)

_Static_assert(FIELDS_MAX <= 64, "the fields of a contract have one bit each in a word");

struct json_decoder {
    const struct contract *contract;
    struct json_names keys;
    struct json_names allowed[FIELDS_MAX]; /* slots NULL: everything is allowed */
    uint64_t required;
};

struct scan {
    const struct json_decoder *decoder;
    struct event *event;
    struct arena *scratch;
    const char *end;
    uint64_t seen; /* fields that occurred, null or not */
    uint64_t present, bad_type, bad_range, not_allowed;
    int duplicate; /* the field that occurred twice, or -1 */
};

struct json_decoder *json_decoder_new(const struct contract *contract)
{
    struct json_decoder *decoder = xcalloc(1, sizeof *decoder);
    struct slice names[FIELDS_MAX];
    ensure(contract->n_fields <= FIELDS_MAX);
    decoder->contract = contract;
    for (size_t i = 0; i < contract->n_fields; i++) {
        const struct field *field = &contract->fields[i];
        names[i] = field->name;
        if (field->required || (int)i == contract->event_time)
            decoder->required |= UINT64_C(1) << i;
        if (field->n_allowed)
            json_names_init(&decoder->allowed[i], field->allowed, field->n_allowed);
    }
    json_names_init(&decoder->keys, names, contract->n_fields);
    return decoder;
}

void json_decoder_free(struct json_decoder **decoder)
{
    if (!*decoder)
        return;
    for (size_t i = 0; i < FIELDS_MAX; i++)
        json_names_fini(&(*decoder)->allowed[i]);
    json_names_fini(&(*decoder)->keys);
    free(*decoder);
    *decoder = NULL;
}

static inline void keep_string(struct scan *scan, int i, struct slice text, const char *end)
{
    uint64_t bit = UINT64_C(1) << i;
    const struct json_names *allowed = &scan->decoder->allowed[i];
    if (text.len > FIELD_STRING_MAX)
        scan->bad_range |= bit;
    else if (allowed->slots && json_names_find(allowed, text, end) < 0)
        scan->not_allowed |= bit;
    else
        scan->event->v[i].str = text;
}

static void keep_text(struct scan *scan, int i, struct slice text, const char *end)
{
    enum field_type type = scan->decoder->contract->fields[i].type;
    if (type == FIELD_STRING)
        keep_string(scan, i, text, end);
    else if (type != FIELD_TIME || !time_parse_rfc3339(text, &scan->event->v[i].num))
        scan->bad_type |= UINT64_C(1) << i;
}

/* token has its quotes. False: malformed. */
static bool keep_escaped(struct scan *scan, int i, struct slice token)
{
    char buffer[FIELD_STRING_MAX];
    size_t len;
    if (!json_unescape(token, buffer, sizeof buffer, &len))
        return false;
    if (len > sizeof buffer) {
        bool text = scan->decoder->contract->fields[i].type == FIELD_STRING;
        *(text ? &scan->bad_range : &scan->bad_type) |= UINT64_C(1) << i;
        return true;
    }
    keep_text(scan, i, slice_of(buffer, len), buffer + len);
    struct slice *kept = &scan->event->v[i].str;
    if (kept->ptr) {
        *kept = arena_slice(scan->scratch, *kept);
        ensure(kept->ptr);
    }
    return true;
}

/* p is behind the opening quote. */
static inline const char *field_string(struct scan *scan, int i, const char *p)
{
    bool escaped = false;
    const char *quote = json_string_end(p, scan->end, &escaped);
    if (!quote)
        return NULL;
    if (!escaped)
        keep_text(scan, i, slice_of(p, (size_t)(quote - p)), scan->end);
    else if (!keep_escaped(scan, i, slice_of(p - 1, (size_t)(quote + 2 - p))))
        return NULL;
    return quote + 1;
}

static inline const char *field_number(struct scan *scan, int i, const char *p)
{
    const struct field *field = &scan->decoder->contract->fields[i];
    uint64_t bit = UINT64_C(1) << i;
    struct json_number number;
    p = json_number_scan(p, scan->end, &number);
    if (!p)
        return NULL;
    if (field->type == FIELD_STRING || field->type == FIELD_BOOL) {
        scan->bad_type |= bit;
        return p;
    }
    int64_t *num = &scan->event->v[i].num;
    bool exact;
    bool fits =
        json_number_scale(&number, field->type == FIELD_DECIMAL ? field->digits : 0, num, &exact);
    if (!fits)
        scan->bad_range |= bit;
    else if (!exact && field->type != FIELD_DECIMAL)
        scan->bad_type |= bit;
    else if (field->type == FIELD_TIME && (*num < TIME_MS_MIN || *num > TIME_MS_MAX))
        scan->bad_range |= bit;
    else if ((field->has_min && *num < field->min) || (field->has_max && *num > field->max))
        scan->bad_range |= bit;
    return p;
}

static const char *field_literal(struct scan *scan, int i, const char *p)
{
    uint64_t bit = UINT64_C(1) << i;
    if (*p == 'n') {
        scan->present &= ~bit;
        return json_literal(p, scan->end, SLICE("null"));
    }
    bool yes = *p == 't';
    if (scan->decoder->contract->fields[i].type != FIELD_BOOL)
        scan->bad_type |= bit;
    scan->event->v[i].num = yes;
    return yes ? json_literal(p, scan->end, SLICE("true"))
               : json_literal(p, scan->end, SLICE("false"));
}

static inline const char *field_value(struct scan *scan, int i, const char *p)
{
    uint64_t bit = UINT64_C(1) << i;
    if (scan->seen & bit) {
        scan->duplicate = i;
        return NULL;
    }
    scan->seen |= bit;
    scan->present |= bit;
    switch (*p) {
    case '"': return field_string(scan, i, p + 1);
    case 't':
    case 'f':
    case 'n': return field_literal(scan, i, p);
    case '{':
    case '[': scan->bad_type |= bit; return json_skip(p, scan->end, JSON_DEPTH_MAX - 1);
    default: return field_number(scan, i, p);
    }
}

/* A key with escapes names the field that it unescapes to. Names are far shorter than the buffer.
 */
static bool find_escaped(const struct scan *scan, struct slice token, int *field)
{
    char key[FIELD_STRING_MAX];
    size_t len;
    if (!json_unescape(token, key, sizeof key, &len))
        return false;
    *field = len < sizeof key ? json_names_find(&scan->decoder->keys, slice_of(key, len), key + len)
                              : -1;
    return true;
}

/* p is at the quote of the key. Returns the byte behind the value, or NULL. */
static inline const char *member(struct scan *scan, const char *p)
{
    const char *end = scan->end;
    bool escaped = false;
    const char *quote = json_string_end(p + 1, end, &escaped);
    if (!quote)
        return NULL;
    int field;
    if (!escaped)
        field =
            json_names_find(&scan->decoder->keys, slice_of(p + 1, (size_t)(quote - p - 1)), end);
    else if (!find_escaped(scan, slice_of(p, (size_t)(quote + 1 - p)), &field))
        return NULL;
    p = json_space(quote + 1, end);
    if (p == end || *p != ':')
        return NULL;
    p = json_space(p + 1, end);
    if (p == end)
        return NULL;
    return field < 0 ? json_skip(p, end, JSON_DEPTH_MAX - 1) : field_value(scan, field, p);
}

static bool scan_object(struct scan *scan, const char *p)
{
    const char *end = scan->end;
    p = json_space(p, end);
    if (p == end || *p != '{')
        return false;
    p = json_space(p + 1, end);
    if (p < end && *p == '}')
        return json_space(p + 1, end) == end;
    for (;;) {
        if (p == end || *p != '"' || !(p = member(scan, p)))
            return false;
        p = json_space(p, end);
        if (p == end)
            return false;
        if (*p == '}')
            return json_space(p + 1, end) == end;
        if (*p != ',')
            return false;
        p = json_space(p + 1, end);
    }
}

static enum refusal refuse(enum refusal why, uint64_t fields, int *field)
{
    if (field)
        *field = __builtin_ctzll(fields);
    return why;
}

enum refusal json_decode(const struct json_decoder *decoder, struct slice payload,
    struct arena *scratch, struct event *out, int *field)
{
    const struct contract *contract = decoder->contract;
    struct scan scan = {.decoder = decoder,
        .event = out,
        .scratch = scratch,
        .end = payload.ptr + payload.len,
        .duplicate = -1};
    if (field)
        *field = -1;
    out->contract = contract;
    memset(out->v, 0, contract->n_fields * sizeof out->v[0]);
    if (payload.len == 0 || payload.len > EVENT_BYTES_MAX || !scan_object(&scan, payload.ptr)) {
        if (field)
            *field = scan.duplicate;
        return REFUSED_MALFORMED;
    }
    uint64_t missing = decoder->required & ~scan.present;
    if (missing)
        return refuse(REFUSED_MISSING, missing, field);
    if (scan.bad_type)
        return refuse(REFUSED_TYPE, scan.bad_type, field);
    if (scan.bad_range)
        return refuse(REFUSED_RANGE, scan.bad_range, field);
    if (scan.not_allowed)
        return refuse(REFUSED_NOT_ALLOWED, scan.not_allowed, field);
    for (uint64_t bits = scan.present; bits; bits &= bits - 1)
        out->v[__builtin_ctzll(bits)].present = true;
    out->time_ms = out->v[contract->event_time].num;
    return REFUSED_NOT;
}
