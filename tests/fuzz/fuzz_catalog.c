/*
 * Files of the catalogue: whatever the bytes, loading ends in an error that names the file, or in
 * metrics and series that are found by their names and labels, and that come back from what is
 * written of them.
 *
 *     input := metrics u8, series u8 (as the manifest says), bytes of the file
 *
 * The file's checksums are put right: whether they are checked is the business of fuzz_frame.c, and
 * making a store for each input is what this costs.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "store/catalog_file.h"
#include "store/definitions.h"
#include "store/store_priv.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static void find_all(const struct catalog *c)
{
    struct arena arena;
    arena_init(&arena, 0);
    for (uint32_t i = 0; i < c->n_metrics; i++)
        ensure(catalog_find_metric(c, c->metrics[i]->name) == i);
    for (uint32_t i = 0; i < c->n_series; i++)
        if (catalog_has(c, i)) {
            struct labels labels = catalog_labels(c, i, &arena);
            ensure(labels.n > 0 && catalog_find_series(c, labels) == i);
            ensure(catalog_metric_of(c, i) < c->n_metrics);
            arena_reset(&arena);
        }
    arena_fini(&arena);
}

/* Another store that is told what the first one knows. */
static void tell(const struct store *store, struct store *other)
{
    struct definitions left = {
        .metrics_end = store->catalog.n_metrics, .series_end = store->catalog.n_series};
    struct buf payload;
    struct err err;
    buf_init(&payload, 0);
    while (definitions_next(store, &left, 3, &payload)) {
        struct transaction t;
        transaction_init(&t);
        ensure(transaction_decode_definitions(buf_view(&payload), &t, &err));
        ensure(store_define(other, &t, &err));
        transaction_fini(&t);
        buf_clear(&payload);
    }
    buf_fini(&payload);
    ensure(other->catalog.n_metrics == store->catalog.n_metrics);
    ensure(other->catalog.n_series == store->catalog.n_series);
    for (uint32_t i = 0; i < store->catalog.n_series; i++)
        ensure(catalog_has(&other->catalog, i) == catalog_has(&store->catalog, i));
    find_all(&other->catalog);
}

static struct store *open_store(void)
{
    struct store_options options = {.path = NULL};
    struct store *store;
    struct err err;
    ensure(store_open(&options, &store, &err));
    return store;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store *store;
    struct err err;
    log_set_level(LOG_ERROR);
    if (size < 2)
        return 0;
    scratch_begin();
    store = open_store();
    uint8_t *copy = xmalloc(size);
    memcpy(copy, data + 2, size - 2);
    frames_repair(copy, size - 2);
    scratch_put("catalog-000001", copy, size - 2);
    free(copy);
    store->path = xstrdup(scratch_folder());
    store->manifest.catalog = (struct manifest_catalog){
        .number = 1, .bytes = size - 2, .metrics = data[0], .series = data[1]};
    if (catalog_file_load(store, &err)) {
        struct store *other = open_store();
        find_all(&store->catalog);
        tell(store, other);
        store_close(&other);
    } else {
        ensure(err.code == ERR_CORRUPT && strstr(err.text, "catalog-000001"));
    }
    store->failed = true; /* nothing is written at the end */
    store_close(&store);
    scratch_empty();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    if (size < 2 || seed % 16 == 0)
        return LLVMFuzzerMutate(data, size, max);
    return 2 + frames_mutate(data + 2, size - 2, max - 2, seed / 16);
}
