/*
 * Segments that are not as they were written, and disks that refuse. Every bit of a file is under a
 * check; a file that is cut anywhere is an error; damage with right checksums never crashes; a
 * failing system call leaves nothing behind.
 */
#include "tests/store/segment_fixture.h"
#include "tests/store/segment_checksums.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/double_bits.h"

#define T0 INT64_C(1700000000000)
#define T1 (T0 + 7200000)

static const struct metric_def counter = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = 5000,
    .help = {"Orders, by stage.", 17}};
static const struct metric_def gauge = {
    .name = {"fridge_celsius", 14}, .kind = KIND_GAUGE, .digits = 3, .every_ms = 5000};
static const struct metric_def histogram = {
    .name = {"wait_seconds", 12}, .kind = KIND_HISTOGRAM, .schema = 5, .every_ms = 5000};
static const struct metric_def sample = {.name = {"up", 2}, .kind = KIND_SAMPLE};

static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* ---- system calls that fail on demand ---- */

/* The calls of outfile.c and files.c come here, for a program's own functions go before the C
 * library's. fail_at counts down to the call that fails; 0: none does. */
static int fail_at, fail_errno, calls;

static bool fails(void)
{
    calls++;
    if (fail_at == 0 || --fail_at > 0)
        return false;
    errno = fail_errno;
    return true;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    return fails() ? -1 : syscall(SYS_pwrite64, fd, buf, n, at);
}

int fsync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    return fails() ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

/* ---- a small file of every kind ---- */

static void fill_small(struct fixture *f)
{
    struct columns *c = fixture_counter(f, &counter, "market=oslo,stage=placed", 3, T0 + 5, 5, 1);
    c->amount[1] = (int128)1 << 80;
    c = fixture_counter(f, &counter, "market=riga,stage=placed", 3, T0 + 5, 5, 7);
    c->t[2]++;
    c = fixture_add(f, &gauge, "fridge=f1", 1, 0);
    c->t[0] = c->last_ms[0] = T0 + 5;
    c->last[0] = c->min[0] = c->max[0] = -3000;
    c->sum[0] = -3000;
    c->count[0] = 1;
    c = fixture_add(f, &histogram, "market=oslo", 2, 3);
    c->t[0] = T0 + 5;
    c->t[1] = T0 + 10;
    c->bucket_at[1] = 2;
    c->bucket_at[2] = 3;
    c->bucket[0] = (struct hist_bucket){HIST_ZERO, 1};
    c->bucket[1] = (struct hist_bucket){4, 2};
    c->bucket[2] = (struct hist_bucket){9, 1};
    c->sum[0] = 12;
    c->sum[1] = 70;
    c = fixture_add(f, &sample, "", 2, 0);
    c->t[0] = T0 + 1;
    c->t[1] = T0 + 2;
    c->bits[0] = 0x3ff0000000000000;
    c->bits[1] = STALE_BITS;
    f->sources[0] = (struct segment_source){SLICE("orders/0"), 99};
    f->n_sources = 1;
}

/* Many series and labels, so that every shape of posting list and several pages are there. */
static void fill_large(struct fixture *f)
{
    for (int i = 0; i < 700; i++) {
        char labels[64];
        snprintf(labels, sizeof labels, "id=%d,odd=%d,rare=%d", i, i % 2, i % 50);
        struct columns *c = fixture_counter(f, &counter, labels, 20, T0 + 5, 5, 1 + i);
        c->t[19] += i % 3;
        c = fixture_add(f, &histogram, labels, 4, 8);
        for (uint32_t k = 0; k < 4; k++) {
            c->t[k] = T0 + 5 + k * 5;
            c->sum[k] = i;
            c->bucket[2 * k] = (struct hist_bucket){(int32_t)k, 1};
            c->bucket[2 * k + 1] = (struct hist_bucket){(int32_t)k + 3 + i % 20, 1};
            c->bucket_at[k + 1] = 2 * (k + 1);
        }
    }
}

/* Buckets of a histogram, stored as differences two deep, between what has nothing of it. */
static void fill_family(struct fixture *f)
{
    static const struct metric_def bucket = {.name = {"wait_bucket", 11}, .kind = KIND_SAMPLE};
    for (int b = 0; b < 6; b++) {
        char labels[32];
        double count = 0;
        snprintf(labels, sizeof labels, "le=%d,path=/", b);
        struct columns *c = fixture_add(f, &bucket, labels, 60, 0);
        for (size_t i = 0; i < c->n; i++) {
            count += (double)((i * 7919 + 13) % 31 + (size_t)b * ((i * 104729) % 5));
            c->t[i] = T0 + 10 * (int64_t)(i + 1);
            c->bits[i] = double_bits(count);
        }
    }
    fixture_counter(f, &counter, "market=oslo,stage=placed", 3, T0 + 5, 5, 1);
}

struct damage {
    struct fixture fixture;
    struct segment_info info;
    struct buf bytes; /* of the good file */
    char path[PATH_BYTES];
    int fd; /* another file beside it, to be damaged */
};

static int setup_with(void **state, void (*fill)(struct fixture *f))
{
    struct damage *d = xcalloc(1, sizeof *d);
    struct err err;
    char good[PATH_BYTES];
    seed = 17;
    fail_at = 0;
    fixture_init(&d->fixture, T0, T1);
    fill(&d->fixture);
    ensure(fixture_write(&d->fixture, &d->info, &err));
    fixture_path(&d->fixture, &d->info, good);
    buf_init(&d->bytes, 0);
    ensure(file_read(good, 1u << 30, &d->bytes, &err));
    ensure(path_join(d->path, d->fixture.dir, "damaged.seg", &err));
    d->fd = open(d->path, O_RDWR | O_CREAT | O_EXCL, 0600);
    ensure(d->fd >= 0);
    *state = d;
    return 0;
}

static int setup_small(void **state)
{
    return setup_with(state, fill_small);
}

static int setup_large(void **state)
{
    return setup_with(state, fill_large);
}

static int setup_family(void **state)
{
    setup_with(state, fill_family);
    struct damage *d = *state;
    struct segment *s;
    char good[PATH_BYTES];
    size_t n;
    fixture_path(&d->fixture, &d->info, good);
    ensure(segment_open(good, NULL, &s, NULL));
    ensure(fixture_chunks(&d->fixture, s, 6, &n)->n_bases > 1);
    segment_put(&s);
    return 0;
}

static int teardown(void **state)
{
    struct damage *d = *state;
    close(d->fd);
    buf_fini(&d->bytes);
    fixture_fini(&d->fixture);
    free(d);
    return 0;
}

static void put_bytes(struct damage *d, const void *bytes, size_t len)
{
    assert_int_equal(ftruncate(d->fd, (off_t)len), 0);
    assert_int_equal(syscall(SYS_pwrite64, d->fd, bytes, len, 0), len);
}

/* Every error names the file, a place in it, and is of the right sort. */
static void expect_place(const struct damage *d, const struct err *err)
{
    if (err->code != ERR_CORRUPT && err->code != ERR_UNSUPPORTED)
        fail_msg("code %d: %s", err->code, err->text);
    assert_string_equal(err->file, d->path);
    assert_non_null(strstr(err->text, " at byte "));
}

/* Opens and reads the damaged file: an error, or the same answer. True: an error. */
static bool reading_fails(struct damage *d, struct segment **segment, struct err *err)
{
    if (!segment_open(d->path, NULL, segment, err) ||
        (err->code = ERR_OK, !fixture_eq(&d->fixture, *segment, err))) {
        expect_place(d, err); /* a wrong answer would be ERR_INVALID */
        return true;
    }
    return false;
}

static void flip_bit(struct damage *d, size_t bit)
{
    struct segment *segment = NULL;
    struct err err = {0};
    uint8_t byte = (uint8_t)(d->bytes.ptr[bit / 8] ^ 1 << bit % 8);
    assert_int_equal(syscall(SYS_pwrite64, d->fd, &byte, 1, bit / 8), 1);
    if (!reading_fails(d, &segment, &err)) {
        assert_false(segment_verify(segment, &err)); /* no bit is without a check */
        expect_place(d, &err);
    }
    segment_put(&segment);
    assert_int_equal(syscall(SYS_pwrite64, d->fd, d->bytes.ptr + bit / 8, 1, bit / 8), 1);
}

static void every_bit(void **state)
{
    struct damage *d = *state;
    put_bytes(d, d->bytes.ptr, d->bytes.len);
    for (size_t bit = 0; bit < d->bytes.len * 8; bit++)
        flip_bit(d, bit);
}

static void some_bits(void **state)
{
    struct damage *d = *state;
    put_bytes(d, d->bytes.ptr, d->bytes.len);
    for (int i = 0; i < 300; i++)
        flip_bit(d, next_random() % (d->bytes.len * 8));
}

static void cut_anywhere(void **state)
{
    struct damage *d = *state;
    for (size_t len = d->bytes.len; len-- > 0;) {
        struct segment *segment = NULL;
        struct err err = {0};
        assert_int_equal(ftruncate(d->fd, 0), 0);
        put_bytes(d, d->bytes.ptr, len);
        assert_false(segment_open(d->path, NULL, &segment, &err));
        assert_null(segment);
        expect_place(d, &err);
    }
}

/* Bytes behind the end, and a file that shrinks while it is open. */
static void longer_and_shrinking(void **state)
{
    struct damage *d = *state;
    struct segment *segment = NULL;
    struct err err = {0};
    buf_char(&d->bytes, 0);
    put_bytes(d, d->bytes.ptr, d->bytes.len);
    assert_false(segment_open(d->path, NULL, &segment, &err));
    expect_place(d, &err);
    put_bytes(d, d->bytes.ptr, d->bytes.len - 1);
    assert_true(segment_open(d->path, NULL, &segment, &err));
    assert_int_equal(ftruncate(d->fd, 70), 0);
    assert_false(fixture_eq(&d->fixture, segment, &err));
    expect_place(d, &err);
    assert_false(segment_verify(segment, &err));
    expect_place(d, &err);
    segment_put(&segment);
}

/* Damage that the checksums do not show: any answer, but no crash, and errors have their place. */
static size_t damaged_with_right_sums(struct damage *d, int rounds)
{
    size_t opened = 0;
    uint8_t *bytes = xmalloc(d->bytes.len);
    for (int i = 0; i < rounds; i++) {
        struct segment *segment = NULL;
        struct err err = {0};
        memcpy(bytes, d->bytes.ptr, d->bytes.len);
        for (uint64_t k = next_random() % 3 + 1; k > 0; k--) {
            uint64_t at = next_random() % d->bytes.len;
            if (next_random() % 2)
                bytes[at] ^= (uint8_t)(1 << next_random() % 8);
            else
                bytes[at] = (uint8_t)(next_random() % 3 - 1);
        }
        segment_checksums(bytes, d->bytes.len);
        put_bytes(d, bytes, d->bytes.len);
        if (segment_open(d->path, NULL, &segment, &err)) {
            opened++;
            if (!segment_verify(segment, &err))
                expect_place(d, &err);
            if (segment_info(segment)->series == d->fixture.n &&
                !fixture_eq(&d->fixture, segment, &err) && err.code != ERR_INVALID)
                expect_place(d, &err);
        } else {
            expect_place(d, &err);
        }
        segment_put(&segment);
    }
    free(bytes);
    return opened;
}

static void right_sums_small(void **state)
{
    size_t opened = damaged_with_right_sums(*state, 4000);
    assert_true(opened > 100 && opened < 3900);
}

static void right_sums_large(void **state)
{
    size_t opened = damaged_with_right_sums(*state, 200);
    assert_true(opened > 0 && opened < 200);
}

static void right_sums_family(void **state)
{
    size_t opened = damaged_with_right_sums(*state, 4000);
    assert_true(opened > 100 && opened < 3900);
}

/* Repairing what is not damaged changes nothing: the repair itself is right. */
static void right_sums_stay(void **state)
{
    struct damage *d = *state;
    uint8_t *bytes = xmalloc(d->bytes.len);
    memcpy(bytes, d->bytes.ptr, d->bytes.len);
    segment_checksums(bytes, d->bytes.len);
    assert_memory_equal(bytes, d->bytes.ptr, d->bytes.len);
    free(bytes);
}

static void not_segments(void **state)
{
    struct damage *d = *state;
    struct segment *segment = NULL;
    struct err err = {0};
    assert_false(segment_open("/nonexistent/x.seg", NULL, &segment, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(err.sys, ENOENT);
    assert_false(segment_open(d->fixture.dir, NULL, &segment, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    d->bytes.ptr[8] = 4; /* another major version */
    segment_checksums((uint8_t *)d->bytes.ptr, d->bytes.len);
    put_bytes(d, d->bytes.ptr, d->bytes.len);
    assert_false(segment_open(d->path, NULL, &segment, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "version 4.1"));
}

/* ---- a disk that refuses ---- */

static size_t n_files(const struct damage *d)
{
    return fixture_files(&d->fixture);
}

static void every_call_fails(void **state)
{
    struct damage *d = *state;
    struct segment_info info;
    struct err err = {0};
    char good[PATH_BYTES];
    fixture_path(&d->fixture, &d->info, good);
    assert_int_equal(unlink(good), 0);
    calls = 0;
    assert_true(fixture_write(&d->fixture, &info, &err));
    int total = calls;
    assert_true(total >= 8);
    assert_int_equal(unlink(good), 0);
    static const int codes[] = {ENOSPC, EDQUOT, EIO};
    for (size_t k = 0; k < 3; k++)
        for (int i = 1; i <= total; i++) {
            fail_at = i;
            fail_errno = codes[k];
            assert_false(fixture_write(&d->fixture, &info, &err));
            assert_int_equal(err.code, codes[k] == EIO ? ERR_IO : ERR_NO_SPACE);
            assert_int_equal(n_files(d), 1); /* the damaged one of the fixture */
        }
    fail_at = 0;
    assert_true(fixture_write(&d->fixture, &info, &err));
    assert_int_equal(n_files(d), 2);
    /* The same content again, and the folder cannot be synced: the file from before stays. */
    fail_at = total;
    fail_errno = EIO;
    assert_false(fixture_write(&d->fixture, &info, &err));
    assert_int_equal(n_files(d), 2);
    fail_at = 0;
}

static void no_folder(void **state)
{
    struct damage *d = *state;
    struct segment_info info;
    struct err err = {0};
    struct fixture f = d->fixture;
    snprintf(f.dir, sizeof f.dir, "/nonexistent/folder");
    assert_false(fixture_write(&f, &info, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(err.sys, ENOENT);
    memset(f.dir, 'x', sizeof f.dir - 1);
    assert_false(fixture_write(&f, &info, &err));
}

#define SMALL(name)  cmocka_unit_test_setup_teardown(name, setup_small, teardown)
#define LARGE(name)  cmocka_unit_test_setup_teardown(name, setup_large, teardown)
#define FAMILY(name) cmocka_unit_test_setup_teardown(name, setup_family, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SMALL(every_bit),
        LARGE(some_bits),
        SMALL(cut_anywhere),
        SMALL(longer_and_shrinking),
        SMALL(right_sums_small),
        LARGE(right_sums_large),
        FAMILY(every_bit),
        FAMILY(right_sums_family),
        SMALL(right_sums_stay),
        SMALL(not_segments),
        SMALL(every_call_fails),
        SMALL(no_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
