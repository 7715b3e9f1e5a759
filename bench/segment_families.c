/*
 * What classic histograms weigh in one segment: series `latency_seconds_bucket` with twelve `le`,
 * counts of all observations up to it, 10 s apart. Latencies are lognormal, sigma 1.
 *
 *     segment_families [FAMILIES [SAMPLES [RATE [MEDIAN_MS [FOLDER]]]]]
 *
 * Otherwise 200 families of 1440 samples, 10 observations a second, 50 ms, a temporary folder.
 *
 * Written twice: with the bounds in the label `le`, which makes families of the series, and in the
 * label `lf`, which leaves each for itself. Prints one JSON object: of both the bytes per sample,
 * how many rows have a base, and the speed of reading every series.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/double_bits.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "bench/measure.h"
#include "store/files.h"
#include "store/segment.h"

#define STEP_MS 10000
#define T0      INT64_C(1700006400000)
#define BOUNDS  12

static const char *const bounds[BOUNDS] = {
    "+Inf", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "10", "2.5", "5"};

static const double upper[BOUNDS] = {
    INFINITY, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 10, 2.5, 5};

static const struct metric_def metric = {
    .name = {"latency_seconds_bucket", 22}, .kind = KIND_SAMPLE};

struct work {
    const char *label; /* that holds the bounds */
    uint32_t n_families, n_samples, rate, median_ms, at;
    uint32_t *counts; /* [family][bound][sample], up to the bound and the sample */
    struct arena arena;
    struct label labels[6];
    char texts[6][32];
    uint64_t random;
};

static double uniform(struct work *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return ((double)(w->random >> 11) + 0.5) / 0x1p53;
}

static double latency(struct work *w)
{
    double normal = sqrt(-2 * log(uniform(w))) * cos(6.283185307179586 * uniform(w));
    return w->median_ms / 1000.0 * exp(normal);
}

static uint32_t poisson(struct work *w, double mean)
{
    uint32_t n = 0;
    double left = mean + log(uniform(w));
    while (left > 0) {
        n++;
        left += log(uniform(w));
    }
    return n;
}

/* Observations of one step come at the family's rate; what is up to a bound is counted there. */
static void make_family(struct work *w, uint32_t family)
{
    uint32_t now[BOUNDS] = {0};
    uint32_t *counts = w->counts + (size_t)family * BOUNDS * w->n_samples;
    for (uint32_t i = 0; i < w->n_samples; i++) {
        for (uint32_t k = poisson(w, w->rate * STEP_MS / 1000.0); k > 0; k--) {
            double v = latency(w);
            for (size_t b = 0; b < BOUNDS; b++)
                now[b] += v <= upper[b];
        }
        for (size_t b = 0; b < BOUNDS; b++)
            counts[b * w->n_samples + i] = now[b];
    }
}

static void set_label(struct work *w, size_t i, const char *name, const char *before, uint32_t v)
{
    snprintf(w->texts[i], sizeof w->texts[i], "%s%03" PRIu32, before, v);
    w->labels[i] = (struct label){slice_from(name), slice_from(w->texts[i])};
}

/* Ten paths of an instance: their families lie between each other. */
static bool next_series(void *ctx, struct segment_series *out)
{
    struct work *w = ctx;
    uint32_t group = w->at / (10 * BOUNDS), left = w->n_families - 10 * group;
    uint32_t paths = left < 10 ? left : 10, at = w->at - 10 * BOUNDS * group;
    if (w->at == w->n_families * BOUNDS)
        return false;
    uint32_t bound = at / paths, family = 10 * group + at % paths;
    const uint32_t *counts = w->counts + ((size_t)family * BOUNDS + bound) * w->n_samples;
    w->labels[0] = (struct label){SLICE(LABEL_METRIC_NAME), metric.name};
    set_label(w, 1, "instance", "host-", group);
    w->labels[2] = (struct label){SLICE("job"), SLICE("api")};
    w->labels[3] = (struct label){slice_from(w->label), slice_from(bounds[bound])};
    set_label(w, 4, "path", "/v1/path-", family);
    arena_reset(&w->arena);
    *out = (struct segment_series){.def = &metric, .labels = {w->labels, 5}, .id = w->at++};
    ensure(columns_alloc(&w->arena, KIND_SAMPLE, w->n_samples, 0, false, &out->columns));
    for (uint32_t i = 0; i < w->n_samples; i++) {
        double v = counts[i];
        out->columns.t[i] = T0 + (int64_t)(i + 1) * STEP_MS;
        out->columns.bits[i] = double_bits(v);
    }
    return true;
}

struct reading {
    uint64_t chunks, with_base, bases;
    double seconds;
};

/* Every page is fetched once, before the clock runs. */
static struct slice *fetch_all(const struct segment *s, struct arena *arena)
{
    struct err err = {0};
    size_t n = segment_pages(s);
    struct slice *raw = arena_array(arena, n, sizeof *raw);
    for (uint32_t i = 0; i < n; i++)
        check(segment_fetch(s, i, arena, &raw[i], &err), &err);
    return raw;
}

static void read_series(const struct segment *s, uint32_t ordinal, const struct slice *pages,
    struct arena arenas[2], struct reading *out)
{
    const struct segment_chunk *chunks;
    struct err err = {0};
    struct columns c;
    size_t n;
    arena_reset(&arenas[0]);
    check(segment_chunks(s, ordinal, INT64_MIN, INT64_MAX, &arenas[0], &chunks, &n, &err), &err);
    for (size_t k = 0; k < n; k++) {
        uint32_t numbers[CHUNK_PAGES_MAX];
        struct slice raw[CHUNK_PAGES_MAX];
        size_t n_pages = segment_chunk_pages(&chunks[k], numbers);
        for (size_t i = 0; i < n_pages; i++)
            raw[i] = pages[numbers[i]];
        arena_reset(&arenas[1]);
        check(segment_decode(s, &chunks[k], raw, &arenas[1], &c, &err), &err);
        out->with_base += chunks[k].n_bases > 0;
        out->bases += chunks[k].n_bases;
    }
    out->chunks += n;
}

/* The best of ROUNDS. */
#define ROUNDS 5
static struct reading read_all(const struct segment *s)
{
    struct arena arenas[3];
    struct reading out = {.seconds = INFINITY};
    for (int i = 0; i < 3; i++)
        arena_init(&arenas[i], 0);
    const struct slice *pages = fetch_all(s, &arenas[2]);
    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds(CLOCK_MONOTONIC);
        out.chunks = out.with_base = out.bases = 0;
        for (uint32_t i = 0; i < segment_info(s)->series; i++)
            read_series(s, i, pages, arenas, &out);
        out.seconds = fmin(out.seconds, seconds(CLOCK_MONOTONIC) - start);
    }
    for (int i = 0; i < 3; i++)
        arena_fini(&arenas[i]);
    return out;
}

static double measure(struct work *w, const char *label, const char *dir)
{
    struct segment_input input = {
        .t0 = T0, .t1 = T0 + (int64_t)(w->n_samples + 1) * STEP_MS, .next = next_series, .ctx = w};
    struct segment_info info;
    struct segment *s;
    struct err err = {0};
    char path[PATH_BYTES];
    w->label = label;
    w->at = 0;
    double start = seconds(CLOCK_MONOTONIC);
    check(segment_write(dir, &input, &info, &err) && path_join(path, dir, info.name, &err), &err);
    double written = seconds(CLOCK_MONOTONIC);
    check(segment_open(path, NULL, &s, &err), &err);
    struct reading r = read_all(s);
    double each = (double)info.bytes / (double)info.cells;
    printf("{\"samples\": %" PRIu64 ", \"bytes_per_sample\": %.4f, \"chunks\": %" PRIu64
           ", \"with_base\": %" PRIu64 ", \"bases_per_chunk\": %.2f, \"write_s\": %.3f, "
           "\"read_values_per_s\": %.0f}",
        info.cells, each, r.chunks, r.with_base, (double)r.bases / (double)r.chunks,
        written - start, (double)info.cells / r.seconds);
    segment_put(&s);
    unlink(path);
    return each;
}

static uint32_t argument(int argc, char **argv, int i, uint32_t otherwise)
{
    return argc > i ? (uint32_t)strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct work w = {.n_families = argument(argc, argv, 1, 200),
        .n_samples = argument(argc, argv, 2, 1440),
        .rate = argument(argc, argv, 3, 10),
        .median_ms = argument(argc, argv, 4, 50),
        .random = UINT64_C(0x9e3779b97f4a7c15)};
    char own[] = "/tmp/segment-bench-XXXXXX";
    const char *dir = argc > 5 ? argv[5] : mkdtemp(own);
    ensure(dir && w.n_families > 0 && w.n_samples > 0 && w.rate > 0 && w.median_ms > 0);
    w.counts = xcalloc((size_t)w.n_families * BOUNDS * w.n_samples, sizeof *w.counts);
    for (uint32_t i = 0; i < w.n_families; i++)
        make_family(&w, i);
    arena_init(&w.arena, 0);
    printf("{\"families\": ");
    double families = measure(&w, "le", dir);
    printf(",\n \"each for itself\": ");
    double alone = measure(&w, "lf", dir);
    printf(",\n \"ratio\": %.3f}\n", families / alone);
    if (argc <= 5)
        rmdir(dir);
    arena_fini(&w.arena);
    free(w.counts);
    return 0;
}
