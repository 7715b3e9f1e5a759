#include "store/segment/stream.h"

#include "store/codec/codec.h"

uint8_t stream_codec(const int64_t *values, size_t n, bool doubles)
{
    return doubles ? codec_choose_doubles(values, n) : codec_choose(values, n);
}

void stream_put(struct buf *out, const int64_t *values, size_t n, bool doubles)
{
    uint8_t codec = stream_codec(values, n, doubles);
    buf_u8(out, codec);
    codec_encode(codec, values, n, out);
}

bool stream_get(
    struct reader *in, size_t n, int64_t *out, const struct place *place, struct err *err)
{
    uint8_t codec = read_u8(in);
    if (!in->failed && !codec_known(codec))
        return place_unsupported(place, err, "not supported yet: codec %d", codec);
    return (!in->failed && codec_decode(codec, in, n, out)) ||
           place_corrupt(place, err, "a stream of %zu values does not decode", n);
}
