#include "ingest/avro/avro_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/map.h"
#include "base/mem.h"

#define NAME_MAX_BYTES 256
#define PLACE_MAX      256

struct avro_schema {
    struct arena arena;
    json_t *texts[AVRO_SCHEMA_TEXTS_MAX]; /* defaults point into them */
    size_t n_texts;
    const struct avro_node *root;
    size_t n_nodes, bytes;
};

struct parser {
    struct avro_schema *schema;
    bool writer;              /* without defaults */
    struct avro_node **named; /* records, enums, fixed */
    size_t n_named, named_cap;
    struct map by_name;
    int depth;
    char place[PLACE_MAX]; /* "Order.items" */
    size_t place_len;
    struct err *err;
};

static const char *const primitive_names[AVRO_PRIMITIVES] = {
    "null", "boolean", "int", "long", "float", "double", "bytes", "string"};

/* ---- errors, and where ---- */

#define WRONG(p, ...) wrong(p, ERR_INVALID, __VA_ARGS__)

static void *wrong(struct parser *p, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void *wrong(struct parser *p, enum err_code code, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (p->place_len)
        err_set(p->err, code, "%s: %s", p->place, text);
    else
        err_set(p->err, code, "%s", text);
    return NULL;
}

/* Goes to a part; the result is given to leave. */
static size_t enter(struct parser *p, const char *between, struct slice part)
{
    size_t before = p->place_len;
    int n = snprintf(p->place + before, sizeof p->place - before, "%s%.*s", before ? between : "",
        (int)(part.len < 64 ? part.len : 64), part.ptr);
    if (n > 0)
        p->place_len +=
            (size_t)n < sizeof p->place - before ? (size_t)n : sizeof p->place - before - 1;
    return before;
}

static void leave(struct parser *p, size_t before)
{
    p->place_len = before;
    p->place[before] = 0;
}

/* ---- JSON ---- */

static struct slice text_of(const json_t *json)
{
    return slice_of(json_string_value(json), json_string_length(json));
}

/* The member's text; {NULL, 0} when it is not there or no text. */
static struct slice member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? text_of(value) : (struct slice){NULL, 0};
}

static struct slice keep(struct parser *p, struct slice s)
{
    return arena_slice(&p->schema->arena, s);
}

static void *make(struct parser *p, size_t n, size_t size)
{
    return arena_zalloc(&p->schema->arena, (n ? n : 1) * size);
}

static struct avro_node *new_node(struct parser *p, enum avro_type type)
{
    if (p->schema->n_nodes == AVRO_NODES_MAX)
        return wrong(p, ERR_LIMIT, "a schema has at most %d types", AVRO_NODES_MAX);
    struct avro_node *node = make(p, 1, sizeof *node);
    node->type = type;
    node->default_symbol = -1;
    node->number = p->schema->n_nodes++;
    return node;
}

/* ---- names ---- */

/* Letters of all scripts, as the reference implementation knows them. */
static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (uint8_t)c >= 0x80;
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return s.len > 0 && s.len <= NAME_MAX_BYTES;
}

/* Nobody checks namespaces, and those of topics ("eu-1.orders") are everywhere. */
static bool is_space(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.ptr[i] < ' ')
            return false;
    return s.len <= NAME_MAX_BYTES;
}

struct slice avro_short_name(struct slice name)
{
    for (size_t i = name.len; i > 0; i--)
        if (name.ptr[i - 1] == '.')
            return slice_of(name.ptr + i, name.len - i);
    return name;
}

static struct slice space_of(struct slice name)
{
    struct slice last = avro_short_name(name);
    return slice_of(name.ptr, last.len == name.len ? 0 : name.len - last.len - 1);
}

/* A name, with its namespace perhaps. */
static bool is_full_name(struct slice s)
{
    return s.ptr && s.len && s.ptr[0] != '.' && is_name(avro_short_name(s)) &&
           is_space(space_of(s));
}

/* The name in the namespace, unless it has one itself. */
static struct slice full_name(struct parser *p, struct slice name, struct slice space)
{
    if (space.len == 0 || memchr(name.ptr, '.', name.len))
        return keep(p, name);
    const char *full =
        arena_printf(&p->schema->arena, "%.*s.%.*s", SLICE_FMT(space), SLICE_FMT(name));
    return slice_from(full);
}

static int primitive_of(struct slice name)
{
    for (int i = 0; i < AVRO_PRIMITIVES; i++)
        if (slice_is(name, primitive_names[i]))
            return i;
    return -1;
}

static bool named_is(const void *ctx, const void *key, uint32_t id)
{
    const struct parser *p = ctx;
    return slice_eq(p->named[id]->name, *(const struct slice *)key);
}

static struct avro_node *find_named(const struct parser *p, struct slice name)
{
    uint32_t id = map_find(&p->by_name, hash64(name.ptr, name.len), named_is, p, &name);
    return id == MAP_NONE ? NULL : p->named[id];
}

/* Name and aliases of a record, enum or fixed; it can be referred to from now on. */
static bool read_name(
    struct parser *p, const json_t *json, struct slice space, struct avro_node *node)
{
    struct slice name = member(json, "name");
    const json_t *own = json_object_get(json, "namespace");
    if (!is_full_name(name))
        return WRONG(p, "a %s needs a name of letters, digits and _",
                   text_of(json_object_get(json, "type")).ptr) != NULL;
    if (json_is_string(own)) {
        space = text_of(own);
        if (!is_space(space))
            return WRONG(p, "'%.*s' is no namespace", SLICE_FMT(space)) != NULL;
    }
    node->name = full_name(p, name, space);
    if (primitive_of(node->name) >= 0 || find_named(p, node->name))
        return WRONG(p, "the name '%.*s' is defined twice", SLICE_FMT(node->name)) != NULL;
    map_insert(&p->by_name, hash64(node->name.ptr, node->name.len), (uint32_t)p->n_named);
    GROW(p->named, p->named_cap, p->n_named + 1);
    p->named[p->n_named++] = node;
    return true;
}

/* space NULL: those of a field, which may be anything that a writer may have called it. */
static bool read_aliases(struct parser *p, const json_t *json, const struct slice *space,
    const struct slice **out, size_t *n)
{
    const json_t *list = json_object_get(json, "aliases");
    if (!list)
        return true;
    if (!json_is_array(list))
        return WRONG(p, "'aliases' is a list of names") != NULL;
    struct slice *aliases = make(p, json_array_size(list), sizeof *aliases);
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct slice name = text_of(json_array_get(list, i));
        if (space ? !is_full_name(name) : !name.ptr)
            return WRONG(p, "an alias is a name of letters, digits and _") != NULL;
        aliases[i] = space ? full_name(p, name, *space) : keep(p, name);
    }
    *out = aliases;
    *n = json_array_size(list);
    return true;
}

/* ---- logical types ---- */

static bool small_int(const json_t *json, int least, int greatest, int *out)
{
    if (!json_is_integer(json) || json_integer_value(json) < least ||
        json_integer_value(json) > greatest)
        return false;
    *out = (int)json_integer_value(json);
    return true;
}

/* The digits of 2^(8 * size - 1) - 1, and no more than AVRO_DECIMAL_DIGITS. */
static int digits_of_fixed(size_t size)
{
    size_t bits = size < 64 ? 8 * size : 512;
    size_t digits = bits ? (bits - 1) * 30103 / 100000 : 0; /* log10(2), good enough up to here */
    return digits < AVRO_DECIMAL_DIGITS ? (int)digits : AVRO_DECIMAL_DIGITS;
}

static void read_decimal(const json_t *json, struct avro_node *node)
{
    const json_t *scale = json_object_get(json, "scale");
    int most = node->type == AVRO_FIXED ? digits_of_fixed(node->size) : AVRO_DECIMAL_DIGITS;
    int precision, digits = 0;
    if (!small_int(json_object_get(json, "precision"), 1, most, &precision) ||
        (scale && !small_int(scale, 0, precision, &digits)))
        return;
    node->logical = LOGICAL_DECIMAL;
    node->precision = precision;
    node->scale = digits;
}

static void read_logical(const json_t *json, struct avro_node *node)
{
    static const struct {
        const char *name;
        enum avro_type type;
        enum avro_logical logical;
    } known[] = {
        {"date", AVRO_INT, LOGICAL_DATE},
        {"timestamp-millis", AVRO_LONG, LOGICAL_TIMESTAMP_MILLIS},
        {"timestamp-micros", AVRO_LONG, LOGICAL_TIMESTAMP_MICROS},
        {"timestamp-nanos", AVRO_LONG, LOGICAL_TIMESTAMP_NANOS},
        {"local-timestamp-millis", AVRO_LONG, LOGICAL_TIMESTAMP_MILLIS},
        {"local-timestamp-micros", AVRO_LONG, LOGICAL_TIMESTAMP_MICROS},
        {"local-timestamp-nanos", AVRO_LONG, LOGICAL_TIMESTAMP_NANOS},
        {"uuid", AVRO_STRING, LOGICAL_UUID},
    };
    struct slice name = member(json, "logicalType");
    if (!name.ptr)
        return;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (slice_is(name, known[i].name) && node->type == known[i].type)
            node->logical = known[i].logical;
    if (slice_is(name, "uuid") && node->type == AVRO_FIXED && node->size == 16)
        node->logical = LOGICAL_UUID;
    if (slice_is(name, "decimal") && (node->type == AVRO_BYTES || node->type == AVRO_FIXED))
        read_decimal(json, node);
}

/* ---- types ---- */

static const struct avro_node *parse(struct parser *p, const json_t *json, struct slice space);

static bool read_field(
    struct parser *p, const json_t *json, struct slice space, struct avro_field *field)
{
    const json_t *type = json_object_get(json, "type");
    struct slice name = member(json, "name");
    if (!name.ptr || !is_name(name))
        return WRONG(p, "a field needs a name of letters, digits and _") != NULL;
    size_t before = enter(p, ".", name);
    field->name = keep(p, name);
    if (!type)
        return WRONG(p, "a field needs a type") != NULL;
    field->type = parse(p, type, space);
    field->value = p->writer ? NULL : json_object_get(json, "default");
    if (!field->type || !read_aliases(p, json, NULL, &field->aliases, &field->n_aliases))
        return false;
    leave(p, before);
    return true;
}

static bool name_is(const void *ctx, const void *key, uint32_t id)
{
    const struct slice *names = ctx;
    return slice_eq(names[id], *(const struct slice *)key);
}

static bool names_differ(struct parser *p, const struct slice *names, size_t n, const char *what)
{
    struct map seen;
    bool ok = true;
    map_init(&seen);
    for (size_t i = 0; i < n && ok; i++) {
        uint64_t hash = hash64(names[i].ptr, names[i].len);
        ok = map_find(&seen, hash, name_is, names, &names[i]) == MAP_NONE;
        if (ok)
            map_insert(&seen, hash, (uint32_t)i);
        else
            WRONG(p, "%s '%.*s' occurs twice", what, SLICE_FMT(names[i]));
    }
    map_fini(&seen);
    return ok;
}

static struct avro_node *new_named(
    struct parser *p, const json_t *json, struct slice space, enum avro_type type)
{
    struct avro_node *node = new_node(p, type);
    if (!node || !read_name(p, json, space, node))
        return NULL;
    space = space_of(node->name);
    return read_aliases(p, json, &space, &node->aliases, &node->n_aliases) ? node : NULL;
}

static const struct avro_node *parse_record(
    struct parser *p, const json_t *json, struct slice space)
{
    const json_t *list = json_object_get(json, "fields");
    struct avro_node *node = new_named(p, json, space, AVRO_RECORD);
    if (!node)
        return NULL;
    size_t before = enter(p, ".", avro_short_name(node->name)), n = json_array_size(list);
    if (!json_is_array(list))
        return WRONG(p, "a record needs a list of 'fields'");
    struct avro_field *fields = make(p, n, sizeof *fields);
    struct slice *names = make(p, n, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        if (!read_field(p, json_array_get(list, i), space_of(node->name), &fields[i]))
            return NULL;
        names[i] = fields[i].name;
    }
    if (!names_differ(p, names, n, "the field"))
        return NULL;
    node->fields = fields;
    node->n = n;
    leave(p, before);
    return node;
}

static bool read_default_symbol(struct parser *p, const json_t *json, struct avro_node *node)
{
    struct slice symbol = member(json, "default");
    if (!json_object_get(json, "default"))
        return true;
    for (size_t i = 0; i < node->n; i++)
        if (symbol.ptr && slice_eq(node->symbols[i], symbol))
            node->default_symbol = (int)i;
    return node->default_symbol >= 0 || WRONG(p, "the default of enum %.*s is none of its symbols",
                                            SLICE_FMT(node->name)) != NULL;
}

static const struct avro_node *parse_enum(struct parser *p, const json_t *json, struct slice space)
{
    const json_t *list = json_object_get(json, "symbols");
    struct avro_node *node = new_named(p, json, space, AVRO_ENUM);
    if (!node)
        return NULL;
    size_t n = json_array_size(list);
    if (n == 0)
        return WRONG(p, "enum %.*s needs a list of 'symbols'", SLICE_FMT(node->name));
    struct slice *symbols = make(p, n, sizeof *symbols);
    for (size_t i = 0; i < n; i++) {
        struct slice symbol = text_of(json_array_get(list, i));
        if (!symbol.ptr || !is_name(symbol))
            return WRONG(p, "a symbol of enum %.*s is no name", SLICE_FMT(node->name));
        symbols[i] = keep(p, symbol);
    }
    node->symbols = symbols;
    node->n = n;
    return names_differ(p, symbols, n, "the symbol") && read_default_symbol(p, json, node) ? node
                                                                                           : NULL;
}

static const struct avro_node *parse_fixed(struct parser *p, const json_t *json, struct slice space)
{
    int size;
    struct avro_node *node = new_named(p, json, space, AVRO_FIXED);
    if (!node)
        return NULL;
    if (!small_int(json_object_get(json, "size"), 0, AVRO_SCHEMA_BYTES_MAX, &size))
        return WRONG(p, "fixed %.*s needs a 'size' in bytes", SLICE_FMT(node->name));
    node->size = (size_t)size;
    read_logical(json, node);
    return node;
}

/* What an array or a map consists of. */
static const struct avro_node *parse_items(
    struct parser *p, const json_t *json, struct slice space, enum avro_type type)
{
    const char *key = type == AVRO_MAP ? "values" : "items";
    const json_t *items = json_object_get(json, key);
    struct avro_node *node = new_node(p, type);
    if (!node)
        return NULL;
    if (!items)
        return WRONG(p, "%s needs '%s'", type == AVRO_MAP ? "a map" : "an array", key);
    size_t before = enter(p, "", type == AVRO_MAP ? SLICE("{}") : SLICE("[]"));
    const struct avro_node **branches = make(p, 1, sizeof *branches);
    branches[0] = parse(p, items, space);
    node->branches = branches;
    node->n = 1;
    leave(p, before);
    return branches[0] ? node : NULL;
}

/* Two branches may not be told apart by the same name: of a type, or of what is named. */
static bool branches_differ(struct parser *p, const struct avro_node *node)
{
    struct slice *names = make(p, node->n, sizeof *names);
    char text[AVRO_TYPE_TEXT_MAX];
    for (size_t i = 0; i < node->n; i++) {
        const struct avro_node *b = node->branches[i];
        if (b->type == AVRO_UNION)
            return WRONG(p, "a union directly inside a union") != NULL;
        names[i] = b->name.len                 ? b->name
                   : b->type < AVRO_PRIMITIVES ? slice_from(primitive_names[b->type])
                                               : keep(p, slice_from(avro_type_text(b, text)));
    }
    return names_differ(p, names, node->n, "the union's branch");
}

static const struct avro_node *parse_union(struct parser *p, const json_t *json, struct slice space)
{
    struct avro_node *node = new_node(p, AVRO_UNION);
    if (!node)
        return NULL;
    size_t n = json_array_size(json);
    const struct avro_node **branches = make(p, n, sizeof *branches);
    if (n == 0)
        return WRONG(p, "a union needs a branch");
    for (size_t i = 0; i < n; i++)
        if (!(branches[i] = parse(p, json_array_get(json, i), space)))
            return NULL;
    node->branches = branches;
    node->n = n;
    return branches_differ(p, node) ? node : NULL;
}

/* A primitive type, or what was named before. */
static const struct avro_node *parse_reference(
    struct parser *p, struct slice name, struct slice space)
{
    int primitive = primitive_of(name);
    if (primitive >= 0)
        return new_node(p, (enum avro_type)primitive);
    const struct avro_node *found = find_named(p, full_name(p, name, space));
    if (!found)
        found = find_named(p, name);
    return found ? found
                 : WRONG(p, "no type '%.*s' is known here", (int)(name.len < 128 ? name.len : 128),
                       name.ptr);
}

static const struct avro_node *parse_object(
    struct parser *p, const json_t *json, struct slice space)
{
    const json_t *type = json_object_get(json, "type");
    struct slice name = member(json, "type");
    if (!name.ptr) /* {"type": {...}} and {"type": [...]} are what is inside */
        return type ? parse(p, type, space) : WRONG(p, "a type is missing");
    if (slice_is(name, "record") || slice_is(name, "error"))
        return parse_record(p, json, space);
    if (slice_is(name, "enum"))
        return parse_enum(p, json, space);
    if (slice_is(name, "fixed"))
        return parse_fixed(p, json, space);
    if (slice_is(name, "array"))
        return parse_items(p, json, space, AVRO_ARRAY);
    if (slice_is(name, "map"))
        return parse_items(p, json, space, AVRO_MAP);
    int primitive = primitive_of(name);
    if (primitive < 0)
        return parse_reference(p, name, space);
    struct avro_node *node = new_node(p, (enum avro_type)primitive);
    if (node)
        read_logical(json, node);
    return node;
}

/* Recursion ends at AVRO_DEPTH_MAX. */
static const struct avro_node *parse(struct parser *p, const json_t *json, struct slice space)
{
    const struct avro_node *node;
    if (p->depth == AVRO_DEPTH_MAX)
        return wrong(p, ERR_LIMIT, "types inside types go at most %d deep", AVRO_DEPTH_MAX);
    p->depth++;
    if (json_is_string(json))
        node = parse_reference(p, text_of(json), space);
    else if (json_is_array(json))
        node = parse_union(p, json, space);
    else if (json_is_object(json))
        node = parse_object(p, json, space);
    else
        node = WRONG(p, "a type is a name, an object or a list");
    p->depth--;
    return node;
}

/* ---- texts ---- */

static json_t *load(struct slice text, struct err *err)
{
    json_error_t error;
    json_t *json = json_loadb(
        text.ptr, text.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!json)
        err_set(err, ERR_INVALID, "the schema is no JSON: line %d, column %d: %s", error.line,
            error.column, error.text);
    return json;
}

static bool parse_texts(struct parser *p, const struct slice *texts, size_t n)
{
    struct avro_schema *schema = p->schema;
    for (size_t i = 0; i < n; i++) {
        json_t *json = load(texts[i], p->err);
        if (!json)
            return false;
        schema->texts[schema->n_texts++] = json;
        schema->root = parse(p, json, SLICE(""));
        if (!schema->root)
            return false;
    }
    return true;
}

static void give_back_texts(struct avro_schema *schema)
{
    for (size_t i = 0; i < schema->n_texts; i++)
        json_decref(schema->texts[i]);
    schema->n_texts = 0;
}

static bool parse_all(
    const struct slice *texts, size_t n, bool writer, struct avro_schema **out, struct err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += texts[i].len < AVRO_SCHEMA_BYTES_MAX ? texts[i].len : AVRO_SCHEMA_BYTES_MAX + 1;
    if (n == 0 || n > AVRO_SCHEMA_TEXTS_MAX || bytes > AVRO_SCHEMA_BYTES_MAX)
        return err_set(err, ERR_LIMIT,
            "a schema of %zu texts and %zu bytes; at most %d and %u are allowed", n, bytes,
            AVRO_SCHEMA_TEXTS_MAX, AVRO_SCHEMA_BYTES_MAX);
    struct avro_schema *schema = xcalloc(1, sizeof *schema);
    struct parser parser = {.schema = schema, .writer = writer, .err = err};
    schema->bytes = bytes;
    arena_init(&schema->arena, 0); /* everything in it is bounded by the text */
    map_init(&parser.by_name);
    bool ok = parse_texts(&parser, texts, n);
    map_fini(&parser.by_name);
    free(parser.named);
    if (ok && writer)
        give_back_texts(schema);
    if (ok)
        *out = schema;
    else
        avro_schema_free(&schema);
    return ok;
}

bool avro_schema_parse(
    const struct slice *texts, size_t n, struct avro_schema **out, struct err *err)
{
    return parse_all(texts, n, false, out, err);
}

bool avro_schema_parse_writer(
    const struct slice *texts, size_t n, struct avro_schema **out, struct err *err)
{
    return parse_all(texts, n, true, out, err);
}

void avro_schema_free(struct avro_schema **schema)
{
    struct avro_schema *s = *schema;
    *schema = NULL;
    if (!s)
        return;
    give_back_texts(s);
    arena_fini(&s->arena);
    free(s);
}

const struct avro_node *avro_schema_root(const struct avro_schema *schema)
{
    return schema->root;
}

size_t avro_schema_bytes(const struct avro_schema *schema)
{
    return schema->bytes;
}

/* ---- for messages ---- */

static const char *logical_name(enum avro_logical logical)
{
    static const char *const names[] = {
        [LOGICAL_NONE] = "",
        [LOGICAL_DECIMAL] = " (decimal)",
        [LOGICAL_UUID] = " (uuid)",
        [LOGICAL_DATE] = " (date)",
        [LOGICAL_TIMESTAMP_MILLIS] = " (timestamp-millis)",
        [LOGICAL_TIMESTAMP_MICROS] = " (timestamp-micros)",
        [LOGICAL_TIMESTAMP_NANOS] = " (timestamp-nanos)",
    };
    return names[logical];
}

const char *avro_type_text(const struct avro_node *node, char *out)
{
    static const char *const complex[] = {"record", "enum", "array", "map", "union", "fixed"};
    const char *type = node->type < AVRO_PRIMITIVES ? primitive_names[node->type]
                                                    : complex[node->type - AVRO_RECORD];
    snprintf(out, AVRO_TYPE_TEXT_MAX, "%s%s%.*s%s", type, node->name.len ? " " : "",
        (int)node->name.len, node->name.len ? node->name.ptr : "", logical_name(node->logical));
    return out;
}
