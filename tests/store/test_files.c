/* Folders are read to their end or not at all, and a new folder's name is on disk. */
#include "store/files.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "store/wal.h"
#include "tests/store/store_fixture.h"
#include "tests/store/support/folder.h"

static const char *fails_at; /* the listing ends with an error before this name; NULL: at no name */
static char synced[PATH_MAX]; /* the last that was */

struct dirent *readdir(DIR *dir)
{
    struct dirent *(*next)(DIR *);
    *(void **)&next = dlsym(RTLD_NEXT, "readdir");
    struct dirent *e = next(dir);
    if (e && fails_at && strcmp(e->d_name, fails_at) == 0) {
        errno = EIO;
        return NULL;
    }
    return e;
}

int fsync(int fd)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, synced, sizeof synced - 1);
    synced[n > 0 ? n : 0] = 0;
    return (int)syscall(SYS_fsync, fd);
}

static bool count(void *ctx, const char *name, struct err *err)
{
    (void)name;
    (void)err;
    ++*(int *)ctx;
    return true;
}

static void put_file(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    assert_true(path_join(path, folder, name, NULL));
    content_put(path, name, strlen(name));
}

static void test_a_listing_that_fails_is_an_error(void **state)
{
    char dir[64];
    struct err err = {0};
    int n = 0;
    (void)state;
    folder_new("files", dir, sizeof dir);
    put_file(dir, "a");
    put_file(dir, "b");
    errno = EINTR; /* of something before */
    assert_true(dir_each(dir, count, &n, &err));
    assert_int_equal(n, 2);
    fails_at = "b";
    assert_false(dir_each(dir, count, &n, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(err.sys, EIO);
    assert_non_null(strstr(err.text, dir));
    fails_at = NULL;
    folder_remove(dir);
}

/* Files of the log that are not seen would be written over. */
static void test_a_log_is_listed_to_its_end(void **state)
{
    struct fixture *f;
    struct err err = {0};
    struct store_stats stats;
    (void)state;
    setup((void **)&f);
    f->options.wal_file_bytes = 2000;
    reopen(f);
    for (int i = 1; i <= 90; i++)
        add(f->store, "berlin", 5000 * i, i);
    char copy[80];
    snprintf(copy, sizeof copy, "%s-killed", f->dir);
    folder_copy(f->dir, copy);
    struct store_options options = {.path = copy};
    struct store *store;
    for (int i = 1; i <= 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "%08d.wal", i);
        fails_at = name;
        assert_false(store_open(&options, &store, &err));
        assert_int_equal(err.sys, EIO);
        fails_at = NULL;
    }
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    store_stats(store, &stats);
    assert_int_equal(stats.lsn, 90);
    store_close(&store);
    folder_remove(copy);
    teardown((void **)&f);
}

/* A file that the log does not know is not written over. */
static void test_a_new_log_file_is_new(void **state)
{
    char dir[64], wal_dir[PATH_BYTES], path[PATH_BYTES];
    struct err err = {0};
    struct wal *wal;
    (void)state;
    folder_new("files", dir, sizeof dir);
    struct wal_options options = {.dir = dir, .file_bytes = 1000};
    struct slice payload = SLICE("payload");
    assert_true(wal_open(&options, &wal, &err));
    assert_true(path_join(wal_dir, dir, "wal", NULL));
    put_file(wal_dir, "00000001.wal");
    assert_false(wal_append(wal, 1, slice_of("", 0), &payload, 1, &err));
    assert_int_equal(err.sys, EEXIST);
    assert_true(path_join(path, wal_dir, "00000001.wal", NULL));
    struct content c = content_of(path);
    assert_memory_equal(c.ptr, "00000001.wal", c.len);
    free(c.ptr);
    assert_int_equal(unlink(path), 0);
    assert_true(wal_append(wal, 1, slice_of("", 0), &payload, 1, &err));
    wal_close(&wal);
    folder_remove(dir);
}

static void test_the_parent_of_a_new_folder_is_synced(void **state)
{
    static const char *const names[] = {"/a", "/b/", "/c///", "/b//d/"};
    char dir[64], real[PATH_MAX], path[PATH_BYTES];
    struct err err = {0};
    (void)state;
    folder_new("files", dir, sizeof dir);
    assert_non_null(realpath(dir, real));
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", dir, names[i]);
        assert_true(dir_make(path, &err));
        assert_int_equal(strncmp(synced, real, strlen(real)), 0);
        assert_string_equal(synced + strlen(real), i == 3 ? "/b" : "");
    }
    assert_int_equal(chdir(dir), 0);
    assert_true(dir_make("e/", &err));
    assert_string_equal(synced, real);
    assert_true(dir_make("/", &err));
    assert_string_equal(synced, "/");
    assert_int_equal(chdir("/"), 0);
    folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_listing_that_fails_is_an_error),
        cmocka_unit_test(test_a_log_is_listed_to_its_end),
        cmocka_unit_test(test_a_new_log_file_is_new),
        cmocka_unit_test(test_the_parent_of_a_new_folder_is_synced),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
