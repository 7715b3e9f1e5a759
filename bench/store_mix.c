/*
 * What a store weighs on disk, written through its public interface, sealed and compacted.
 *
 *     store_mix mix|histograms FOLDER [SERIES [SAMPLES]]          20000 1440; the folder is made
 *
 * mix: the mix of the benchmark. Series number mod 10 is 0 to 4: counters, of which a quarter of
 * the steps stand still and the others add 0 to 19; 5 to 7: gauges that move by up to 0.50 in
 * hundredths; 8: constants; 9: le counters that add 0 to 2. Samples are 10 s apart. Its entropy is
 * 0.513 bytes a sample.
 *
 * histograms: native histograms of delivery times, ten observations (lognormal, median 25 minutes)
 * in every window of 10 s, schema 5. Bytes per bucket: a series has the buckets that ever hold one
 * of its observations, each of them once a window, as columns of buckets would have it. Bytes per
 * filled bucket count those alone that hold any in their window.
 *
 * Prints one JSON object: all files in the folder after a clean stop, by what they are. The bytes
 * per unit count everything: raw and coarser cells, catalogue, manifest; the log alone is left out,
 * which a checkpoint has emptied. raw_per_unit is the part of the raw segments.
 */
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "bench/measure.h"
#include "store/segment.h"
#include "store/store.h"

#define STEP_MS 10000
#define DAY_MS  86400000
#define T0      (19675ll * DAY_MS)

static uint64_t rng = 88172645463325252u;

static uint64_t next_random(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng >> 11;
}

/* ---- series ---- */

static const struct metric_def samples[] = {
    {.name = {"c", 1}, .kind = KIND_SAMPLE, .stale_after_ms = 300000},
    {.name = {"orders_total", 12}, .kind = KIND_SAMPLE, .stale_after_ms = 300000},
    {.name = {"t", 1}, .kind = KIND_SAMPLE, .stale_after_ms = 300000},
    {.name = {"x_bucket", 8}, .kind = KIND_SAMPLE, .stale_after_ms = 300000},
};

static const struct metric_def deliveries = {.name = {"delivery_seconds", 16},
    .kind = KIND_HISTOGRAM,
    .every_ms = STEP_MS,
    .schema = 5,
    .stale_after_ms = 3600000};

static const struct metric_def *metric_of(uint32_t i, bool histograms)
{
    uint32_t k = i % 10;
    return histograms ? &deliveries : &samples[k < 5 ? 1 : k < 8 ? 2 : k == 8 ? 0 : 3];
}

/* Ten series a fridge, in forty cities of five regions, each with some of 500 goods. */
static uint32_t series_of(struct txn *txn, uint32_t i, bool histograms)
{
    const struct metric_def *def = metric_of(i, histograms);
    uint32_t fridge = i / 10, city = fridge * 7 % 40, metric, series;
    char text[6][24];
    struct label l[8];
    size_t n = 0;
    struct err err;
    snprintf(text[0], 24, "city-%02u", city);
    snprintf(text[1], 24, "fridge-%05u", fridge);
    snprintf(text[2], 24, "kind-%u", i % 10);
    snprintf(text[3], 24, "%u", 1 + fridge % 12);
    snprintf(text[4], 24, "region-%u", city % 5);
    snprintf(text[5], 24, "sku-%03u", i * 2654435761u % 500);
    l[n++] = (struct label){SLICE("__name__"), def->name};
    l[n++] = (struct label){SLICE("city"), slice_from(text[0])};
    l[n++] = (struct label){SLICE("fridge"), slice_from(text[1])};
    l[n++] = (struct label){SLICE("kind"), slice_from(text[2])};
    if (def == &samples[3])
        l[n++] = (struct label){SLICE("le"), slice_from(text[3])};
    l[n++] = (struct label){SLICE("region"), slice_from(text[4])};
    l[n++] = (struct label){SLICE("sku"), slice_from(text[5])};
    check(txn_metric(txn, def, &metric, &err), &err);
    check(txn_series(txn, metric, (struct labels){l, n}, &series, &err), &err);
    return series;
}

static double step_of(uint32_t i, int64_t *hundredths)
{
    uint32_t k = i % 10;
    if (k < 5 && next_random() % 4)
        *hundredths += 100 * (int64_t)(next_random() % 20);
    else if (k >= 5 && k < 8)
        *hundredths += (int64_t)(next_random() % 101) - 50;
    else if (k == 9)
        *hundredths += 100 * (int64_t)(next_random() % 3);
    return (double)*hundredths / 100;
}

#define KEYS 1024

/* How many buckets hold any; marks them. */
static uint64_t put_deliveries(struct txn *txn, uint32_t series, int64_t t, bool seen[KEYS])
{
    struct hist_bucket buckets[10];
    struct hist_cell cell = {0, 0, buckets};
    for (int k = 0; k < 10; k++) {
        double u = (double)(next_random() % 1000000 + 1) / 1000001, v = (double)next_random();
        double z = sqrt(-2 * log(u)) * cos(v), s = 1500 * exp(0.4 * z);
        int32_t key = hist_bucket_key((int64_t)s, 0, 5);
        uint32_t at = 0;
        cell.sum += (int64_t)s;
        ensure(key >= 0 && key < KEYS);
        seen[key] = true;
        while (at < cell.n && buckets[at].key < key)
            at++;
        if (at == cell.n || buckets[at].key != key) {
            memmove(&buckets[at + 1], &buckets[at], (cell.n++ - at) * sizeof *buckets);
            buckets[at] = (struct hist_bucket){key, 0};
        }
        buckets[at].count++;
    }
    txn_histogram(txn, series, t, &cell);
    return cell.n;
}

/* ---- the folder ---- */

struct weights {
    uint64_t raw, derived, log, rest;
};

static bool is_derived(const char *path)
{
    struct segment *segment;
    struct err err;
    check(segment_open(path, NULL, &segment, &err), &err);
    bool derived = segment_info(segment)->resolution_ms > 0;
    segment_put(&segment);
    return derived;
}

/* As deep as the folders of a store: three levels. */
static void weigh(const char *path, bool log, struct weights *w)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    ensure(dir != NULL);
    while ((e = readdir(dir))) {
        char child[1024];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        ensure(stat(child, &st) == 0);
        if (S_ISDIR(st.st_mode))
            weigh(child, log || strcmp(e->d_name, "wal") == 0, w);
        else if (log)
            w->log += (uint64_t)st.st_size;
        else if (strstr(e->d_name, ".seg") && is_derived(child))
            w->derived += (uint64_t)st.st_size;
        else if (strstr(e->d_name, ".seg"))
            w->raw += (uint64_t)st.st_size;
        else
            w->rest += (uint64_t)st.st_size;
    }
    closedir(dir);
}

/* What there is of them: samples, or buckets and those of them that are filled. */
struct units {
    uint64_t all, filled;
};

static struct units write_all(struct store *store, bool histograms, uint32_t n, uint32_t steps)
{
    bool(*seen)[KEYS] = xcalloc(n, sizeof *seen);
    uint32_t *ids = xcalloc(n, sizeof *ids);
    int64_t *state = xcalloc(n, sizeof *state);
    struct units units = {0};
    struct err err;
    for (uint32_t k = 0; k < steps; k++) {
        int64_t t = T0 + (k + 1ll) * STEP_MS;
        struct txn *txn = txn_begin(store);
        for (uint32_t i = 0; i < n; i++) {
            if (k == 0) {
                ids[i] = series_of(txn, i, histograms);
                state[i] = (int64_t)(next_random() % 1000000);
                state[i] -= i % 10 < 5 || i % 10 == 9 ? state[i] % 100 : 0;
            }
            if (histograms)
                units.filled += put_deliveries(txn, ids[i], t, seen[i]);
            else
                txn_sample(txn, ids[i], t, step_of(i, &state[i]));
        }
        check(txn_commit(&txn, NULL, &err), &err);
        if (k % 60 == 59)
            check(store_maintain(store, t - 600000, &err), &err);
    }
    for (uint32_t i = 0; i < n && histograms; i++)
        for (size_t k = 0; k < KEYS; k++)
            units.all += seen[i][k] ? steps : 0;
    if (!histograms)
        units.all = units.filled = (uint64_t)n * steps;
    free(seen);
    free(ids);
    free(state);
    return units;
}

int main(int argc, char **argv)
{
    bool histograms = argc > 1 && strcmp(argv[1], "histograms") == 0;
    if (argc < 3) {
        fprintf(stderr, "usage: %s mix|histograms FOLDER [SERIES [SAMPLES]]\n", argv[0]);
        return 2;
    }
    uint32_t n = argc > 3 ? (uint32_t)atoi(argv[3]) : histograms ? 500 : 20000;
    uint32_t steps = argc > 4 ? (uint32_t)atoi(argv[4]) : 1440;
    struct store_options options = {.path = argv[2]};
    struct store *store;
    struct store_stats stats;
    struct err err;
    log_set_level(LOG_WARN);
    check(store_open(&options, &store, &err), &err);
    double begin = seconds(CLOCK_MONOTONIC);
    struct units units = write_all(store, histograms, n, steps);
    double written = seconds(CLOCK_MONOTONIC);
    /* Two days later everything is sealed, compacted and derived. */
    check(store_maintain(store, T0 + 3ll * DAY_MS, &err), &err);
    double maintained = seconds(CLOCK_MONOTONIC);
    store_stats(store, &stats);
    store_close(&store);
    struct weights w = {0};
    weigh(argv[2], false, &w);
    uint64_t all = w.raw + w.derived + w.rest;
    printf("{\"units\": %" PRIu64 ", \"bytes_per_unit\": %.4f, \"bytes_per_filled\": %.4f, "
           "\"raw_per_unit\": %.4f, \"raw_bytes\": %" PRIu64 ", \"derived_bytes\": %" PRIu64
           ", \"other_bytes\": %" PRIu64 ", \"log_bytes\": %" PRIu64 ", \"segments\": %" PRIu64
           ", \"write_s\": %.2f, \"maintain_s\": %.2f}\n",
        units.all, (double)all / (double)units.all, (double)all / (double)units.filled,
        (double)w.raw / (double)units.all, w.raw, w.derived, w.rest, w.log, stats.segments,
        written - begin, maintained - written);
    return 0;
}
