/*
 * Runs a program over a message. Nothing is read behind the message's end, whatever the schema and
 * the bytes say, and what they can make the run take is bounded by STEPS_MAX, not by the message's
 * length: items may have no bytes at all, and records of records of nothing neither.
 */
#include "base/bytes.h"
#include "base/ensure.h"
#include "base/number.h"
#include "ingest/avro/avro_number.h"
#include "ingest/avro/avro_ops.h"
#include "ingest/json_event.h"
#include "ingest/json_scan.h"

#define ITEMS_MAX EVENT_BYTES_MAX /* of all arrays and maps of a message */
#define CALLS_MAX 128             /* deep */
/* Ops of a message, counted when a routine returns: some for each byte that there can be. */
#define STEPS_MAX (16u * EVENT_BYTES_MAX)
#define UUID_TEXT 36

struct run {
    const struct avro_program *program;
    struct event *event;
    struct verdict verdict;
    struct arena *scratch;
    const uint8_t *at, *end;
    uint64_t items, steps;
    int depth;
    bool unknown; /* a branch or symbol that the reader's schema has not */
};

/* ---- the wire ---- */

static inline bool get_long(struct run *r, int64_t *out)
{
    uint64_t v = 0;
    for (int shift = 0; r->at < r->end && shift < 64; shift += 7) {
        uint8_t byte = *r->at++;
        if (shift == 63 && byte > 1)
            return false;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = unzigzag(v);
            return true;
        }
    }
    return false;
}

static inline bool get_bytes(struct run *r, uint64_t n, struct slice *out)
{
    if (n > (uint64_t)(r->end - r->at))
        return false;
    *out = slice_of(r->at, n);
    r->at += n;
    return true;
}

static inline bool get_counted(struct run *r, struct slice *out)
{
    int64_t n;
    return get_long(r, &n) && n >= 0 && get_bytes(r, (uint64_t)n, out);
}

/* ---- values to fields ---- */

static inline uint64_t bit_of(const struct avro_op *op)
{
    return UINT64_C(1) << op->field;
}

static void put_number(struct run *r, const struct avro_op *op, int64_t v)
{
    event_number(r->event, r->program->rules, &r->verdict, op->field, v);
}

static const struct field *field_of(const struct run *r, const struct avro_op *op)
{
    return &r->program->rules->contract->fields[op->field];
}

/* As json_event.c does it: a number that was cut is no int and no time. */
static void put_scaled(struct run *r, const struct avro_op *op, bool fits, bool exact, int64_t v)
{
    if (!fits)
        r->verdict.bad_range |= bit_of(op);
    else if (!exact && field_of(r, op)->type != FIELD_DECIMAL)
        r->verdict.bad_type |= bit_of(op);
    else
        put_number(r, op, v);
}

static void put_double(struct run *r, const struct avro_op *op, double d)
{
    int64_t v = 0;
    bool exact = false, fits = avro_scale_double(d, field_of(r, op)->digits, &v, &exact);
    put_scaled(r, op, fits, exact, v);
}

static void put_long(struct run *r, const struct avro_op *op, int64_t v)
{
    int64_t scaled = 0;
    bool fits;
    r->verdict.present |= bit_of(op);
    switch ((enum avro_take)op->take) {
    case TAKE_DAYS: put_number(r, op, v * 86400000); break;
    case TAKE_MICROS: put_number(r, op, floor_div(v, 1000)); break;
    case TAKE_NANOS: put_number(r, op, floor_div(v, 1000000)); break;
    case TAKE_FLOAT: put_double(r, op, (double)(float)v); break;
    case TAKE_DOUBLE: put_double(r, op, (double)v); break;
    default:
        fits = avro_scale_long(v, field_of(r, op)->digits, &scaled);
        put_scaled(r, op, fits, true, scaled);
    }
}

static void put_uuid(struct run *r, const struct avro_op *op, struct slice bytes)
{
    static const char hex[] = "0123456789abcdef";
    char text[UUID_TEXT], *p = text;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[(uint8_t)bytes.ptr[i] >> 4];
        *p++ = hex[bytes.ptr[i] & 15];
    }
    struct slice kept = arena_slice(r->scratch, slice_of(text, sizeof text));
    ensure(kept.ptr);
    event_text(r->event, r->program->rules, &r->verdict, op->field, kept, kept.ptr + kept.len);
}

static bool put_text(struct run *r, const struct avro_op *op, struct slice text)
{
    if (!utf8_is_valid(text)) {
        r->verdict.bad_type |= bit_of(op);
        return op->take == TAKE_BYTES;
    }
    event_text(r->event, r->program->rules, &r->verdict, op->field, text, (const char *)r->end);
    return true;
}

static bool put_bytes(struct run *r, const struct avro_op *op, struct slice bytes)
{
    int64_t v = 0;
    bool exact = false, fits;
    r->verdict.present |= bit_of(op);
    switch ((enum avro_take)op->take) {
    case TAKE_TIME_TEXT:
        if (time_parse_rfc3339(bytes, &v))
            put_number(r, op, v);
        else
            r->verdict.bad_type |= bit_of(op);
        return true;
    case TAKE_DECIMAL:
        fits = avro_scale_decimal(bytes, (int)op->b, field_of(r, op)->digits, &v, &exact);
        put_scaled(r, op, fits, exact, v);
        return true;
    case TAKE_UUID: put_uuid(r, op, bytes); return true;
    default: return put_text(r, op, bytes);
    }
}

/* ---- ops ---- */

static bool run(struct run *r, uint32_t pc);

/* A routine inside another. */
static bool call(struct run *r, uint32_t pc)
{
    if (r->depth == CALLS_MAX || r->steps > STEPS_MAX)
        return false;
    r->depth++;
    bool ok = run(r, pc);
    r->depth--;
    return ok;
}

/* n items, or -n and the bytes that they take; 0 ends. */
static bool run_block(struct run *r, const struct avro_op *op, int64_t n)
{
    struct slice key;
    int64_t bytes = -1;
    if (n < 0 && (n == INT64_MIN || !get_long(r, &bytes) || bytes < 0))
        return false;
    const uint8_t *start = r->at;
    uint64_t items = (uint64_t)(n < 0 ? -n : n);
    if (items > ITEMS_MAX - r->items)
        return false;
    r->items += items;
    for (uint64_t i = 0; i < items; i++)
        if ((op->b && !get_counted(r, &key)) || !call(r, op->a))
            return false;
    return bytes < 0 || r->at - start == bytes;
}

static bool run_blocks(struct run *r, const struct avro_op *op)
{
    for (int64_t n;;) {
        if (!get_long(r, &n))
            return false;
        if (n == 0)
            return true;
        if (!run_block(r, op, n))
            return false;
    }
}

static bool run_union(struct run *r, const struct avro_op *op)
{
    int64_t branch;
    if (!get_long(r, &branch))
        return false;
    if (branch < 0 || branch >= op->b)
        return false;
    return call(r, r->program->branches[op->a + (uint32_t)branch]);
}

/* The default's bytes were made by us. */
static bool run_default(struct run *r, const struct avro_op *op)
{
    const uint8_t *at = r->at, *end = r->end;
    struct slice bytes = r->program->constants[op->b];
    r->at = (const uint8_t *)bytes.ptr;
    r->end = r->at + bytes.len;
    bool ok = call(r, op->a);
    r->at = at;
    r->end = end;
    return ok;
}

static bool run_boolean(struct run *r, const struct avro_op *op)
{
    if (r->at == r->end || *r->at > 1)
        return false;
    if (op->take == TAKE_BOOLEAN) {
        r->verdict.present |= bit_of(op);
        r->event->v[op->field].num = *r->at;
    }
    r->at++;
    return true;
}

static bool run_long(struct run *r, const struct avro_op *op)
{
    int64_t v;
    if (!get_long(r, &v) || (op->code == OP_INT && v != (int32_t)v))
        return false;
    if (op->take != TAKE_NOTHING)
        put_long(r, op, v);
    return true;
}

static bool run_float(struct run *r, const struct avro_op *op)
{
    struct slice bytes;
    uint32_t bits;
    float f;
    if (!get_bytes(r, sizeof f, &bytes))
        return false;
    if (op->take == TAKE_NOTHING)
        return true;
    bits = le32_get(bytes.ptr);
    memcpy(&f, &bits, sizeof f);
    r->verdict.present |= bit_of(op);
    put_double(r, op, (double)f);
    return true;
}

static bool run_double(struct run *r, const struct avro_op *op)
{
    struct slice bytes;
    uint64_t bits;
    double d;
    if (!get_bytes(r, sizeof d, &bytes))
        return false;
    if (op->take == TAKE_NOTHING)
        return true;
    bits = le64_get(bytes.ptr);
    memcpy(&d, &bits, sizeof d);
    r->verdict.present |= bit_of(op);
    put_double(r, op, d);
    return true;
}

static bool run_bytes(struct run *r, const struct avro_op *op)
{
    struct slice bytes;
    if (!(op->code == OP_FIXED ? get_bytes(r, op->a, &bytes) : get_counted(r, &bytes)))
        return false;
    return op->take == TAKE_NOTHING || put_bytes(r, op, bytes);
}

static bool run_enum(struct run *r, const struct avro_op *op)
{
    int64_t at;
    if (!get_long(r, &at) || at < 0 || at >= op->b)
        return false;
    struct slice symbol = r->program->symbols[op->a + (uint32_t)at];
    r->unknown |= !symbol.ptr;
    if (op->take == TAKE_NOTHING || !symbol.ptr)
        return true;
    r->verdict.present |= bit_of(op);
    event_text(
        r->event, r->program->rules, &r->verdict, op->field, symbol, symbol.ptr + symbol.len);
    return true;
}

/* Ops until the routine's end; false: malformed. Recursion ends at CALLS_MAX, and all of it when
 * there were too many steps. */
static bool run(struct run *r, uint32_t pc)
{
    const struct avro_op *first = &r->program->ops[pc];
    for (const struct avro_op *op = first;; op++) {
        bool ok = true;
        switch ((enum avro_code)op->code) {
        case OP_RETURN: r->steps += (uint64_t)(op - first) + 1; return true;
        case OP_REFUSE: r->unknown = true; break;
        case OP_CALL: ok = call(r, op->a); break;
        case OP_BLOCKS: ok = run_blocks(r, op); break;
        case OP_UNION: ok = run_union(r, op); break;
        case OP_DEFAULT: ok = run_default(r, op); break;
        case OP_MARK:
            r->verdict.present |= bit_of(op);
            r->verdict.bad_type |= bit_of(op);
            break;
        case OP_NULL: break;
        case OP_BOOLEAN: ok = run_boolean(r, op); break;
        case OP_INT:
        case OP_LONG: ok = run_long(r, op); break;
        case OP_FLOAT: ok = run_float(r, op); break;
        case OP_DOUBLE: ok = run_double(r, op); break;
        case OP_BYTES:
        case OP_FIXED: ok = run_bytes(r, op); break;
        case OP_ENUM: ok = run_enum(r, op); break;
        }
        if (!ok)
            return false;
    }
}

enum refusal avro_decode_beside(const struct avro_program *program,
    const struct record_fields *beside, struct slice payload, struct arena *scratch,
    struct event *out, int *field)
{
    struct run r = {.program = program,
        .event = out,
        .scratch = scratch,
        .at = (const uint8_t *)payload.ptr,
        .end = (const uint8_t *)payload.ptr + payload.len};
    if (field)
        *field = -1;
    event_clear(out, program->rules, beside, &r.verdict);
    if (payload.len > EVENT_BYTES_MAX || !run(&r, program->start) || r.at != r.end)
        return REFUSED_MALFORMED;
    if (r.unknown)
        return REFUSED_SCHEMA;
    return event_end(out, program->rules, &r.verdict, field);
}

enum refusal avro_decode(const struct avro_program *program, struct slice payload,
    struct arena *scratch, struct event *out, int *field)
{
    return avro_decode_beside(program, NULL, payload, scratch, out, field);
}
