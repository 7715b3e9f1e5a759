/*
 * Runs of state tables: what is written is read, for every size of record; names come from content;
 * filters forget nothing; and files that are not as they were written give an error that names
 * them, or the same answers. LARDER_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/state/memtable.h"
#include "store/state/run.h"
#include "store/state/run_cursor.h"
#include "store/state/run_filter.h"
#include "store/state/run_writer.h"
#include "store/state/state.h"
#include "store/state/state_priv.h"
#include "store/store.h"
#include "tests/store/state_run_repair.h"
#include "tests/store/support/folder.h"

static uint64_t rng;

static uint64_t next_random(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

static struct hash128 hashed(uint64_t i)
{
    return hash128(&i, sizeof i);
}

static int by_key(const void *a, const void *b)
{
    return state_key_cmp(*(const struct hash128 *)a, *(const struct hash128 *)b);
}

static void fill(uint8_t *record, uint32_t bytes, struct hash128 key)
{
    for (uint32_t i = 0; i < bytes; i++)
        record[i] = (uint8_t)(key.lo + i * 13 + (key.hi >> 7));
}

static bool is_deleted(struct hash128 key)
{
    return key.lo % 11 == 0;
}

/* Keys ascend. */
static void write_run(const char *dir, uint32_t record_bytes, const struct hash128 *keys, size_t n,
    char name[RUN_NAME_MAX])
{
    uint8_t record[STATE_RECORD_BYTES_MAX];
    struct run_writer *w;
    struct err err;
    struct run_plan plan = {.table = "entities",
        .record_bytes = record_bytes,
        .generation = -7,
        .lsn = 42,
        .keys_max = n};
    assert_true(run_writer_new(dir, &plan, &w, &err));
    for (size_t i = 0; i < n; i++) {
        fill(record, record_bytes, keys[i]);
        assert_true(run_writer_add(w, keys[i], is_deleted(keys[i]), record, &err));
    }
    assert_true(run_writer_finish(w, name, &err));
    run_writer_free(&w);
}

/* ---- whole files ---- */

/* Hashes; neighbours; equal halves; the ends of the range. */
static size_t make_keys(int shape, struct hash128 *keys, size_t n)
{
    size_t made = 0;
    for (size_t i = 0; i < n; i++)
        keys[i] = shape == 0   ? hashed(i)
                  : shape == 1 ? (struct hash128){.hi = 0, .lo = i * 3}
                               : (struct hash128){.hi = i * (UINT64_MAX / n), .lo = i % 2};
    if (shape == 0 && n > 2) {
        keys[0] = (struct hash128){0, 0};
        keys[1] = (struct hash128){UINT64_MAX, UINT64_MAX};
    }
    qsort(keys, n, sizeof *keys, by_key);
    for (size_t i = 0; i < n; i++)
        if (!made || state_key_cmp(keys[made - 1], keys[i]) != 0)
            keys[made++] = keys[i];
    return made;
}

static void check_get(struct run *run, struct run_cache *cache, struct hash128 key)
{
    uint8_t record[STATE_RECORD_BYTES_MAX], expected[STATE_RECORD_BYTES_MAX];
    uint32_t bytes = run_info(run)->record_bytes;
    enum run_answer answer;
    struct err err;
    assert_true(run_get(run, cache, key, record, &answer, &err));
    assert_int_equal(answer, is_deleted(key) ? RUN_DELETED : RUN_PRESENT);
    if (answer == RUN_PRESENT) {
        fill(expected, bytes, key);
        assert_memory_equal(record, expected, bytes);
    }
}

static void check_cursor(const struct run *run, const struct hash128 *keys, size_t n)
{
    uint8_t expected[STATE_RECORD_BYTES_MAX];
    struct err err;
    struct run_cursor *c = run_cursor_new(run);
    size_t from = n > 3 ? n / 3 : 0;
    assert_true(run_cursor_seek(c, keys[from], &err));
    for (size_t i = from; i < n; i++) {
        assert_false(run_cursor_ended(c));
        assert_true(hash128_eq(run_cursor_key(c), keys[i]));
        assert_int_equal(run_cursor_deleted(c), is_deleted(keys[i]));
        if (!is_deleted(keys[i])) {
            fill(expected, run_info(run)->record_bytes, keys[i]);
            assert_memory_equal(run_cursor_record(c), expected, run_info(run)->record_bytes);
        }
        assert_true(run_cursor_next(c, &err));
    }
    assert_true(run_cursor_ended(c));
    run_cursor_free(&c);
}

static void check_run(const char *dir, uint32_t record_bytes, int shape, size_t n)
{
    struct hash128 *keys = xcalloc(n, sizeof *keys);
    char name[RUN_NAME_MAX], again[RUN_NAME_MAX];
    struct run *run;
    struct run_cache cache;
    struct err err;
    enum run_answer answer;
    n = make_keys(shape, keys, n);
    write_run(dir, record_bytes, keys, n, name);
    write_run(dir, record_bytes, keys, n, again);
    assert_string_equal(name, again);
    if (!run_open(dir, name, &run, &err))
        fail_msg("%s", err.text);
    run_cache_init(&cache, 32 << 20);
    assert_int_equal(run_info(run)->entries, n);
    assert_int_equal(run_info(run)->generation, -7);
    if (!run_verify(run, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++)
        check_get(run, &cache, keys[i]);
    for (uint64_t i = 0; i < 200; i++) {
        struct hash128 key = hashed(i + (UINT64_C(1) << 40));
        assert_true(run_get(run, &cache, key, NULL, &answer, &err));
        assert_int_equal(answer, RUN_ABSENT);
    }
    check_cursor(run, keys, n);
    run_cache_fini(&cache);
    run_doom(run);
    run_unref(&run);
    free(keys);
}

static void test_every_size_of_record(void **state)
{
    static const uint32_t sizes[] = {0, 1, 12, 96, 500, 501, 1100, 2000, 4096};
    char dir[FOLDER_MAX];
    (void)state;
    folder_make("runs", dir);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int shape = 0; shape < 3; shape++) {
            check_run(dir, sizes[i], shape, 1);
            check_run(dir, sizes[i], shape, 2);
            check_run(dir, sizes[i], shape, 3000);
        }
    assert_int_equal(rmdir(dir), 0); /* doomed runs took their files along */
}

static void test_filter(void **state)
{
    const uint64_t n = 200000;
    uint64_t lines = filter_lines(n), wrong = 0;
    uint64_t *filter = filter_new(lines);
    (void)state;
    for (uint64_t i = 0; i < n; i++)
        filter_add(filter, lines, hashed(i));
    for (uint64_t i = 0; i < n; i++)
        assert_true(filter_has(filter, lines, hashed(i)));
    for (uint64_t i = n; i < 2 * n; i++)
        wrong += filter_has(filter, lines, hashed(i));
    printf("# %llu of %llu absent keys pass the filter\n", (unsigned long long)wrong,
        (unsigned long long)n);
    assert_true(wrong < n / 150);
    free(filter);
}

/* ---- damaged files ---- */

struct damaged {
    char dir[FOLDER_MAX], path[FOLDER_MAX + RUN_NAME_MAX + 1], name[RUN_NAME_MAX];
    struct hash128 keys[24];
    size_t n;
    uint8_t *bytes;
    size_t size;
    int fd;
};

static void damaged_init(struct damaged *d, uint32_t record_bytes)
{
    struct stat st;
    folder_make("damage", d->dir);
    d->n = make_keys(0, d->keys, sizeof d->keys / sizeof *d->keys);
    write_run(d->dir, record_bytes, d->keys, d->n, d->name);
    snprintf(d->path, sizeof d->path, "%s/%s", d->dir, d->name);
    d->fd = open(d->path, O_RDWR);
    assert_true(d->fd >= 0 && fstat(d->fd, &st) == 0);
    d->size = (size_t)st.st_size;
    d->bytes = xmalloc(d->size);
    assert_int_equal(pread(d->fd, d->bytes, d->size, 0), d->size);
}

static void damaged_fini(struct damaged *d)
{
    close(d->fd);
    free(d->bytes);
    folder_remove(d->dir);
}

/* Everything that can be asked: false when any of it is an error; answers must be right. With right
 * checksums (lies) they need not be, but nothing may break. */
static bool ask_everything(const struct damaged *d, bool lies)
{
    uint8_t record[STATE_RECORD_BYTES_MAX], expected[STATE_RECORD_BYTES_MAX];
    struct run *run;
    struct run_cache cache;
    struct err err = {0};
    enum run_answer answer;
    bool ok = run_open(d->dir, d->name, &run, &err);
    if (!ok) {
        assert_non_null(strstr(err.text, d->name));
        return false;
    }
    run_cache_init(&cache, 32 << 20);
    for (size_t i = 0; ok && i < d->n; i++) {
        ok = run_get(run, &cache, d->keys[i], record, &answer, &err);
        if (!ok || lies)
            continue;
        assert_int_equal(answer, is_deleted(d->keys[i]) ? RUN_DELETED : RUN_PRESENT);
        fill(expected, run_info(run)->record_bytes, d->keys[i]);
        if (answer == RUN_PRESENT)
            assert_memory_equal(record, expected, run_info(run)->record_bytes);
    }
    bool whole = run_verify(run, &err);
    if (!ok || !whole)
        assert_non_null(strstr(err.text, d->name));
    assert_true(whole || lies || !ok);
    run_cache_fini(&cache);
    run_unref(&run);
    return ok && whole;
}

static void test_every_bit(void **state)
{
    struct damaged d;
    size_t refused = 0;
    (void)state;
    damaged_init(&d, 12);
    assert_true(ask_everything(&d, false));
    for (size_t i = 0; i < d.size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t b = (uint8_t)(d.bytes[i] ^ 1u << bit);
            assert_int_equal(pwrite(d.fd, &b, 1, (off_t)i), 1);
            refused += !ask_everything(&d, false);
            assert_int_equal(pwrite(d.fd, &d.bytes[i], 1, (off_t)i), 1);
        }
    assert_int_equal(refused, d.size * 8); /* every byte is under a checksum */
    damaged_fini(&d);
}

static void test_every_length(void **state)
{
    struct damaged d;
    (void)state;
    damaged_init(&d, 12);
    for (size_t len = d.size; len-- > 0;) {
        assert_int_equal(ftruncate(d.fd, (off_t)len), 0);
        assert_false(ask_everything(&d, false));
    }
    assert_int_equal(pwrite(d.fd, d.bytes, d.size, 0), d.size);
    assert_true(ask_everything(&d, false));
    assert_int_equal(pwrite(d.fd, "x", 1, (off_t)d.size), 1);
    assert_false(ask_everything(&d, false));
    damaged_fini(&d);
}

/* Bytes that lie, under right checksums: no crash, no read beyond a page, no endless loop. */
static void test_lies(void **state)
{
    struct damaged d;
    uint8_t *lie;
    (void)state;
    damaged_init(&d, 96);
    lie = xmalloc(d.size);
    for (int i = 0; i < 4000; i++) {
        memcpy(lie, d.bytes, d.size);
        for (uint64_t n = 1 + next_random() % 3; n; n--) {
            /* Mostly where there is something: the header's fields and the page's. */
            size_t at =
                next_random() % 2 ? next_random() % 176 : RUN_HEADER_BYTES + next_random() % 512;
            lie[next_random() % 8 ? at : next_random() % d.size] = (uint8_t)next_random();
        }
        run_repair(lie, d.size);
        assert_int_equal(pwrite(d.fd, lie, d.size, 0), d.size);
        ask_everything(&d, true);
    }
    free(lie);
    damaged_fini(&d);
}

/* ---- damage beneath a store ---- */

static struct store *open_small(const char *dir, struct err *err)
{
    struct store *store;
    struct store_options options = {.path = dir, .state_bytes = 1};
    return store_open(&options, &store, err) ? store : NULL;
}

static void flush_keys(struct store *store, uint64_t from, uint64_t n)
{
    uint32_t table;
    struct err err;
    struct txn *txn = txn_begin(store);
    assert_true(txn_state_table(txn, SLICE("ids"), 0, &table, &err));
    for (uint64_t i = from; i < from + n; i++)
        txn_state_put(txn, table, 3, hashed(i), NULL);
    assert_true(txn_commit(&txn, NULL, &err));
    if (!store_maintain(store, 0, &err))
        fail_msg("%s", err.text);
}

static void find_run(void *ctx, const char *path)
{
    if (strstr(path, ".run"))
        snprintf(ctx, FOLDER_MAX, "%s", path);
}

static void test_a_damaged_page_is_an_error_of_who_asks(void **state)
{
    char dir[FOLDER_MAX], path[FOLDER_MAX] = "";
    struct err err;
    bool found;
    size_t errors = 0;
    (void)state;
    folder_make("page", dir);
    struct store *store = open_small(dir, &err);
    flush_keys(store, 0, 2000);
    store_close(&store);
    folder_each(dir, find_run, path);
    content_flip(path, RUN_HEADER_BYTES + 4096 + 100, 0x10); /* in the second page */
    store = open_small(dir, &err);
    assert_non_null(store);
    for (uint64_t i = 0; i < 2000; i++) {
        if (!store_state_get(store, 0, 3, hashed(i), NULL, &found, &err)) {
            assert_int_equal(err.code, ERR_CORRUPT);
            assert_non_null(strstr(err.text, path));
            assert_non_null(strstr(err.text, "page 1 at byte 8192"));
            errors++;
        } else {
            assert_true(found);
        }
    }
    assert_true(errors > 100 && errors < 600);
    store_close(&store);
    content_flip(path, 20, 0x10); /* in the header */
    assert_null(open_small(dir, &err));
    assert_non_null(strstr(err.text, path));
    content_flip(path, 20, 0x10);
    assert_int_equal(unlink(path), 0);
    assert_null(open_small(dir, &err));
    assert_non_null(strstr(err.text, path));
    folder_remove(dir);
}

static void remove_wal(void *ctx, const char *path)
{
    (void)ctx;
    if (strstr(path, ".wal"))
        assert_int_equal(truncate(path, 20), 0); /* the header alone */
}

/* Deletions with nothing beneath them leave no run, and no name of one in the manifest. */
static void test_nothing_is_left_of_deletions(void **state)
{
    char dir[FOLDER_MAX];
    struct store_stats stats;
    uint32_t table;
    struct err err;
    bool found;
    (void)state;
    folder_make("nothing", dir);
    struct store *store = open_small(dir, &err);
    struct txn *txn = txn_begin(store);
    assert_true(txn_state_table(txn, SLICE("ids"), 0, &table, &err));
    txn_state_delete(txn, table, 3, hashed(1));
    assert_true(txn_commit(&txn, NULL, &err) && store_maintain(store, 0, &err));
    store_stats(store, &stats);
    assert_int_equal(stats.state_runs, 0);
    flush_keys(store, 0, 10);
    store_stats(store, &stats);
    assert_int_equal(stats.state_runs, 1);
    assert_true(store_state_get(store, table, 3, hashed(1), NULL, &found, &err) && found);
    store_close(&store);
    folder_remove(dir);
}

/* A log that ends before the runs do has lost transactions that were acknowledged. The folder is
 * taken as a crash leaves it, for a clean stop writes a checkpoint. */
static void test_a_run_newer_than_the_log(void **state)
{
    char dir[FOLDER_MAX], copy[FOLDER_MAX];
    struct err err;
    (void)state;
    folder_make("newer", dir);
    folder_make("newer-copy", copy);
    struct store *store = open_small(dir, &err);
    flush_keys(store, 0, 100);
    folder_copy(dir, copy);
    store_close(&store);
    store = open_small(copy, &err);
    assert_non_null(store);
    store_close(&store);
    folder_remove(copy);
    store = open_small(dir, &err);
    flush_keys(store, 100, 100);
    folder_copy(dir, copy);
    store_close(&store);
    folder_each(copy, remove_wal, NULL);
    assert_null(open_small(copy, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.text, "the manifest has what came of lsn"));
    folder_remove(dir);
    folder_remove(copy);
}

static void count_run(void *ctx, const char *path)
{
    *(int *)ctx += strstr(path, "/state/") != NULL;
}

static void test_leftovers_are_swept(void **state)
{
    char dir[FOLDER_MAX], path[FOLDER_MAX * 2];
    struct err err;
    struct store_stats stats;
    int files = 0;
    (void)state;
    folder_make("sweep", dir);
    struct store *store = open_small(dir, &err);
    for (uint64_t i = 0; i < 20; i++)
        flush_keys(store, i * 100, 100);
    store_stats(store, &stats);
    assert_true(stats.state_runs > 0 && stats.state_runs < 8); /* merged */
    assert_int_equal(stats.state_keys, 2000);
    store_close(&store);
    snprintf(path, sizeof path, "%s/state/tmp-left", dir);
    fclose(fopen(path, "w"));
    store = open_small(dir, &err);
    assert_non_null(store);
    store_close(&store);
    folder_each(dir, count_run, &files);
    assert_int_equal(files, stats.state_runs);
    folder_remove(dir);
}

/* ---- memory ---- */

#define LIMIT_BYTES (2u << 20)

/* Memtables, filters, fences and pages that were read share what there is. */
static void test_memory_is_bounded(void **state)
{
    char dir[FOLDER_MAX];
    struct err err;
    struct store_stats stats;
    uint32_t table;
    bool found;
    (void)state;
    folder_make("memory", dir);
    struct store_options options = {.path = dir, .state_bytes = LIMIT_BYTES};
    struct store *store;
    assert_true(store_open(&options, &store, &err));
    for (uint64_t batch = 0; batch < 100; batch++) {
        struct txn *txn = txn_begin(store);
        assert_true(txn_state_table(txn, SLICE("ids"), 4, &table, &err));
        for (uint64_t i = batch * 10000; i < (batch + 1) * 10000; i++)
            txn_state_put(txn, table, (int64_t)batch / 10, hashed(i), "abcd");
        assert_true(txn_commit(&txn, NULL, &err));
        for (uint64_t i = 0; i < batch * 10000; i += 37)
            assert_true(store_state_get(store, table, (int64_t)(i / 100000), hashed(i),
                            (char[4]){0}, &found, &err) &&
                        found);
        store_stats(store, &stats);
        assert_in_range(stats.state_memory_bytes, 0, 2 * LIMIT_BYTES);
        assert_true(store_maintain(store, INT64_MIN, &err));
    }
    store_close(&store);
    folder_remove(dir);
}

/* ---- a drop that the manifest does not know when a checkpoint is written ---- */

static void apply(struct state *state, struct state_changes *changes, uint64_t lsn)
{
    struct err err;
    assert_true(state_check(state, changes, &err));
    state_apply(state, changes, lsn, false);
    state_changes_fini(changes);
    state_changes_init(changes);
}

static void test_a_drop_is_carried(void **ctx)
{
    char dir[FOLDER_MAX];
    struct err err;
    struct state state;
    struct manifest manifest;
    struct state_changes changes, carried;
    struct state_cursor at = {0};
    (void)ctx;
    folder_make("carried", dir);
    state_init(&state, dir, 0);
    state_changes_init(&changes);
    state_changes_init(&carried);
    assert_true(manifest_open(dir, 1000, &manifest, &err) && manifest_begin(&manifest, &err));
    state_changes_table(&changes, SLICE("ids"), 0);
    state_batch_put(state_changes_batch(&changes, 0, 7, 0), hashed(1), NULL);
    apply(&state, &changes, 1);
    assert_true(state_flush(&state, &manifest, 0, &err));
    assert_int_equal(manifest.runs.n, 1);
    state_batch_drop(state_changes_batch(&changes, 0, 7, 0));
    state_batch_put(state_changes_batch(&changes, 0, 7, 0), hashed(2), NULL);
    apply(&state, &changes, 2);
    while (state_carry(&state, &at, STATE_CARRY_BYTES, &carried))
        ;
    state_fini(&state); /* a crash: the run is still named, the log before the checkpoint is gone */
    state_init(&state, dir, 0);
    assert_true(state_load(&state, &manifest, &err));
    assert_true(state_replay(&state, &carried, 2, &err));
    assert_true(state_loaded(&state, 2, &err));
    bool found;
    const struct generation *g = state_generation(&state, 0, 7);
    assert_non_null(g);
    assert_true(state_view_get(&state, g->view, true, hashed(1), NULL, &found, &err) && !found);
    assert_true(state_view_get(&state, g->view, true, hashed(2), NULL, &found, &err) && found);
    assert_true(state_flush(&state, &manifest, 0, &err));
    assert_int_equal(manifest.runs.n, 1); /* the new one alone */
    state_changes_fini(&changes);
    state_changes_fini(&carried);
    state_fini(&state);
    manifest_close(&manifest);
    folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size_of_record),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_a_damaged_page_is_an_error_of_who_asks),
        cmocka_unit_test(test_nothing_is_left_of_deletions),
        cmocka_unit_test(test_a_run_newer_than_the_log),
        cmocka_unit_test(test_leftovers_are_swept),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_a_drop_is_carried),
    };
    const char *seed = getenv("LARDER_SEED");
    rng = (seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2654435761u) | 1;
    printf("# seed %llu\n", (unsigned long long)rng);
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
