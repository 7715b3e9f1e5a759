/* The manifest: edits are all or nothing, and an open finds what they left. */
#include "store/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "store/frame.h"
#include "store/files.h"
#include "tests/store/support/folder.h"

static int fail_write_at; /* that many calls on; 0: none fails */

ssize_t pwrite(int fd, const void *ptr, size_t len, off_t at)
{
    if (fail_write_at == 0 || --fail_write_at > 0)
        return syscall(SYS_pwrite64, fd, ptr, len, at);
    syscall(SYS_pwrite64, fd, ptr, len / 2, at);
    errno = ENOSPC;
    return -1;
}

struct fixture {
    char dir[64];
    struct manifest manifest;
};

static void reopen(struct fixture *f)
{
    struct err err = {0};
    manifest_close(&f->manifest);
    if (!manifest_open(f->dir, 7200000, &f->manifest, &err) || !manifest_begin(&f->manifest, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_new("manifest", f->dir, sizeof f->dir);
    f->manifest.fd = -1;
    reopen(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    manifest_close(&f->manifest);
    folder_remove(f->dir);
    free(f);
    return 0;
}

static void apply(struct fixture *f, const struct manifest_edit *edit)
{
    struct err err = {0};
    if (!manifest_apply(&f->manifest, edit, &err))
        fail_msg("%s", err.text);
}

/* The names that count, with a space behind each, then those in quarantine. */
static const char *names(const struct fixture *f)
{
    static char out[512];
    out[0] = 0;
    for (size_t i = 0; i < f->manifest.n_segments; i++)
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s ", f->manifest.segments[i].name);
    strcat(out, "|");
    for (size_t i = 0; i < f->manifest.n_quarantined; i++)
        snprintf(
            out + strlen(out), sizeof out - strlen(out), " %s", f->manifest.quarantined[i].name);
    return out;
}

static void test_segments_replace_others_in_one_step(void **state)
{
    struct fixture *f = *state;
    struct manifest_segment adds[3] = {
        {.name = "a", .lsn = 10}, {.name = "b", .lsn = 20}, {.name = "late", .lsn = 30}};
    apply(f, &(struct manifest_edit){.adds = adds, .n_adds = 3});
    assert_string_equal(names(f), "a b late |");
    struct manifest_segment out[2] = {{.name = "day", .lsn = 20},
        {.name = "1m", .lsn = 20, .derived = true, .inputs = UINT64_C(0x8000000000000001)}};
    const char *drops[2] = {"a", "b"};
    apply(f, &(struct manifest_edit){.drops = drops, .n_drops = 2, .adds = out, .n_adds = 2});
    for (int round = 0; round < 2; round++) {
        /* The output takes the place of its inputs: what came later stays later. */
        assert_string_equal(names(f), "day 1m late |");
        assert_true(f->manifest.segments[1].derived);
        assert_true(f->manifest.segments[1].inputs == UINT64_C(0x8000000000000001));
        assert_int_equal(f->manifest.segments[2].lsn, 30);
        assert_false(f->manifest.segments[2].derived);
        reopen(f);
    }
}

static void test_quarantine_keeps_the_name(void **state)
{
    struct fixture *f = *state;
    struct manifest_segment adds[2] = {{.name = "a", .lsn = 10}, {.name = "b", .lsn = 20}};
    apply(f, &(struct manifest_edit){.adds = adds, .n_adds = 2});
    apply(f, &(struct manifest_edit){.quarantine = "a"});
    for (int round = 0; round < 3; round++) {
        assert_string_equal(names(f), "b | a");
        assert_true(manifest_names(&f->manifest, "a"));
        assert_int_equal(f->manifest.quarantined[0].lsn, 10);
        reopen(f);
    }
    const char *drop = "a";
    apply(f, &(struct manifest_edit){.drops = &drop, .n_drops = 1});
    reopen(f);
    assert_string_equal(names(f), "b |");
    assert_false(manifest_names(&f->manifest, "a"));
}

static void test_nothing_is_remembered(void **state)
{
    struct fixture *f = *state;
    struct nothing said[3] = {{86400000, 60000, 7, 11}, {86400000, 86400000, 7, 11},
        {-86400000, 86400000, 3, UINT64_MAX}};
    apply(f, &(struct manifest_edit){.nothing = said, .n_nothing = 3});
    said[0].inputs = 12; /* replaces */
    apply(f, &(struct manifest_edit){.nothing = said, .n_nothing = 1});
    for (int round = 0; round < 3; round++) {
        const struct nothing_list *list = &f->manifest.nothing;
        assert_int_equal(list->n, 3);
        assert_true(nothing_find(list, 86400000, 60000)->inputs == 12);
        assert_int_equal(nothing_find(list, 86400000, 60000)->lsn, 7);
        assert_true(nothing_find(list, -86400000, 86400000)->inputs == UINT64_MAX);
        assert_null(nothing_find(list, 0, 60000));
        assert_null(nothing_find(list, 86400000, 3600000));
        reopen(f);
    }
    said[1].inputs = 0; /* forgets */
    apply(f, &(struct manifest_edit){.nothing = &said[1], .n_nothing = 1});
    apply(f, &(struct manifest_edit){.nothing = &said[1], .n_nothing = 1});
    reopen(f);
    assert_int_equal(f->manifest.nothing.n, 2);
    assert_null(nothing_find(&f->manifest.nothing, 86400000, 86400000));
}

/* Two edits, each of which lets files be removed; what was acknowledged is never taken for torn. */
static void make_edits(struct fixture *f)
{
    struct manifest_segment adds[2] = {{.name = "a", .lsn = 10}, {.name = "b", .lsn = 20}};
    struct manifest_segment day = {.name = "day", .lsn = 20};
    const char *drops[2] = {"a", "b"};
    apply(f, &(struct manifest_edit){.adds = adds, .n_adds = 2});
    apply(f, &(struct manifest_edit){
                 .drops = drops, .n_drops = 2, .adds = &day, .n_adds = 1, .checkpoint_lsn = 20});
}

static struct content read_manifest(const struct fixture *f, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/manifest-%06u", f->dir, f->manifest.number);
    return content_of(path);
}

static void test_a_flipped_bit_is_no_torn_edit(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    int refused = 0, same = 0;
    make_edits(f);
    struct content c = read_manifest(f, path);
    manifest_close(&f->manifest);
    for (size_t bit = 0; bit < 8 * c.len; bit++) {
        struct err err = {0};
        c.ptr[bit / 8] = (char)(c.ptr[bit / 8] ^ 1 << bit % 8);
        content_put(path, c.ptr, c.len);
        if (manifest_open(f->dir, 7200000, &f->manifest, &err)) {
            same++;
            assert_string_equal(names(f), "day |");
            assert_int_equal(f->manifest.checkpoint_lsn, 20);
        } else {
            refused++;
            assert_int_equal(err.code, ERR_CORRUPT);
            assert_non_null(strstr(err.text, path));
            assert_non_null(strstr(err.text, "byte"));
        }
        manifest_close(&f->manifest);
        c.ptr[bit / 8] = (char)(c.ptr[bit / 8] ^ 1 << bit % 8);
    }
    free(c.ptr);
    assert_true(same > 0 && refused > 0);
}

/* A kill in the middle of an edit leaves the one before. */
static void test_a_torn_edit_is_dropped(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    int seen[3] = {0};
    make_edits(f);
    struct content c = read_manifest(f, path);
    size_t first = FRAME_FILE_HEADER + 24 + 4; /* what it was begun with is there */
    manifest_close(&f->manifest);
    for (size_t len = c.len; len > first; len--) {
        struct err err = {0};
        content_put(path, c.ptr, len);
        if (!manifest_open(f->dir, 7200000, &f->manifest, &err)) {
            assert_int_equal(
                f->manifest.n_segments, 0); /* of the first edit something is missing */
            break;
        }
        seen[strcmp(names(f), "day |") == 0 ? 2 : strcmp(names(f), "a b |") == 0 ? 1 : 0]++;
        manifest_close(&f->manifest);
    }
    free(c.ptr);
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
}

/* An edit that could not be confirmed was not made. */
static void test_an_edit_is_made_with_its_confirmation(void **state)
{
    struct fixture *f = *state;
    make_edits(f);
    for (int at = 1; at <= 2; at++) {
        struct manifest_segment more = {.name = "more", .lsn = 30};
        struct err err = {0};
        fail_write_at = at;
        assert_false(manifest_apply(
            &f->manifest, &(struct manifest_edit){.adds = &more, .n_adds = 1}, &err));
        fail_write_at = 0;
        assert_string_equal(names(f), "day |");
        assert_true(manifest_works(&f->manifest));
        reopen(f);
        assert_string_equal(names(f), "day |");
    }
    struct manifest_segment late = {.name = "late", .lsn = 30};
    apply(f, &(struct manifest_edit){.adds = &late, .n_adds = 1});
    reopen(f);
    assert_string_equal(names(f), "day late |");
}

/* Whoever is early is not told that something has failed. */
static void test_edits_need_a_beginning(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    manifest_close(&f->manifest);
    assert_true(manifest_open(f->dir, 7200000, &f->manifest, &err));
    assert_false(manifest_apply(&f->manifest, &(struct manifest_edit){.checkpoint_lsn = 1}, &err));
    assert_null(strstr(err.text, "restart"));
    assert_true(manifest_begin(&f->manifest, &err));
    assert_true(manifest_apply(&f->manifest, &(struct manifest_edit){.checkpoint_lsn = 1}, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_segments_replace_others_in_one_step, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quarantine_keeps_the_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_flipped_bit_is_no_torn_edit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_torn_edit_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edits_need_a_beginning, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_an_edit_is_made_with_its_confirmation, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
