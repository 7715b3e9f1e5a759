#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "ingest/registry/schema_framing.h"

struct fixture {
    struct buf room;
    struct arena scratch;
    struct schema_ref ref;
    struct slice message;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    buf_init(&f->room, 2 * EVENT_BYTES_MAX);
    arena_init(&f->scratch, 4 * EVENT_BYTES_MAX);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    buf_fini(&f->room);
    arena_fini(&f->scratch);
    free(f);
    return 0;
}

static enum refusal open_framed(
    struct fixture *f, enum framing framing, struct slice value, struct slice header)
{
    return framing_open(framing, value, header, &f->room, &f->scratch, &f->ref, &f->message);
}

static const struct slice none = {NULL, 0};

static void assert_ref(const struct fixture *f, const char *text)
{
    char out[SCHEMA_REF_TEXT];
    assert_string_equal(schema_ref_text(&f->ref, out), text);
}

#define GUID      "\x3f\x2b\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d"
#define GUID_TEXT "3f2b0001-0203-0405-0607-08090a0b0c0d"

static void test_confluent(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        open_framed(f, FRAMING_CONFLUENT, SLICE("\x00\x00\x01\x02\x03rest"), none), REFUSED_NOT);
    assert_ref(f, "66051");
    assert_int_equal(schema_ref_number(&f->ref), 66051);
    assert_true(slice_is(f->message, "rest"));
    assert_int_equal(
        open_framed(f, FRAMING_CONFLUENT, SLICE("\x00\xff\xff\xff\xff"), none), REFUSED_NOT);
    assert_ref(f, "4294967295");
    assert_int_equal(f->message.len, 0);
    for (size_t n = 0; n < 5; n++)
        assert_int_equal(
            open_framed(f, FRAMING_CONFLUENT, slice_of("\x00\x00\x00\x00\x01", n), none),
            REFUSED_MALFORMED);
    assert_int_equal(
        open_framed(f, FRAMING_CONFLUENT, SLICE("{\"a\": 1}"), none), REFUSED_MALFORMED);
    /* A GUID stands in the header alone. */
    assert_int_equal(
        open_framed(f, FRAMING_CONFLUENT, SLICE("\x01" GUID "rest"), none), REFUSED_MALFORMED);
}

static void test_confluent_header(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        open_framed(f, FRAMING_CONFLUENT, SLICE("rest"), SLICE("\x01" GUID)), REFUSED_NOT);
    assert_ref(f, GUID_TEXT);
    assert_false(f->ref.is_number);
    assert_true(slice_is(f->message, "rest"));
    assert_int_equal(open_framed(f, FRAMING_CONFLUENT, SLICE("\x00\x00\x00\x00\x07"),
                         SLICE("\x00\x00\x00\x00\x08")),
        REFUSED_NOT);
    assert_ref(f, "8"); /* the header counts, and the value is all message */
    assert_int_equal(f->message.len, 5);
    assert_int_equal(open_framed(f, FRAMING_CONFLUENT, SLICE("x"), SLICE("")), REFUSED_MALFORMED);
    assert_int_equal(
        open_framed(f, FRAMING_CONFLUENT, SLICE("x"), SLICE("\x01" GUID "x")), REFUSED_MALFORMED);
    assert_int_equal(
        open_framed(f, FRAMING_CONFLUENT, SLICE("x"), SLICE("\x02" GUID)), REFUSED_MALFORMED);
}

static void test_glue(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        open_framed(f, FRAMING_GLUE, SLICE("\x03\x00" GUID "rest"), none), REFUSED_NOT);
    assert_ref(f, GUID_TEXT);
    assert_true(slice_is(f->message, "rest"));
    assert_int_equal(
        open_framed(f, FRAMING_GLUE, SLICE("\x03\x04" GUID "rest"), none), REFUSED_MALFORMED);
    assert_int_equal(
        open_framed(f, FRAMING_GLUE, SLICE("\x00\x00" GUID "rest"), none), REFUSED_MALFORMED);
    for (size_t n = 0; n < 18; n++)
        assert_int_equal(
            open_framed(f, FRAMING_GLUE, slice_of("\x03\x00" GUID, n), none), REFUSED_MALFORMED);
}

/* n bytes 'a', deflated behind Glue's head. */
static struct slice deflated(struct buf *out, size_t n)
{
    char *text = malloc(n ? n : 1);
    memset(text, 'a', n);
    uLongf len = compressBound(n);
    buf_init(out, 0);
    buf_slice(out, SLICE("\x03\x05" GUID));
    char *at = buf_reserve(out, len);
    assert_int_equal(compress((Bytef *)at, &len, (const Bytef *)text, n), Z_OK);
    out->len += len;
    free(text);
    return buf_view(out);
}

static void test_glue_zlib(void **state)
{
    struct fixture *f = *state;
    struct buf bytes;
    struct slice whole = deflated(&bytes, 1000);
    assert_int_equal(open_framed(f, FRAMING_GLUE, whole, none), REFUSED_NOT);
    assert_int_equal(f->message.len, 1000);
    assert_int_equal(f->message.ptr[999], 'a');
    assert_int_equal(
        open_framed(f, FRAMING_GLUE, slice_of(whole.ptr, whole.len - 1), none), REFUSED_MALFORMED);
    buf_char(&bytes, 'x');
    assert_int_equal(open_framed(f, FRAMING_GLUE, buf_view(&bytes), none), REFUSED_MALFORMED);
    buf_fini(&bytes);
    assert_int_equal(
        open_framed(f, FRAMING_GLUE, deflated(&bytes, EVENT_BYTES_MAX), none), REFUSED_NOT);
    assert_int_equal(f->message.len, EVENT_BYTES_MAX);
    buf_fini(&bytes);
}

/* A few kilobytes that would be a hundred megabytes. */
static void test_zlib_bomb(void **state)
{
    struct fixture *f = *state;
    struct buf bytes;
    assert_int_equal(open_framed(f, FRAMING_GLUE, deflated(&bytes, EVENT_BYTES_MAX + 1), none),
        REFUSED_MALFORMED);
    buf_fini(&bytes);
    assert_int_equal(
        open_framed(f, FRAMING_GLUE, deflated(&bytes, 100u << 20), none), REFUSED_MALFORMED);
    assert_true(bytes.len < EVENT_BYTES_MAX);
    buf_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_confluent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_confluent_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_glue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_glue_zlib, setup, teardown),
        cmocka_unit_test_setup_teardown(test_zlib_bomb, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
