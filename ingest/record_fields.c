#include "ingest/record_fields.h"

#include "ingest/json_event.h"
#include "ingest/json_scan.h"

uint64_t record_fields_of(const struct contract *contract)
{
    uint64_t fields = 0;
    for (size_t i = 0; i < contract->n_fields; i++)
        if (contract->fields[i].from != FROM_VALUE)
            fields |= UINT64_C(1) << i;
    return fields;
}

/* ---- values ---- */

/* What a decoder of values would do with an event of this one field. */
struct reading {
    const struct event_rules *rules;
    struct event event; /* v alone is used */
    struct verdict verdict;
};

static void read_number(struct reading *r, int i, struct slice text)
{
    const char *end = text.ptr + text.len;
    struct json_number number;
    if (json_number_scan(text.ptr, end, &number) == end)
        event_number_text(&r->event, r->rules, &r->verdict, i, &number);
    else
        r->verdict.bad_type |= UINT64_C(1) << i;
}

static void read_value(struct reading *r, int i, struct slice text)
{
    uint64_t bit = UINT64_C(1) << i;
    int64_t time_ms;
    switch (r->rules->contract->fields[i].type) {
    case FIELD_STRING:
        if (utf8_is_valid(text))
            event_text(&r->event, r->rules, &r->verdict, i, text, text.ptr + text.len);
        else
            r->verdict.bad_type |= bit;
        return;
    case FIELD_BOOL:
        r->event.v[i].num = slice_is(text, "true");
        if (!r->event.v[i].num && !slice_is(text, "false"))
            r->verdict.bad_type |= bit;
        return;
    case FIELD_TIME:
        if (time_parse_rfc3339(text, &time_ms))
            event_number(&r->event, r->rules, &r->verdict, i, time_ms);
        else
            read_number(r, i, text);
        return;
    case FIELD_INT:
    case FIELD_DECIMAL: read_number(r, i, text); return;
    }
}

void record_fields_read(const struct event_rules *rules, uint64_t fields,
    const struct kafka_record *record, struct record_fields *out)
{
    struct reading r = {.rules = rules};
    out->fields = fields;
    for (uint64_t bits = fields; bits; bits &= bits - 1) {
        int i = __builtin_ctzll(bits);
        const struct field *field = &rules->contract->fields[i];
        struct slice text =
            field->from == FROM_KEY ? record->key : kafka_record_header(record, field->header.ptr);
        r.event.v[i] = (struct field_value){0};
        if (text.ptr && (text.len > 0 || field->type == FIELD_STRING)) {
            r.verdict.present |= UINT64_C(1) << i;
            read_value(&r, i, text);
        }
        out->v[i] = r.event.v[i];
    }
    out->verdict = r.verdict;
}

/* ---- the trace ---- */

static int hex_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether any of the n bytes is not 0 is or-ed into *any. False: no lower-case hex. */
static bool read_hex(const char *text, uint8_t *out, size_t n, uint8_t *any)
{
    for (size_t i = 0; i < n; i++) {
        int high = hex_of(text[2 * i]), low = hex_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
        *any |= out[i];
    }
    return true;
}

bool trace_parse(struct slice text, struct trace *out)
{
    const size_t length = 55;
    uint8_t version, some = 0, trace = 0, parent = 0;
    *out = (struct trace){0};
    if (text.len < length || text.ptr[2] != '-' || text.ptr[35] != '-' || text.ptr[52] != '-')
        return false;
    bool sound = read_hex(text.ptr, &version, 1, &some) &&
                 read_hex(text.ptr + 3, out->trace_id, 16, &trace) &&
                 read_hex(text.ptr + 36, out->parent_id, 8, &parent) &&
                 read_hex(text.ptr + 53, &out->flags, 1, &some) && trace && parent &&
                 version != 0xff &&
                 (text.len == length || (version > 0 && text.ptr[length] == '-'));
    if (!sound)
        *out = (struct trace){0};
    out->present = sound;
    return sound;
}
