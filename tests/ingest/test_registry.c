/* The client of schema registries, against a server that answers what it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "ingest/registry/registry.h"
#include "tests/ingest/support/http_stub.h"

struct fixture {
    struct http_stub *stub, *other;
    struct registry_options options;
    struct registry *registry;
    char url[3][64];
    struct err why;
    const struct avro_schema *schema;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->stub = http_stub_new();
    f->other = http_stub_new();
    snprintf(f->url[0], sizeof f->url[0], "http://127.0.0.1:%d", http_stub_port(f->stub));
    snprintf(f->url[1], sizeof f->url[1], "http://127.0.0.1:%d/", http_stub_port(f->other));
    snprintf(f->url[2], sizeof f->url[2], "http://127.0.0.1:1");
    f->options = (struct registry_options){
        .framing = FRAMING_CONFLUENT, .urls = {slice_from(f->url[0])}, .n_urls = 1};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    registry_free(&f->registry);
    http_stub_free(&f->stub);
    http_stub_free(&f->other);
    free(f);
    return 0;
}

static struct schema_ref number(uint32_t id)
{
    return (struct schema_ref){.is_number = true,
        .bytes = {(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id}};
}

/* Asks until it is not to wait any more, or to wait for something that can be said. */
static enum registry_answer ask_ref(struct fixture *f, struct schema_ref ref, bool final)
{
    enum registry_answer answer = REGISTRY_WAIT;
    if (!f->registry)
        f->registry = registry_new(&f->options);
    for (int i = 0; i < 1000; i++) {
        f->why = (struct err){0};
        answer = registry_get(f->registry, &ref, &f->schema, &f->why);
        if (answer != REGISTRY_WAIT || (!final && f->why.text[0]))
            return answer;
        clock_sleep_ms(5);
    }
    return answer;
}

static enum registry_answer ask(struct fixture *f, uint32_t id)
{
    return ask_ref(f, number(id), true);
}

/* The registry is away, or seems to be, and this is said of it. */
static void waits(struct fixture *f, uint32_t id, const char *why)
{
    assert_int_equal(ask_ref(f, number(id), false), REGISTRY_WAIT);
    if (!strstr(f->why.text, why))
        fail_msg("'%s', not '%s'", f->why.text, why);
}

static void is_none(struct fixture *f, uint32_t id, const char *why)
{
    assert_int_equal(ask(f, id), REGISTRY_NONE);
    if (!strstr(f->why.text, why))
        fail_msg("'%s', not '%s'", f->why.text, why);
}

static void asked_with(struct http_stub *stub, const char *text)
{
    const char *last = http_stub_last(stub);
    if (!strstr(last, text))
        fail_msg("'%s' has no '%s'", last, text);
}

static void asked_without(struct http_stub *stub, const char *text)
{
    assert_null(strstr(http_stub_last(stub), text));
}

#define INT_SCHEMA "{\"schema\": \"\\\"int\\\"\"}"
#define MISSING    "{\"error_code\": 40403, \"message\": \"Schema not found\"}"

static void test_credentials(void **state)
{
    struct fixture *f = *state;
    http_stub_says(f->stub, "/schemas/ids/7", 200, INT_SCHEMA);
    f->options.user = SLICE("me");
    f->options.password = SLICE("geheim");
    assert_int_equal(ask(f, 7), REGISTRY_KNOWN);
    assert_int_equal(avro_schema_root(f->schema)->type, AVRO_INT);
    asked_with(f->stub, "GET /schemas/ids/7 ");
    asked_with(f->stub, "Authorization: Basic bWU6Z2VoZWlt\r\n");
    asked_with(f->stub, "Accept: application/vnd.schemaregistry.v1+json");
    assert_int_equal(ask(f, 7), REGISTRY_KNOWN);
    assert_int_equal(http_stub_requests(f->stub), 1);
    registry_free(&f->registry);
    f->options.user = SLICE("");
    f->options.token = SLICE("abc.def");
    assert_int_equal(ask(f, 7), REGISTRY_KNOWN);
    asked_with(f->stub, "Authorization: Bearer abc.def\r\n");
}

/* Only the registry's own words count, and only when it has said them twice. */
static void test_missing(void **state)
{
    struct fixture *f = *state;
    http_stub_says(f->stub, "/schemas/ids/1", 404, MISSING);
    is_none(f, 1, "the registry has no /schemas/ids/1");
    assert_int_equal(http_stub_requests(f->stub), 2);
    http_stub_says(
        f->stub, "/schemas/ids/2", 404, "{\"error_code\": 404, \"message\": \"HTTP 404\"}");
    waits(f, 2, "HTTP 404");
    http_stub_says(f->stub, "/schemas/ids/2", 404, MISSING);
    f->why = (struct err){0};
    http_stub_says(f->stub, "/schemas/ids/3", 404, "<html>");
    waits(f, 3, "HTTP 404");
    http_stub_says(f->stub, "/schemas/ids/3", 200, INT_SCHEMA);
    assert_int_equal(ask(f, 3), REGISTRY_KNOWN);
    /* One that comes between the first and the second no. */
    http_stub_says(f->stub, "/schemas/ids/4", 404, MISSING);
    size_t before = http_stub_requests(f->stub);
    assert_int_equal(ask_ref(f, number(4), false), REGISTRY_WAIT);
    while (http_stub_requests(f->stub) == before)
        clock_sleep_ms(1);
    http_stub_says(f->stub, "/schemas/ids/4", 200, INT_SCHEMA);
    assert_int_equal(ask(f, 4), REGISTRY_KNOWN);
}

static void test_away(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int status;
        const char *body, *why;
    } cases[] = {
        {401, "", "HTTP 401, the registry does not let us in"},
        {403, "{\"message\": \"no role\"}", "HTTP 403, the registry does not let us in, no role"},
        {429, "{\"message\": \"slower\"}", "HTTP 429, slower"},
        {500, "{\"error_code\": 50001, \"message\": \"store is away\"}", "HTTP 500, store is away"},
        {503, "", "HTTP 503"},
        {204, "", "HTTP 204"},
        {200, "", "makes no sense"},
        {200, "[]", "makes no sense"},
        {200, "\"int\"", "makes no sense"},
        {200, "{}", "no 'schema'"},
        {200, "{\"schema\": 5}", "no 'schema'"},
        {200, "{\"schema\": \"\\\"int\\\"\"", "makes no sense"},
        {200, "{\"schema\": \"\\\"A\\\"\", \"references\": [5]}", "bad reference"},
        {200, "{\"schema\": \"\\\"A\\\"\", \"references\": [{\"subject\": \"a\"}]}",
            "bad reference"},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "/schemas/ids/%u", 100 + i);
        http_stub_says(f->stub, path, cases[i].status, cases[i].body);
        waits(f, 100 + i, cases[i].why);
        registry_free(&f->registry); /* no back-off for the next one */
    }
    f->options.urls[0] = slice_from(f->url[2]);
    waits(f, 1, "http://127.0.0.1:1/schemas/ids/1: ");
    registry_free(&f->registry);
    f->options.urls[0] = slice_from(f->url[0]);
    f->options.timeout_ms = 200;
    http_stub_hangs(f->stub, "/schemas/ids/5");
    waits(f, 5, "timed out");
}

static void test_huge_answer(void **state)
{
    struct fixture *f = *state;
    struct buf body;
    buf_init(&body, 0);
    buf_str(&body, "{\"schema\": \"");
    for (int i = 0; i < 5 << 20; i++)
        buf_char(&body, 'x');
    /* A schema that is too large stays so. */
    http_stub_says(f->stub, "/schemas/ids/1", 200, buf_cstr(&body));
    is_none(f, 1, "an answer of more than 4194304 bytes");
    registry_free(&f->registry);
    f->options.urls[1] = slice_from(f->url[2]);
    f->options.n_urls = 2;
    is_none(f, 1, "an answer of more than 4194304 bytes");
    registry_free(&f->registry);
    f->options.n_urls = 1;
    /* A page of something in between is none of its answers. */
    http_stub_says(f->stub, "/schemas/ids/2", 500, buf_cstr(&body));
    waits(f, 2, "an answer of more than 4194304 bytes");
    registry_free(&f->registry);
    body.ptr[0] = '<';
    http_stub_says(f->stub, "/schemas/ids/3", 200, buf_cstr(&body));
    waits(f, 3, "an answer of more than 4194304 bytes");
    buf_fini(&body);
}

/* Credentials are for who was asked. */
static void test_redirects(void **state)
{
    struct fixture *f = *state;
    char to[256];
    f->options.user = SLICE("me");
    f->options.password = SLICE("geheim");
    http_stub_says(f->other, "/there", 200, INT_SCHEMA);
    snprintf(to, sizeof to, "%sthere", f->url[1]);
    http_stub_redirects(f->stub, "/schemas/ids/1", to);
    assert_int_equal(ask(f, 1), REGISTRY_KNOWN);
    asked_with(f->stub, "Authorization: ");
    asked_without(f->other, "Authorization: ");
    http_stub_redirects(f->stub, "/schemas/ids/2", "file:///etc/hostname");
    waits(f, 2, "rotocol");
    registry_free(&f->registry);
    http_stub_redirects(f->stub, "/schemas/ids/3", "/schemas/ids/3");
    waits(f, 3, "redirects");
}

static void test_several(void **state)
{
    struct fixture *f = *state;
    f->options.urls[0] = slice_from(f->url[2]);
    f->options.urls[1] = slice_from(f->url[0]);
    f->options.urls[2] = slice_from(f->url[1]);
    f->options.n_urls = 3;
    http_stub_says(f->stub, "/schemas/ids/1", 500, "");
    http_stub_says(f->other, "/schemas/ids/1", 200, INT_SCHEMA);
    http_stub_says(f->other, "/schemas/ids/2", 200, INT_SCHEMA);
    assert_int_equal(ask(f, 1), REGISTRY_KNOWN);
    assert_int_equal(http_stub_requests(f->stub), 1);
    asked_with(f->other, "GET /schemas/ids/1 "); /* one slash */
    assert_int_equal(ask(f, 2), REGISTRY_KNOWN);
    assert_int_equal(http_stub_requests(f->stub), 1); /* who answered last is asked first */
    http_stub_says(f->other, "/schemas/ids/3", 404, MISSING);
    http_stub_says(f->stub, "/schemas/ids/3", 200, INT_SCHEMA);
    assert_int_equal(ask(f, 3), REGISTRY_KNOWN); /* the one may be behind the other */
}

#define RECORD_OF(name, type)                                                                      \
    "{\\\"type\\\": \\\"record\\\", \\\"name\\\": \\\"" name                                       \
    "\\\", \\\"fields\\\": [{\\\"name\\\": "                                                       \
    "\\\"f\\\", \\\"type\\\": " type "}]}"
#define REFERENCE(name, subject, version)                                                          \
    "{\"name\": \"" name "\", \"subject\": \"" subject "\", \"version\": " version "}"

/* References of references, one that is reached twice, and one that comes back. */
static void test_references(void **state)
{
    struct fixture *f = *state;
    http_stub_says(f->stub, "/schemas/ids/1", 200,
        "{\"schema\": \"" RECORD_OF(
            "A", "[\\\"B\\\", \\\"C\\\"]") "\", \"references\": [" REFERENCE("B", "b/x:\xc3\xa9",
            "3") ", " REFERENCE("C", "c", "1") "]}");
    /* The subject may be deleted by now; those who wrote with it are still there. */
    http_stub_says(f->stub, "/subjects/b%2Fx%3A%C3%A9/versions/3?deleted=true", 200,
        "{\"schema\": \"" RECORD_OF("B", "\\\"C\\\"") "\", \"references\": [" REFERENCE(
            "C", "c", "1") "]}");
    http_stub_says(f->stub, "/subjects/c/versions/1?deleted=true", 200,
        "{\"schema\": \"" RECORD_OF("C", "\\\"int\\\"") "\", \"schemaType\": \"AVRO\"}");
    if (ask(f, 1) != REGISTRY_KNOWN)
        fail_msg("%s", f->why.text);
    assert_int_equal(http_stub_requests(f->stub), 3);
    assert_int_equal(avro_schema_root(f->schema)->fields[0].type->n, 2);
    http_stub_says(f->stub, "/schemas/ids/2", 200,
        "{\"schema\": \"\\\"D\\\"\", \"references\": [" REFERENCE("D", "d", "1") "]}");
    http_stub_says(f->stub, "/subjects/d/versions/1?deleted=true", 200,
        "{\"schema\": \"\\\"E\\\"\", \"references\": [" REFERENCE("D", "d", "1") "]}");
    is_none(f, 2, "no type 'E'");
    http_stub_says(f->stub, "/schemas/ids/3", 200,
        "{\"schema\": \"\\\"D\\\"\", \"references\": [" REFERENCE("D", "gone", "1") "]}");
    http_stub_says(f->stub, "/subjects/gone/versions/1?deleted=true", 404,
        "{\"error_code\": 40402, \"message\": \"Version not found\"}");
    is_none(f, 3, "/subjects/gone/versions/1");
}

static void test_many_references(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < AVRO_SCHEMA_TEXTS_MAX + 2; i++) {
        char path[64], body[256];
        snprintf(
            path, sizeof path, i ? "/subjects/s%d/versions/1?deleted=true" : "/schemas/ids/1", i);
        snprintf(body, sizeof body,
            "{\"schema\": \"\\\"int\\\"\", \"references\": [{\"subject\": \"s%d\", \"version\": "
            "1}]}",
            i + 1);
        http_stub_says(f->stub, path, 200, body);
    }
    is_none(f, 1, "refers to more than 63 others");
}

static void test_kinds(void **state)
{
    struct fixture *f = *state;
    struct schema_ref guid = {.bytes = {0x3f, 0x2b, [15] = 0x0d}};
    http_stub_says(f->stub, "/schemas/guids/3f2b0000-0000-0000-0000-00000000000d", 200, INT_SCHEMA);
    assert_int_equal(ask_ref(f, guid, true), REGISTRY_KNOWN);
    http_stub_says(f->stub, "/schemas/ids/4294967295", 200, INT_SCHEMA);
    assert_int_equal(ask(f, UINT32_MAX), REGISTRY_KNOWN);
    http_stub_says(
        f->stub, "/schemas/ids/1", 200, "{\"schema\": \"x\", \"schemaType\": \"PROTOBUF\"}");
    is_none(f, 1, "a schema of PROTOBUF, not of Avro");
    http_stub_says(f->stub, "/schemas/ids/2", 200, "{\"schema\": \"{\\n\\\"type\\\": }\"}");
    is_none(f, 2, "the schema is no JSON: line 2, column ");
    http_stub_says(
        f->stub, "/schemas/ids/3", 200, "{\"schema\": \"" RECORD_OF("A", "\\\"B\\\"") "\"}");
    is_none(f, 3, "A.f: no type 'B' is known here");
}

/* ---- Glue ---- */

static void use_glue(struct fixture *f)
{
    f->options.framing = FRAMING_GLUE;
    f->options.region = SLICE("eu-west-1");
    f->options.access_key = SLICE("AKID");
    f->options.secret_key = SLICE("secret");
    f->options.session_token = SLICE("token/+=");
}

static void test_glue(void **state)
{
    struct fixture *f = *state;
    struct schema_ref ref = {.bytes = {0x3f, 0x2b, [15] = 0x0d}};
    use_glue(f);
    http_stub_says(f->stub, "/", 200,
        "{\"SchemaDefinition\": \"\\\"int\\\"\", \"DataFormat\": \"AVRO\", \"Status\": "
        "\"AVAILABLE\"}");
    assert_int_equal(ask_ref(f, ref, true), REGISTRY_KNOWN);
    asked_with(f->stub, "POST / HTTP");
    asked_with(f->stub, "\r\n\r\n{\"SchemaVersionId\": \"3f2b0000-0000-0000-0000-00000000000d\"}");
    asked_with(f->stub, "x-amz-target: AWSGlue.GetSchemaVersion\r\n");
    asked_with(f->stub, "x-amz-security-token: token/+=\r\n");
    asked_with(f->stub, "authorization: AWS4-HMAC-SHA256 Credential=AKID/");
    asked_with(f->stub, "/eu-west-1/glue/aws4_request, SignedHeaders=content-type;host;x-amz-date;"
                        "x-amz-security-token;x-amz-target, Signature=");
}

static void test_glue_refuses(void **state)
{
    struct fixture *f = *state;
    struct schema_ref ref = {.bytes = {1}};
    static const struct {
        int status;
        const char *body;
        enum registry_answer answer;
        const char *why;
    } cases[] = {
        {400,
            "{\"__type\": \"EntityNotFoundException\", \"Message\": \"Schema version is not "
            "found.\"}",
            REGISTRY_NONE, "no such schema version"},
        {400, "{\"__type\": \"com.amazonaws.glue#EntityNotFoundException\"}", REGISTRY_NONE,
            "no such schema version"},
        {400, "{\"__type\": \"AccessDeniedException\", \"Message\": \"User is not authorized\"}",
            REGISTRY_WAIT, "HTTP 400, User is not authorized"},
        {400, "{\"__type\": \"InvalidSignatureException\", \"message\": \"Signature expired\"}",
            REGISTRY_WAIT, "HTTP 400, Signature expired"},
        {403, "", REGISTRY_WAIT, "does not let us in"},
        {200, "{\"SchemaDefinition\": \"x\", \"DataFormat\": \"JSON\"}", REGISTRY_NONE,
            "a schema of JSON"},
        {200,
            "{\"SchemaDefinition\": \"\\\"int\\\"\", \"DataFormat\": \"AVRO\", \"Status\": "
            "\"PENDING\"}",
            REGISTRY_WAIT, "PENDING"},
        {200, "{\"DataFormat\": \"AVRO\"}", REGISTRY_WAIT, "makes no sense"},
        {200, "", REGISTRY_WAIT, "makes no sense"},
    };
    use_glue(f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_stub_says(f->stub, "/", cases[i].status, cases[i].body);
        bool final = cases[i].answer != REGISTRY_WAIT;
        assert_int_equal(ask_ref(f, ref, final), cases[i].answer);
        if (!strstr(f->why.text, cases[i].why))
            fail_msg("'%s', not '%s'", f->why.text, cases[i].why);
        registry_free(&f->registry);
    }
}

/* ---- bounds ---- */

/* Nobody waits for an answer that nobody wants any more. */
static void test_stop_while_asking(void **state)
{
    struct fixture *f = *state;
    http_stub_hangs(f->stub, "/schemas/ids/1");
    f->registry = registry_new(&f->options);
    struct schema_ref ref = number(1);
    assert_int_equal(registry_get(f->registry, &ref, &f->schema, NULL), REGISTRY_WAIT);
    while (http_stub_requests(f->stub) == 0)
        clock_sleep_ms(1);
    int64_t from = clock_mono_ns();
    registry_free(&f->registry);
    assert_true(clock_mono_ns() - from < INT64_C(3000000000));
}

/* Ids that are none, from a producer of something else: they do not cost a second each. */
static void test_garbage_ids(void **state)
{
    struct fixture *f = *state;
    http_stub_says(f->stub, "/schemas/ids/", 404, MISSING);
    f->registry = registry_new(&f->options);
    int64_t from = clock_mono_ns();
    for (uint32_t i = 0; i < 200; i++) {
        struct schema_ref ref = number(1000 + i);
        registry_get(f->registry, &ref, &f->schema, NULL);
    }
    for (uint32_t i = 0; i < 200; i++)
        is_none(f, 1000 + i, "the registry has no");
    for (uint32_t i = 0; i < 100; i++) /* one after the other, as a partition meets them */
        is_none(f, 2000 + i, "the registry has no");
    assert_true(clock_mono_ns() - from < INT64_C(10000000000));
}

/* Schemas are kept for ever: their number and size are bounded. */
static void test_bytes(void **state)
{
    struct fixture *f = *state;
    struct buf body;
    buf_init(&body, 0);
    buf_str(&body, "{\"schema\": \"{\\\"type\\\": \\\"int\\\", \\\"doc\\\": \\\"");
    for (int i = 0; i < 1000000; i++)
        buf_char(&body, 'x');
    buf_str(&body, "\\\"}\"}");
    http_stub_says(f->stub, "/schemas/ids/", 200, buf_cstr(&body));
    uint32_t known = 0;
    while (known < 100 && ask_ref(f, number(known), false) == REGISTRY_KNOWN)
        known++;
    assert_int_equal(known, REGISTRY_BYTES_MAX / 1000000 + 1);
    assert_non_null(strstr(f->why.text, "in use"));
    assert_int_equal(ask(f, 0), REGISTRY_KNOWN);
    buf_fini(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_credentials, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_huge_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redirects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_references, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_references, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_glue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_glue_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_while_asking, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
