/* Checkpoints: whatever the bytes of the file that the manifest names, the start ends in an error
 * or in a store whose cells can be read. The catalogue of the store has one series of every kind.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/checkpoint.h"
#include "store/head/head_block.h"
#include "store/store_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LSN 30

static const char *folder(void)
{
    static char dir[64];
    if (!dir[0]) {
        snprintf(dir, sizeof dir, "%s/larder-fuzz-checkpoint-XXXXXX",
            access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        ensure(mkdtemp(dir) != NULL);
        rmdir(dir);
    }
    return dir;
}

static void define(struct store *store)
{
    static const char *names[] = {"counter", "histogram", "level", "gauge", "sample"};
    struct transaction t;
    struct err err;
    struct label labels[5];
    transaction_init(&t);
    GROW(t.metrics, t.metrics_cap, 5);
    GROW(t.series, t.series_cap, 5);
    for (uint32_t i = 0; i < 5; i++) {
        labels[i] = (struct label){SLICE("__name__"), slice_from(names[i])};
        t.metrics[t.n_metrics++] = (struct metric_def){.name = slice_from(names[i]),
            .kind = (enum kind)(i + 1),
            .schema = 5,
            .every_ms = i == 4 ? 0 : 5000};
        t.series[t.n_series++] = (struct series_def){i, {&labels[i], 1}};
    }
    ensure(store_define(store, &t, &err));
    transaction_fini(&t);
}

/* Mini-chunks are judged when they are read. */
static void read_all(struct store *store)
{
    struct arena arena;
    struct err err;
    arena_init(&arena, 64u << 20);
    for (size_t b = 0; b < store->head.n_blocks; b++)
        for (uint32_t i = 0; i < 5; i++) {
            struct columns columns;
            arena_reset(&arena);
            if (head_block_find(store->head.blocks[b], i) &&
                !head_block_columns(store->head.blocks[b], i, &arena, &columns, &err))
                ensure(err.code == ERR_CORRUPT || err.code == ERR_LIMIT);
        }
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_options options = {.path = NULL};
    struct store *store;
    struct captured captured = {0};
    struct err err;
    char name[CHECKPOINT_NAME_MAX], path[128];
    log_set_level(LOG_ERROR);
    ensure(store_open(&options, &store, &err));
    define(store);
    ensure(dir_make(folder(), &err));
    store->path = strdup(folder());
    store->manifest.checkpoint_lsn = LSN;
    checkpoint_name(LSN, name);
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    struct buf file = {0};
    if (size > 2 && data[0] && data[1] < size - 2) {
        frame_header(&file, "LCKP", 2, LSN);
        frame_encode(&file, LSN, FRAME_CHECKPOINT, slice_of(data + 2, data[1]),
            slice_of(data + 2 + data[1], size - 2 - data[1]));
        frame_encode(&file, LSN, FRAME_CHECKPOINT_END, slice_of("", 0), SLICE("end"));
    } else if (size) {
        buf_add(&file, data + 1, size - 1);
    }
    FILE *out = fopen(path, "wb");
    ensure(out && (file.len == 0 || fwrite(file.ptr, 1, file.len, out) == file.len));
    ensure(fclose(out) == 0);
    buf_fini(&file);
    if (checkpoint_load(store, &captured, &err))
        read_all(store);
    else
        ensure(err.code == ERR_CORRUPT);
    captured_fini(&captured);
    store->failed = true; /* nothing is written at the end */
    store_close(&store);
    unlink(path);
    rmdir(folder());
    return 0;
}
