/*
 * The scanner by tables of good and bad events, and against an oracle on mutated ones: jansson says
 * what is JSON and what the strings are, schoolbook arithmetic what the numbers are, timegm(3) what
 * the times are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/number.h"
#include "ingest/json_event.h"

enum { ID, TYPE, AT, N, AMOUNT, BIG, FLAG, NOTE, LONG_1, LONG_2, FIELDS };

#define F(n, t, ...)                                                                               \
    {                                                                                              \
        .name = {n, sizeof(n) - 1}, .type = t, __VA_ARGS__                                         \
    }

static const struct slice types[] = {
    {"placed", 6}, {"delivered", 9}, {"out for delivery", 16}, {"", 0}};

static const struct contract contract = {
    .stream = {"test", 4},
    .n_fields = FIELDS,
    .event_time = AT,
    .event_id = ID,
    .key = -1,
    .fields =
        {
            F("id", FIELD_STRING, .required = true),
            F("type", FIELD_STRING, .allowed = types, .n_allowed = 4),
            F("at", FIELD_TIME),
            F("n", FIELD_INT, .has_min = true, .min = -5, .has_max = true, .max = 1000),
            F("amount", FIELD_DECIMAL, .digits = 2),
            F("big", FIELD_INT),
            F("flag", FIELD_BOOL),
            F("note", FIELD_STRING),
            F("a_rather_long_name_1", FIELD_STRING),
            F("a_rather_long_name_2", FIELD_STRING),
        },
};

struct fixture {
    struct json_decoder *decoder;
    struct arena scratch;
    struct event event;
    int field;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->decoder = json_decoder_new(&contract);
    arena_init(&f->scratch, 256u << 10);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    json_decoder_free(&f->decoder);
    arena_fini(&f->scratch);
    free(f);
    return 0;
}

/* The bytes are copied to a block of exactly their size, so that AddressSanitizer sees an overrun.
 */
static enum refusal decode(struct fixture *f, const char *text, size_t len)
{
    static char *block;
    free(block);
    block = malloc(len ? len : 1);
    if (len)
        memcpy(block, text, len);
    arena_reset(&f->scratch);
    return json_decode(f->decoder, slice_of(block, len), &f->scratch, &f->event, &f->field);
}

static enum refusal decode_text(struct fixture *f, const char *text)
{
    return decode(f, text, strlen(text));
}

/* An event with one more field, given as a member: "\"n\":5". */
static enum refusal decode_with(struct fixture *f, const char *member)
{
    char *text;
    assert_true(asprintf(&text, "{\"id\":\"e1\",\"at\":\"2026-11-21T10:00:00Z\",%s}", member) > 0);
    enum refusal r = decode_text(f, text);
    free(text);
    return r;
}

static void test_whole_event(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        decode_text(f,
            " {\"note\":null,\"id\" : \"e1\",\"other\":{\"a\":[1,{\"b\":[]}],\"c\":{}},\"type\":"
            "\"delivered\",\n\"at\":1795255200000,\"n\":-5,\"amount\":48.95,\"flag\":true,"
            "\"a_rather_long_name_2\":\"x\"}\t\r\n"),
        REFUSED_NOT);
    const struct event *e = &f->event;
    assert_int_equal(f->field, -1);
    assert_ptr_equal(e->contract, &contract);
    assert_true(slice_is(e->v[ID].str, "e1"));
    assert_true(slice_is(e->v[TYPE].str, "delivered"));
    assert_int_equal(e->time_ms, 1795255200000);
    assert_int_equal(e->v[N].num, -5);
    assert_int_equal(e->v[AMOUNT].num, 4895);
    assert_int_equal(e->v[FLAG].num, 1);
    assert_true(slice_is(e->v[LONG_2].str, "x"));
    assert_true(e->v[FLAG].present && e->v[LONG_2].present);
    assert_false(e->v[NOTE].present || e->v[LONG_1].present || e->v[BIG].present);
}

/* id and at are there; the member decides. */
static void test_members(void **state)
{
    static const struct {
        const char *member;
        enum refusal refusal;
        int field;
    } cases[] = {
        {"\"n\":1000", REFUSED_NOT, -1},
        {"\"n\":1001", REFUSED_RANGE, N},
        {"\"n\":-6", REFUSED_RANGE, N},
        {"\"n\":3.0", REFUSED_NOT, -1},
        {"\"n\":30e-1", REFUSED_NOT, -1},
        {"\"n\":3.5", REFUSED_TYPE, N},
        {"\"n\":1e-400", REFUSED_TYPE, N},
        {"\"n\":\"3\"", REFUSED_TYPE, N},
        {"\"n\":true", REFUSED_TYPE, N},
        {"\"n\":[1]", REFUSED_TYPE, N},
        {"\"n\":{}", REFUSED_TYPE, N},
        {"\"n\":null", REFUSED_NOT, -1},
        {"\"n\":01", REFUSED_MALFORMED, -1},
        {"\"n\":-", REFUSED_MALFORMED, -1},
        {"\"n\":1.", REFUSED_MALFORMED, -1},
        {"\"n\":.5", REFUSED_MALFORMED, -1},
        {"\"n\":+1", REFUSED_MALFORMED, -1},
        {"\"n\":1e", REFUSED_MALFORMED, -1},
        {"\"n\":1e+", REFUSED_MALFORMED, -1},
        {"\"n\":0x10", REFUSED_MALFORMED, -1},
        {"\"n\":NaN", REFUSED_MALFORMED, -1},
        {"\"n\":Infinity", REFUSED_MALFORMED, -1},
        {"\"n\":-inf", REFUSED_MALFORMED, -1},
        {"\"n\":nul", REFUSED_MALFORMED, -1},
        {"\"n\":1,\"n\":1", REFUSED_MALFORMED, N},
        {"\"n\":null,\"n\":1", REFUSED_MALFORMED, N},
        {"\"n\":1,\"\\u006e\":1", REFUSED_MALFORMED, N},
        {"\"at\":5", REFUSED_MALFORMED, AT},
        {"\"big\":9223372036854775807", REFUSED_NOT, -1},
        {"\"big\":9223372036854775808", REFUSED_RANGE, BIG},
        {"\"big\":-9223372036854775808", REFUSED_NOT, -1},
        {"\"big\":-9223372036854775809", REFUSED_RANGE, BIG},
        {"\"big\":1e400", REFUSED_RANGE, BIG},
        {"\"big\":1e99999999999999999999", REFUSED_RANGE, BIG},
        {"\"type\":\"placed\"", REFUSED_NOT, -1},
        {"\"type\":\"out for delivery\"", REFUSED_NOT, -1},
        {"\"type\":\"\"", REFUSED_NOT, -1},
        {"\"type\":\"plac\\u0065d\"", REFUSED_NOT, -1},
        {"\"type\":\"lost\"", REFUSED_NOT_ALLOWED, TYPE},
        {"\"type\":\"plac\\u0065e\"", REFUSED_NOT_ALLOWED, TYPE},
        {"\"type\":7", REFUSED_TYPE, TYPE},
        {"\"flag\":false", REFUSED_NOT, -1},
        {"\"flag\":0", REFUSED_TYPE, FLAG},
        {"\"flag\":\"true\"", REFUSED_TYPE, FLAG},
        {"\"note\":false", REFUSED_TYPE, NOTE},
        {"\"note\":\"\\ud83d\\ude00\"", REFUSED_NOT, -1},
        {"\"note\":\"\\ud83d\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"\\ude00\"", REFUSED_MALFORMED, -1},
        {"\"other\":\"\\ude00\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"\\x41\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"a\tb\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", REFUSED_NOT, -1},
        {"\"note\":\"\xc0\x80\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"\xed\xa0\x80\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"\xf4\x90\x80\x80\"", REFUSED_MALFORMED, -1},
        {"\"other\":\"\xff\"", REFUSED_MALFORMED, -1},
        {"\"\":1", REFUSED_NOT, -1},
        {"\"\":1,\"\":2", REFUSED_NOT, -1},
        {"\"other\":[1,2,]", REFUSED_MALFORMED, -1},
        {"\"other\":{\"a\"}", REFUSED_MALFORMED, -1},
        {"\"other\":{\"a\":1,}", REFUSED_MALFORMED, -1},
        {"\"other\":[}", REFUSED_MALFORMED, -1},
        {"other:1", REFUSED_MALFORMED, -1},
        {"\"other\":1,", REFUSED_MALFORMED, -1},
        {"\"other\"", REFUSED_MALFORMED, -1},
        {"'other':1", REFUSED_MALFORMED, -1},
        {"\"other\":1 /* no */", REFUSED_MALFORMED, -1},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum refusal r = decode_with(f, cases[i].member);
        if (r != cases[i].refusal || f->field != cases[i].field)
            fail_msg("%s: %s, field %d", cases[i].member, refusal_name(r), f->field);
    }
}

static void test_messages(void **state)
{
    static const char *const malformed[] = {"", " ", "{", "}", "[]", "null", "\"id\"", "{}{}",
        "{\"id\":\"e\",\"at\":5}x", "{\"id\":\"e\",\"at\":5},",
        "\xef\xbb\xbf{\"id\":\"e\",\"at\":5}", "{\"id\":\"e\",\"at\":5",
        "{\"id\":\"e\",\"at\":", "{\"id\":\"e\",\"at", "{\"id\":\"e\",", "{,}", "{\"id\" \"e\"}",
        "{\"id\":\"e\"\"at\":5}"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        if (decode_text(f, malformed[i]) != REFUSED_MALFORMED)
            fail_msg("%s is not refused", malformed[i]);
    assert_int_equal(decode(f, "{\"id\":\"e\",\"at\":5}\0", 18), REFUSED_MALFORMED);
    assert_int_equal(decode_text(f, "{\"id\":\"e\",\"at\":5}"), REFUSED_NOT);
    assert_int_equal(decode_text(f, "{}"), REFUSED_MISSING);
    assert_int_equal(f->field, ID);
}

/* Every prefix of a good event is malformed. */
static void test_truncated(void **state)
{
    static const char text[] =
        "{\"id\":\"\\u00e9\",\"x\":[{\"y\":\"\xc3\xa9\"},1.5e3],\"at\":1795255200000,"
        "\"flag\":true}";
    struct fixture *f = *state;
    assert_int_equal(decode_text(f, text), REFUSED_NOT);
    for (size_t n = 0; n < sizeof text - 1; n++)
        assert_int_equal(decode(f, text, n), REFUSED_MALFORMED);
}

/* One reason for an event: the first of the enum, and of those the first field of the contract. */
static void test_precedence(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(decode_text(f, "{\"type\":\"lost\",\"n\":5000,\"amount\":\"x\",\"flag\":1}"),
        REFUSED_MISSING);
    assert_int_equal(f->field, ID);
    assert_int_equal(
        decode_with(f, "\"type\":\"lost\",\"n\":5000,\"flag\":1,\"amount\":\"x\""), REFUSED_TYPE);
    assert_int_equal(f->field, AMOUNT);
    assert_int_equal(decode_with(f, "\"big\":1e30,\"type\":\"lost\",\"n\":5000"), REFUSED_RANGE);
    assert_int_equal(f->field, N);
    assert_int_equal(decode_with(f, "\"type\":\"lost\""), REFUSED_NOT_ALLOWED);
    assert_int_equal(decode_with(f, "\"type\":\"lost\",\"n\":5000,\"flag\":1,\"amount\":\"x\",}"),
        REFUSED_MALFORMED);
    assert_int_equal(f->field, -1);
}

static void test_decimals(void **state)
{
    static const struct {
        const char *text;
        int64_t scaled;
    } cases[] = {
        {"48.95", 4895},
        {"48.955", 4896},
        {"48.945", 4894},
        {"48.9450000000000000000000001", 4895},
        {"-48.945", -4894},
        {"-48.955", -4896},
        {"0.005", 0},
        {"0.015", 2},
        {"0.0051", 1},
        {"-0", 0},
        {"-0.0", 0},
        {"0e9", 0},
        {"0.001e3", 100},
        {"4895e-2", 4895},
        {"4.895E+1", 4895},
        {"0.00000000000000000000000000000000001", 0},
        {"1e-99999999999", 0},
        {"1e16", 1000000000000000000},
        {"92233720368547758.07", INT64_MAX},
        {"-92233720368547758.08", INT64_MIN},
        {"92233720368547758.0749999", INT64_MAX},
        {"123456789012345678", -1},
        {"1e17", -1},
        {"92233720368547758.075", -1},
        {"-92233720368547758.085", INT64_MIN},
        {"-92233720368547758.0851", -1},
        {"0.004999999999999999999999999", 0},
        {"0.5e-2", 0},
        {"1.5e-2", 2},
        {"12345678901234567.891", 1234567890123456789},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char member[128];
        snprintf(member, sizeof member, "\"amount\":%s", cases[i].text);
        enum refusal r = decode_with(f, member);
        bool out = cases[i].scaled == -1;
        if (r != (out ? REFUSED_RANGE : REFUSED_NOT) ||
            (!out && f->event.v[AMOUNT].num != cases[i].scaled))
            fail_msg(
                "%s: %s %lld", cases[i].text, refusal_name(r), (long long)f->event.v[AMOUNT].num);
    }
}

static void test_strings(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        decode_with(f, "\"note\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u20ac\\ud83d\\ude00\\u0000!\""),
        REFUSED_NOT);
    struct slice want = SLICE("\"\\/\b\f\n\r\t\xe2\x82\xac\xf0\x9f\x98\x80\0!");
    assert_true(slice_eq(f->event.v[NOTE].str, want));
    assert_int_equal(decode_with(f, "\"\\u006eote\":\"x\""), REFUSED_NOT);
    assert_true(slice_is(f->event.v[NOTE].str, "x"));
    char member[3 * FIELD_STRING_MAX];
    for (int escape = 0; escape < 2; escape++)
        for (int extra = 0; extra < 2; extra++) {
            int n = snprintf(member, sizeof member, "\"note\":\"%s", escape ? "\\n" : "y");
            memset(member + n, 'x', FIELD_STRING_MAX);
            strcpy(member + n + FIELD_STRING_MAX - 1 + extra, "\"");
            assert_int_equal(decode_with(f, member), extra ? REFUSED_RANGE : REFUSED_NOT);
        }
    assert_int_equal(decode_with(f, "\"a_rather_long_name_1\":\"1\",\"a_rather_long_name_2\":\"2\","
                                    "\"a_rather_long_name_3\":3"),
        REFUSED_NOT);
    assert_true(slice_is(f->event.v[LONG_1].str, "1"));
    assert_true(slice_is(f->event.v[LONG_2].str, "2"));
}

static void test_depth_and_size(void **state)
{
    struct fixture *f = *state;
    char member[256];
    for (int levels = JSON_DEPTH_MAX - 2; levels <= JSON_DEPTH_MAX; levels++) {
        for (int object = 0; object < 2; object++) {
            char *p = member + sprintf(member, "\"other\":");
            for (int i = 0; i < levels; i++)
                p += sprintf(p, object ? "{\"k\":" : "[");
            p += sprintf(p, "1");
            for (int i = 0; i < levels; i++)
                *p++ = object ? '}' : ']';
            *p = 0;
            assert_int_equal(
                decode_with(f, member), levels < JSON_DEPTH_MAX ? REFUSED_NOT : REFUSED_MALFORMED);
        }
    }
    size_t len = EVENT_BYTES_MAX + 1;
    char *big = malloc(len);
    memset(big, ' ', len);
    memcpy(big, "{\"id\":\"e\",\"at\":5}", 17);
    assert_int_equal(decode(f, big, len - 1), REFUSED_NOT);
    assert_int_equal(decode(f, big, len), REFUSED_MALFORMED);
    memset(big, '[', len);
    assert_int_equal(decode(f, big, len - 1), REFUSED_MALFORMED);
    free(big);
}

/* Many escaped keys and values that nobody keeps cost no scratch. */
static void test_scratch_is_bounded(void **state)
{
    struct fixture *f = *state;
    char *big = malloc(EVENT_BYTES_MAX), *p = big + sprintf(big, "{\"id\":\"e\",\"at\":5");
    for (int i = 0; i < 20000; i++)
        p += sprintf(p, ",\"\\u0061%d\":\"\\u0062\"", i);
    *p++ = '}';
    assert_int_equal(decode(f, big, (size_t)(p - big)), REFUSED_NOT);
    assert_true(f->scratch.used_bytes < (64u << 10));
    free(big);
}

static void test_times(void **state)
{
    static const struct {
        const char *json;
        int64_t ms;
        enum refusal refusal;
    } cases[] = {
        {"\"2026-11-21T10:00:00Z\"", 1795255200000, REFUSED_NOT},
        {"\"2026-11-21t10:00:00z\"", 1795255200000, REFUSED_NOT},
        {"\"2026-11-21T11:30:00.0019999+01:30\"", 1795255200001, REFUSED_NOT},
        {"\"2026-11-20T22:00:00.5-12:00\"", 1795255200500, REFUSED_NOT},
        {"\"2016-12-31T23:59:60Z\"", 1483228799999, REFUSED_NOT},
        {"\"2016-12-31T15:59:60.123-08:00\"", 1483228799999, REFUSED_NOT},
        {"\"2017-01-01T00:59:60+01:00\"", 1483228799999, REFUSED_NOT},
        {"\"2016-12-31T22:59:60Z\"", 0, REFUSED_TYPE},
        {"\"2016-12-31T23:59:61Z\"", 0, REFUSED_TYPE},
        {"\"2016-12-31T23:59:60\"", 0, REFUSED_TYPE},
        {"\"2026-02-29T00:00:00Z\"", 0, REFUSED_TYPE},
        {"\"2024-02-29T00:00:00Z\"", 1709164800000, REFUSED_NOT},
        {"\"2026-11-21T10:00:00\"", 0, REFUSED_TYPE},
        {"\"2026-11-21 10:00:00Z\"", 0, REFUSED_TYPE},
        {"\"2026-11-21T10:00:00,5Z\"", 0, REFUSED_TYPE},
        {"\"2026-11-21T10:00:00.Z\"", 0, REFUSED_TYPE},
        {"\"1795255200000\"", 0, REFUSED_TYPE},
        {"\"\"", 0, REFUSED_TYPE},
        {"1795255200000", 1795255200000, REFUSED_NOT},
        {"1.7952552e12", 1795255200000, REFUSED_NOT},
        {"-1", -1, REFUSED_NOT},
        {"1.5", 0, REFUSED_TYPE},
        {"253402300799999", 253402300799999, REFUSED_NOT},
        {"253402300800000", 0, REFUSED_RANGE},
        {"-62167219200001", 0, REFUSED_RANGE},
        {"true", 0, REFUSED_TYPE},
        {"null", 0, REFUSED_MISSING},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"id\":\"e\",\"at\":%s}", cases[i].json);
        enum refusal r = decode_text(f, text);
        if (r != cases[i].refusal || (r == REFUSED_NOT && f->event.time_ms != cases[i].ms))
            fail_msg("%s: %s %lld", cases[i].json, refusal_name(r), (long long)f->event.time_ms);
    }
}

/* ---- the oracle ---- */

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
    if (field->type == FIELD_TIME && json_is_string(value))
        return time_by_hand(json_string_value(value), json_string_length(value), num)
                   ? REFUSED_NOT
                   : REFUSED_TYPE;
    if (!json_is_number(value))
        return REFUSED_TYPE;
    int rest = scale_by_hand(token, field->type == FIELD_DECIMAL ? field->digits : 0, num);
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
        cmocka_unit_test_setup_teardown(test_whole_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_members, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_precedence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_decimals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_depth_and_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_scratch_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_times, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_against_oracle, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
