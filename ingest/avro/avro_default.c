#include "ingest/avro/avro_default.h"

#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "ingest/json_scan.h"

/* A default may need the defaults of other fields, over and over. */
#define STEPS_MAX 10000

struct encoder {
    struct buf *out;
    int depth, steps;
};

static bool encode(struct encoder *e, const json_t *value, const struct avro_node *type);

static bool encode_long(struct encoder *e, const json_t *value, int64_t least, int64_t greatest)
{
    int64_t v = json_integer_value(value);
    if (!json_is_integer(value) || v < least || v > greatest)
        return false;
    buf_svarint(e->out, v);
    return true;
}

static bool encode_float(struct encoder *e, const json_t *value)
{
    float f = (float)json_number_value(value);
    uint32_t bits;
    if (!json_is_number(value))
        return false;
    memcpy(&bits, &f, sizeof bits);
    buf_le32(e->out, bits);
    return true;
}

static bool encode_double(struct encoder *e, const json_t *value)
{
    double d = json_number_value(value);
    uint64_t bits;
    if (!json_is_number(value))
        return false;
    memcpy(&bits, &d, sizeof bits);
    buf_le64(e->out, bits);
    return true;
}

/* The code points of the text are the bytes: "\u00ff" is 0xff. */
static bool add_bytes(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint8_t c = (uint8_t)text[i++];
        if (c >= 0x80) {
            if (c > 0xc3 || i == len)
                return false;
            c = (uint8_t)(c << 6 | ((uint8_t)text[i++] & 0x3f));
        }
        buf_u8(out, c);
    }
    return true;
}

static bool encode_bytes(struct encoder *e, const json_t *value, const struct avro_node *type)
{
    struct buf bytes;
    buf_init(&bytes, AVRO_DEFAULT_BYTES_MAX);
    bool ok = json_is_string(value) &&
              add_bytes(&bytes, json_string_value(value), json_string_length(value)) &&
              !bytes.failed && (type->type == AVRO_BYTES || bytes.len == type->size);
    if (ok && type->type == AVRO_BYTES)
        buf_svarint(e->out, (int64_t)bytes.len);
    if (ok)
        buf_slice(e->out, buf_view(&bytes));
    buf_fini(&bytes);
    return ok;
}

static bool encode_string(struct encoder *e, const json_t *value)
{
    if (!json_is_string(value))
        return false;
    buf_svarint(e->out, (int64_t)json_string_length(value));
    buf_add(e->out, json_string_value(value), json_string_length(value));
    return true;
}

static bool encode_enum(struct encoder *e, const json_t *value, const struct avro_node *type)
{
    if (!json_is_string(value))
        return false;
    struct slice symbol = slice_of(json_string_value(value), json_string_length(value));
    for (size_t i = 0; i < type->n; i++)
        if (slice_eq(type->symbols[i], symbol)) {
            buf_svarint(e->out, (int64_t)i);
            return true;
        }
    return false;
}

static bool encode_record(struct encoder *e, const json_t *value, const struct avro_node *type)
{
    if (!json_is_object(value))
        return false;
    for (size_t i = 0; i < type->n; i++) {
        const struct avro_field *field = &type->fields[i];
        const json_t *v =
            json_object_getn((json_t *)(uintptr_t)value, field->name.ptr, field->name.len);
        if (!v)
            v = field->value;
        if (!v || !encode(e, v, field->type))
            return false;
    }
    return true;
}

/* One block, unless there is nothing. */
static bool encode_items(struct encoder *e, const json_t *value, const struct avro_node *type)
{
    size_t n = json_is_array(value) ? json_array_size(value) : json_object_size(value);
    const char *key;
    json_t *item, *object = (json_t *)(uintptr_t)value;
    size_t i;
    if (type->type == AVRO_MAP ? !json_is_object(value) : !json_is_array(value))
        return false;
    if (n)
        buf_svarint(e->out, (int64_t)n);
    json_array_foreach(value, i, item) if (!encode(e, item, type->branches[0])) return false;
    json_object_foreach(object, key, item)
    {
        buf_svarint(e->out, (int64_t)strlen(key));
        buf_str(e->out, key);
        if (!encode(e, item, type->branches[0]))
            return false;
    }
    buf_svarint(e->out, 0);
    return true;
}

static bool encode_union(struct encoder *e, const json_t *value, const struct avro_node *type)
{
    size_t before = e->out->len;
    for (size_t i = 0; i < type->n; i++) {
        buf_svarint(e->out, (int64_t)i);
        if (encode(e, value, type->branches[i]))
            return true;
        e->out->len = before;
    }
    return false;
}

static bool encode_type(struct encoder *e, const json_t *value, const struct avro_node *type)
{
    switch (type->type) {
    case AVRO_NULL: return json_is_null(value);
    case AVRO_BOOLEAN: buf_u8(e->out, json_is_true(value)); return json_is_boolean(value);
    case AVRO_INT: return encode_long(e, value, INT32_MIN, INT32_MAX);
    case AVRO_LONG: return encode_long(e, value, INT64_MIN, INT64_MAX);
    case AVRO_FLOAT: return encode_float(e, value);
    case AVRO_DOUBLE: return encode_double(e, value);
    case AVRO_BYTES:
    case AVRO_FIXED: return encode_bytes(e, value, type);
    case AVRO_STRING: return encode_string(e, value);
    case AVRO_ENUM: return encode_enum(e, value, type);
    case AVRO_RECORD: return encode_record(e, value, type);
    case AVRO_ARRAY:
    case AVRO_MAP: return encode_items(e, value, type);
    case AVRO_UNION: return encode_union(e, value, type);
    }
    ensure(false);
    return false;
}

/* Ends at AVRO_DEPTH_MAX, or when there is too much: schemas may say so by defaults alone. */
static bool encode(struct encoder *e, const json_t *value, const struct avro_node *type)
{
    if (e->depth == AVRO_DEPTH_MAX || ++e->steps > STEPS_MAX || e->out->failed)
        return false;
    e->depth++;
    bool ok = encode_type(e, value, type);
    e->depth--;
    return ok && !e->out->failed;
}

bool avro_default_encode(const json_t *value, const struct avro_node *type, struct buf *out)
{
    struct encoder e = {.out = out};
    return encode(&e, value, type);
}
