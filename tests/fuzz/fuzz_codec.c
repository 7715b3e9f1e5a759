/*
 * Streams of any bytes. The first byte says the codec, the next two how many values; what follows
 * is the stream. Decoding ends in true or false, the same with all kernels, and touches nothing
 * behind its ends. Then the bytes are taken as values and encoded: they come back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/codec/codec.h"
#include "store/codec/kernels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const variants[] = {"portable", "avx2", "avx512"};
#define N_VARIANTS (sizeof variants / sizeof *variants)

/* The values stand alone, so that a sanitizer sees a write behind them. */
static void decode(uint8_t id, struct slice bytes, size_t n, const int64_t *want)
{
    int64_t *first = NULL;
    bool ok = false;
    for (size_t v = 0; v < N_VARIANTS; v++) {
        if (!kernels_use(variants[v]))
            continue;
        int64_t *out = xreallocarray(NULL, n ? n : 1, sizeof *out);
        struct reader in = reader_of(bytes);
        bool done = codec_decode(id, &in, n, out);
        if (v == 0)
            ok = done;
        ensure(done == ok);
        ensure(!want || (done && reader_left(&in) == 0 && !memcmp(want, out, n * sizeof *out)));
        if (first && ok)
            ensure(!memcmp(first, out, n * sizeof *out));
        if (first)
            free(out);
        else
            first = out;
    }
    free(first);
}

static void round_trip(uint8_t id, const uint8_t *data, size_t size)
{
    size_t n = size / 8;
    int64_t *values = xreallocarray(NULL, n + 1, sizeof *values);
    struct buf buf;
    buf_init(&buf, 0);
    for (size_t i = 0; i < n; i++)
        values[i] = (int64_t)le64_get(data + 8 * i);
    codec_encode(id, values, n, &buf);
    decode(id, buf_view(&buf), n, values);
    buf_fini(&buf);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > CODEC_VALUES_MAX)
        return 0;
    uint8_t id = data[0] % 3;
    size_t n = le16_get(data + 1);
    uint8_t *alone = xmalloc(size); /* without its first bytes it ends where malloc's does */
    memcpy(alone, data, size);
    decode(id, slice_of(alone + 3, size - 3), n, NULL);
    round_trip(id, alone + 3, size - 3);
    free(alone);
    return 0;
}
