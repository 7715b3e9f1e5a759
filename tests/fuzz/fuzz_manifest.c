/*
 * Manifests: whatever the bytes of the file that CURRENT names, an error or a state that a fresh
 * manifest holds as well, and that can be edited.
 *
 *     input := 0, bytes of the file
 *            | 1, edit                              a file of one such edit, its checksums right
 *            | 2, bytes of the file, to be given right checksums
 */
#include <stddef.h>
#include <stdint.h>

#include "base/ensure.h"
#include "base/log.h"
#include "store/files.h"
#include "store/frame.h"
#include "store/manifest.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static void put_file(const uint8_t *data, size_t size)
{
    struct buf file = {0};
    if (size > 1 && data[0] && data[0] != 2) {
        frame_header(&file, "LMAN", 1, 1);
        frame_encode(&file, 1, FRAME_EDIT, slice_of("", 0), slice_of(data + 1, size - 1));
    } else if (size > 1) {
        buf_add(&file, data + 1, size - 1);
    }
    if (size > 1 && data[0] == 2)
        frames_repair((uint8_t *)file.ptr, file.len);
    scratch_put("CURRENT", "manifest-000007\n", 16);
    scratch_put("manifest-000007", file.ptr, file.len);
    buf_fini(&file);
}

static void expect_segments(
    const struct manifest_segment *a, const struct manifest_segment *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ensure(strcmp(a[i].name, b[i].name) == 0 && a[i].lsn == b[i].lsn &&
               a[i].derived == b[i].derived && a[i].inputs == b[i].inputs);
}

static void expect_same(const struct manifest *a, const struct manifest *b)
{
    ensure(a->block_ms == b->block_ms && a->checkpoint_lsn == b->checkpoint_lsn);
    ensure(memcmp(&a->catalog, &b->catalog, sizeof a->catalog) == 0);
    ensure(a->n_segments == b->n_segments && a->n_quarantined == b->n_quarantined);
    expect_segments(a->segments, b->segments, a->n_segments);
    expect_segments(a->quarantined, b->quarantined, a->n_quarantined);
    ensure(a->n_sealed == b->n_sealed && a->late.n == b->late.n && a->runs.n == b->runs.n);
    for (size_t i = 0; i < a->n_sealed; i++)
        ensure(a->sealed[i].block == b->sealed[i].block && a->sealed[i].lsn == b->sealed[i].lsn);
    for (size_t i = 0; i < a->late.n; i++)
        ensure(a->late.items[i].block == b->late.items[i].block &&
               a->late.items[i].since_ms == b->late.items[i].since_ms);
    for (size_t i = 0; i < a->runs.n; i++) {
        const struct manifest_run *x = &a->runs.items[i], *y = &b->runs.items[i];
        ensure(strcmp(x->name, y->name) == 0 && x->table == y->table &&
               x->generation == y->generation && x->lsn == y->lsn);
    }
}

static void open_again(const struct manifest *m)
{
    struct manifest again;
    struct err err;
    ensure(manifest_open(scratch_folder(), 0, &again, &err));
    expect_same(m, &again);
    manifest_close(&again);
}

/* The first segment goes, and another one comes with a sealed block: kept like all the rest. */
static void change(struct manifest *m)
{
    struct manifest_segment add = {.name = "a-name-that-no-input-has.seg", .lsn = 9};
    struct manifest_edit edit = {
        .adds = &add, .n_adds = 1, .seal = true, .sealed = {.block = 3, .lsn = 9}};
    char name[SEGMENT_NAME_MAX];
    const char *drop = name;
    struct err err;
    if (m->n_segments) {
        memcpy(name, m->segments[0].name, sizeof name);
        edit.drops = &drop;
        edit.n_drops = 1;
    }
    ensure(manifest_apply(m, &edit, &err));
    open_again(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest m;
    struct err err;
    log_set_level(LOG_ERROR);
    scratch_begin();
    put_file(data, size);
    if (manifest_open(scratch_folder(), 0, &m, &err)) {
        ensure(manifest_begin(&m, &err));
        open_again(&m);
        change(&m);
        manifest_close(&m);
    } else {
        ensure(err.code == ERR_CORRUPT || err.code == ERR_INVALID);
        ensure(strstr(err.text, "manifest"));
    }
    scratch_empty();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    if (size < 1 || data[0] != 2 || seed % 16 == 0)
        return LLVMFuzzerMutate(data, size, max);
    return 1 + frames_mutate(data + 1, size - 1, max - 1, seed / 16);
}
