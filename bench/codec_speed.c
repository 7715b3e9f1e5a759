/*
 * The codecs, on one core: bytes a value, and how many values a second are encoded and decoded to
 * doubles, for each class of streams and each variant of the kernels.
 *
 *     build/bench/codec_speed [VARIANT] taskset -c 0 keeps it on one core
 *
 * The classes are those of the mix of the store's benchmark (half of it counters, 30% gauges, 10%
 * constants, 10% buckets) and some that it does not have. Streams are as long as a chunk of two
 * hours at 10 s. Speeds are by processor time, the median of five runs over all streams of a
 * class, which fit the processor's second cache when encoded.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/double_bits.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "bench/measure.h"
#include "store/codec/codec.h"
#include "store/codec/kernels.h"

#define N       720
#define STREAMS 200
#define RUNS    5

static uint64_t state = 1;

static uint64_t next(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t below(uint64_t n)
{
    return next() % n;
}

static double uniform(void)
{
    return (double)(next() >> 11) / 0x1p53;
}

static double normal(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

static int64_t poisson(double lambda)
{
    double limit = exp(-lambda), p = 1;
    int64_t k = -1;
    do {
        k++;
        p *= uniform();
    } while (p > limit);
    return k;
}

/* ---- classes ---- */

typedef void make_f(int64_t *values);

static void counters(int64_t *values)
{
    double v = (double)below(1000000);
    for (size_t i = 0; i < N; i++, v += below(4) ? (double)below(20) : 0)
        values[i] = (int64_t)double_bits(v);
}

static void gauges(int64_t *values)
{
    int64_t k = 2000;
    for (size_t i = 0; i < N; i++, k += (int64_t)below(101) - 50)
        values[i] = (int64_t)double_bits((double)k / 100);
}

static void constants(int64_t *values)
{
    double v = (double)below(1000);
    for (size_t i = 0; i < N; i++)
        values[i] = (int64_t)double_bits(v);
}

static void buckets(int64_t *values)
{
    double v = (double)below(100000);
    for (size_t i = 0; i < N; i++, v += (double)below(3))
        values[i] = (int64_t)double_bits(v);
}

static void floats(int64_t *values)
{
    for (size_t i = 0; i < N; i++)
        values[i] = (int64_t)double_bits(100 + normal());
}

static void poisson_of(int64_t *values, double lambda)
{
    double v = 0;
    for (size_t i = 0; i < N; i++, v += (double)poisson(lambda))
        values[i] = (int64_t)double_bits(v);
}

static void poisson_1(int64_t *values)
{
    poisson_of(values, 1);
}

static void poisson_10(int64_t *values)
{
    poisson_of(values, 10);
}

static void poisson_100(int64_t *values)
{
    poisson_of(values, 100);
}

static void resets(int64_t *values)
{
    double v = 1e6;
    for (size_t i = 0; i < N; i++, v = below(200) ? v + (double)below(50) : 0)
        values[i] = (int64_t)double_bits(v);
}

static void stale(int64_t *values)
{
    gauges(values);
    for (size_t i = 0; i < N; i++)
        if (below(50) == 0)
            values[i] = (int64_t)STALE_BITS;
}

/* Counts of one bucket of a histogram with 10 lognormal observations a window: integers. The
 * bucket, of schema 5, is one that an observation falls into; a chunk has a stream per bucket. */
static void histogram(int64_t *values)
{
    double bucket = ceil(32 * log2(exp(normal())));
    memset(values, 0, N * sizeof *values);
    for (size_t i = 0; i < N; i++)
        for (int k = 0; k < 10; k++)
            values[i] += ceil(32 * log2(exp(normal()))) == bucket;
}

static const struct {
    const char *name;
    make_f *make;
    double share; /* of the mix */
    bool integers;
} classes[] = {
    {"counters +0..19", counters, 0.5, false},
    {"gauges +-0.50", gauges, 0.3, false},
    {"constants", constants, 0.1, false},
    {"buckets +0..2", buckets, 0.1, false},
    {"full mantissa", floats, 0, false},
    {"Poisson 1", poisson_1, 0, false},
    {"Poisson 10", poisson_10, 0, false},
    {"Poisson 100", poisson_100, 0, false},
    {"with resets", resets, 0, false},
    {"with stale markers", stale, 0, false},
    {"histogram counts", histogram, 0, true},
};
#define N_CLASSES (sizeof classes / sizeof *classes)

/* ---- measuring ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct streams {
    uint8_t id;
    int64_t values[STREAMS][N];
    struct buf buf;
};

static void encode_all(struct streams *s)
{
    buf_clear(&s->buf);
    for (size_t i = 0; i < STREAMS; i++)
        codec_encode(s->id, s->values[i], N, &s->buf);
}

static void decode_all(struct streams *s)
{
    int64_t out[N];
    struct reader in = reader_of(buf_view(&s->buf));
    for (size_t i = 0; i < STREAMS; i++) {
        ensure(codec_decode(s->id, &in, N, out));
        __asm__ volatile("" ::"r"(out) : "memory"); /* somebody looks at them */
    }
    ensure(reader_left(&in) == 0);
}

static void check_all(struct streams *s)
{
    int64_t out[N];
    struct reader in = reader_of(buf_view(&s->buf));
    for (size_t i = 0; i < STREAMS; i++) {
        ensure(codec_decode(s->id, &in, N, out));
        ensure(memcmp(out, s->values[i], sizeof out) == 0);
    }
}

/* Millions of values a second; each run takes a tenth of a second or more. */
static double speed(void (*work)(struct streams *), struct streams *s)
{
    double runs[RUNS];
    for (size_t r = 0; r < RUNS; r++) {
        double from = seconds(CLOCK_THREAD_CPUTIME_ID), took;
        size_t rounds = 0;
        do {
            work(s);
            rounds++;
        } while ((took = seconds(CLOCK_THREAD_CPUTIME_ID) - from) < 0.1);
        runs[r] = 1e-6 * (double)(rounds * STREAMS * N) / took;
    }
    qsort(runs, RUNS, sizeof *runs, by_value);
    return runs[RUNS / 2];
}

int main(int argc, char **argv)
{
    if (argc > 1 && !kernels_use(argv[1])) {
        fprintf(stderr, "no %s kernels here\n", argv[1]);
        return 2;
    }
    struct streams *s = xmalloc(sizeof *s);
    double mix_bytes = 0, mix_time = 0;
    buf_init(&s->buf, 0);
    printf("kernels: %s\n%-20s %8s %12s %12s\n", kernels()->name, "class", "B/value", "decode M/s",
        "encode M/s");
    for (size_t c = 0; c < N_CLASSES; c++) {
        s->id = classes[c].integers ? CODEC_INTEGERS : CODEC_DOUBLES;
        for (size_t i = 0; i < STREAMS; i++)
            classes[c].make(s->values[i]);
        encode_all(s);
        check_all(s);
        double bytes = (double)s->buf.len / (STREAMS * N);
        double encode = speed(encode_all, s), decode = speed(decode_all, s);
        mix_bytes += classes[c].share * bytes;
        mix_time += classes[c].share / decode;
        printf("%-20s %8.4f %12.0f %12.0f\n", classes[c].name, bytes, decode, encode);
    }
    printf("%-20s %8.4f %12.0f\n", "the mix", mix_bytes, 1 / mix_time);
    buf_fini(&s->buf);
    free(s);
    return 0;
}
