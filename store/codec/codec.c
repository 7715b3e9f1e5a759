#include "store/codec/codec.h"

#include "base/ensure.h"
#include "store/codec/doubles.h"
#include "store/codec/integers.h"

_Static_assert(CODEC_VALUES_MAX == STREAM_MAX, "one limit under two names");

bool codec_known(uint8_t id)
{
    return id <= CODEC_DOUBLES;
}

/* Their writers choose among forms by what the values are, and come within a few bytes of plain
 * when there is nothing to gain. So little is left to choose here. */
uint8_t codec_choose(const int64_t *values, size_t n)
{
    (void)values;
    return n <= CODEC_VALUES_MAX ? CODEC_INTEGERS : CODEC_PLAIN;
}

uint8_t codec_choose_doubles(const int64_t *bits, size_t n)
{
    (void)bits;
    return n <= CODEC_VALUES_MAX ? CODEC_DOUBLES : CODEC_PLAIN;
}

static void plain_encode(const int64_t *values, size_t n, struct buf *out)
{
    ensure(n <= SIZE_MAX / 8);
    char *p = buf_reserve(out, n * 8);
    if (!p)
        return;
    for (size_t i = 0; i < n; i++)
        le64_put(p + 8 * i, (uint64_t)values[i]);
    out->len += n * 8;
}

static bool plain_decode(struct reader *in, size_t n, int64_t *out)
{
    if (in->failed || n > reader_left(in) / 8)
        return false;
    const char *p = read_bytes(in, n * 8).ptr;
    for (size_t i = 0; i < n; i++)
        out[i] = (int64_t)le64_get(p + 8 * i);
    return true;
}

void codec_encode(uint8_t id, const int64_t *values, size_t n, struct buf *out)
{
    switch (id) {
    case CODEC_PLAIN: plain_encode(values, n, out); return;
    case CODEC_INTEGERS: integers_encode(values, n, out); return;
    case CODEC_DOUBLES: doubles_encode(values, n, out); return;
    default: unreachable("codec");
    }
}

bool codec_decode(uint8_t id, struct reader *in, size_t n, int64_t *out)
{
    switch (id) {
    case CODEC_PLAIN: return plain_decode(in, n, out);
    case CODEC_INTEGERS: return integers_decode(in, n, out);
    case CODEC_DOUBLES: return doubles_decode(in, n, out);
    default: return false;
    }
}
