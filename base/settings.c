#include "base/settings.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/ensure.h"
#include "base/nearest.h"

#define KNOWN_MAX    64
#define DURATION_MAX INT64_C(3155760000000) /* 100 years of 365.25 days */

static bool add(
    struct settings *settings, const struct yaml_node *at, enum err_code code, const char *text)
{
    struct err err;
    err_set(&err, code, "%s", text);
    err_at(&err, at->file, at->line, at->col);
    err_list_add(settings->errors, &err);
    return false;
}

bool settings_error(struct settings *settings, const struct yaml_node *at, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return add(settings, at, ERR_INVALID, text);
}

bool settings_error_inside(
    struct settings *settings, const struct yaml_node *scalar, const struct err *err)
{
    struct err placed = *err;
    int line, col;
    yaml_place(scalar, (size_t)(err->col - 1), &line, &col);
    err_at(&placed, scalar->file, line, col);
    err_list_add(settings->errors, &placed);
    return false;
}

const struct yaml_node *settings_need(struct settings *settings, const struct yaml_node *mapping,
    const char *key, const char *example)
{
    const struct yaml_node *node = yaml_get(mapping, key);
    if (!node)
        settings_error(settings, mapping, "'%s' is missing: %s", key, example);
    return node;
}

static const char *found(const struct yaml_node *node)
{
    return node->type == YAML_MAPPING    ? "a mapping"
           : node->type == YAML_SEQUENCE ? "a list"
           : yaml_is_null(node)          ? "empty"
                                         : "a single value";
}

/* ---- collections ---- */

bool settings_names(struct settings *settings, const struct yaml_node *node, const char *what)
{
    if (node->type == YAML_MAPPING)
        return true;
    return settings_error(
        settings, node, "%s must be a mapping of keys and values, it is %s", what, found(node));
}

static void check_key(
    struct settings *settings, const struct yaml_node *key, const struct slice *known, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(known[i], key->text))
            return;
    int near = nearest_find(key->text, known, n);
    if (near >= 0)
        settings_error(settings, key, "unknown key '%.*s', did you mean '%.*s'?",
            SLICE_FMT(key->text), SLICE_FMT(known[near]));
    else
        settings_error(settings, key, "unknown key '%.*s'", SLICE_FMT(key->text));
}

bool settings_mapping(struct settings *settings, const struct yaml_node *node, const char *what,
    const char *const *known, size_t n_known)
{
    struct slice names[KNOWN_MAX];
    ensure(n_known <= KNOWN_MAX);
    if (!settings_names(settings, node, what))
        return false;
    for (size_t i = 0; i < n_known; i++)
        names[i] = slice_from(known[i]);
    for (size_t i = 0; i < node->n; i++)
        check_key(settings, node->keys[i], names, n_known);
    return true;
}

bool settings_sequence(struct settings *settings, const struct yaml_node *node, const char *what)
{
    if (node->type == YAML_SEQUENCE)
        return true;
    return settings_error(
        settings, node, "%s must be a list such as [a, b], it is %s", what, found(node));
}

/* ---- scalars ---- */

bool settings_text(
    struct settings *settings, const struct yaml_node *node, const char *what, struct slice *out)
{
    if (node->type != YAML_SCALAR)
        return settings_error(
            settings, node, "%s must be a single value, it is %s", what, found(node));
    if (yaml_is_null(node) || node->text.len == 0)
        return settings_error(settings, node, "%s has no value", what);
    *out = node->text;
    return true;
}

bool settings_bool(
    struct settings *settings, const struct yaml_node *node, const char *what, bool *out)
{
    struct slice text = {0};
    if (!settings_text(settings, node, what, &text))
        return false;
    if (!node->plain || (!slice_is(text, "true") && !slice_is(text, "false")))
        return settings_error(
            settings, node, "%s must be true or false, not '%.*s'", what, SLICE_FMT(text));
    *out = slice_is(text, "true");
    return true;
}

/* Collected below zero, where there is one value more. */
static bool parse_int(struct slice text, int64_t *out)
{
    bool negative = text.len && text.ptr[0] == '-';
    int64_t v = 0;
    if (text.len == (size_t)negative)
        return false;
    for (size_t i = negative; i < text.len; i++) {
        char c = text.ptr[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, c - '0', &v))
            return false;
    }
    *out = v;
    return negative || !__builtin_sub_overflow(0, v, out);
}

bool settings_int(struct settings *settings, const struct yaml_node *node, const char *what,
    int64_t min, int64_t max, int64_t *out)
{
    struct slice text = {0};
    int64_t v;
    if (!settings_text(settings, node, what, &text))
        return false;
    if (!parse_int(text, &v) || v < min || v > max)
        return settings_error(settings, node,
            "%s must be a whole number from %lld to %lld, not '%.*s'", what, (long long)min,
            (long long)max, SLICE_FMT(text));
    *out = v;
    return true;
}

static void list_choices(char *out, size_t size, const char *const *choices, size_t n)
{
    size_t len = 0;
    out[0] = 0;
    for (size_t i = 0; i < n && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s",
            i == 0       ? ""
            : i + 1 == n ? " or "
                         : ", ",
            choices[i]);
}

bool settings_choice(struct settings *settings, const struct yaml_node *node, const char *what,
    const char *const *choices, size_t n, int *out)
{
    struct slice text = {0};
    char all[256];
    if (!settings_text(settings, node, what, &text))
        return false;
    for (size_t i = 0; i < n; i++)
        if (slice_is(text, choices[i])) {
            *out = (int)i;
            return true;
        }
    list_choices(all, sizeof all, choices, n);
    return settings_error(settings, node, "%s must be %s, not '%.*s'", what, all, SLICE_FMT(text));
}

/* ---- quantities ---- */

bool duration_setting_parse(struct slice text, int64_t *ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {
        {"y", INT64_C(31536000000)},
        {"w", 604800000},
        {"d", 86400000},
        {"h", 3600000},
        {"m", 60000},
        {"s", 1000},
        {"ms", 1},
    };
    const char *p = text.ptr, *end = p + text.len;
    int64_t total = 0;
    size_t next = 0; /* units behind this one may still come */
    if (p == end)
        return false;
    while (p < end) {
        int64_t v = 0;
        const char *first = p;
        for (; p < end && *p >= '0' && *p <= '9' && v <= DURATION_MAX; p++)
            v = v * 10 + (*p - '0');
        const char *unit = p;
        while (p < end && *p >= 'a' && *p <= 'z')
            p++;
        size_t i = next;
        while (i < 7 && !slice_is(slice_of(unit, (size_t)(p - unit)), units[i].name))
            i++;
        if (unit == first || i == 7 || __builtin_mul_overflow(v, units[i].ms, &v) ||
            v > DURATION_MAX - total)
            return false;
        total += v;
        next = i + 1;
    }
    *ms = total;
    return true;
}

bool settings_duration(
    struct settings *settings, const struct yaml_node *node, const char *what, int64_t *ms)
{
    struct slice text = {0};
    if (!settings_text(settings, node, what, &text))
        return false;
    if (!duration_setting_parse(text, ms))
        return settings_error(settings, node,
            "%s must be a duration such as 5s, 30m, 24h or 1h30m, not '%.*s'", what,
            SLICE_FMT(text));
    return true;
}

bool settings_bytes(
    struct settings *settings, const struct yaml_node *node, const char *what, uint64_t *out)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    struct slice text = {0};
    if (!settings_text(settings, node, what, &text))
        return false;
    size_t i = 0;
    uint64_t v = 0;
    for (; i < text.len && i < 12 && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++)
        v = v * 10 + (uint64_t)(text.ptr[i] - '0');
    for (size_t k = 0; i > 0 && k < 5; k++)
        if (slice_is(slice_of(text.ptr + i, text.len - i), units[k]) &&
            v <= (UINT64_C(1) << 60) >> (10 * k)) {
            *out = v << (10 * k);
            return true;
        }
    return settings_error(settings, node, "%s must be a size such as 512MiB or 2GiB, not '%.*s'",
        what, SLICE_FMT(text));
}
