/* Purging state tables: what was deleted or put over is in no file afterwards, what counts is. */
#include "store/state/state.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/store.h"
#include "store/files.h"
#include "tests/store/support/folder.h"

#define RECORD      32
#define GENERATIONS 3
#define KEYS        400
#define SECRET      "SECRET-ada-4711"

struct fixture {
    char dir[64];
    struct store *store;
    struct store_options options;
    uint32_t table;
};

static void reopen(struct fixture *f)
{
    struct err err = {0};
    if (f->store)
        store_close(&f->store);
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_new("purge", f->dir, sizeof f->dir);
    f->options = (struct store_options){.path = f->dir, .state_bytes = 20000};
    reopen(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    folder_remove(f->dir);
    free(f);
    return 0;
}

static struct hash128 key_of(int i)
{
    return (struct hash128){(uint64_t)(i + 1) * UINT64_C(11400714819323198485), (uint64_t)i};
}

static void maintain(struct fixture *f)
{
    struct err err = {0};
    if (!store_maintain(f->store, 0, &err))
        fail_msg("%s", err.text);
}

/* Keys from first on, in every generation; the first one's record is given. */
static void put(struct fixture *f, int first, const char *record)
{
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    assert_true(txn_state_table(txn, SLICE("entities"), RECORD, &f->table, &err));
    for (int64_t g = 0; g < GENERATIONS; g++)
        for (int i = first; i < first + KEYS; i++) {
            char bytes[RECORD] = {0};
            snprintf(bytes, sizeof bytes, "%s", i == first ? record : "filler");
            txn_state_put(txn, f->table, g, key_of(i), bytes);
        }
    assert_true(txn_commit(&txn, NULL, &err));
    maintain(f);
}

static void delete (struct fixture *f, int key)
{
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    for (int64_t g = 0; g < GENERATIONS; g++)
        txn_state_delete(txn, f->table, g, key_of(key));
    assert_true(txn_commit(&txn, NULL, &err));
}

static bool is_there(struct fixture *f, int64_t generation, int key, char record[RECORD])
{
    struct err err = {0};
    bool found;
    assert_true(store_state_get(f->store, f->table, generation, key_of(key), record, &found, &err));
    return found;
}

/* How many files below the folder have the text in them. */
static int files_with(const char *dir, const char *text)
{
    DIR *d = opendir(dir);
    int found = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[PATH_BYTES];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        assert_int_equal(stat(path, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            found += files_with(path, text);
            continue;
        }
        struct content c = content_of(path);
        found += memmem(c.ptr, c.len, text, strlen(text)) != NULL;
        free(c.ptr);
    }
    closedir(d);
    return found;
}

/* Step by step; the next transaction comes between two of them. *steps: how many it took. */
static void purge(struct fixture *f, int *steps)
{
    struct err err = {0};
    bool more = true;
    assert_true(store_state_purge(f->store, f->table, &err));
    assert_true(store_state_purging(f->store));
    for (*steps = 0; store_state_purging(f->store); ++*steps) {
        assert_true(more && *steps < 100);
        assert_true(store_maintain_step(f->store, 0, &more, &err));
        struct txn *txn = txn_begin(f->store);
        char bytes[RECORD] = "new";
        txn_state_put(txn, f->table, 0, key_of(100000 + *steps), bytes);
        assert_true(txn_commit(&txn, NULL, &err));
    }
}

static void test_what_is_deleted_goes(void **state)
{
    struct fixture *f = *state;
    char record[RECORD];
    int steps;
    put(f, 0, SECRET);
    put(f, 1000, "other");
    put(f, 2000, "other");
    delete (f, 0);
    maintain(f);
    reopen(f); /* a checkpoint is written */
    maintain(f);
    assert_true(files_with(f->dir, SECRET) >= GENERATIONS);
    purge(f, &steps);
    assert_true(steps > 2 * GENERATIONS); /* a flush and a merge each, then the checkpoint */
    for (int round = 0; round < 2; round++) {
        assert_int_equal(files_with(f->dir, SECRET), 0);
        for (int64_t g = 0; g < GENERATIONS; g++) {
            assert_false(is_there(f, g, 0, record));
            for (int i = 1; i < KEYS; i++) {
                assert_true(is_there(f, g, i, record));
                assert_string_equal(record, "filler");
            }
            assert_true(is_there(f, g, 1000, record));
            assert_string_equal(record, "other");
        }
        for (int i = 0; i < steps; i++)
            assert_true(is_there(f, 0, 100000 + i, record));
        reopen(f);
    }
}

/* A record that was put over is not deleted, and goes all the same; so does one that is only in the
 * log and in memory. */
static void test_what_is_put_over_goes(void **state)
{
    struct fixture *f = *state;
    char record[RECORD];
    int steps;
    f->options.state_bytes = 0;
    reopen(f);
    put(f, 0, SECRET);
    put(f, 1000, SECRET "-2");
    put(f, 0, "after");
    delete (f, 1000);
    assert_true(files_with(f->dir, SECRET) > 0);
    purge(f, &steps);
    assert_int_equal(files_with(f->dir, SECRET), 0);
    assert_true(is_there(f, 1, 0, record));
    assert_string_equal(record, "after");
    assert_false(is_there(f, 1, 1000, record));
}

static void test_no_such_table(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    put(f, 0, "one");
    assert_false(store_state_purge(f->store, f->table + 1, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_false(store_state_purging(f->store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_deleted_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_put_over_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_such_table, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
