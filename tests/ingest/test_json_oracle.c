/*
 * The scanner against an oracle, on mutated events.
 */
#include "tests/ingest/json_fixture.h"

#include "tests/ingest/json_oracle.h"

static int known, checked, accepted;

static void compare(struct fixture *f, const char *text, size_t len)
{
    enum refusal got = decode(f, text, len);
    struct oracle oracle;
    const char *why;
    oracle_ask(&oracle, &contract, text, len);
    if (oracle.silent)
        return;
    checked++;
    if (!oracle_agrees(&oracle, got, &f->event, f->field, &why))
        fail_msg("%s: %s, not %s: %.*s", why, refusal_name(got), refusal_name(oracle.refusal),
            (int)len, text);
    accepted += got == REFUSED_NOT;
    for (int i = 0; got == REFUSED_NOT && i < FIELDS; i++)
        known += f->event.v[i].present;
    json_decref(oracle.root);
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
