#include "store/codec/codec.h"

#include "base/ensure.h"

bool codec_known(uint8_t id)
{
    return id == CODEC_PLAIN;
}

uint8_t codec_choose(const int64_t *values, size_t n)
{
    (void)values;
    (void)n;
    return CODEC_PLAIN;
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
    ensure(codec_known(id));
    plain_encode(values, n, out);
}

bool codec_decode(uint8_t id, struct reader *in, size_t n, int64_t *out)
{
    return codec_known(id) && plain_decode(in, n, out);
}
