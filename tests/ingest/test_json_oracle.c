/*
 * The scanner against an oracle, on mutated events: jansson says what is JSON and what the strings
 * are, schoolbook arithmetic what the numbers are, timegm(3) what the times are.
 */
#include "tests/ingest/json_fixture.h"

#include <jansson.h>
#include <time.h>

#include "base/number.h"

/* Walks the members of valid JSON: key and value tokens, without their space. */
struct walk {
    const char *p;
};

static const char *token_end(const char *p)
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

static int text_depth(const char *p, size_t len)
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

static bool walk_next(struct walk *w, struct slice *key, struct slice *value)
{
    w->p += strspn(w->p, " \t\r\n,");
    if (*w->p != '"')
        return false;
    const char *end = token_end(w->p);
    *key = slice_of(w->p, (size_t)(end - w->p));
    w->p = end + strspn(end, " \t\r\n:");
    end = token_end(w->p);
    *value = slice_of(w->p, (size_t)(end - w->p));
    w->p = end;
    return true;
}

/* -2: out of range, else the rest that was cut: 0 none. Schoolbook: all digits, then the point
 * moves. */
static int scale_by_hand(struct slice token, int digits, int64_t *out)
{
    char d[512] = "";
    size_t n = 0;
    long exp10 = digits;
    bool negative = false, fraction = false;
    for (size_t i = 0; i < token.len; i++) {
        char c = token.ptr[i];
        if (c == '-')
            negative = true;
        else if (c == '.')
            fraction = true;
        else if (c == 'e' || c == 'E') {
            exp10 += strtol(token.ptr + i + 1, NULL, 10);
            break;
        } else {
            assert_true(n < sizeof d - 1);
            if (n || c != '0')
                d[n++] = c;
            exp10 -= fraction;
        }
    }
    *out = 0;
    if (n == 0)
        return 0;
    int128 v = 0;
    int rest = 0;
    bool up = false;
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
            char half[2] = {d[keep], 0};
            bool more = strspn(d + keep + 1, "0") < n - keep - 1;
            up = half[0] > '5' || (half[0] == '5' && (more || v % 2 == 1));
        }
    }
    v += up;
    v = negative ? -v : v;
    if (v < INT64_MIN || v > INT64_MAX)
        return -2;
    *out = (int64_t)v;
    return rest;
}

static bool time_by_hand(const char *s, size_t len, int64_t *ms)
{
    static const char pattern[] = "dddd-dd-ddTdd:dd:dd";
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
    size_t at = 19;
    int milli = 0;
    if (s[at] == '.') {
        size_t n = strspn(s + at + 1, "0123456789");
        if (!n)
            return false;
        char three[4] = "000";
        memcpy(three, s + at + 1, n < 3 ? n : 3);
        milli = atoi(three);
        at += 1 + n;
    }
    int offset = 0;
    if (s[at] == 'Z' || s[at] == 'z') {
        at++;
    } else if (s[at] == '+' || s[at] == '-') {
        if (len - at != 6 || s[at + 3] != ':' || strspn(s + at + 1, "0123456789") != 2 ||
            strspn(s + at + 4, "0123456789") != 2 || atoi(s + at + 1) > 23 || atoi(s + at + 4) > 59)
            return false;
        offset = (atoi(s + at + 1) * 60 + atoi(s + at + 4)) * (s[at] == '-' ? -1 : 1);
        at += 6;
    }
    if (at != len || at == 19 || !strchr("Zz0123456789", s[at - 1]) ||
        (s[at - 1] != 'Z' && s[at - 1] != 'z' && s[at - 6] != '+' && s[at - 6] != '-'))
        return false;
    seconds -= offset * 60;
    if (leap && (seconds % 86400 + 86400) % 86400 != 86399)
        return false;
    *ms = seconds * 1000 + (leap ? 999 : milli);
    return true;
}

/* What the contract says of one value; for an accepted number or time *num is it. */
static enum refusal judge(
    const struct field *field, const json_t *value, struct slice token, int64_t *num)
{
    *num = 0;
    if (json_is_null(value))
        return field->required || field == &contract.fields[AT] ? REFUSED_MISSING : REFUSED_NOT;
    if (field->type == FIELD_BOOL) {
        *num = json_is_true(value);
        return json_is_boolean(value) ? REFUSED_NOT : REFUSED_TYPE;
    }
    if (field->type == FIELD_STRING) {
        if (!json_is_string(value))
            return REFUSED_TYPE;
        if (json_string_length(value) > FIELD_STRING_MAX)
            return REFUSED_RANGE;
        struct slice s = slice_of(json_string_value(value), json_string_length(value));
        for (size_t i = 0; i < field->n_allowed; i++)
            if (slice_eq(s, field->allowed[i]))
                return REFUSED_NOT;
        return field->n_allowed ? REFUSED_NOT_ALLOWED : REFUSED_NOT;
    }
    bool is_text = field->type == FIELD_TIME && json_is_string(value);
    if (is_text && !time_by_hand(json_string_value(value), json_string_length(value), num))
        return REFUSED_TYPE;
    if (!is_text && !json_is_number(value))
        return REFUSED_TYPE;
    int rest =
        is_text ? 0 : scale_by_hand(token, field->type == FIELD_DECIMAL ? field->digits : 0, num);
    if (rest == -2)
        return REFUSED_RANGE;
    if (rest && field->type != FIELD_DECIMAL)
        return REFUSED_TYPE;
    if (field->type == FIELD_TIME)
        return *num < -62167219200000 || *num > 253402300799999 ? REFUSED_RANGE : REFUSED_NOT;
    return (field->has_min && *num < field->min) || (field->has_max && *num > field->max)
               ? REFUSED_RANGE
               : REFUSED_NOT;
}

/* Fills tokens of the fields; false when a field occurs twice. */
static bool field_tokens(const char *text, struct slice tokens[FIELDS])
{
    struct walk w = {text + strspn(text, " \t\r\n") + 1};
    struct slice key, value;
    while (walk_next(&w, &key, &value)) {
        json_t *name = json_loadb(key.ptr, key.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(name);
        for (int i = 0; i < FIELDS; i++) {
            struct slice s = slice_of(json_string_value(name), json_string_length(name));
            if (!slice_eq(s, contract.fields[i].name))
                continue;
            if (tokens[i].ptr) {
                json_decref(name);
                return false;
            }
            tokens[i] = value;
        }
        json_decref(name);
    }
    return true;
}

static int known, checked, accepted;

static void compare(struct fixture *f, const char *text, size_t len)
{
    enum refusal got = decode(f, text, len), want = REFUSED_NOT;
    json_error_t error;
    json_t *root = json_loadb(text, len, JSON_ALLOW_NUL, &error);
    struct slice tokens[FIELDS] = {{0}};
    int64_t num[FIELDS];
    if (!root && (json_error_code(&error) == json_error_numeric_overflow ||
                     json_error_code(&error) == json_error_null_byte_in_key))
        return; /* jansson's own limits: says nothing about the rest */
    checked++;
    if (!root || !json_is_object(root) || text_depth(text, len) > JSON_DEPTH_MAX ||
        !field_tokens(text, tokens)) {
        want = REFUSED_MALFORMED;
    } else {
        for (int i = 0; i < FIELDS; i++) {
            json_t *value =
                tokens[i].ptr ? json_object_get(root, contract.fields[i].name.ptr) : NULL;
            json_t *null = json_null();
            enum refusal r = judge(&contract.fields[i], value ? value : null, tokens[i], &num[i]);
            if (r != REFUSED_NOT && (want == REFUSED_NOT || r < want))
                want = r;
        }
    }
    if (got != want)
        fail_msg("%s, not %s: %.*s", refusal_name(got), refusal_name(want), (int)len, text);
    accepted += got == REFUSED_NOT;
    for (int i = 0; got == REFUSED_NOT && i < FIELDS; i++) {
        const struct field_value *v = &f->event.v[i];
        json_t *value = tokens[i].ptr ? json_object_get(root, contract.fields[i].name.ptr) : NULL;
        assert_int_equal(v->present, value && !json_is_null(value));
        if (!v->present)
            continue;
        known++;
        if (contract.fields[i].type == FIELD_STRING)
            assert_true(
                slice_eq(v->str, slice_of(json_string_value(value), json_string_length(value))));
        else if (v->num != num[i])
            fail_msg("%lld, not %lld: %.*s", (long long)v->num, (long long)num[i], (int)len, text);
    }
    json_decref(root);
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

static const char *const pieces[] = {"\"", "\\", "{", "}", "[", "]", ",", ":", "null", "true", "-",
    ".", "e", "E5", "0", "00", "5", "49999999999", "\\u0041", "\\ud83d\\ude00", "\\ude00",
    "\xc3\xa9", "\xff", "\"n\":1,", "\"note\":\"\",", "\"x\":[1,{}],", " ", "\t", "\n", "T",
    "+01:00", ":60", "\x01", "1e2", "\\n", "0.5", "2016-12-31T23:59:60Z"};

static size_t mutate(char *text, size_t len, uint64_t *x)
{
    size_t at = next_random(x) % (len + 1);
    const char *piece = pieces[next_random(x) % (sizeof pieces / sizeof *pieces)];
    size_t n = strlen(piece);
    switch (next_random(x) % 5) {
    case 0: /* a byte changes */
        if (at < len)
            text[at] = (char)next_random(x);
        return len;
    case 1: /* digits and letters become others */
        if (at < len)
            text[at] = "0123456789abcdefTZ+-.:\""[next_random(x) % 23];
        return len;
    case 2: /* bytes go */
        n = next_random(x) % 4;
        n = n > len - at ? len - at : n;
        memmove(text + at, text + at + n, len - at - n);
        return len - n;
    default: /* a piece comes */
        memmove(text + at + n, text + at, len - at);
        memcpy(text + at, piece, n);
        return len + n;
    }
}

static void test_against_oracle(void **state)
{
    static const char *const seeds[] = {
        "{\"id\":\"e1\",\"type\":\"placed\",\"at\":\"2026-11-21T10:00:00.25+01:00\",\"n\":12,"
        "\"amount\":48.95,"
        "\"big\":-17,\"flag\":true,\"note\":\"caf\xc3\xa9 \\u20ac\",\"a_rather_long_name_1\":null}",
        "{\"at\":1795255200000,\"id\":\"\",\"amount\":123456789012345678.5e-3,\"big\":"
        "9223372036854775807}",
        "{ \"id\" : \"x\" , \"at\":\"2016-12-31T23:59:60Z\" "
        ",\"z\":{\"a\":[1,2.5e-3,{\"b\":\"\\\"\"}]},\"amount\":0.005}",
        "{\"id\":\"1\",\"at\":\"2024-02-29T00:00:00Z\",\"n\":5,\"amount\":-0.125}",
    };
    struct fixture *f = *state;
    uint64_t x = 88172645463325252u;
    checked = accepted = known = 0;
    for (int i = 0; i < 60000; i++) {
        char text[1024];
        const char *seed = seeds[next_random(&x) % (sizeof seeds / sizeof *seeds)];
        size_t len = strlen(seed);
        memcpy(text, seed, len);
        for (uint64_t n = next_random(&x) % 4; n; n--)
            len = mutate(text, len, &x);
        text[len] = 0;
        compare(f, text, len);
    }
    /* The comparison must have seen both sides. */
    assert_true(checked > 50000);
    assert_true(accepted > 15000 && accepted < 50000);
    assert_true(known > 4 * accepted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_against_oracle, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
