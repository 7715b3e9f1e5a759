#include "cmd/config_override.h"

#include "base/ensure.h"

static struct yaml_node *node_new(
    struct settings *settings, enum yaml_type type, const char *file, struct slice text)
{
    struct yaml_node *node = arena_zalloc(settings->arena, sizeof *node);
    ensure(node);
    node->type = type;
    node->file = file;
    node->plain = type == YAML_SCALAR;
    node->text = arena_slice(settings->arena, text);
    ensure(node->text.ptr);
    return node;
}

/* Where the value of a key goes, made when it is not there. */
static struct yaml_node **slot(
    struct settings *settings, struct yaml_node *mapping, const char *file, struct slice key)
{
    for (size_t i = 0; i < mapping->n; i++)
        if (slice_eq(mapping->keys[i]->text, key))
            return &mapping->values[i];
    size_t n = mapping->n;
    struct yaml_node **keys = arena_array(settings->arena, n + 1, sizeof *keys);
    struct yaml_node **values = arena_array(settings->arena, n + 1, sizeof *values);
    ensure(keys && values);
    if (n) {
        memcpy(keys, mapping->keys, n * sizeof *keys);
        memcpy(values, mapping->values, n * sizeof *values);
    }
    keys[n] = node_new(settings, YAML_SCALAR, file, key);
    values[n] = NULL;
    mapping->keys = keys;
    mapping->values = values;
    mapping->n = n + 1;
    return &values[n];
}

static struct yaml_node *read_value(struct settings *settings, const char *file, const char *text)
{
    struct yaml_node *node;
    struct err err;
    const char *pair = *text ? strchr("[]{}\"\"''", *text) : NULL;
    if (!pair || text[strlen(text) - 1] != pair[1])
        return node_new(settings, YAML_SCALAR, file, slice_from(text));
    if (yaml_parse(slice_from(text), file, settings->arena, &node, &err))
        return node;
    err_list_add(settings->errors, &err);
    return NULL;
}

void config_override(struct settings *settings, struct yaml_node *root, const char *override)
{
    const char *equals = strchr(override, '=');
    size_t len = equals ? (size_t)(equals - override) : strlen(override);
    char *file = arena_printf(settings->arena, "--set %.*s", (int)len, override);
    ensure(file);
    struct yaml_node place = {.file = file}, *mapping = root;
    if (!equals || len == 0) {
        settings_error(
            settings, &place, "expected KEY=VALUE, such as kafka.brokers=localhost:9092");
        return;
    }
    struct yaml_node *value = read_value(settings, file, equals + 1);
    if (!value)
        return;
    for (const char *p = override;;) {
        const char *dot = memchr(p, '.', (size_t)(equals - p));
        if (mapping != root && slice_starts(slice_from(override), SLICE("kafka.")))
            dot = NULL;
        struct slice key = slice_of(p, (size_t)((dot ? dot : equals) - p));
        struct yaml_node **to = slot(settings, mapping, file, key);
        if (!dot) {
            *to = value;
            return;
        }
        if (!*to || yaml_is_null(*to))
            *to = node_new(settings, YAML_MAPPING, file, SLICE(""));
        mapping = *to;
        if (mapping->type != YAML_MAPPING) {
            settings_error(settings, &place, "'%.*s' has no keys", SLICE_FMT(key));
            return;
        }
        p = dot + 1;
    }
}
