/*
 * One pass over the bytes. What breaks the contract on the way is only noted (event_rules.h): the
 * whole message must be seen before it can be said that it is not malformed.
 */
#include "ingest/json_event.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "ingest/event_rules.h"
#include "ingest/json_names.h"
#include "ingest/json_scan.h"

struct json_decoder {
    struct event_rules rules;
    struct json_names keys;
};

struct scan {
    const struct json_decoder *decoder;
    const struct event_rules *rules;
    struct event *event;
    struct arena *scratch;
    const char *end;
    uint64_t seen; /* fields that occurred, null or not */
    struct verdict verdict;
    int duplicate; /* the field that occurred twice, or -1 */
};

struct json_decoder *json_decoder_new(const struct contract *contract)
{
    struct json_decoder *decoder = xcalloc(1, sizeof *decoder);
    struct slice names[FIELDS_MAX];
    event_rules_init(&decoder->rules, contract);
    for (size_t i = 0; i < contract->n_fields; i++)
        names[i] = event_field_inside(&decoder->rules, (int)i) ? contract->fields[i].name
                                                               : (struct slice){NULL, 0};
    json_names_init(&decoder->keys, names, contract->n_fields);
    return decoder;
}

const struct event_rules *json_decoder_rules(const struct json_decoder *decoder)
{
    return &decoder->rules;
}

void json_decoder_free(struct json_decoder **decoder)
{
    if (!*decoder)
        return;
    event_rules_fini(&(*decoder)->rules);
    json_names_fini(&(*decoder)->keys);
    free(*decoder);
    *decoder = NULL;
}

static void keep_text(struct scan *scan, int i, struct slice text, const char *end)
{
    enum field_type type = scan->rules->contract->fields[i].type;
    int64_t ms;
    if (type == FIELD_STRING)
        event_text(scan->event, scan->rules, &scan->verdict, i, text, end);
    else if (type == FIELD_TIME && time_parse_rfc3339(text, &ms))
        event_number(scan->event, scan->rules, &scan->verdict, i, ms);
    else
        scan->verdict.bad_type |= UINT64_C(1) << i;
}

/* token has its quotes. False: malformed. */
static bool keep_escaped(struct scan *scan, int i, struct slice token)
{
    char buffer[FIELD_STRING_MAX];
    size_t len;
    if (!json_unescape(token, buffer, sizeof buffer, &len))
        return false;
    if (len > sizeof buffer) {
        bool text = scan->rules->contract->fields[i].type == FIELD_STRING;
        *(text ? &scan->verdict.bad_range : &scan->verdict.bad_type) |= UINT64_C(1) << i;
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
    enum field_type type = scan->rules->contract->fields[i].type;
    struct json_number number;
    p = json_number_scan(p, scan->end, &number);
    if (!p)
        return NULL;
    if (type == FIELD_STRING || type == FIELD_BOOL) {
        scan->verdict.bad_type |= UINT64_C(1) << i;
        return p;
    }
    event_number_text(scan->event, scan->rules, &scan->verdict, i, &number);
    return p;
}

static const char *field_literal(struct scan *scan, int i, const char *p)
{
    uint64_t bit = UINT64_C(1) << i;
    if (*p == 'n') {
        scan->verdict.present &= ~bit;
        return json_literal(p, scan->end, SLICE("null"));
    }
    bool yes = *p == 't';
    if (scan->rules->contract->fields[i].type != FIELD_BOOL)
        scan->verdict.bad_type |= bit;
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
    scan->verdict.present |= bit;
    switch (*p) {
    case '"': return field_string(scan, i, p + 1);
    case 't':
    case 'f':
    case 'n': return field_literal(scan, i, p);
    case '{':
    case '[': scan->verdict.bad_type |= bit; return json_skip(p, scan->end, JSON_DEPTH_MAX - 1);
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

enum refusal json_decode_beside(const struct json_decoder *decoder,
    const struct record_fields *beside, struct slice payload, struct arena *scratch,
    struct event *out, int *field)
{
    const struct event_rules *rules = &decoder->rules;
    struct scan scan = {.decoder = decoder,
        .rules = rules,
        .event = out,
        .scratch = scratch,
        .end = payload.ptr + payload.len,
        .duplicate = -1};
    if (field)
        *field = -1;
    event_clear(out, rules, beside, &scan.verdict);
    if (payload.len == 0 || payload.len > EVENT_BYTES_MAX || !scan_object(&scan, payload.ptr)) {
        if (field)
            *field = scan.duplicate;
        return REFUSED_MALFORMED;
    }
    return event_end(out, rules, &scan.verdict, field);
}

enum refusal json_decode(const struct json_decoder *decoder, struct slice payload,
    struct arena *scratch, struct event *out, int *field)
{
    return json_decode_beside(decoder, NULL, payload, scratch, out, field);
}
