#include "store/codec/doubles.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/codec/decimal.h"
#include "store/codec/integers.h"

enum { HEAD_EXPONENT = 15, HEAD_ORDERED = 15, HEAD_EXCEPTIONS = 16, HEAD_SAME = 32 };
#define STACK_VALUES 1024

/* Bits to integers that order as the doubles do, and back. */
static int64_t flip(int64_t bits)
{
    return bits ^ ((bits >> 63) & INT64_MAX);
}

/* ---- writing ---- */

static void put_exceptions(
    const int64_t *bits, const uint32_t *others, size_t n_others, bool same, struct buf *out)
{
    buf_varint(out, n_others);
    for (size_t i = 0; i < n_others; i++)
        buf_varint(out, i ? others[i] - others[i - 1] - 1 : others[0]);
    for (size_t i = 0; i < (same ? 1 : n_others); i++)
        buf_le64(out, (uint64_t)bits[others[i]]);
}

static bool all_same(const int64_t *bits, const uint32_t *others, size_t n_others)
{
    for (size_t i = 1; i < n_others; i++)
        if (bits[others[i]] != bits[others[0]])
            return false;
    return true;
}

/* Room for both: integers, then indices of the others. */
struct scratch {
    int64_t *integers;
    uint32_t *others;
};

/* Returns how many exceptions there are. */
static size_t put_decimals(
    const int64_t *bits, size_t n, unsigned e, struct scratch *s, struct buf *out)
{
    const uint64_t *words = (const uint64_t *)bits;
    size_t n_others = decimal_integers(words, n, e, s->integers, s->others);
    if (n_others && decimal_raise(words, n, &e))
        n_others = decimal_integers(words, n, e, s->integers, s->others);
    bool same = all_same(bits, s->others, n_others);
    buf_u8(out,
        (uint8_t)(e | (n_others ? HEAD_EXCEPTIONS : 0) | (n_others > 1 && same ? HEAD_SAME : 0)));
    if (n_others)
        put_exceptions(bits, s->others, n_others, same, out);
    integers_encode(s->integers, n, out);
    return n_others;
}

static void put_ordered(const int64_t *bits, size_t n, struct scratch *s, struct buf *out)
{
    for (size_t i = 0; i < n; i++)
        s->integers[i] = flip(bits[i]);
    buf_u8(out, HEAD_ORDERED);
    integers_encode(s->integers, n, out);
}

static void put_smaller(const int64_t *bits, size_t n, struct scratch *s, struct buf *out)
{
    unsigned e;
    size_t from = out->len;
    if (!decimal_guess((const uint64_t *)bits, n, &e)) {
        put_ordered(bits, n, s, out);
        return;
    }
    if (put_decimals(bits, n, e, s, out) <= n / 16)
        return;
    size_t decimals = out->len - from;
    put_ordered(bits, n, s, out);
    size_t ordered = out->len - from - decimals;
    if (ordered < decimals) {
        memmove(out->ptr + from, out->ptr + from + decimals, ordered);
        out->len = from + ordered;
    } else {
        out->len = from + decimals;
    }
}

void doubles_encode(const int64_t *bits, size_t n, struct buf *out)
{
    int64_t integers[STACK_VALUES];
    uint32_t others[STACK_VALUES];
    struct scratch s = {integers, others};
    ensure(n <= STREAM_MAX);
    if (n == 0)
        return;
    if (n > STACK_VALUES) {
        s.integers = xreallocarray(NULL, n, sizeof *s.integers);
        s.others = xreallocarray(NULL, n, sizeof *s.others);
    }
    put_smaller(bits, n, &s, out);
    if (n > STACK_VALUES) {
        free(s.integers);
        free(s.others);
    }
}

/* ---- reading ---- */

/* Exceptions stand before the integers and take effect after them, so they are passed over, and
 * read again from the copy of the reader. */
static bool skip_exceptions(struct reader *in, bool same, size_t n)
{
    uint64_t count = read_varint(in), next = 0;
    if (in->failed || count == 0 || count > n)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t gap = read_varint(in);
        if (in->failed || gap >= n - next)
            return false;
        next += gap + 1;
        if (next == n && i + 1 < count)
            return false;
    }
    read_bytes(in, 8 * (same ? 1 : count));
    return !in->failed;
}

static void get_exceptions(struct reader in, bool same, int64_t *bits)
{
    size_t count = (size_t)read_varint(&in), at = 0;
    struct reader values = in;
    for (size_t i = 0; i < count; i++)
        read_varint(&values);
    for (size_t i = 0; i < count; i++, at++) {
        at += (size_t)read_varint(&in);
        bits[at] = (int64_t)le64_get(values.at);
        values.at += same ? 0 : 8;
    }
}

/* Back to bits, in place. */
static void restore(unsigned e, size_t n, int64_t *values)
{
    if (e != HEAD_ORDERED)
        decimal_bits(values, n, e);
    else
        for (size_t i = 0; i < n; i++)
            values[i] = flip(values[i]);
}

bool doubles_decode(struct reader *in, size_t n, int64_t *bits)
{
    if (n > STREAM_MAX || in->failed)
        return false;
    if (n == 0)
        return true;
    uint8_t head = read_u8(in);
    unsigned e = head & HEAD_EXPONENT;
    bool same = head & HEAD_SAME, exceptions = head & HEAD_EXCEPTIONS;
    if (in->failed || head >= HEAD_SAME * 2 || (same && !exceptions) ||
        (e == HEAD_ORDERED && exceptions))
        return false;
    struct reader at_exceptions = *in;
    if (exceptions && !skip_exceptions(in, same, n))
        return false;
    /* A constant is restored once; it has the same bytes whatever n is. */
    bool constant = reader_left(in) > 0 && (*in->at & HEAD_MODE) == MODE_CONSTANT;
    size_t m = constant ? 1 : n;
    if (!integers_decode(in, m, bits))
        return false;
    restore(e, m, bits);
    for (size_t i = 1; constant && i < n; i++)
        bits[i] = bits[0];
    if (exceptions)
        get_exceptions(at_exceptions, same, bits);
    return true;
}
