/* Avro: schemas, their resolution, and messages to events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "ingest/avro/avro_number.h"
#include "ingest/avro/avro_program.h"

/* ---- schemas ---- */

static bool parse(const char *text, struct avro_schema **out, struct err *err)
{
    struct slice one = slice_from(text);
    return avro_schema_parse(&one, 1, out, err);
}

static struct avro_schema *must_parse(const char *text)
{
    struct avro_schema *schema;
    struct err err = {0};
    if (!parse(text, &schema, &err))
        fail_msg("%s: %s", text, err.text);
    return schema;
}

static void refused(const char *text, const char *why)
{
    struct avro_schema *schema;
    struct err err = {0};
    assert_false(parse(text, &schema, &err));
    if (!strstr(err.text, why))
        fail_msg("%s: '%s', not '%s'", text, err.text, why);
}

static void test_schema_errors(void **state)
{
    (void)state;
    refused("", "no JSON");
    refused("{", "no JSON");
    refused("{\"type\":\n \"int\",,}", "line 2, column 8: ");
    refused("1", "a type is a name");
    refused("\"nothing\"", "no type 'nothing'");
    refused("{}", "a type is missing");
    refused("{\"type\": \"record\"}", "needs a name");
    refused("{\"type\": \"record\", \"name\": \"1a\", \"fields\": []}", "needs a name");
    refused("{\"type\": \"record\", \"name\": \"a-b\", \"fields\": []}", "needs a name");
    refused("{\"type\": \"record\", \"name\": \"a.\", \"fields\": []}", "needs a name");
    refused("{\"type\": \"record\", \"name\": \"A\\u0000\", \"fields\": []}", "needs a name");
    refused("{\"type\": \"record\", \"name\": \"A\", \"namespace\": \"a\\nb\", \"fields\": []}",
        "no namespace");
    refused("{\"type\": \"record\", \"name\": \"int\", \"fields\": []}", "defined twice");
    refused("{\"type\": \"record\", \"name\": \"A\"}", "A: a record needs a list");
    refused("{\"type\": \"record\", \"name\": \"A\", \"fields\": [{}]}", "A: a field needs a name");
    refused("{\"type\": \"record\", \"name\": \"A\", \"fields\": [{\"name\": \"f\"}]}",
        "A.f: a field needs a type");
    refused("{\"type\": \"record\", \"name\": \"A\", \"fields\": [{\"name\": \"f\", \"type\": "
            "\"int\"}, "
            "{\"name\": \"f\", \"type\": \"int\"}]}",
        "the field 'f' occurs twice");
    refused("{\"type\": \"record\", \"name\": \"A\", \"fields\": [{\"name\": \"f\", \"type\": "
            "{\"type\": \"array\", \"items\": \"B\"}}]}",
        "A.f[]: no type 'B'");
    refused("{\"type\": \"enum\", \"name\": \"E\", \"symbols\": []}", "needs a list of 'symbols'");
    refused("{\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"a\", \"a\"]}", "occurs twice");
    refused("{\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"a\"], \"default\": \"b\"}",
        "none of its symbols");
    refused("{\"type\": \"fixed\", \"name\": \"F\"}", "needs a 'size'");
    refused("{\"type\": \"map\"}", "needs 'values'");
    refused("[\"int\", \"int\"]", "occurs twice");
    refused("[\"int\", [\"long\"]]", "directly inside");
    refused("[]", "needs a branch");
    refused(
        "[{\"type\": \"array\", \"items\": \"int\"}, {\"type\": \"array\", \"items\": \"int\"}]",
        "occurs twice");
}

/* What other implementations have let into registries, and what a logical type may not be on. */
static void test_schema_accepted(void **state)
{
    (void)state;
    static const char *const texts[] = {
        /* Namespaces come from topics and hosts; the reference implementation checks none. */
        "{\"type\": \"record\", \"name\": \"Value\", \"namespace\": \"eu-1.2-orders.public\", "
        "\"aliases\": [\"old-shop.Value\"], \"fields\": [{\"name\": \"before\", \"type\": "
        "[\"null\", "
        "\"eu-1.2-orders.public.Value\"]}, {\"name\": \"after\", \"type\": [\"null\", "
        "\"Value\"]}]}",
        "{\"type\": \"record\", \"name\": \"eu-1.Value\", \"fields\": []}",
        /* It knows letters of all scripts. */
        "{\"type\": \"enum\", \"name\": \"Gr\u00f6\u00dfe\", \"symbols\": [\"gro\u00df\", "
        "\"\u5c0f\"]}",
        "{\"type\": \"record\", \"name\": \"A\", \"fields\": [{\"name\": \"preis_\u20ac1\", "
        "\"type\": \"int\", \"aliases\": [\"preis in \u20ac\", \"1-a\"]}]}",
        /* The default of a decimal: nothing at all. */
        "{\"type\": \"record\", \"name\": \"A\", \"doc\": \"\\u0000\", \"fields\": [{\"name\": "
        "\"a\", "
        "\"type\": {\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 4}, "
        "\"default\": \"\\u0000\"}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct avro_schema *schema = must_parse(texts[i]);
        avro_schema_free(&schema);
    }
}

static void test_logical_types(void **state)
{
    (void)state;
    static const struct {
        const char *type, *attributes;
        enum avro_logical logical;
    } cases[] = {
        {"int", "\"logicalType\": \"date\"", LOGICAL_DATE},
        {"long", "\"logicalType\": \"date\"", LOGICAL_NONE},
        {"int", "\"logicalType\": \"timestamp-millis\"", LOGICAL_NONE},
        {"string", "\"logicalType\": \"timestamp-millis\"", LOGICAL_NONE},
        {"long", "\"logicalType\": \"timestamp-nanos\"", LOGICAL_TIMESTAMP_NANOS},
        {"long", "\"logicalType\": 5", LOGICAL_NONE},
        {"long", "\"logicalType\": \"of-ours\"", LOGICAL_NONE},
        {"int", "\"logicalType\": \"time-millis\"", LOGICAL_NONE},
        {"string", "\"logicalType\": \"uuid\"", LOGICAL_UUID},
        {"bytes", "\"logicalType\": \"uuid\"", LOGICAL_NONE},
        {"fixed", "\"size\": 16, \"logicalType\": \"uuid\"", LOGICAL_UUID},
        {"fixed", "\"size\": 12, \"logicalType\": \"uuid\"", LOGICAL_NONE},
        {"fixed", "\"size\": 12, \"logicalType\": \"duration\"", LOGICAL_NONE},
        {"bytes", "\"logicalType\": \"decimal\", \"precision\": 4", LOGICAL_DECIMAL},
        {"bytes", "\"logicalType\": \"decimal\", \"precision\": 4, \"scale\": 4", LOGICAL_DECIMAL},
        {"bytes", "\"logicalType\": \"decimal\", \"precision\": 4, \"scale\": 5", LOGICAL_NONE},
        {"bytes", "\"logicalType\": \"decimal\", \"precision\": 4, \"scale\": -1", LOGICAL_NONE},
        {"bytes", "\"logicalType\": \"decimal\", \"precision\": 0", LOGICAL_NONE},
        {"bytes", "\"logicalType\": \"decimal\"", LOGICAL_NONE},
        {"string", "\"logicalType\": \"decimal\", \"precision\": 4", LOGICAL_NONE},
        /* n bytes hold the digits of 2^(8n-1) - 1. */
        {"fixed", "\"size\": 1, \"logicalType\": \"decimal\", \"precision\": 2", LOGICAL_DECIMAL},
        {"fixed", "\"size\": 1, \"logicalType\": \"decimal\", \"precision\": 3", LOGICAL_NONE},
        {"fixed", "\"size\": 8, \"logicalType\": \"decimal\", \"precision\": 18", LOGICAL_DECIMAL},
        {"fixed", "\"size\": 8, \"logicalType\": \"decimal\", \"precision\": 19", LOGICAL_NONE},
        {"fixed", "\"size\": 16, \"logicalType\": \"decimal\", \"precision\": 38", LOGICAL_DECIMAL},
        {"fixed", "\"size\": 16, \"logicalType\": \"decimal\", \"precision\": 39", LOGICAL_NONE},
        {"fixed", "\"size\": 0, \"logicalType\": \"decimal\", \"precision\": 1", LOGICAL_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"type\": \"%s\", \"name\": \"F\", %s}", cases[i].type,
            cases[i].attributes);
        struct avro_schema *schema = must_parse(text);
        if (avro_schema_root(schema)->logical != cases[i].logical)
            fail_msg("%s", text);
        avro_schema_free(&schema);
    }
}

static void test_schema_depth(void **state)
{
    (void)state;
    char text[8192] = "";
    size_t n = 0;
    for (int i = 0; i < 100; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "{\"type\": \"array\", \"items\": ");
    n += (size_t)snprintf(text + n, sizeof text - n, "\"int\"");
    for (int i = 0; i < 100; i++)
        text[n++] = '}';
    text[n] = 0;
    refused(text, "deep");
}

/* ---- messages ---- */

static const struct slice types[] = {{"placed", 6}, {"delivered", 9}};

#define F(n, t, ...)                                                                               \
    {                                                                                              \
        .name = {n, sizeof(n) - 1}, .type = t, __VA_ARGS__                                         \
    }

enum { ID, TYPE, AT, COUNT, AMOUNT, FLAG };

static const struct contract contract = {
    .event_time = AT,
    .event_id = ID,
    .key = -1,
    .n_fields = 6,
    .fields =
        {
            F("id", FIELD_STRING, .required = true),
            F("type", FIELD_STRING, .allowed = types, .n_allowed = 2),
            F("at", FIELD_TIME),
            F("count", FIELD_INT, .has_min = true, .min = -5),
            F("amount", FIELD_DECIMAL, .digits = 2),
            F("flag", FIELD_BOOL),
        },
};

struct fixture {
    struct event_rules rules;
    struct arena scratch;
    struct buf bytes;
    struct event event;
    struct err err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    event_rules_init(&f->rules, &contract);
    arena_init(&f->scratch, 0);
    buf_init(&f->bytes, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    event_rules_fini(&f->rules);
    arena_fini(&f->scratch);
    buf_fini(&f->bytes);
    free(f);
    return 0;
}

static bool compile(
    struct fixture *f, const char *writer, const char *reader, struct avro_program **out)
{
    struct avro_schema *w = must_parse(writer), *r = reader ? must_parse(reader) : NULL;
    bool ok = avro_program_new(w, r, &f->rules, out, &f->err);
    avro_schema_free(&w);
    avro_schema_free(&r);
    return ok;
}

static void put_text(struct fixture *f, const char *text)
{
    buf_svarint(&f->bytes, (int64_t)strlen(text));
    buf_str(&f->bytes, text);
}

/* Decodes what is in `bytes`, from memory that ends where they end. */
static enum refusal decode(struct fixture *f, const char *writer, const char *reader)
{
    struct avro_program *program;
    int field;
    if (!compile(f, writer, reader, &program))
        fail_msg("%s", f->err.text);
    char *exact = malloc(f->bytes.len ? f->bytes.len : 1);
    memcpy(exact, f->bytes.ptr ? f->bytes.ptr : "", f->bytes.len);
    enum refusal why =
        avro_decode(program, slice_of(exact, f->bytes.len), &f->scratch, &f->event, &field);
    for (size_t i = 0; why == REFUSED_NOT && i < contract.n_fields; i++)
        if (f->event.v[i].str.ptr)
            f->event.v[i].str = arena_slice(&f->scratch, f->event.v[i].str);
    free(exact);
    avro_program_free(&program);
    buf_clear(&f->bytes);
    return why;
}

#define RECORD(fields)    "{\"type\": \"record\", \"name\": \"Order\", \"fields\": [" fields "]}"
#define FIELD(name, type) "{\"name\": \"" name "\", \"type\": " type "}"
#define ID_AT             FIELD("id", "\"string\"") ", " FIELD("at", "\"long\"")

static void put_id_at(struct fixture *f)
{
    put_text(f, "e1");
    buf_svarint(&f->bytes, 1000);
}

static void test_plain(void **state)
{
    struct fixture *f = *state;
    put_id_at(f);
    put_text(f, "placed");
    buf_svarint(&f->bytes, -4);
    uint64_t bits;
    double d = 12.345;
    memcpy(&bits, &d, sizeof bits);
    buf_le64(&f->bytes, bits);
    buf_u8(&f->bytes, 1);
    assert_int_equal(
        decode(f,
            RECORD(ID_AT ", " FIELD("type", "\"string\"") ", " FIELD("count", "\"int\"") ", " FIELD(
                "amount", "\"double\"") ", " FIELD("flag", "\"boolean\"")),
            NULL),
        REFUSED_NOT);
    assert_true(slice_is(f->event.v[ID].str, "e1"));
    assert_true(slice_is(f->event.v[TYPE].str, "placed"));
    assert_int_equal(f->event.time_ms, 1000);
    assert_int_equal(f->event.v[COUNT].num, -4);
    assert_int_equal(f->event.v[AMOUNT].num, 1235); /* 12.345 is a little more */
    assert_int_equal(f->event.v[FLAG].num, 1);
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    put_id_at(f);
    put_text(f, "eaten");
    assert_int_equal(
        decode(f, RECORD(ID_AT ", " FIELD("type", "\"string\"")), NULL), REFUSED_NOT_ALLOWED);
    put_id_at(f);
    buf_svarint(&f->bytes, -6);
    assert_int_equal(decode(f, RECORD(ID_AT ", " FIELD("count", "\"long\"")), NULL), REFUSED_RANGE);
    put_id_at(f);
    buf_svarint(&f->bytes, INT64_MAX);
    assert_int_equal(
        decode(f, RECORD(ID_AT ", " FIELD("amount", "\"long\"")), NULL), REFUSED_RANGE);
    put_id_at(f);
    put_text(f, "5");
    assert_int_equal(
        decode(f, RECORD(ID_AT ", " FIELD("count", "\"string\"")), NULL), REFUSED_TYPE);
    buf_svarint(&f->bytes, 1000);
    assert_int_equal(decode(f, RECORD(FIELD("at", "\"long\"")), NULL), REFUSED_MISSING);
    put_id_at(f);
    buf_u8(&f->bytes, 0);
    assert_int_equal(decode(f, RECORD(ID_AT), NULL), REFUSED_MALFORMED); /* a byte behind */
    put_text(f, "e\xff");
    buf_svarint(&f->bytes, 1000);
    assert_int_equal(decode(f, RECORD(ID_AT), NULL), REFUSED_MALFORMED);
    buf_svarint(&f->bytes, 100);
    assert_int_equal(decode(f, RECORD(ID_AT), NULL), REFUSED_MALFORMED);
    buf_svarint(&f->bytes, -1);
    assert_int_equal(decode(f, RECORD(ID_AT), NULL), REFUSED_MALFORMED);
    put_id_at(f);
    buf_svarint(&f->bytes, INT64_C(1) << 31); /* no int */
    assert_int_equal(
        decode(f, RECORD(ID_AT ", " FIELD("count", "\"int\"")), NULL), REFUSED_MALFORMED);
}

static void test_resolution(void **state)
{
    struct fixture *f = *state;
    /* Promoted, renamed, left out, added with a default, in another order. */
    put_text(f, "left out");
    buf_svarint(&f->bytes, 3);
    put_text(f, "e1");
    buf_svarint(&f->bytes, 1000);
    assert_int_equal(
        decode(f,
            RECORD(FIELD("note", "\"string\"") ", " FIELD("amount", "\"int\"") ", " FIELD(
                "key", "\"bytes\"") ", " FIELD("at", "\"long\"")),
            RECORD(FIELD(
                "at", "\"long\"") ", {\"name\": \"id\", \"type\": \"string\", \"aliases\": "
                                  "[\"key\"]}, " FIELD("amount",
                                      "\"double\"") ", "
                                                    "{\"name\": \"type\", \"type\": [\"null\", "
                                                    "\"string\"], \"default\": \"placed\"}, "
                                                    "{\"name\": \"count\", \"type\": \"long\", "
                                                    "\"default\": 7}, "
                                                    "{\"name\": \"flag\", \"type\": [\"null\", "
                                                    "\"boolean\"], \"default\": null}")),
        REFUSED_NOT);
    assert_true(slice_is(f->event.v[ID].str, "e1"));
    assert_int_equal(f->event.v[AMOUNT].num, 300);
    assert_true(slice_is(f->event.v[TYPE].str, "placed"));
    assert_int_equal(f->event.v[COUNT].num, 7);
    assert_false(f->event.v[FLAG].present);
}

/* One field that was written serves one of the reader's: the one with its name, or else the first
 * that has it as an alias; the other has its default, or does not resolve. */
static void test_one_field_for_two(void **state)
{
    struct fixture *f = *state;
    struct avro_program *program;
#define ALIASED(name, alias, more)                                                                 \
    "{\"name\": \"" name "\", \"type\": \"string\", \"aliases\": [\"" alias "\"]" more "}"
#define AT_LONG FIELD("at", "\"long\"")
    const char *writer = RECORD(FIELD("type", "\"string\"") ", " AT_LONG);
    put_text(f, "placed");
    buf_svarint(&f->bytes, 1000);
    assert_int_equal(decode(f, writer,
                         RECORD(FIELD("type", "\"string\"") ", " ALIASED(
                             "id", "type", ", \"default\": \"none\"") ", " AT_LONG)),
        REFUSED_NOT);
    assert_true(slice_is(f->event.v[TYPE].str, "placed"));
    assert_true(slice_is(f->event.v[ID].str, "none"));
    put_text(f, "placed");
    buf_svarint(&f->bytes, 1000);
    assert_int_equal(decode(f, writer,
                         RECORD(ALIASED("id", "type", ", \"default\": \"none\"") ", " FIELD(
                             "type", "\"string\"") ", " AT_LONG)),
        REFUSED_NOT);
    assert_true(slice_is(f->event.v[TYPE].str, "placed"));
    assert_true(slice_is(f->event.v[ID].str, "none"));
    assert_false(compile(f, writer,
        RECORD(ALIASED("id", "type", "") ", " FIELD("type", "\"string\"") ", " AT_LONG), &program));
    assert_non_null(strstr(f->err.text, "id: the writer has no such field"));
    put_text(f, "e1");
    buf_svarint(&f->bytes, 1000);
    assert_int_equal(decode(f, RECORD(FIELD("key", "\"string\"") ", " AT_LONG),
                         RECORD(ALIASED("id", "key", "") ", " ALIASED(
                             "type", "key", ", \"default\": \"delivered\"") ", " AT_LONG)),
        REFUSED_NOT);
    assert_true(slice_is(f->event.v[ID].str, "e1"));
    assert_true(slice_is(f->event.v[TYPE].str, "delivered"));
}

/* What is no text is no malformed message: the schema says bytes. */
static void test_bytes_as_text(void **state)
{
    struct fixture *f = *state;
    put_text(f, "e\xc3\xa9");
    buf_svarint(&f->bytes, 1000);
    assert_int_equal(decode(f, RECORD(FIELD("id", "\"bytes\"") ", " AT_LONG), NULL), REFUSED_NOT);
    assert_true(slice_is(f->event.v[ID].str, "e\xc3\xa9"));
    put_text(f, "e\xff");
    buf_svarint(&f->bytes, 1000);
    assert_int_equal(decode(f, RECORD(FIELD("id", "\"bytes\"") ", " AT_LONG), NULL), REFUSED_TYPE);
    put_text(f, "e\xff");
    buf_svarint(&f->bytes, 1000);
    assert_int_equal(decode(f, RECORD(FIELD("id", "\"bytes\"") ", " AT_LONG),
                         RECORD(FIELD("id", "\"string\"") ", " AT_LONG)),
        REFUSED_TYPE);
    buf_slice(&f->bytes, SLICE("\x01\x00\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00"));
    buf_svarint(&f->bytes, 1000);
    assert_int_equal(decode(f,
                         RECORD(FIELD("id", "{\"type\": \"fixed\", \"name\": \"D\", \"size\": 12, "
                                            "\"logicalType\": \"duration\"}") ", " AT_LONG),
                         NULL),
        REFUSED_TYPE);
}

/* Bytes of a default are the code points of its text, a zero among them. */
static void test_default_bytes(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        int64_t amount;
    } cases[] = {{"", 0}, {"\\u0000", 0}, {"\\u0004\\u00d2", 1234}, {"\u00ff\u00fe", -2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char reader[512];
        snprintf(reader, sizeof reader,
            RECORD(
                ID_AT ", {\"name\": \"amount\", \"type\": {\"type\": \"bytes\", \"logicalType\": "
                      "\"decimal\", \"precision\": 8, \"scale\": 2}, \"default\": \"%s\"}"),
            cases[i].text);
        put_id_at(f);
        assert_int_equal(decode(f, RECORD(ID_AT), reader), REFUSED_NOT);
        assert_int_equal(f->event.v[AMOUNT].num, cases[i].amount);
    }
    struct avro_program *program;
    assert_false(compile(f, RECORD(ID_AT),
        RECORD(ID_AT ", {\"name\": \"amount\", \"type\": \"bytes\", \"default\": \"\u0100\"}"),
        &program));
}

static void test_no_resolution(void **state)
{
    struct fixture *f = *state;
    struct avro_program *program;
    assert_false(compile(f, RECORD(ID_AT), RECORD(ID_AT ", " FIELD("count", "\"int\"")), &program));
    assert_non_null(strstr(f->err.text, "count: the writer has no such field"));
    assert_false(
        compile(f, RECORD(FIELD("id", "\"string\"")), RECORD(FIELD("id", "\"int\"")), &program));
    assert_non_null(strstr(f->err.text, "id: the writer's string is no int of the reader"));
    assert_false(
        compile(f, RECORD(FIELD("at", "\"long\"")), RECORD(FIELD("at", "\"int\"")), &program));
    assert_false(compile(f, "\"int\"", NULL, &program));
    assert_non_null(strstr(f->err.text, "an event is a record"));
    assert_false(compile(f, RECORD(ID_AT),
        RECORD(ID_AT ", {\"name\": \"count\", \"type\": \"int\", \"default\": \"x\"}"), &program));
    assert_non_null(strstr(f->err.text, "count: the default is no value of its type"));
}

static void test_unions(void **state)
{
    struct fixture *f = *state;
    const char *writer = RECORD(ID_AT ", " FIELD("count", "[\"null\", \"string\", \"long\"]"));
    put_id_at(f);
    buf_svarint(&f->bytes, 0);
    assert_int_equal(decode(f, writer, NULL), REFUSED_NOT);
    assert_false(f->event.v[COUNT].present);
    put_id_at(f);
    buf_svarint(&f->bytes, 1);
    put_text(f, "x");
    assert_int_equal(decode(f, writer, NULL), REFUSED_TYPE);
    put_id_at(f);
    buf_svarint(&f->bytes, 2);
    buf_svarint(&f->bytes, 9);
    assert_int_equal(decode(f, writer, NULL), REFUSED_NOT);
    assert_int_equal(f->event.v[COUNT].num, 9);
    put_id_at(f);
    buf_svarint(&f->bytes, 3);
    assert_int_equal(decode(f, writer, NULL), REFUSED_MALFORMED);
    /* The reader has no string: those messages alone are refused, once they are whole. */
    const char *reader = RECORD(ID_AT ", " FIELD("count", "[\"null\", \"double\"]"));
    put_id_at(f);
    buf_svarint(&f->bytes, 1);
    put_text(f, "x");
    assert_int_equal(decode(f, writer, reader), REFUSED_SCHEMA);
    put_id_at(f);
    buf_svarint(&f->bytes, 1);
    buf_svarint(&f->bytes, 8);
    assert_int_equal(decode(f, writer, reader), REFUSED_MALFORMED);
    put_id_at(f);
    buf_svarint(&f->bytes, 2);
    buf_svarint(&f->bytes, 9);
    assert_int_equal(decode(f, writer, reader), REFUSED_NOT);
    assert_int_equal(f->event.v[COUNT].num, 9);
}

static void test_enums(void **state)
{
    struct fixture *f = *state;
#define ENUM(symbols, more)                                                                        \
    "{\"type\": \"enum\", \"name\": \"T\", \"symbols\": [" symbols "]" more "}"
    const char *writer =
        RECORD(ID_AT ", " FIELD("type", ENUM("\"cooked\", \"placed\", \"delivered\"", "")));
    put_id_at(f);
    buf_svarint(&f->bytes, 2);
    assert_int_equal(decode(f, writer, NULL), REFUSED_NOT);
    assert_true(slice_is(f->event.v[TYPE].str, "delivered"));
    put_id_at(f);
    buf_svarint(&f->bytes, 0);
    assert_int_equal(decode(f, writer, NULL), REFUSED_NOT_ALLOWED);
    const char *reader = RECORD(ID_AT ", " FIELD("type", ENUM("\"delivered\", \"placed\"", "")));
    put_id_at(f);
    buf_svarint(&f->bytes, 2);
    assert_int_equal(decode(f, writer, reader), REFUSED_NOT);
    assert_true(slice_is(f->event.v[TYPE].str, "delivered"));
    put_id_at(f);
    buf_svarint(&f->bytes, 0);
    assert_int_equal(decode(f, writer, reader), REFUSED_SCHEMA);
    put_id_at(f);
    buf_svarint(&f->bytes, 0);
    assert_int_equal(decode(f, writer,
                         RECORD(ID_AT ", " FIELD("type",
                             ENUM("\"delivered\", \"placed\"", ", \"default\": \"placed\"")))),
        REFUSED_NOT);
    assert_true(slice_is(f->event.v[TYPE].str, "placed"));
}

static void test_times(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *type;
        int64_t written, ms;
    } cases[] = {
        {"{\"type\": \"int\", \"logicalType\": \"date\"}", -1, -86400000},
        {"{\"type\": \"long\", \"logicalType\": \"timestamp-millis\"}", 5, 5},
        {"{\"type\": \"long\", \"logicalType\": \"timestamp-micros\"}", 1999, 1},
        {"{\"type\": \"long\", \"logicalType\": \"timestamp-micros\"}", -1, -1},
        {"{\"type\": \"long\", \"logicalType\": \"local-timestamp-micros\"}", 2000, 2},
        {"{\"type\": \"long\", \"logicalType\": \"timestamp-nanos\"}", -1000001, -2},
        {"\"long\"", 7, 7},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char schema[512];
        snprintf(schema, sizeof schema, RECORD(FIELD("id", "\"string\"") ", " FIELD("at", "%s")),
            cases[i].type);
        put_text(f, "e1");
        buf_svarint(&f->bytes, cases[i].written);
        assert_int_equal(decode(f, schema, NULL), REFUSED_NOT);
        assert_int_equal(f->event.time_ms, cases[i].ms);
    }
    put_text(f, "e1");
    put_text(f, "1970-01-01T01:00:00.5+01:00");
    assert_int_equal(
        decode(f, RECORD(FIELD("id", "\"string\"") ", " FIELD("at", "\"string\"")), NULL),
        REFUSED_NOT);
    assert_int_equal(f->event.time_ms, 500);
}

/* As schemas of decimals have it: a string of JSON with zeros in it. */
static void test_default_of_zeros(void **state)
{
    struct fixture *f = *state;
    put_id_at(f);
    assert_int_equal(decode(f, RECORD(ID_AT),
                         RECORD(ID_AT ", {\"name\": \"amount\", \"type\": {\"type\": \"bytes\", "
                                      "\"logicalType\": \"decimal\", \"precision\": 9, "
                                      "\"scale\": 2}, \"default\": \"\\u0001\\u0000\"}")),
        REFUSED_NOT);
    assert_int_equal(f->event.v[AMOUNT].num, 256);
}

static void test_decimals(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        int scale, digits;
        bool fits, exact;
        int64_t value;
    } cases[] = {
        {"", 0, 2, 2, true, true, 0},
        {"\x04\xd2", 2, 2, 2, true, true, 1234},
        {"\xfb\x2e", 2, 2, 2, true, true, -1234},
        {"\xff\xff\xff\xfb\x2e", 5, 2, 4, true, true, -123400},
        {"\x00\x7d", 2, 1, 0, true, false, 12}, /* 12.5: even */
        {"\x00\x87", 2, 1, 0, true, false, 14}, /* 13.5 */
        {"\x83", 1, 1, 0, true, false, -12},    /* -12.5 */
        {"\x04\xe3", 2, 2, 0, true, false, 13}, /* 12.51 */
        {"\x7f\xff\xff\xff\xff\xff\xff\xff", 8, 0, 0, true, true, INT64_MAX},
        {"\x00\x80\x00\x00\x00\x00\x00\x00\x00", 9, 0, 0, false, true, 0},
        {"\x80\x00\x00\x00\x00\x00\x00\x00", 8, 0, 0, true, true, INT64_MIN},
        /* 10^40 with 40 digits */
        {"\x1d\x63\x29\xf1\xc3\x5c\xa4\xbf\xab\xb9\xf5\x61\x00\x00\x00\x00\x00", 17, 40, 2, true,
            true, 100},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t v = -77;
        bool exact = !cases[i].exact;
        bool fits = avro_scale_decimal(
            slice_of(cases[i].bytes, cases[i].n), cases[i].scale, cases[i].digits, &v, &exact);
        assert_int_equal(fits, cases[i].fits);
        if (fits) {
            assert_int_equal(v, cases[i].value);
            assert_int_equal(exact, cases[i].exact);
        }
    }
}

static void test_doubles(void **state)
{
    (void)state;
    static const struct {
        double v;
        int digits;
        bool fits, exact;
        int64_t value;
    } cases[] = {
        {0, 2, true, true, 0},
        {-0.0, 2, true, true, 0},
        {0.5, 0, true, false, 0},
        {1.5, 0, true, false, 2},
        {-2.5, 0, true, false, -2},
        {0.125, 2, true, false, 12},
        {1e-300, 18, true, false, 0},
        {9223372036854774784.0, 0, true, true, INT64_C(9223372036854774784)},
        {9223372036854775808.0, 0, false, true, 0},
        {-9223372036854775808.0, 0, true, true, INT64_MIN},
        {1e300, 0, false, true, 0},
        {9.2, 18, true, false, INT64_C(9199999999999999289)},
        {__builtin_nan(""), 0, false, true, 0},
        {__builtin_inf(), 0, false, true, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t v = -77;
        bool exact = !cases[i].exact;
        bool fits = avro_scale_double(cases[i].v, cases[i].digits, &v, &exact);
        assert_int_equal(fits, cases[i].fits);
        if (fits) {
            assert_int_equal(v, cases[i].value);
            assert_int_equal(exact, cases[i].exact);
        }
    }
}

/* What is nested is read over, whatever it is: recursive, in blocks with their size, as maps. */
static void test_nested(void **state)
{
    struct fixture *f = *state;
    const char *writer = RECORD(FIELD(
        "tree", "{\"type\": \"record\", \"name\": \"Node\", \"fields\": [" FIELD(
                    "children", "{\"type\": \"array\", \"items\": \"Node\"}") ", " FIELD("more",
                    "{\"type\": \"map\", \"values\": [\"null\", \"Node\"]}") "]}") ", " ID_AT);
    /* Two children with their length in bytes, of which the first has a child; a map of one. */
    static const int8_t tree[] = {-2, 8, 1, 0, 0, 0, 0, 0, 0, 0, 1};
    for (size_t i = 0; i < sizeof tree; i++)
        buf_svarint(&f->bytes, tree[i]);
    put_text(f, "key");
    buf_svarint(&f->bytes, 0);
    buf_svarint(&f->bytes, 0);
    put_id_at(f);
    assert_int_equal(decode(f, writer, NULL), REFUSED_MALFORMED); /* 8 bytes were promised */
    static const int8_t right[] = {-2, 7, 1, 0, 0, 0, 0, 0, 0, 0, 1};
    for (size_t i = 0; i < sizeof right; i++)
        buf_svarint(&f->bytes, right[i]);
    put_text(f, "key");
    buf_svarint(&f->bytes, 0);
    buf_svarint(&f->bytes, 0);
    put_id_at(f);
    assert_int_equal(decode(f, writer, NULL), REFUSED_NOT);
    assert_true(slice_is(f->event.v[ID].str, "e1"));
}

/* Small messages and schemas that would take for ever. */
static void test_bombs(void **state)
{
    struct fixture *f = *state;
    put_id_at(f);
    buf_svarint(&f->bytes, INT64_C(1) << 40);
    buf_svarint(&f->bytes, 0);
    assert_int_equal(
        decode(f, RECORD(ID_AT ", " FIELD("nulls", "{\"type\": \"array\", \"items\": \"null\"}")),
            NULL),
        REFUSED_MALFORMED);
    put_id_at(f);
    for (int i = 0; i < 100000; i++)
        buf_svarint(&f->bytes, 1);
    assert_int_equal(decode(f,
                         RECORD(ID_AT ", " FIELD(
                             "list", "{\"type\": \"record\", \"name\": \"L\", \"fields\": [" FIELD(
                                         "next", "[\"null\", \"L\"]") "]}")),
                         NULL),
        REFUSED_MALFORMED);
    /* Each record holds the next twice: 2^60 fields when written out. */
    struct buf schema;
    buf_init(&schema, 0);
    buf_str(&schema, "{\"type\": \"record\", \"name\": \"R0\", \"fields\": [");
    for (int i = 1; i < 30; i++)
        buf_printf(&schema,
            "{\"name\": \"a\", \"type\": {\"type\": \"record\", \"name\": \"R%d\", \"fields\": [",
            i);
    buf_str(&schema, FIELD("x", "\"int\""));
    for (int i = 29; i > 0; i--)
        buf_printf(&schema, "]}}, {\"name\": \"b\", \"type\": \"R%d\"}", i);
    buf_str(&schema, "]}");
    struct avro_program *program;
    assert_true(compile(f, buf_cstr(&schema), NULL, &program));
    avro_program_free(&program);
    buf_fini(&schema);
}

static void put_record(struct buf *out, int i, const char *rest)
{
    buf_printf(out, "{\"type\": \"record\", \"name\": \"R%d\", \"fields\": [%s", i, rest);
}

/* Values without bytes: records of records of nothing, and items of which each is a long record. A
 * message of a few bytes has any number of them. */
static void test_bombs_of_nothing(void **state)
{
    struct fixture *f = *state;
    struct buf schema;
    buf_init(&schema, 0);
    put_record(&schema, 0, ID_AT ", ");
    for (int i = 1; i < 50; i++) {
        buf_str(&schema, "{\"name\": \"a\", \"type\": ");
        put_record(&schema, i, "");
    }
    buf_str(&schema, FIELD("x", "\"null\""));
    for (int i = 49; i > 0; i--)
        buf_printf(&schema, "]}}, {\"name\": \"b\", \"type\": \"R%d\"}", i);
    buf_str(&schema, "]}");
    put_id_at(f);
    assert_int_equal(decode(f, buf_cstr(&schema), NULL), REFUSED_MALFORMED);

    buf_clear(&schema);
    put_record(&schema, 0, ID_AT ", {\"name\": \"a\", \"type\": {\"type\": \"array\", \"items\": ");
    put_record(&schema, 1, "");
    for (int i = 0; i < 10000; i++)
        buf_printf(&schema, "%s{\"name\": \"f%d\", \"type\": \"null\"}", i ? ", " : "", i);
    buf_str(&schema, "]}}}]}");
    put_id_at(f);
    buf_svarint(&f->bytes, 1000000);
    buf_svarint(&f->bytes, 0);
    assert_int_equal(decode(f, buf_cstr(&schema), NULL), REFUSED_MALFORMED);
    buf_fini(&schema);
}

/* A branch that the reader has not is skipped by ops of their own: those count too. */
static void test_limit_of_skips(void **state)
{
    struct fixture *f = *state;
    struct avro_program *program;
    struct buf schema;
    buf_init(&schema, 0);
    buf_str(&schema, "{\"type\": \"record\", \"name\": \"Order\", \"fields\": [" ID_AT
                     ", {\"name\": \"e\", \"type\": {\"type\": \"enum\", \"name\": \"E\", "
                     "\"symbols\": [\"s\"");
    for (int i = 0; i < 70000; i++)
        buf_printf(&schema, ",\"s%d\"", i);
    buf_str(&schema, "]}}, {\"name\": \"u\", \"type\": [\"null\", {\"type\": \"record\", \"name\": "
                     "\"R\", \"fields\": [");
    for (int i = 0; i < 3; i++)
        buf_printf(&schema, "{\"name\": \"f%d\", \"type\": \"E\"}, ", i);
    buf_str(&schema, FIELD("x", "\"string\"") "]}]}]}");
    assert_false(compile(
        f, buf_cstr(&schema), RECORD(ID_AT ", " FIELD("u", "[\"null\", \"int\"]")), &program));
    assert_int_equal(f->err.code, ERR_LIMIT);
    buf_fini(&schema);
}

/* A program has the symbols of its schemas once for each place: so they are bounded too. */
static void test_limit_of_symbols(void **state)
{
    struct fixture *f = *state;
    struct avro_program *program;
    struct buf schema;
    char padding[201];
    memset(padding, 'x', 200);
    padding[200] = 0;
    buf_init(&schema, 0);
    buf_str(&schema, "{\"type\": \"record\", \"name\": \"Order\", \"fields\": [" ID_AT
                     ", {\"name\": \"e\", \"type\": {\"type\": \"enum\", \"name\": \"E\", "
                     "\"symbols\": [\"s\"");
    for (int i = 0; i < 4000; i++)
        buf_printf(&schema, ",\"%s%d\"", padding, i);
    buf_str(&schema, "]}}");
    for (int i = 0; i < 40; i++)
        buf_printf(&schema, ", {\"name\": \"f%d\", \"type\": \"E\"}", i);
    buf_str(&schema, "]}");
    assert_false(compile(f, buf_cstr(&schema), NULL, &program));
    assert_int_equal(f->err.code, ERR_LIMIT);
    buf_fini(&schema);
}

/* As long as a message may be, of the smallest items that there are: that is no bomb. */
static void test_many_items(void **state)
{
    struct fixture *f = *state;
    put_id_at(f);
    buf_svarint(&f->bytes, 1000000);
    for (int i = 0; i < 1000000; i++)
        buf_u8(&f->bytes, 0);
    buf_svarint(&f->bytes, 0);
    assert_int_equal(decode(f,
                         RECORD(ID_AT ", " FIELD("list",
                             "{\"type\": \"array\", \"items\": {\"type\": \"record\", \"name\": "
                             "\"I\", \"fields\": [" FIELD("v", "[\"null\", \"int\"]") "]}}")),
                         NULL),
        REFUSED_NOT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema_errors),
        cmocka_unit_test(test_schema_accepted),
        cmocka_unit_test(test_logical_types),
        cmocka_unit_test(test_schema_depth),
        cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resolution, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_field_for_two, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_as_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_default_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_resolution, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_enums, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_default_of_zeros, setup, teardown),
        cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test_setup_teardown(test_nested, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bombs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bombs_of_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_skips, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_symbols, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_items, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
