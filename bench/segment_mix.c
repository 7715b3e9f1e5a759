/*
 * What the mix of the benchmark weighs in one segment, section by section, as segment_write writes
 * it and nothing else: no store, no log.
 *
 *     segment_mix [SERIES [SAMPLES [FOLDER]]]      20000, 1440, a temporary folder
 *
 * The mix: series number mod 10 is 0 to 4: counters, of which a quarter of the steps stand still
 * and the others add 0 to 19; 5 to 7: gauges that move by up to 0.50 in hundredths; 8: constants;
 * 9: le counters that add 0 to 2. Samples are 10 s apart. Its entropy is 0.513 bytes a sample.
 *
 * Prints one JSON object: bytes and bytes per sample of every section, and the times of writing,
 * opening, and reading every sample.
 */
#include <inttypes.h>
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
#include "store/segment/segment_reader.h"

#define STEP_MS 10000
#define T0      INT64_C(1700006400000) /* a midnight would do as well */

struct mix {
    uint32_t n_series, n_samples, at;
    uint32_t *order; /* series by name and labels */
    struct arena arena;
    struct label labels[8];
    char texts[8][32];
    uint64_t random;
};

static const struct metric_def metrics[] = {
    {.name = {"c", 1}, .kind = KIND_SAMPLE},
    {.name = {"orders_total", 12}, .kind = KIND_SAMPLE},
    {.name = {"t", 1}, .kind = KIND_SAMPLE},
    {.name = {"x_bucket", 8}, .kind = KIND_SAMPLE},
};

static const struct metric_def *metric_of_series(uint32_t i)
{
    uint32_t k = i % 10;
    return &metrics[k < 5 ? 1 : k < 8 ? 2 : k == 8 ? 0 : 3];
}

static void add_label(
    struct mix *m, size_t *n, const char *name, const char *before, int digits, uint32_t v)
{
    snprintf(m->texts[*n], sizeof m->texts[*n], "%s%0*" PRIu32, before, digits, v);
    m->labels[*n] = (struct label){slice_from(name), slice_from(m->texts[*n])};
    ++*n;
}

/* Ten thousands of fridges in forty cities of five regions, each with some of 500 goods. */
static struct labels labels_of_series(struct mix *m, uint32_t i)
{
    size_t n = 0;
    uint32_t fridge = i / 10;
    m->labels[n++] = (struct label){SLICE(LABEL_METRIC_NAME), metric_of_series(i)->name};
    add_label(m, &n, "city", "city-", 2, fridge * 7 % 40);
    add_label(m, &n, "fridge", "fridge-", 5, fridge);
    add_label(m, &n, "kind", "kind-", 1, i % 10);
    if (i % 10 == 9)
        add_label(m, &n, "le", "", 1, 1 + fridge % 12);
    add_label(m, &n, "region", "region-", 1, fridge * 7 % 40 % 5);
    add_label(m, &n, "sku", "sku-", 3, i * 2654435761u % 500);
    ensure(labels_sort(m->labels, &n));
    return (struct labels){m->labels, n};
}

static uint64_t next_random(struct mix *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random >> 11;
}

static double step_of(struct mix *m, uint32_t i, double *hundredths)
{
    uint32_t k = i % 10;
    if (k < 5)
        return next_random(m) % 4 ? *hundredths += 100.0 * (double)(next_random(m) % 20)
                                  : *hundredths;
    if (k < 8)
        return *hundredths += (double)(next_random(m) % 101) - 50;
    return k == 8 ? *hundredths : (*hundredths += 100.0 * (double)(next_random(m) % 3));
}

static bool next_series(void *ctx, struct segment_series *out)
{
    struct mix *m = ctx;
    if (m->at == m->n_series)
        return false;
    uint32_t i = m->order[m->at++];
    m->random = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    double hundredths = (double)(next_random(m) % 1000000);
    hundredths -= i % 10 < 5 || i % 10 == 9 ? (double)((int64_t)hundredths % 100) : 0;
    arena_reset(&m->arena);
    *out = (struct segment_series){
        .def = metric_of_series(i), .labels = labels_of_series(m, i), .id = i};
    ensure(columns_alloc(&m->arena, KIND_SAMPLE, m->n_samples, 0, false, &out->columns));
    for (uint32_t k = 0; k < m->n_samples; k++) {
        double v = step_of(m, i, &hundredths) / 100;
        out->columns.t[k] = T0 + (int64_t)(k + 1) * STEP_MS;
        out->columns.bits[k] = double_bits(v);
    }
    return true;
}

static int by_labels(const void *a, const void *b, void *ctx)
{
    struct mix x = *(struct mix *)ctx, y = *(struct mix *)ctx;
    uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
    int c = slice_cmp(metric_of_series(i)->name, metric_of_series(k)->name);
    return c ? c : labels_cmp(labels_of_series(&x, i), labels_of_series(&y, k));
}

static double read_all(const struct segment *s)
{
    struct arena list, cells, pages;
    struct err err = {0};
    double start = seconds(CLOCK_MONOTONIC);
    uint32_t known = UINT32_MAX, numbers[CHUNK_PAGES_MAX];
    struct slice raw = {NULL, 0};
    arena_init(&list, 0);
    arena_init(&cells, 0);
    arena_init(&pages, 0);
    for (uint32_t i = 0; i < segment_info(s)->series; i++) {
        const struct segment_chunk *chunks;
        struct columns c;
        size_t n;
        arena_reset(&list);
        check(segment_chunks(s, i, INT64_MIN, INT64_MAX, &list, &chunks, &n, &err), &err);
        for (size_t k = 0; k < n; k++) {
            ensure(segment_chunk_pages(&chunks[k], numbers) == 1);
            if (numbers[0] != known) {
                arena_reset(&pages);
                check(segment_fetch(s, known = numbers[0], &pages, &raw, &err), &err);
            }
            arena_reset(&cells);
            check(segment_decode(s, &chunks[k], &raw, &cells, &c, &err), &err);
        }
    }
    arena_fini(&list);
    arena_fini(&cells);
    arena_fini(&pages);
    return seconds(CLOCK_MONOTONIC) - start;
}

static void print(const struct segment *s, double write_s, double open_s, double read_s)
{
    const struct segment_info *info = segment_info(s);
    double cells = (double)info->cells;
    printf("{\"series\": %" PRIu64 ", \"samples\": %" PRIu64 ", \"chunks\": %" PRIu64
           ", \"bytes\": %" PRIu64 ", \"bytes_per_sample\": %.4f,\n \"sections\": {",
        info->series, info->cells, info->chunks, info->bytes, (double)info->bytes / cells);
    for (size_t i = 0; i < s->footer.n_sections; i++) {
        const struct section *section = &s->footer.sections[i];
        printf("%s\"%s\": {\"bytes\": %" PRIu64 ", \"per_sample\": %.5f}", i ? ", " : "",
            section_name(section->id), section->bytes, (double)section->bytes / cells);
    }
    printf("},\n \"write_s\": %.3f, \"open_ms\": %.3f, \"read_values_per_s\": %.0f}\n", write_s,
        open_s * 1e3, cells / read_s);
}

int main(int argc, char **argv)
{
    struct mix m = {.n_series = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 20000,
        .n_samples = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1440};
    char own[] = "/tmp/segment-bench-XXXXXX", path[PATH_BYTES];
    const char *dir = argc > 3 ? argv[3] : mkdtemp(own);
    struct segment *s;
    struct segment_info info;
    struct err err = {0};
    ensure(dir && m.n_series > 0 && m.n_samples > 0);
    m.order = xreallocarray(NULL, m.n_series, sizeof *m.order);
    for (uint32_t i = 0; i < m.n_series; i++)
        m.order[i] = i;
    qsort_r(m.order, m.n_series, sizeof *m.order, by_labels, &m);
    arena_init(&m.arena, 0);
    struct segment_input input = {
        .t0 = T0, .t1 = T0 + (int64_t)(m.n_samples + 1) * STEP_MS, .next = next_series, .ctx = &m};
    double start = seconds(CLOCK_MONOTONIC);
    check(segment_write(dir, &input, &info, &err) && path_join(path, dir, info.name, &err), &err);
    double written = seconds(CLOCK_MONOTONIC);
    check(segment_open(path, NULL, &s, &err), &err);
    double opened = seconds(CLOCK_MONOTONIC);
    print(s, written - start, opened - written, read_all(s));
    segment_put(&s);
    unlink(path);
    if (argc <= 3)
        rmdir(dir);
    arena_fini(&m.arena);
    free(m.order);
    return 0;
}
