/*
 * Logs of several files: whatever their bytes, opening ends in an error that changes nothing, or in
 * a log that replays the same transactions as often as it is asked, before it is made fit for
 * appending and after, and keeps what is appended.
 *
 *     input := after lsn u8, flags u8, { length u16, bytes of the file }*
 *
 * Flags: 1, a file behind the first gets the next number but one; 2, checksums are left as they
 * are; 4, the last byte is changed after they were put right, as in a torn frame.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/ensure.h"
#include "base/log.h"
#include "store/files.h"
#include "store/front.h"
#include "store/wal.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

#define FILES_MAX  16
#define GAP        1
#define UNREPAIRED 2
#define TORN       4

static size_t files_list(const uint8_t *data, size_t size, struct frames_part out[FILES_MAX])
{
    size_t n = 0;
    for (size_t at = 2; n < FILES_MAX && at + 2 <= size;) {
        size_t left = size - at - 2, len = le16_get(data + at);
        out[n++] = (struct frames_part){at + 2, len < left ? len : left};
        at += 2 + out[n - 1].len;
    }
    return n;
}

static void write_files(const uint8_t *data, size_t size)
{
    struct frames_part files[FILES_MAX];
    struct err err;
    size_t n = files_list(data, size, files);
    unsigned flags = size > 1 ? data[1] : 0;
    char name[32], wal[SCRATCH_PATH_MAX];
    snprintf(wal, sizeof wal, "%s/wal", scratch_folder());
    ensure(dir_make(wal, &err));
    for (size_t i = 0; i < n; i++) {
        uint8_t *copy = xmalloc(files[i].len + 1);
        memcpy(copy, data + files[i].at, files[i].len);
        if (!(flags & UNREPAIRED))
            frames_repair(copy, files[i].len);
        if ((flags & TORN) && i + 1 == n && files[i].len)
            copy[files[i].len - 1] ^= 1;
        snprintf(name, sizeof name, "wal/%08u.wal", (unsigned)(i + 1 + (i && (flags & GAP))));
        scratch_put(name, copy, files[i].len);
        free(copy);
    }
}

/* What a log gave: how many frames, the last LSN, and a sum of their bytes. */
struct given {
    uint64_t n, lsn, sum;
};

static bool give(void *ctx, const struct frame *frame, struct err *err)
{
    struct given *given = ctx;
    struct slice payload;
    struct buf raw;
    buf_init(&raw, 0);
    bool ok = frame_payload(frame, &raw, &payload, err);
    if (ok) {
        given->n++;
        given->lsn = frame->lsn;
        given->sum = given->sum * 31 + hash64(payload.ptr, payload.len);
    }
    buf_fini(&raw);
    return ok;
}

static bool first(void *ctx, const struct frame *frame, struct err *err)
{
    struct frame_front front;
    (void)ctx;
    return frame->type == FRAME_DEFINITIONS || front_decode(frame->front, &front) ||
           err_set(err, ERR_CORRUPT, "the front makes no sense");
}

static bool define(void *ctx, struct wal *wal, struct err *err)
{
    (void)ctx;
    return wal_define(wal, SLICE("what is defined"), err);
}

static bool open_log(uint64_t after_lsn, struct wal **wal, struct given *given, struct err *err)
{
    struct wal_options options = {.dir = scratch_folder(),
        .after_lsn = after_lsn,
        .file_bytes = 1000,
        .first = first,
        .define = define};
    *given = (struct given){.n = 0};
    if (!wal_open(&options, wal, err))
        return false;
    if (wal_replay(*wal, give, given, err))
        return true;
    wal_close(wal);
    return false;
}

static void expect_same(const struct given *a, const struct given *b)
{
    ensure(a->n == b->n && a->lsn == b->lsn && a->sum == b->sum);
}

/* A log that was whole takes one more transaction, and has it when it is opened again. */
static void append(struct wal **wal, uint64_t after_lsn, const struct given *whole)
{
    struct given again = {.n = 0};
    struct slice payload = SLICE("one more");
    const struct frame_front nothing = {.n_clocks = 0};
    struct buf front;
    struct err err;
    uint64_t lsn = wal_last_lsn(*wal) + 1;
    buf_init(&front, 0);
    front_encode(&nothing, &front);
    ensure(wal_torn(*wal) <= 1);
    ensure(wal_begin(*wal, &err) && wal_replay(*wal, give, &again, &err));
    expect_same(&again, whole);
    if (lsn != 0) {
        ensure(wal_append(*wal, lsn, buf_view(&front), &payload, 1, &err));
        wal_close(wal);
        ensure(open_log(after_lsn, wal, &again, &err));
        ensure(wal_last_lsn(*wal) == lsn && wal_torn(*wal) == 0);
        ensure(again.n == whole->n + 1 && again.lsn == lsn);
    }
    buf_fini(&front);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wal *wal;
    struct given whole;
    struct err err;
    uint64_t after_lsn = size ? data[0] : 0;
    log_set_level(LOG_ERROR);
    scratch_begin();
    write_files(data, size);
    if (open_log(after_lsn, &wal, &whole, &err)) {
        append(&wal, after_lsn, &whole);
        wal_close(&wal);
    } else {
        ensure(err.code == ERR_CORRUPT && strstr(err.text, "wal"));
    }
    scratch_empty();
    return 0;
}

/* One file of the log, a frame at a time. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct frames_part files[FILES_MAX];
    size_t n = files_list(data, size, files);
    if (n == 0 || seed % 16 == 0)
        return LLVMFuzzerMutate(data, size, max);
    struct frames_part *file = &files[seed / 16 % n];
    size_t room = max - size + file->len, end = file->at + file->len;
    if (room == 0) /* of nothing libFuzzer makes a byte all the same */
        return LLVMFuzzerMutate(data, size, max);
    uint8_t *copy = xmalloc(room + 1);
    memcpy(copy, data + file->at, file->len);
    size_t len = frames_mutate(copy, file->len, room < UINT16_MAX ? room : UINT16_MAX, seed / 16);
    ensure(len <= room);
    memmove(data + file->at + len, data + end, size - end);
    memcpy(data + file->at, copy, len);
    le16_put(data + file->at - 2, (uint16_t)len);
    free(copy);
    return size - file->len + len;
}
