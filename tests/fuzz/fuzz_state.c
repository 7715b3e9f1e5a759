/*
 * A run of a state table of any bytes: opening, verifying, getting and going through it end in an
 * answer or an error that names the file. Tried as it is, and with its checksums put right.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/files.h"
#include "store/state/memtable.h"
#include "store/state/run.h"
#include "store/state/run_cursor.h"
#include "tests/store/state_run_repair.h"
#include "tests/store/support/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];

static void remove_dir(void)
{
    rmdir(dir);
}

static void expect_place(const struct err *err)
{
    ensure(err->code == ERR_CORRUPT || err->code == ERR_UNSUPPORTED);
    ensure(strstr(err->text, ".run"));
}

static void get(struct run *run, struct run_cache *cache, struct hash128 key)
{
    uint8_t record[STATE_RECORD_BYTES_MAX];
    enum run_answer answer;
    struct err err;
    if (!run_get(run, cache, key, record, &answer, &err))
        expect_place(&err);
}

static void go_through(struct run *run, struct run_cache *cache)
{
    struct run_cursor *c = run_cursor_new(run);
    struct hash128 last = {0};
    struct err err = {0};
    bool any = false, ok = run_cursor_seek(c, (struct hash128){0}, &err);
    while (ok && !run_cursor_ended(c)) {
        struct hash128 key = run_cursor_key(c);
        ensure(!any || state_key_cmp(last, key) < 0);
        last = key;
        any = true;
        volatile uint8_t touched = 0; /* every byte of the record is read */
        for (uint32_t i = 0; i < run_info(run)->record_bytes; i++)
            touched = (uint8_t)(touched ^ run_cursor_record(c)[i]);
        get(run, cache, key);
        ok = run_cursor_next(c, &err);
    }
    if (!ok)
        expect_place(&err);
    run_cursor_free(&c);
}

static void try_bytes(const uint8_t *bytes, size_t size)
{
    char name[RUN_NAME_MAX], path[PATH_BYTES];
    struct run *run;
    struct run_cache cache;
    struct err err;
    if (size < RUN_HEADER_BYTES)
        return;
    run_repair_name(bytes, name);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    ensure(f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0);
    if (run_open(dir, name, &run, &err)) {
        run_cache_init(&cache, 32 << 20);
        if (!run_verify(run, &err))
            expect_place(&err);
        get(run, &cache, run_info(run)->min);
        get(run, &cache, run_info(run)->max);
        get(run, &cache, (struct hash128){.hi = run_info(run)->min.hi, .lo = 77});
        go_through(run, &cache);
        run_cache_fini(&cache);
        run_unref(&run);
    } else {
        expect_place(&err);
    }
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!dir[0]) {
        folder_new("fuzz-state", dir, sizeof dir);
        atexit(remove_dir);
    }
    uint8_t *repaired = xmalloc(size);
    if (size)
        memcpy(repaired, data, size);
    try_bytes(data, size);
    run_repair(repaired, size);
    try_bytes(repaired, size);
    free(repaired);
    return 0;
}
