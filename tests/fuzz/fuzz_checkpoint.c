/*
 * Checkpoints: whatever the bytes of the file that the manifest names, the start ends in an error
 * or in a store whose cells and state tables can be read. The catalogue of the store has one series
 * of every kind.
 *
 *     input := 0, bytes of the file
 *            | 1, front length u8, front, payload       a file of one such frame, checksums right
 *            | 2, bytes of the file, to be given right checksums
 */
#include <stddef.h>
#include <stdint.h>
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/checkpoint.h"
#include "store/head/head_block.h"
#include "store/state/state.h"
#include "store/store_priv.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/kinds.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

#define LSN 30

static void define(struct store *store)
{
    struct transaction t;
    struct err err;
    struct label labels[KINDS];
    transaction_init(&t);
    GROW(t.metrics, t.metrics_cap, KINDS);
    GROW(t.series, t.series_cap, KINDS);
    for (uint32_t i = 0; i < KINDS; i++) {
        t.metrics[t.n_metrics++] = kinds_def(i);
        labels[i] = (struct label){SLICE("__name__"), t.metrics[i].name};
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
        for (uint32_t i = 0; i < KINDS; i++) {
            struct columns columns;
            arena_reset(&arena);
            if (head_block_find(store->head.blocks[b], i) &&
                !head_block_columns(store->head.blocks[b], i, &arena, &columns, &err))
                ensure(err.code == ERR_CORRUPT || err.code == ERR_LIMIT ||
                       err.code == ERR_UNSUPPORTED); /* a codec of a later version */
        }
    arena_fini(&arena);
}

/* Every key of a generation, ascending, is one that can be got. */
static void list_generation(struct txn *txn, uint32_t table, int64_t generation)
{
    static uint8_t records[8 * STATE_RECORD_BYTES_MAX], record[STATE_RECORD_BYTES_MAX];
    struct hash128 from = {0}, keys[8];
    size_t n;
    bool end = false, found;
    struct err err;
    while (!end) {
        ensure(txn_state_list(txn, table, generation, &from, 8, keys, records, &n, &end, &err));
        for (size_t i = 0; i < n; i++)
            ensure(txn_state_get(txn, table, generation, keys[i], record, &found, &err) && found);
    }
}

static void read_state(struct store *store)
{
    struct txn *txn = txn_begin(store);
    int64_t generations[64];
    struct err err;
    if (state_loaded(&store->state, LSN, &err))
        for (uint32_t t = 0; t < store->state.n_tables; t++) {
            size_t n = txn_state_generations(txn, t, generations, 64);
            for (size_t g = 0; g < n && g < 64; g++)
                list_generation(txn, t, generations[g]);
        }
    else
        ensure(err.code == ERR_CORRUPT);
    txn_abort(&txn);
}

static void put_file(struct store *store, const uint8_t *data, size_t size)
{
    char name[CHECKPOINT_NAME_MAX];
    struct buf file = {0};
    uint64_t lsn = LSN;
    if (size > 2 && data[0] == 1 && data[1] < size - 2) {
        frame_header(&file, "LCKP", 2, LSN);
        frame_encode(&file, LSN, FRAME_CHECKPOINT, slice_of(data + 2, data[1]),
            slice_of(data + 2 + data[1], size - 2 - data[1]));
        frame_encode(&file, LSN, FRAME_CHECKPOINT_END, slice_of("", 0), SLICE("end"));
    } else if (size) {
        buf_add(&file, data + 1, size - 1);
    }
    if (size > FRAMES_HEADER && data[0] == 2) {
        lsn = le64_get(data + 1 + 8);
        frames_repair((uint8_t *)file.ptr, file.len);
    }
    store->manifest.checkpoint_lsn = lsn;
    checkpoint_name(lsn, name);
    scratch_put(name, file.ptr, file.len);
    buf_fini(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_options options = {.path = NULL};
    struct store *store;
    struct captured captured = {0};
    struct err err;
    log_set_level(LOG_ERROR);
    scratch_begin();
    ensure(store_open(&options, &store, &err));
    define(store);
    store->path = xstrdup(scratch_folder());
    put_file(store, data, size);
    if (checkpoint_load(store, &captured, &err)) {
        read_all(store);
        read_state(store);
    } else {
        ensure(err.code == ERR_CORRUPT || err.code == ERR_LIMIT);
        ensure(strstr(err.text, "checkpoint-"));
    }
    captured_fini(&captured);
    store->failed = true; /* nothing is written at the end */
    store_close(&store);
    scratch_empty();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    if (size < 1 || data[0] != 2 || seed % 16 == 0)
        return LLVMFuzzerMutate(data, size, max);
    return 1 + frames_mutate(data + 1, size - 1, max - 1, seed / 16);
}
