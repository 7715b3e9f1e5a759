/* The published vectors of AWS' own test suite: access key AKIDEXAMPLE, 2015-08-30. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sigv4.h"

static const struct sigv4_key key = {.access_key = {"AKIDEXAMPLE", 11},
    .secret_key = {"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 40},
    .region = {"us-east-1", 9},
    .service = {"service", 7}};

#define AT_MS   INT64_C(1440938160000)
#define NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void check(const char *method, const char *query, const char *names, const char *signature)
{
    const struct sigv4_header headers[] = {
        {SLICE("host"), SLICE("example.amazonaws.com")},
        {SLICE("x-amz-date"), SLICE("20150830T123600Z")},
    };
    struct sigv4_request request = {.method = slice_from(method),
        .path = SLICE("/"),
        .query = slice_from(query),
        .headers = headers,
        .n_headers = 2,
        .payload_sha256 = SLICE(NOTHING),
        .now_ms = AT_MS};
    struct buf out, expected;
    buf_init(&out, 0);
    buf_init(&expected, 0);
    buf_printf(&expected,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=%s, Signature=%s",
        names, signature);
    sigv4_sign(&key, &request, &out);
    assert_string_equal(buf_cstr(&out), buf_cstr(&expected));
    buf_fini(&out);
    buf_fini(&expected);
}

static void test_vectors(void **state)
{
    (void)state;
    check("GET", "", "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    check("POST", "", "host;x-amz-date",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    check("GET", "Param1=value1&Param2=value2", "host;x-amz-date",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

static void test_hash_and_date(void **state)
{
    (void)state;
    char hex[SHA256_HEX_MAX], date[SIGV4_DATE_MAX];
    sha256_hex(SLICE(""), hex);
    assert_string_equal(hex, NOTHING);
    sha256_hex(SLICE("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sigv4_date(AT_MS, date);
    assert_string_equal(date, "20150830T123600Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_hash_and_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
