#include "store/segment/chunk_differences.h"

#include <string.h>

#include "base/bytes.h"
#include "base/double_bits.h"
#include "base/ensure.h"
#include "store/segment/chunk.h"

/* Added to a count, it leaves no place behind the point: the sum's bits are those of ROUNDER plus
 * the count, and its upper bits, sign and exponent, do not change. No branch is needed to see a
 * count, for it is asked of every sample that is read. */
#define ROUNDER      0x1.8p52
#define ROUNDER_BITS UINT64_C(0x4338000000000000)
#define UPPER_BITS   52

/* Not 0: the bits are no count. */
static uint64_t no_count(uint64_t bits)
{
    double sum = bits_double(bits) + ROUNDER;
    return (double_bits(sum - ROUNDER) ^ bits) | ((double_bits(sum) ^ ROUNDER_BITS) >> UPPER_BITS);
}

static uint64_t count_of(uint64_t bits)
{
    return double_bits(bits_double(bits) + ROUNDER) - ROUNDER_BITS;
}

/* Not 0: the integer is no count. */
static uint64_t no_integer(uint64_t count)
{
    return ((count + ROUNDER_BITS) ^ ROUNDER_BITS) >> UPPER_BITS;
}

static uint64_t bits_of_count(uint64_t count)
{
    return double_bits(bits_double(count + ROUNDER_BITS) - ROUNDER);
}

bool differences_count(uint64_t bits, int64_t *out)
{
    *out = (int64_t)count_of(bits);
    return no_count(bits) == 0;
}

/* Where there is no difference, the one before goes on: that costs nothing. */
bool differences_of(const uint64_t *bits, const uint64_t *base, size_t n, int64_t *out)
{
    int64_t a, b, last = 0;
    for (size_t i = 0; i < n; i++) {
        if (differences_count(base[i], &b)) {
            if (!differences_count(bits[i], &a))
                return false;
            last = a - b;
        } else if (bits[i] != base[i]) {
            return false;
        }
        out[i] = last;
    }
    return true;
}

/* bits += differences where there is a count. False: a sum is no count. */
static bool add_one_by_one(uint64_t *bits, const uint64_t *differences, size_t n)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        if (no_count(bits[i]))
            continue;
        uint64_t count = count_of(bits[i]) + differences[i];
        bad |= no_integer(count);
        bits[i] = bits_of_count(count);
    }
    return bad == 0;
}

/* The same of BLOCK values, nearly always counts: of a fixed number, compilers make vectors. */
#define BLOCK 64
static bool add_block(uint64_t *bits, const uint64_t *differences)
{
    uint64_t sums[BLOCK], other = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        uint64_t count = count_of(bits[i]) + differences[i];
        other |= no_count(bits[i]) | no_integer(count);
        sums[i] = bits_of_count(count);
    }
    if (other)
        return add_one_by_one(bits, differences, BLOCK);
    memcpy(bits, sums, sizeof sums);
    return true;
}

static bool add(uint64_t *bits, const uint64_t *differences, size_t n)
{
    bool ok = true;
    size_t i = 0;
    for (; ok && i + BLOCK <= n; i += BLOCK)
        ok = add_block(bits + i, differences + i);
    return ok && add_one_by_one(bits + i, differences + i, n - i);
}

static bool get_bits(const struct chunk_link *link, size_t n, uint64_t *bits, struct err *err)
{
    int64_t words[CHUNK_CELLS_MAX];
    struct reader in = reader_of(link->bytes);
    if (!chunk_get_stream(&in, link->codecs, SAMPLE_BITS, n, &link->place, words, err))
        return false;
    memcpy(bits, words, n * sizeof *bits);
    return true;
}

/* sums += the differences of a link. */
static bool add_link(
    const struct chunk_link *link, struct reader *in, size_t n, uint64_t *sums, struct err *err)
{
    int64_t words[CHUNK_CELLS_MAX];
    if (!chunk_get_stream(in, link->codecs, SAMPLE_BITS, n, &link->place, words, err))
        return false;
    for (size_t i = 0; i < n; i++)
        sums[i] += (uint64_t)words[i];
    return true;
}

bool chunk_differences_decode(const struct chunk_link *links, size_t n_links, size_t n,
    struct arena *arena, struct columns *out, struct err *err)
{
    uint64_t sums[CHUNK_CELLS_MAX];
    struct reader in;
    ensure(n > 0 && n <= CHUNK_CELLS_MAX && n_links > 1);
    if (!columns_alloc(arena, KIND_SAMPLE, n, 0, false, out))
        return err_set(err, ERR_LIMIT, "memory of the query is used up while reading a chunk");
    if (!get_bits(&links[n_links - 1], n, out->bits, err))
        return false;
    memset(sums, 0, n * sizeof *sums);
    for (size_t k = n_links - 1; k-- > 0;) {
        in = reader_of(links[k].bytes);
        if (!add_link(&links[k], &in, n, sums, err))
            return false;
    }
    if (!add(out->bits, sums, n))
        return place_corrupt(&links[0].place, err, "differences of a chunk do not lead to counts");
    if (!chunk_get_starts(&in, links[0].codecs, &links[0].place, arena, out, err))
        return false;
    return reader_left(&in) == 0 ||
           place_corrupt(&links[0].place, err, "bytes behind the last stream of a chunk");
}
