#include "store/segment/postings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"

#define MAX 20000

static uint32_t list[MAX], got[MAX];

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Ascending ordinals below end, each with probability 1 in `one_in`. */
static size_t random_list(uint64_t *seed, uint32_t end, uint32_t one_in)
{
    size_t n = 0;
    for (uint32_t i = 0; i < end && n < MAX; i++)
        if (next_random(seed) % one_in == 0)
            list[n++] = i;
    return n;
}

/* Encodes list[0..n), reads it back, and returns the shape. */
static uint8_t round_trip(size_t n)
{
    struct buf buf;
    size_t m;
    buf_init(&buf, 0);
    postings_put(&buf, list, n);
    uint8_t shape = (uint8_t)buf.ptr[0];
    uint32_t end = list[n - 1] + 1;
    assert_true(postings_check(buf_view(&buf), end, &m));
    assert_int_equal(m, n);
    assert_false(
        postings_check(buf_view(&buf), end - 1, &m)); /* the last ordinal is out of range */
    memset(got, 0xee, sizeof got);
    assert_int_equal(postings_get(buf_view(&buf), got, MAX), n);
    assert_memory_equal(got, list, n * sizeof *list);
    memset(got, 0xee, sizeof got);
    assert_int_equal(postings_get(buf_view(&buf), got, n / 2), n); /* counts past the room */
    assert_memory_equal(got, list, n / 2 * sizeof *list);
    assert_int_equal(got[n / 2], 0xeeeeeeee);
    buf_fini(&buf);
    return shape;
}

static void shapes(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (uint32_t i = 0; i < 1000; i++)
        list[i] = 77 + i;
    assert_int_equal(round_trip(1), POSTINGS_RANGE);
    assert_int_equal(round_trip(1000), POSTINGS_RANGE);
    list[0] = 3;
    list[1] = 9;
    list[2] = 4000000;
    assert_int_equal(round_trip(3), POSTINGS_DELTA);
    size_t n = random_list(&seed, MAX, 2);
    assert_int_equal(round_trip(n), POSTINGS_BITMAP);
    n = random_list(&seed, 1000000, 200);
    assert_int_equal(round_trip(n), POSTINGS_DELTA);
}

/* Blocks are 128 ordinals: around their borders, at many densities. */
static void borders(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 127, 128, 129, 255, 256, 257, 1000};
    static const uint32_t strides[] = {1, 2, 3, 100, 65536};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof strides / sizeof *strides; k++) {
            for (size_t j = 0; j < sizes[i]; j++)
                list[j] = (uint32_t)j * strides[k] + (j > sizes[i] / 2);
            round_trip(sizes[i]);
        }
    uint64_t seed = 7;
    for (uint32_t one_in = 1; one_in < 3000; one_in = one_in * 3 + 1) {
        size_t n = random_list(&seed, 100000, one_in);
        if (n)
            round_trip(n);
    }
}

static void wide_gap(void **state)
{
    (void)state;
    list[0] = 0;
    list[1] = UINT32_MAX - 2;
    assert_int_equal(round_trip(2), POSTINGS_DELTA);
}

/* Whatever the bytes, the checker reads inside them and accepts ascending lists only. */
static void mutations(void **state)
{
    (void)state;
    uint64_t seed = 99;
    size_t accepted = 0;
    for (int round = 0; round < 30000; round++) {
        struct buf buf;
        size_t n = random_list(&seed, 600, 1 + (uint32_t)(next_random(&seed) % 40));
        if (n == 0)
            continue;
        buf_init(&buf, 0);
        postings_put(&buf, list, n);
        for (int k = 0; k < 2; k++)
            buf.ptr[next_random(&seed) % buf.len] ^= (char)(1 << next_random(&seed) % 8);
        size_t len = next_random(&seed) % 4 ? buf.len : next_random(&seed) % buf.len;
        char *exact = xmalloc(len ? len : 1); /* to the byte, for AddressSanitizer */
        memcpy(exact, buf.ptr, len);
        size_t m;
        if (postings_check(slice_of(exact, len), 600, &m)) {
            accepted++;
            assert_int_equal(postings_get(slice_of(exact, len), got, MAX), m);
            for (size_t i = 0; i < m; i++)
                assert_true(got[i] < 600 && (i == 0 || got[i] > got[i - 1]));
        }
        free(exact);
        buf_fini(&buf);
    }
    assert_true(
        accepted > 0); /* flipped bits of a bitmap are a list too, when its count is right */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(borders),
        cmocka_unit_test(wide_gap),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
