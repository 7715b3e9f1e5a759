#include "tests/store/support/streams.h"

#include "base/double_bits.h"
#include "base/ensure.h"
#include "store/codec/decimal.h"

/* splitmix64: the same on every run. */
static uint64_t state;

static uint64_t next(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t below(uint64_t n)
{
    ensure(n > 0);
    return next() % n;
}

/* ---- shapes ---- */

typedef int64_t shape_f(size_t i, int64_t before);

static int64_t constant(size_t i, int64_t before)
{
    return i ? before : (int64_t)next();
}

static int64_t small_constant(size_t i, int64_t before)
{
    return i ? before : (int64_t)below(40) - 20;
}

static int64_t line(size_t i, int64_t before)
{
    static int64_t step;
    step = i ? step : (int64_t)next();
    return i ? (int64_t)((uint64_t)before + (uint64_t)step) : (int64_t)next();
}

static int64_t counter(size_t i, int64_t before)
{
    return (i ? before : 1000000) + (int64_t)(below(4) ? below(20) : 0);
}

static int64_t counter_with_resets(size_t i, int64_t before)
{
    return below(100) ? counter(i, before) : 0;
}

static int64_t walk(size_t i, int64_t before)
{
    return (i ? before : -7) + (int64_t)below(101) - 50;
}

static int64_t second_order(size_t i, int64_t before)
{
    static int64_t step;
    step = i ? step + (int64_t)below(3) - 1 : 15000;
    return before * (i > 0) + step;
}

static int64_t with_factor(size_t i, int64_t before)
{
    (void)i;
    (void)before;
    return 17 + 4096 * (int64_t)below(300);
}

static int64_t walk_with_factor(size_t i, int64_t before)
{
    return (i ? before : 3) + 125 * ((int64_t)below(7) - 3) - (below(50) ? 0 : 125000000);
}

static int64_t rare(size_t i, int64_t before)
{
    (void)i;
    (void)before;
    return below(10) ? 0 : (int64_t)(next() >> below(64));
}

static int64_t any_width(size_t i, int64_t before)
{
    (void)before;
    return (int64_t)(next() >> (64 - 1 - i / 16 % 64));
}

static int64_t any_radix(size_t i, int64_t before)
{
    static uint64_t radix;
    (void)before;
    radix = i % 128 ? radix : 2 + below(below(2) ? 70 : 5000);
    return (int64_t)below(radix);
}

static int64_t anything(size_t i, int64_t before)
{
    (void)i;
    (void)before;
    return (int64_t)next();
}

static int64_t edges(size_t i, int64_t before)
{
    static const int64_t edge[] = {INT64_MIN, INT64_MAX, 0, -1, 1, INT64_MIN + 1, INT64_MAX - 1};
    (void)i;
    (void)before;
    return edge[below(7)];
}

static int64_t decimal(size_t i, int64_t before)
{
    static int64_t k;
    (void)before;
    k = i ? k + (int64_t)below(101) - 50 : 2150;
    return (int64_t)double_bits((double)k / 100);
}

static int64_t decimal_with_others(size_t i, int64_t before)
{
    static const uint64_t odd[] = {STALE_BITS, 0x7ff8000000000001, 0xfff8000000abcdef,
        0x7ff0000000000000, 0xfff0000000000000, 0x8000000000000000, 1, 0x3ff123456789abcd};
    return below(40) ? decimal(i, before) : (int64_t)odd[below(8)];
}

static int64_t decimal_with_stale(size_t i, int64_t before)
{
    return below(9) ? decimal(i, before) : (int64_t)STALE_BITS;
}

static int64_t digits(size_t i, int64_t before)
{
    static unsigned e;
    (void)before;
    e = i % 256 ? e : (unsigned)below(DECIMAL_MAX + 1);
    return (int64_t)double_bits(
        (double)((int64_t)(next() >> (11 + below(53))) - 5000) / kernels_power[e]);
}

static int64_t mantissa(size_t i, int64_t before)
{
    (void)i;
    (void)before;
    return (int64_t)double_bits((double)next() / 0x1p64 - 0.25);
}

static int64_t tiny(size_t i, int64_t before)
{
    (void)i;
    (void)before;
    return (int64_t)(below(1000) | below(2) << 63); /* denormals of both signs, both zeros */
}

static const struct {
    const char *name;
    shape_f *value;
} shapes[] = {
    {"constant", constant},
    {"small_constant", small_constant},
    {"line", line},
    {"counter", counter},
    {"counter_with_resets", counter_with_resets},
    {"walk", walk},
    {"second_order", second_order},
    {"with_factor", with_factor},
    {"walk_with_factor", walk_with_factor},
    {"rare", rare},
    {"any_width", any_width},
    {"any_radix", any_radix},
    {"anything", anything},
    {"edges", edges},
    {"decimal", decimal},
    {"decimal_with_others", decimal_with_others},
    {"decimal_with_stale", decimal_with_stale},
    {"digits", digits},
    {"mantissa", mantissa},
    {"tiny", tiny},
};
_Static_assert(sizeof shapes / sizeof *shapes == STREAM_SHAPES, "shapes");

void stream_make(size_t shape, uint64_t seed, size_t n, int64_t *values)
{
    state = seed;
    for (size_t i = 0; i < n; i++)
        values[i] = shapes[shape].value(i, i ? values[i - 1] : 0);
}

const char *stream_name(size_t shape)
{
    return shapes[shape].name;
}
