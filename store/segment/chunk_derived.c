#include "store/segment/chunk_derived.h"

#include <string.h>

#include "base/ensure.h"
#include "store/segment.h"
#include "store/segment/stream.h"

enum {
    COUNT,
    FIRST,
    LAST,
    MIN,
    MAX,
    SUM_LO,
    SUM_HI,
    RESET_SUM,
    RESETS,
    FIRST_MS,
    LAST_MS,
    DERIVED_STREAMS,
};

static bool is_double(int stream)
{
    return stream >= FIRST && stream <= RESET_SUM;
}

/* The array of a stream; NULL for the words of the sum. */
static int64_t *array_of(const struct columns *c, int stream)
{
    switch (stream) {
    case COUNT: return c->count;
    case FIRST: return c->first;
    case LAST: return c->last;
    case MIN: return c->min;
    case MAX: return c->max;
    case RESET_SUM: return c->reset_sum;
    case RESETS: return c->resets;
    case FIRST_MS: return c->first_ms;
    case LAST_MS: return c->last_ms;
    default: return NULL;
    }
}

void chunk_derived_encode(const struct columns *columns, size_t from, size_t n, struct buf *out)
{
    int64_t words[2][CHUNK_CELLS_MAX];
    const int64_t *streams[DERIVED_STREAMS];
    ensure(n <= CHUNK_CELLS_MAX);
    for (size_t i = 0; i < n; i++) {
        words[0][i] = (int64_t)columns->sum[from + i];
        words[1][i] = (int64_t)(columns->sum[from + i] >> 64);
    }
    for (int s = 0; s < DERIVED_STREAMS; s++) {
        const int64_t *array = array_of(columns, s);
        streams[s] = array ? array + from : words[s - SUM_LO];
        int same = 0;
        while (memcmp(streams[same], streams[s], n * sizeof **streams) != 0)
            same++;
        if (same < s) {
            buf_u8(out, STREAM_SAME);
            buf_u8(out, (uint8_t)same);
        } else {
            stream_put(out, streams[s], n, is_double(s));
        }
    }
}

/* A stream, or a copy of an earlier one. */
static bool get_one(struct reader *in, int stream, size_t n, int64_t *const streams[],
    const struct place *place, struct err *err)
{
    if (reader_left(in) == 0 || *in->at != STREAM_SAME)
        return stream_get(in, n, streams[stream], place, err);
    read_u8(in);
    uint8_t same = read_u8(in);
    if (in->failed || same >= stream)
        return place_corrupt(place, err, "stream %d of derived cells equals none", stream);
    memcpy(streams[stream], streams[same], n * sizeof **streams);
    return true;
}

bool chunk_derived_decode(struct reader *in, size_t n, const struct place *place,
    struct arena *arena, struct columns *out, struct err *err)
{
    int64_t words[2][CHUNK_CELLS_MAX];
    int64_t *streams[DERIVED_STREAMS];
    ensure(n <= CHUNK_CELLS_MAX);
    if (!columns_alloc_derived(arena, n, out))
        return err_set(err, ERR_LIMIT, "memory of the query is used up while reading a chunk");
    for (int s = 0; s < DERIVED_STREAMS; s++) {
        int64_t *array = array_of(out, s);
        streams[s] = array ? array : words[s - SUM_LO];
        if (!get_one(in, s, n, streams, place, err))
            return false;
    }
    for (size_t i = 0; i < n; i++)
        out->sum[i] = (int128)((uint128)(uint64_t)words[1][i] << 64 | (uint64_t)words[0][i]);
    return true;
}
