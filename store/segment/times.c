#include "store/segment/times.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment.h"
#include "store/codec/codec.h"

bool times_step(const int64_t *t, size_t n, int64_t *step)
{
    *step = 0;
    if (n > 1 && __builtin_sub_overflow(t[1], t[0], step))
        return false;
    for (size_t i = 2; i < n; i++) {
        int64_t next;
        if (__builtin_sub_overflow(t[i], t[i - 1], &next) || next != *step)
            return false;
    }
    int64_t span; /* a reader multiplies */
    return n < 2 || !__builtin_mul_overflow(*step, (int64_t)n - 1, &span);
}

void times_fill(const struct segment_times *times, size_t n, int64_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = times->first + times->step * (int64_t)(times->start + i);
}

bool times_decode(const struct segment_times *times, struct slice bytes, size_t n,
    const struct place *place, int64_t *out, struct err *err)
{
    int64_t t[CHUNK_CELLS_MAX];
    struct reader r = reader_of(bytes);
    ensure(times->n <= CHUNK_CELLS_MAX && times->start + n <= times->n);
    if (!codec_known(times->codec))
        return place_unsupported(place, err, "not supported yet: codec %d", times->codec);
    if (!codec_decode(times->codec, &r, times->n, t) || reader_left(&r) > 0)
        return place_corrupt(place, err, "a vector of %" PRIu32 " times does not decode", times->n);
    if (t[0] != times->first)
        return place_corrupt(
            place, err, "a vector begins at %" PRId64 ", not at %" PRId64, t[0], times->first);
    for (size_t i = 1; i < times->n; i++)
        if (t[i] <= t[i - 1])
            return place_corrupt(place, err, "times of a vector do not ascend");
    memcpy(out, t + times->start, n * sizeof *out);
    return true;
}

void times_index_init(struct times_index *index)
{
    *index = (struct times_index){0};
    map_init(&index->map);
}

void times_index_fini(struct times_index *index)
{
    map_fini(&index->map);
    free(index->hash);
}

static bool has_hash(const void *ctx, const void *key, uint32_t id)
{
    const struct times_index *index = ctx;
    return hash128_eq(index->hash[id], *(const struct hash128 *)key);
}

/* The bytes are hashed in the machine's order: the hash is never stored, only compared. */
uint32_t times_index_add(struct times_index *index, const int64_t *t, size_t n, bool *is_new)
{
    struct hash128 hash = hash128(t, n * sizeof *t);
    uint32_t id = map_find(&index->map, hash.lo, has_hash, index, &hash);
    *is_new = id == MAP_NONE;
    if (!*is_new)
        return id;
    id = (uint32_t)index->n;
    GROW(index->hash, index->cap, index->n + 1);
    index->hash[index->n++] = hash;
    map_insert(&index->map, hash.lo, id);
    return id;
}
