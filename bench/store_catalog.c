/*
 * The catalogue alone: what a series costs, how fast they come, and how fast they are found.
 * Prints one JSON object.
 *
 *     build/bench/store_catalog [SERIES]
 *
 * A million series with six labels each: 100 metrics, and per metric label values that repeat as a
 * business's do: 10 regions, 1,000 stores, 50 categories, 20 kinds, and one label with 100,000
 * values. Memory is what the allocator holds for it (jemalloc's stats.allocated).
 */
#include <inttypes.h>
#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/ensure.h"
#include "bench/measure.h"
#include "store/catalog.h"

#define SELECTIONS 50

/* Only where jemalloc is: the sanitizers bring their own allocator. */
#pragma weak mallctl

static size_t allocated(void)
{
    uint64_t epoch = 1;
    size_t bytes = 0, len = sizeof bytes;
    if (!mallctl)
        return 0;
    mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
    mallctl("stats.allocated", &bytes, &len, NULL, 0);
    return bytes;
}

struct row {
    char text[6][32];
    struct label labels[6];
};

static void fill(struct row *r, uint32_t i)
{
    static const char *const names[6] = {
        "__name__", "category", "fridge", "kind", "region", "store"};
    uint32_t x = i * 2654435761u;
    snprintf(r->text[0], sizeof r->text[0], "fridge_metric_%u_total", i % 100);
    snprintf(r->text[1], sizeof r->text[1], "category-%u", (x >> 8) % 50);
    snprintf(r->text[2], sizeof r->text[2], "fridge-%06u", i / 10);
    snprintf(r->text[3], sizeof r->text[3], "kind-%u", (x >> 14) % 20);
    snprintf(r->text[4], sizeof r->text[4], "region-%u", i / 100 % 10);
    snprintf(r->text[5], sizeof r->text[5], "store-%04u", (x >> 20) % 1000);
    for (int k = 0; k < 6; k++)
        r->labels[k] = (struct label){slice_from(names[k]), slice_from(r->text[k])};
}

/* As a transaction does: looked up when it is written, looked up and added when it is applied. */
static double insert(struct catalog *c, uint32_t n)
{
    double used = 0;
    struct row *rows = malloc(1000 * sizeof *rows);
    ensure(rows != NULL);
    for (uint32_t from = 0; from < n; from += 1000) {
        uint32_t k = n - from < 1000 ? n - from : 1000;
        for (uint32_t i = 0; i < k; i++)
            fill(&rows[i], from + i);
        double start = seconds(CLOCK_MONOTONIC);
        for (uint32_t i = 0; i < k; i++) {
            struct labels labels = {rows[i].labels, 6};
            ensure(catalog_find_series(c, labels) == MAP_NONE);
            ensure(catalog_find_series(c, labels) == MAP_NONE);
            catalog_add_series(c, (from + i) % 100, labels);
        }
        used += seconds(CLOCK_MONOTONIC) - start;
    }
    free(rows);
    return used;
}

struct timing {
    double select_ms, describe_ms;
    size_t n;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Medians. */
static struct timing time_selection(struct catalog *c, const struct matcher *m, size_t n)
{
    double select[SELECTIONS], describe[SELECTIONS];
    const struct matcher *all[4];
    struct timing out = {0};
    struct arena arena;
    arena_init(&arena, 0);
    for (size_t i = 0; i < n; i++)
        all[i] = &m[i];
    for (int k = 0; k < SELECTIONS; k++) {
        struct catalog_entry *entries;
        struct err err;
        uint32_t *ids;
        arena_reset(&arena);
        double t0 = seconds(CLOCK_MONOTONIC);
        ensure(catalog_select(c, all, n, &arena, &ids, &out.n, &err));
        double t1 = seconds(CLOCK_MONOTONIC);
        ensure(catalog_describe(c, ids, out.n, &arena, &entries, &out.n));
        select[k] = (t1 - t0) * 1e3;
        describe[k] = (seconds(CLOCK_MONOTONIC) - t1) * 1e3;
    }
    qsort(select, SELECTIONS, sizeof *select, by_value);
    qsort(describe, SELECTIONS, sizeof *describe, by_value);
    out.select_ms = select[SELECTIONS / 2];
    out.describe_ms = describe[SELECTIONS / 2];
    arena_fini(&arena);
    return out;
}

static struct matcher equal(const char *name, const char *value)
{
    return (struct matcher){MATCH_EQUAL, slice_from(name), slice_from(value), NULL};
}

/* The program ends before anybody would free the expression. */
static struct matcher pattern(const char *name, const char *text)
{
    struct regex *regex;
    struct err err;
    ensure(regex_new(slice_from(text), &regex, &err));
    return (struct matcher){MATCH_REGEX, slice_from(name), slice_from(text), regex};
}

static void report(struct catalog *c, const char *name, const struct matcher *m, size_t n)
{
    struct timing t = time_selection(c, m, n);
    printf(", \"%s\": {\"series\": %zu, \"select_ms\": %.3f, \"labels_ms\": %.3f}", name, t.n,
        t.select_ms, t.describe_ms);
}

int main(int argc, char **argv)
{
    uint32_t n = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000000;
    struct catalog c;
    size_t before = allocated();
    catalog_init(&c);
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "fridge_metric_%d_total", i);
        struct metric_def def = {.name = slice_from(name), .kind = KIND_SAMPLE};
        catalog_add_metric(&c, &def);
    }
    double insert_s = insert(&c, n);
    size_t bytes = allocated() - before;
    printf("{\"series\": %u, \"bytes_per_series\": %.1f, \"counted_bytes_per_series\": %.1f, "
           "\"insert_s\": %.3f, \"inserts_per_s\": %.0f",
        n, (double)bytes / n, (double)catalog_bytes(&c) / n, insert_s, n / insert_s);
    struct matcher two[2] = {
        equal("__name__", "fridge_metric_7_total"), equal("region", "region-3")};
    report(&c, "two_equal", two, 2);
    struct matcher words[2] = {two[0], pattern("region", "region-1|region-2")};
    report(&c, "equal_and_words", words, 2);
    struct matcher regex[2] = {two[0], pattern("fridge", "fridge-0[0-4]2.*[13579]")};
    report(&c, "regex_of_100k_values", regex, 2);
    struct matcher prefix[2] = {two[0], pattern("fridge", "fridge-012.*")};
    report(&c, "prefix_of_100k_values", prefix, 2);
    struct matcher without[2] = {equal("fridge", "fridge-001234"),
        {MATCH_NOT_EQUAL, slice_from("kind"), slice_from("kind-1"), NULL}};
    report(&c, "equal_and_not_equal", without, 2);
    printf("}\n");
    catalog_fini(&c);
    return 0;
}
