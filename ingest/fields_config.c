#include "ingest/fields_config.h"

#include "base/ensure.h"
#include "base/nearest.h"
#include "base/number.h"
#include "ingest/json_scan.h"

#define ALLOWED_MAX    1024
#define DIGITS_DEFAULT 6

static const char *const type_names[] = {
    [FIELD_STRING] = "string",
    [FIELD_INT] = "int",
    [FIELD_DECIMAL] = "decimal",
    [FIELD_TIME] = "time",
    [FIELD_BOOL] = "bool",
};

static const char *const field_keys[] = {"type", "digits", "unit", "min", "max", "allowed",
    "required", "personal", "unbounded", "help", "from", "name"};

/* A bound must be exactly a number of the field: "min: 0.001" of 2 digits would mean something
 * else. */
static bool read_bound(struct settings *settings, const struct yaml_node *node, const char *what,
    const struct field *field, int64_t *out)
{
    struct slice text;
    struct json_number number;
    bool exact;
    if (field->type != FIELD_INT && field->type != FIELD_DECIMAL)
        return settings_error(settings, node, "only int and decimal fields have a '%s'", what);
    if (!settings_text(settings, node, what, &text))
        return false;
    const char *end = text.ptr + text.len;
    if (!node->plain || json_number_scan(text.ptr, end, &number) != end)
        return settings_error(
            settings, node, "'%s' must be a number, not '%.*s'", what, SLICE_FMT(text));
    if (!json_number_scale(&number, field->digits, out, &exact) || !exact)
        return settings_error(settings, node, "'%s' must fit a number with %d digits, not '%.*s'",
            what, field->digits, SLICE_FMT(text));
    return true;
}

static void read_bounds(
    struct settings *settings, const struct yaml_node *node, struct field *field)
{
    const struct yaml_node *min = yaml_get(node, "min"), *max = yaml_get(node, "max");
    field->has_min = min && read_bound(settings, min, "min", field, &field->min);
    field->has_max = max && read_bound(settings, max, "max", field, &field->max);
    if (field->has_min && field->has_max && field->min > field->max)
        settings_error(settings, max, "'max' is smaller than 'min'");
}

static void read_allowed(
    struct settings *settings, const struct yaml_node *node, struct field *field)
{
    if (field->type != FIELD_STRING) {
        settings_error(settings, node, "only string fields have a list of allowed values");
        return;
    }
    if (!settings_sequence(settings, node, "'allowed'"))
        return;
    if (node->n == 0 || node->n > ALLOWED_MAX) {
        settings_error(settings, node, "'allowed' must have 1 to %d values", ALLOWED_MAX);
        return;
    }
    struct slice *allowed = arena_array(settings->arena, node->n, sizeof *allowed);
    size_t n = 0;
    ensure(allowed);
    for (size_t i = 0; i < node->n; i++) {
        struct yaml_node *item = node->values[i];
        if (!settings_text(settings, item, "an allowed value", &allowed[n]))
            continue;
        bool twice = false;
        for (size_t k = 0; k < n; k++)
            twice |= slice_eq(allowed[k], allowed[n]);
        if (twice)
            settings_error(settings, item, "'%.*s' occurs twice", SLICE_FMT(allowed[n]));
        else if (allowed[n].len > FIELD_STRING_MAX)
            settings_error(settings, item, "a string has at most %d bytes", FIELD_STRING_MAX);
        else
            n++;
    }
    field->allowed = allowed;
    field->n_allowed = n;
}

static bool read_type(struct settings *settings, const struct yaml_node *node, struct field *field)
{
    int type;
    if (!settings_choice(settings, node, "a field's type", type_names, 5, &type))
        return false;
    field->type = (enum field_type)type;
    field->digits = field->type == FIELD_DECIMAL ? DIGITS_DEFAULT : 0;
    return true;
}

/* In the message, in its key, or in one of its headers. */
static void read_from(struct settings *settings, const struct yaml_node *node, struct field *field)
{
    static const char *const places[] = {
        [FROM_VALUE] = "value", [FROM_KEY] = "key", [FROM_HEADER] = "header"};
    const struct yaml_node *from = yaml_get(node, "from"), *name = yaml_get(node, "name");
    int place = FROM_VALUE;
    if (from)
        settings_choice(settings, from, "'from'", places, 3, &place);
    field->from = (enum field_from)place;
    if (field->from == FROM_HEADER && !name)
        settings_need(settings, node, "name", "the name of the header");
    if (!name)
        return;
    if (field->from != FROM_HEADER)
        settings_error(settings, name, "only a field 'from: header' has the 'name' of one");
    else if (settings_text(settings, name, "'name'", &field->header) &&
             field->header.len > FIELD_NAME_MAX)
        settings_error(settings, name, "a header's name has 1 to %d bytes", FIELD_NAME_MAX);
}

static bool read_field(struct settings *settings, const struct yaml_node *node, struct field *field)
{
    if (node->type == YAML_SCALAR && !yaml_is_null(node)) /* "store: string" */
        return read_type(settings, node, field);
    if (!settings_mapping(
            settings, node, "a field", field_keys, sizeof field_keys / sizeof *field_keys))
        return false;
    const struct yaml_node *type =
        settings_need(settings, node, "type", "string, int, decimal, time or bool");
    if (!type || !read_type(settings, type, field))
        return false;
    const struct yaml_node *value;
    int64_t digits = field->digits;
    if ((value = yaml_get(node, "digits"))) {
        if (field->type != FIELD_DECIMAL)
            settings_error(settings, value, "only decimal fields have digits");
        else
            settings_int(settings, value, "'digits'", 0, DIGITS_MAX, &digits);
    }
    field->digits = (int)digits;
    read_bounds(settings, node, field);
    read_from(settings, node, field);
    if ((value = yaml_get(node, "allowed")))
        read_allowed(settings, value, field);
    if ((value = yaml_get(node, "required")))
        settings_bool(settings, value, "'required'", &field->required);
    if ((value = yaml_get(node, "personal")))
        settings_bool(settings, value, "'personal'", &field->personal);
    if ((value = yaml_get(node, "unbounded")))
        settings_bool(settings, value, "'unbounded'", &field->unbounded);
    if ((value = yaml_get(node, "unit")))
        settings_text(settings, value, "'unit'", &field->unit);
    if ((value = yaml_get(node, "help")))
        settings_text(settings, value, "'help'", &field->help);
    return true;
}

bool fields_config_read(
    struct settings *settings, const struct yaml_node *node, struct contract *contract)
{
    bool sound = true;
    if (!settings_names(settings, node, "'fields'"))
        return false;
    if (node->n == 0 || node->n > FIELDS_MAX)
        return settings_error(settings, node, "a stream has 1 to %d fields", FIELDS_MAX);
    for (size_t i = 0; i < node->n; i++) {
        struct field *field = &contract->fields[i];
        field->name = node->keys[i]->text;
        if (field->name.len == 0 || field->name.len > FIELD_NAME_MAX)
            settings_error(
                settings, node->keys[i], "a field's name has 1 to %d bytes", FIELD_NAME_MAX);
        sound &= read_field(settings, node->values[i], field);
    }
    contract->n_fields = node->n;
    return sound;
}

int fields_config_find(struct settings *settings, const struct yaml_node *node, const char *what,
    const struct contract *contract)
{
    struct slice names[FIELDS_MAX], text;
    if (!settings_text(settings, node, what, &text))
        return -1;
    for (size_t i = 0; i < contract->n_fields; i++) {
        names[i] = contract->fields[i].name;
        if (slice_eq(names[i], text))
            return (int)i;
    }
    int near = nearest_find(text, names, contract->n_fields);
    if (near >= 0)
        settings_error(settings, node, "%s: no field '%.*s', did you mean '%.*s'?", what,
            SLICE_FMT(text), SLICE_FMT(names[near]));
    else
        settings_error(settings, node, "%s: no field '%.*s' in 'fields'", what, SLICE_FMT(text));
    return -1;
}
