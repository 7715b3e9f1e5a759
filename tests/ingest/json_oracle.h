/*
 * What an event in JSON must come to, found slowly: jansson says what is JSON and what the strings
 * are, schoolbook arithmetic what the numbers are, timegm(3) what the times are. Only limits of
 * jansson's own leave it without an opinion: numbers beyond a double, and keys with U+0000.
 */
#ifndef TESTS_INGEST_JSON_ORACLE_H
#define TESTS_INGEST_JSON_ORACLE_H

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/ensure.h"
#include "base/number.h"
#include "ingest/json_event.h"

struct oracle {
    bool silent; /* it has no opinion */
    enum refusal refusal;
    int field;    /* the first with that reason, or -1 */
    json_t *root; /* strings borrow from it */
    struct field_value v[FIELDS_MAX];
};

/* Walks the members of valid JSON: key and value tokens, without their space. */
struct oracle_walk {
    const char *p;
};

static inline const char *oracle_token_end(const char *p)
{
    int depth = 0;
    for (;; p++) {
        if (*p == '"') {
            for (p++; *p != '"'; p++)
                if (*p == '\\')
                    p++;
        } else if (*p == '[' || *p == '{') {
            depth++;
        } else if (depth && (*p == ']' || *p == '}')) {
            depth--;
        } else if (!depth && strchr(",:]} \t\r\n", *p)) {
            return p;
        }
        if (!depth && strchr("\"]}", *p))
            return p + 1;
    }
}

static inline int oracle_depth(const char *p, size_t len)
{
    int depth = 0, max = 0;
    bool string = false;
    for (size_t i = 0; i < len; i++) {
        if (string && p[i] == '\\')
            i++;
        else if (p[i] == '"')
            string = !string;
        else if (!string && (p[i] == '[' || p[i] == '{'))
            max = ++depth > max ? depth : max;
        else if (!string && (p[i] == ']' || p[i] == '}'))
            depth--;
    }
    return max;
}

static inline bool oracle_walk_next(struct oracle_walk *w, struct slice *key, struct slice *value)
{
    w->p += strspn(w->p, " \t\r\n,");
    if (*w->p != '"')
        return false;
    const char *end = oracle_token_end(w->p);
    *key = slice_of(w->p, (size_t)(end - w->p));
    w->p = end + strspn(end, " \t\r\n:");
    end = oracle_token_end(w->p);
    *value = slice_of(w->p, (size_t)(end - w->p));
    w->p = end;
    return true;
}

/* The digits of a number without its leading zeros, and the power of ten of the last of them. */
static inline size_t oracle_digits(struct slice token, char *d, int64_t *exp10)
{
    size_t n = 0;
    bool fraction = false;
    for (size_t i = 0; i < token.len; i++) {
        char c = token.ptr[i];
        if (c == '.') {
            fraction = true;
        } else if (c == 'e' || c == 'E') {
            int64_t e = strtol(token.ptr + i + 1, NULL, 10); /* stays at the ends of its range */
            *exp10 += e > 1000000000 ? 1000000000 : e < -1000000000 ? -1000000000 : e;
            break;
        } else if (c != '-') {
            if (n || c != '0')
                d[n++] = c;
            *exp10 -= fraction;
        }
    }
    return n;
}

/* -2: out of range, else whether something was cut. Schoolbook: all digits, then the point moves.
 * d has room for the token. */
static inline int oracle_scale(struct slice token, int digits, char *d, int64_t *out)
{
    int64_t exp10 = digits;
    size_t n = oracle_digits(token, d, &exp10);
    *out = 0;
    if (n == 0)
        return 0;
    int128 v = 0;
    int rest = 0;
    bool up = false;
    d[n] = 0;
    if (exp10 >= 0) {
        if (n + (size_t)exp10 > 20)
            return -2;
        for (size_t i = 0; i < n + (size_t)exp10; i++)
            v = v * 10 + (i < n ? d[i] - '0' : 0);
    } else {
        size_t keep = (size_t)-exp10 > n ? 0 : n - (size_t)-exp10;
        if (keep > 20)
            return -2;
        for (size_t i = 0; i < keep; i++)
            v = v * 10 + (d[i] - '0');
        rest = strspn(d + keep, "0") < n - keep;
        if ((size_t)-exp10 <= n) {
            bool more = strspn(d + keep + 1, "0") < n - keep - 1;
            up = d[keep] > '5' || (d[keep] == '5' && (more || v % 2 == 1));
        }
    }
    v += up;
    v = token.ptr[0] == '-' ? -v : v;
    if (v < INT64_MIN || v > INT64_MAX)
        return -2;
    *out = (int64_t)v;
    return rest;
}

static inline bool oracle_offset(const char *s, size_t len, int *minutes)
{
    if (len == 1 && (*s == 'Z' || *s == 'z')) {
        *minutes = 0;
        return true;
    }
    if (len != 6 || (*s != '+' && *s != '-') || s[3] != ':' || strspn(s + 1, "0123456789") != 2 ||
        strspn(s + 4, "0123456789") != 2 || atoi(s + 1) > 23 || atoi(s + 4) > 59)
        return false;
    *minutes = (atoi(s + 1) * 60 + atoi(s + 4)) * (*s == '-' ? -1 : 1);
    return true;
}

/* s ends in NUL, and may have others inside. */
static inline bool oracle_time(const char *s, size_t len, int64_t *ms)
{
    static const char pattern[] = "dddd-dd-ddTdd:dd:dd";
    int minutes, milli = 0;
    size_t at = 19;
    if (len < 20)
        return false;
    for (int i = 0; i < 19; i++)
        if (pattern[i] == 'd' ? !(s[i] >= '0' && s[i] <= '9')
                              : s[i] != pattern[i] && !(pattern[i] == 'T' && s[i] == 't'))
            return false;
    struct tm tm = {.tm_year = atoi(s) - 1900,
                  .tm_mon = atoi(s + 5) - 1,
                  .tm_mday = atoi(s + 8),
                  .tm_hour = atoi(s + 11),
                  .tm_min = atoi(s + 14),
                  .tm_sec = atoi(s + 17)},
              was = tm;
    bool leap = was.tm_sec == 60;
    if (leap)
        was.tm_sec = tm.tm_sec = 59;
    int64_t seconds = timegm(&tm);
    if (tm.tm_mon != was.tm_mon || tm.tm_mday != was.tm_mday || tm.tm_hour != was.tm_hour ||
        tm.tm_min != was.tm_min || tm.tm_sec != was.tm_sec)
        return false;
    if (s[at] == '.') {
        size_t n = strspn(s + at + 1, "0123456789");
        if (!n)
            return false;
        char three[4] = "000";
        memcpy(three, s + at + 1, n < 3 ? n : 3);
        milli = atoi(three);
        at += 1 + n;
    }
    if (!oracle_offset(s + at, len - at, &minutes))
        return false;
    seconds -= minutes * 60;
    if (leap && (seconds % 86400 + 86400) % 86400 != 86399)
        return false;
    *ms = seconds * 1000 + (leap ? 999 : milli);
    return true;
}

static inline enum refusal oracle_string(
    const struct field *field, const json_t *value, struct field_value *out)
{
    if (!json_is_string(value))
        return REFUSED_TYPE;
    out->str = slice_of(json_string_value(value), json_string_length(value));
    if (out->str.len > FIELD_STRING_MAX)
        return REFUSED_RANGE;
    for (size_t i = 0; i < field->n_allowed; i++)
        if (slice_eq(out->str, field->allowed[i]))
            return REFUSED_NOT;
    return field->n_allowed ? REFUSED_NOT_ALLOWED : REFUSED_NOT;
}

static inline enum refusal oracle_number(const struct field *field, const json_t *value,
    struct slice token, char *room, struct field_value *out)
{
    bool is_text = field->type == FIELD_TIME && json_is_string(value);
    if (is_text && !oracle_time(json_string_value(value), json_string_length(value), &out->num))
        return REFUSED_TYPE;
    if (!is_text && !json_is_number(value))
        return REFUSED_TYPE;
    int digits = field->type == FIELD_DECIMAL ? field->digits : 0;
    int rest = is_text ? 0 : oracle_scale(token, digits, room, &out->num);
    if (rest == -2)
        return REFUSED_RANGE;
    if (rest && field->type != FIELD_DECIMAL)
        return REFUSED_TYPE;
    if (field->type == FIELD_TIME)
        return out->num < -62167219200000 || out->num > 253402300799999 ? REFUSED_RANGE
                                                                        : REFUSED_NOT;
    return (field->has_min && out->num < field->min) || (field->has_max && out->num > field->max)
               ? REFUSED_RANGE
               : REFUSED_NOT;
}

/* What the contract says of one value; NULL: it is not there. */
static inline enum refusal oracle_judge(const struct field *field, bool required,
    const json_t *value, struct slice token, char *room, struct field_value *out)
{
    *out = (struct field_value){0};
    if (!value || json_is_null(value))
        return required ? REFUSED_MISSING : REFUSED_NOT;
    out->present = true;
    if (field->type == FIELD_BOOL) {
        out->num = json_is_true(value);
        return json_is_boolean(value) ? REFUSED_NOT : REFUSED_TYPE;
    }
    return field->type == FIELD_STRING ? oracle_string(field, value, out)
                                       : oracle_number(field, value, token, room, out);
}

/* Fills tokens of the fields. False: a field occurs twice, *twice. */
static inline bool oracle_tokens(
    const struct contract *c, const char *text, struct slice *tokens, int *twice)
{
    struct oracle_walk w = {text + strspn(text, " \t\r\n") + 1};
    struct slice key, value;
    while (oracle_walk_next(&w, &key, &value)) {
        json_t *name = json_loadb(key.ptr, key.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        ensure(name);
        struct slice s = slice_of(json_string_value(name), json_string_length(name));
        int at = -1;
        for (int i = 0; i < (int)c->n_fields; i++)
            if (slice_eq(s, c->fields[i].name))
                at = i;
        json_decref(name);
        if (at < 0)
            continue;
        if (tokens[at].ptr) {
            *twice = at;
            return false;
        }
        tokens[at] = value;
    }
    return true;
}

static inline void oracle_fields(
    struct oracle *o, const struct contract *c, const struct slice *tokens, char *room)
{
    for (int i = 0; i < (int)c->n_fields; i++) {
        const struct field *field = &c->fields[i];
        json_t *value = tokens[i].ptr ? json_object_get(o->root, field->name.ptr) : NULL;
        bool required = field->required || i == c->event_time;
        enum refusal r = oracle_judge(field, required, value, tokens[i], room, &o->v[i]);
        if (r != REFUSED_NOT && (o->refusal == REFUSED_NOT || r < o->refusal)) {
            o->refusal = r;
            o->field = i;
        }
    }
}

/* The fields' names end in NUL. The caller gives root back. */
static inline void oracle_ask(
    struct oracle *o, const struct contract *c, const char *payload, size_t len)
{
    json_error_t error;
    struct slice tokens[FIELDS_MAX] = {{0}};
    *o = (struct oracle){.field = -1, .refusal = REFUSED_NOT};
    if (len && memchr(payload, 0, len)) { /* which jansson overlooks behind a number */
        o->refusal = REFUSED_MALFORMED;
        return;
    }
    o->root = json_loadb(payload, len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    o->silent = !o->root && (json_error_code(&error) == json_error_numeric_overflow ||
                                json_error_code(&error) == json_error_null_byte_in_key);
    if (o->silent)
        return;
    char *text = malloc(2 * len + 2), *room = text + len + 1;
    ensure(text);
    memcpy(text, payload, len);
    text[len] = 0;
    if (!o->root || !json_is_object(o->root) || len > EVENT_BYTES_MAX ||
        oracle_depth(text, len) > JSON_DEPTH_MAX || !oracle_tokens(c, text, tokens, &o->field))
        o->refusal = REFUSED_MALFORMED;
    else
        oracle_fields(o, c, tokens, room);
    free(text);
}

/* Whether the decoder says what the oracle says; *why is what differs. */
static inline bool oracle_agrees(const struct oracle *o, enum refusal refusal,
    const struct event *event, int field, const char **why)
{
    *why = "reason";
    if (refusal != o->refusal)
        return false;
    *why = "field of the reason";
    if (refusal > REFUSED_MALFORMED && field != o->field)
        return false;
    for (size_t i = 0; refusal == REFUSED_NOT && i < event->contract->n_fields; i++) {
        const struct field_value *v = &event->v[i];
        *why = "presence";
        if (v->present != o->v[i].present)
            return false;
        *why = "value";
        if (v->present && event->contract->fields[i].type == FIELD_STRING
                ? !slice_eq(v->str, o->v[i].str)
                : v->present && v->num != o->v[i].num)
            return false;
    }
    return true;
}

#endif
