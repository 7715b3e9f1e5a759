/*
 * Every codec with every shape of stream, in every variant of the kernels that this processor has:
 * the values come back, the variants agree, the stream delimits itself, and damaged bytes neither
 * crash nor are read past their end.
 */
#include "store/codec/codec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/codec/decimal.h"
#include "store/codec/kernels.h"
#include "tests/store/support/streams.h"

#define N_MAX 2048
#define GUARD 0x5a5a5a5a5a5a5a5a

static const char *const variants[] = {"portable", "avx2", "avx512"};
#define N_VARIANTS (sizeof variants / sizeof *variants)

static const uint8_t ids[] = {CODEC_PLAIN, CODEC_INTEGERS, CODEC_DOUBLES};
#define N_IDS (sizeof ids / sizeof *ids)

/* The bytes stand alone in memory, so that AddressSanitizer sees a read behind them. */
static void check_decode(uint8_t id, struct slice bytes, size_t tail, const int64_t *want, size_t n)
{
    int64_t *out = xreallocarray(NULL, n + 1, sizeof *out);
    char *alone = xmalloc(bytes.len + 1);
    memcpy(alone, bytes.ptr, bytes.len);
    for (size_t v = 0; v < N_VARIANTS; v++) {
        if (!kernels_use(variants[v]))
            continue;
        struct reader r = reader_of(slice_of(alone, bytes.len));
        out[n] = GUARD;
        assert_true(codec_decode(id, &r, n, out));
        assert_memory_equal(out, want, n * sizeof *out);
        assert_int_equal(out[n], GUARD);
        assert_int_equal(reader_left(&r), tail);
    }
    kernels_use(NULL);
    free(alone);
    free(out);
}

static size_t round_trip(uint8_t id, const int64_t *values, size_t n)
{
    struct buf buf;
    buf_init(&buf, 0);
    codec_encode(id, values, n, &buf);
    size_t bytes = buf.len;
    check_decode(id, buf_view(&buf), 0, values, n);
    buf_str(&buf, "tail"); /* the stream delimits itself */
    check_decode(id, buf_view(&buf), 4, values, n);
    buf_fini(&buf);
    return bytes;
}

static void all_shapes(size_t n, uint64_t seed)
{
    int64_t *values = xreallocarray(NULL, n + 1, sizeof *values);
    for (size_t shape = 0; shape < STREAM_SHAPES; shape++) {
        stream_make(shape, seed, n, values);
        for (size_t i = 0; i < N_IDS; i++) {
            size_t bytes = round_trip(ids[i], values, n);
            assert_true(bytes <= 9 * n + 32);
        }
    }
    free(values);
}

static void every_length(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 300; n++)
        all_shapes(n, n);
}

static void chunk_lengths(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        all_shapes(720, seed);
        all_shapes(1024, seed);
        all_shapes(N_MAX, seed);
    }
}

static void longest(void **state)
{
    (void)state;
    all_shapes(CODEC_VALUES_MAX, 1);
}

/* ---- what is small ---- */

static size_t bytes_of(uint8_t id, const int64_t *values, size_t n)
{
    struct buf buf;
    buf_init(&buf, 0);
    codec_encode(id, values, n, &buf);
    size_t bytes = buf.len;
    buf_fini(&buf);
    return bytes;
}

static void short_streams(void **state)
{
    (void)state;
    const int64_t zeros[20] = {0}, same[3] = {1000, 1000, 1000}, line[4] = {5, 7, 9, 11};
    const int64_t price[2] = {0x4035800000000000, 0x4035800000000000}; /* 21.5 */
    assert_int_equal(bytes_of(CODEC_INTEGERS, zeros, 0), 0);
    assert_int_equal(bytes_of(CODEC_INTEGERS, zeros, 20), 1);
    assert_int_equal(bytes_of(CODEC_INTEGERS, same, 3), 3);
    assert_int_equal(bytes_of(CODEC_INTEGERS, line, 4), 3);
    assert_int_equal(bytes_of(CODEC_DOUBLES, zeros, 20), 2);
    assert_int_equal(bytes_of(CODEC_DOUBLES, price, 2), 4);
}

/* Even values below a radix take at most 5% more than log2(radix), and the headers. */
static void mixed_radix(void **state)
{
    (void)state;
    int64_t values[N_MAX];
    uint64_t random = 1;
    for (unsigned radix = 3; radix <= 300; radix++) {
        for (size_t i = 0; i < N_MAX; i++) {
            random = random * 6364136223846793005 + 1442695040888963407;
            values[i] = (int64_t)((random >> 33) % radix);
        }
        double bits = 8.0 * (double)round_trip(CODEC_INTEGERS, values, N_MAX) / N_MAX;
        if (bits > 1.05 * log2(radix) + 0.05)
            fail_msg("radix %u: %.3f bits", radix, bits);
    }
}

/* ---- bytes by hand, from docs/format/codec.md ---- */

static void check_bytes(uint8_t id, const void *bytes, size_t len, const int64_t *want, size_t n)
{
    check_decode(id, slice_of(bytes, len), 0, want, n);
}
#define CHECK_BYTES(id, bytes, ...)                                                                \
    check_bytes(id, bytes, sizeof bytes, (const int64_t[]){__VA_ARGS__},                           \
        sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void bytes_by_hand(void **state)
{
    (void)state;
    static const uint8_t radix_3[] = {2 | 16, 0, 65, 2 + 1 * 3 + 0 * 9 + 1 * 27 + 2 * 81};
    static const uint8_t two_groups[] = {2, 10, 71, 0x5a, 0xc2, 0x05, 0x00};
    static const uint8_t deltas[] = {3, 0xc8, 1, 0, 1, 5};
    static const uint8_t deltas_2[] = {4 | 8, 10, 0, 10, 19, 1, 2};
    static const uint8_t patched[] = {2 | 32, 0, 128, 1, 2, 1, 2};
    static const uint8_t stale[] = {1 | 16, 1, 1, 2, 0, 0, 0, 0, 0, 0xf0, 0x7f, 31 << 3, 0xae, 3};
    static const uint8_t minus_0[] = {15, 1 << 3};
    CHECK_BYTES(CODEC_INTEGERS, radix_3, 2, 1, 0, 1, 2);
    CHECK_BYTES(CODEC_INTEGERS, deltas, 100, 101, 101, 102);
    CHECK_BYTES(CODEC_INTEGERS, deltas_2, 0, 5, 0, -5);
    CHECK_BYTES(CODEC_INTEGERS, patched, 0, -2, 0);
    CHECK_BYTES(CODEC_DOUBLES, stale, 0x4035800000000000, 0x7ff0000000000002, 0x4035800000000000);
    CHECK_BYTES(CODEC_DOUBLES, minus_0, INT64_MIN);
    /* Radix 9 has four digits in 13 bits: 8 + 3 * 9 + 7 * 81 and 1 + 5 * 9; base 5. */
    CHECK_BYTES(CODEC_INTEGERS, two_groups, 13, 6, 8, 10, 12);
}

/* ---- damage ---- */

/* All variants give the same answer, and the same values when it is true. */
static void decode_damaged(uint8_t id, struct slice bytes, size_t n)
{
    int64_t *first = xreallocarray(NULL, n + 1, sizeof *first);
    int64_t *out = xreallocarray(NULL, n + 1, sizeof *out);
    bool answer = false;
    for (size_t v = 0; v < N_VARIANTS; v++) {
        if (!kernels_use(variants[v]))
            continue;
        struct reader r = reader_of(bytes);
        int64_t *to = v == 0 ? first : out;
        bool ok = codec_decode(id, &r, n, to);
        if (v == 0)
            answer = ok;
        assert_int_equal(ok, answer);
        if (ok && v > 0)
            assert_memory_equal(first, out, n * sizeof *out);
    }
    kernels_use(NULL);
    free(first);
    free(out);
}

static void cut(void **state)
{
    (void)state;
    int64_t values[300], out[300];
    struct buf buf;
    buf_init(&buf, 0);
    for (size_t shape = 0; shape < STREAM_SHAPES; shape++)
        for (size_t i = 0; i < N_IDS; i++) {
            stream_make(shape, 1, 300, values);
            buf_clear(&buf);
            codec_encode(ids[i], values, 300, &buf);
            for (size_t len = 0; len < buf.len; len++) {
                char *alone = xmalloc(len + 1);
                memcpy(alone, buf.ptr, len);
                struct reader r = reader_of(slice_of(alone, len));
                assert_false(codec_decode(ids[i], &r, 300, out));
                free(alone);
            }
        }
    buf_fini(&buf);
}

static void flipped(void **state)
{
    (void)state;
    int64_t values[200];
    struct buf buf;
    buf_init(&buf, 0);
    for (size_t shape = 0; shape < STREAM_SHAPES; shape++)
        for (size_t i = 1; i < N_IDS; i++) {
            stream_make(shape, 2, 200, values);
            buf_clear(&buf);
            codec_encode(ids[i], values, 200, &buf);
            char *alone = xmalloc(buf.len);
            for (size_t bit = 0; bit < 8 * buf.len; bit += bit < 256 ? 1 : 7) {
                memcpy(alone, buf.ptr, buf.len);
                alone[bit / 8] = (char)(alone[bit / 8] ^ 1 << bit % 8);
                decode_damaged(ids[i], slice_of(alone, buf.len), 200);
            }
            free(alone);
        }
    buf_fini(&buf);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t id, n, bytes[12];
        const char *why;
    } bad[] = {
        {1, 3, {5}, "mode 5"},
        {1, 3, {1 | 8, 0, 0}, "a line with flags"},
        {1, 3, {2 | 64, 0, 0, 0}, "frame with bit 6"},
        {1, 3, {2 | 8, 0, 0, 0}, "factor 0"},
        {1, 1, {3, 0, 0, 0}, "one value by deltas"},
        {1, 2, {4, 0, 0, 0, 0}, "two values by deltas of deltas"},
        {1, 3, {2, 0, 127, 2, 0, 0, 0}, "radix 2"},
        {1, 3, {2, 0, 127, 1, 0x10, 0, 0, 0}, "radix 4097"},
        {1, 3, {2, 0, 128 | 64, 0, 0}, "patches on 64 bits"},
        {1, 3, {2, 0, 128 | 1, 4, 0, 0, 0, 0, 0, 0}, "more patches than values"},
        {1, 3, {2, 0, 128 | 1, 1, 65, 0, 0, 0, 0, 0}, "highs of 65 bits"},
        {1, 3, {2, 0, 128 | 1, 1, 0, 3, 0, 0, 0, 0}, "a patch on value 3 of 3"},
        {1, 3, {2 | 16, 0, 128 | 1, 0, 0, 0}, "patches with one packing"},
        {2, 3, {64, 0}, "bit 6"},
        {2, 3, {15 | 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "exceptions among ordered bits"},
        {2, 3, {32, 0}, "the same exceptions, but none"},
        {2, 3, {16, 0, 0, 0}, "no exceptions"},
        {2, 3, {16 | 32, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "an exception behind the end"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t out[3];
        struct reader r = reader_of(slice_of(bad[i].bytes, sizeof bad[i].bytes));
        if (codec_decode(bad[i].id, &r, bad[i].n, out))
            fail_msg("%s is taken", bad[i].why);
    }
    struct reader r = reader_of(slice_of("\0\0", 2));
    assert_false(codec_decode(CODEC_INTEGERS, &r, CODEC_VALUES_MAX + 1, NULL));
    assert_false(codec_decode(CODEC_DOUBLES, &r, CODEC_VALUES_MAX + 1, NULL));
}

/* ---- decimals ---- */

static void decimals(void **state)
{
    (void)state;
    double values[] = {0.1, 21.37, -3.5, 1e15, 0.00001};
    uint64_t bits[5];
    int64_t k[5];
    unsigned e;
    memcpy(bits, values, sizeof bits);
    assert_true(decimal_guess(bits, 2, &e));
    assert_int_equal(e, 2);
    e = 1;
    assert_true(decimal_raise(bits, 2, &e));
    assert_int_equal(e, 2);
    assert_false(decimal_raise(bits, 2, &e));
    assert_int_equal(decimal_integers(bits, 5, 5, k, NULL), 1); /* 1e15 * 10^5 is too large */
    assert_int_equal(k[1], 2137000);
    assert_int_equal(decimal_integers(bits, 3, 2, k, NULL), 0);
    assert_int_equal(k[0], 10);
    assert_int_equal(k[2], -350);
    decimal_bits(k, 3, 2);
    assert_memory_equal(k, bits, 3 * sizeof *k);
}

/* Every variant divides as the processor does, whatever the integer. */
static void decimals_are_rounded(void **state)
{
    (void)state;
    static const uint64_t edges[] = {0, 1, -1, UINT64_C(1) << 53, (UINT64_C(1) << 53) + 1,
        UINT64_C(1) << 63, INT64_MAX, 0x8000000000000001};
    uint64_t k[1003], got[1003], random = 7;
    for (unsigned e = 0; e <= DECIMAL_MAX; e++)
        for (size_t i = 0; i < 1003; i++) {
            random = random * 6364136223846793005 + 1442695040888963407;
            k[i] = i < 8 ? edges[i] : (uint64_t)((int64_t)random >> (random >> 7 & 63));
            if (i < 1002)
                continue;
            for (size_t v = 0; v < N_VARIANTS; v++) {
                if (!kernels_use(variants[v]))
                    continue;
                memcpy(got, k, sizeof got);
                kernels()->decimals(got, 1003, e);
                for (size_t j = 0; j < 1003; j++) {
                    double want = (double)(int64_t)k[j] / kernels_power[e];
                    assert_memory_equal(&got[j], &want, sizeof want);
                }
            }
        }
    kernels_use(NULL);
}

/* ---- plain ---- */

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

static void unknown(void **state)
{
    (void)state;
    uint8_t bytes[8] = {0};
    int64_t out[1];
    for (size_t i = 0; i < N_IDS; i++)
        assert_true(codec_known(ids[i]));
    for (int id = CODEC_DOUBLES + 1; id < 256; id++) {
        struct reader r = reader_of(slice_of(bytes, sizeof bytes));
        assert_false(codec_known((uint8_t)id));
        assert_false(codec_decode((uint8_t)id, &r, 1, out));
    }
    struct reader r = reader_of(slice_of(bytes, sizeof bytes));
    assert_false(codec_decode(CODEC_PLAIN, &r, SIZE_MAX / 4, out));
}

static void say_variants(void)
{
    for (size_t v = 0; v < N_VARIANTS; v++)
        if (!kernels_use(variants[v]))
            printf(
                "NOT RUN HERE: the %s kernels, which this processor or build lacks\n", variants[v]);
    kernels_use(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length),
        cmocka_unit_test(chunk_lengths),
        cmocka_unit_test(longest),
        cmocka_unit_test(short_streams),
        cmocka_unit_test(mixed_radix),
        cmocka_unit_test(bytes_by_hand),
        cmocka_unit_test(cut),
        cmocka_unit_test(flipped),
        cmocka_unit_test(refused),
        cmocka_unit_test(decimals),
        cmocka_unit_test(decimals_are_rounded),
        cmocka_unit_test(plain_bytes),
        cmocka_unit_test(unknown),
    };
    say_variants();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
