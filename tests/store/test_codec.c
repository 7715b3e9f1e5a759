#include "store/codec/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const int64_t samples[] = {
    0, 1, -1, 255, 256, -256, INT64_MAX, INT64_MIN, 0x0102030405060708};
#define N (sizeof samples / sizeof *samples)

static void round_trip(void **state)
{
    (void)state;
    for (size_t n = 0; n <= N; n++) {
        struct buf buf;
        int64_t out[N];
        buf_init(&buf, 0);
        buf_str(&buf, "ab");
        uint8_t id = codec_choose(samples, n);
        codec_encode(id, samples, n, &buf);
        buf_str(&buf, "tail");
        struct reader r = reader_of(buf_view(&buf));
        read_bytes(&r, 2);
        assert_true(codec_decode(id, &r, n, out));
        assert_memory_equal(out, samples, n * sizeof *out);
        assert_int_equal(reader_left(&r), 4); /* it delimits itself */
        buf_fini(&buf);
    }
}

static void plain_bytes(void **state)
{
    (void)state;
    static const uint8_t want[16] = {
        8, 7, 6, 5, 4, 3, 2, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const int64_t values[] = {0x0102030405060708, -2};
    struct buf buf;
    buf_init(&buf, 0);
    codec_encode(CODEC_PLAIN, values, 2, &buf);
    assert_int_equal(buf.len, sizeof want);
    assert_memory_equal(buf.ptr, want, sizeof want);
    buf_fini(&buf);
}

static void short_bytes(void **state)
{
    (void)state;
    uint8_t bytes[24] = {0};
    int64_t out[4];
    for (size_t len = 0; len < sizeof bytes; len++) {
        struct reader r = reader_of(slice_of(bytes, len));
        assert_false(codec_decode(CODEC_PLAIN, &r, 3, out));
    }
    struct reader r = reader_of(slice_of(bytes, sizeof bytes));
    assert_false(codec_decode(CODEC_PLAIN, &r, SIZE_MAX / 4, out));
    assert_true(codec_decode(CODEC_PLAIN, &r, 3, out));
}

static void unknown(void **state)
{
    (void)state;
    uint8_t bytes[8] = {0};
    int64_t out[1];
    assert_true(codec_known(CODEC_PLAIN));
    for (int id = 1; id < 256; id++) {
        struct reader r = reader_of(slice_of(bytes, sizeof bytes));
        assert_false(codec_known((uint8_t)id));
        assert_false(codec_decode((uint8_t)id, &r, 1, out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(plain_bytes),
        cmocka_unit_test(short_bytes),
        cmocka_unit_test(unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
