/*
 * Segments read on demand, through an interface: bytes that cannot be reached now, bytes that come
 * damaged, a cache that is far too small, several threads at once.
 */
#include "tests/store/segment_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define T0 INT64_C(1700000000000)
#define T1 (T0 + 7200000)

static const struct metric_def counter = {
    .name = {"orders_total", 12}, .kind = KIND_COUNTER, .every_ms = 5000};
static const struct metric_def histogram = {
    .name = {"wait_seconds", 12}, .kind = KIND_HISTOGRAM, .schema = 5, .every_ms = 5000};

/* A file in memory. Read number fail_at fails, number damage_at has a wrong bit; 0: none. */
struct far {
    struct buf bytes;
    atomic_uint reads;
    unsigned fail_at, damage_at;
    atomic_ullong read_bytes;
    bool closed;
};

static bool far_read(void *ctx, uint64_t offset, void *to, size_t n, struct err *err)
{
    struct far *f = ctx;
    unsigned number = atomic_fetch_add(&f->reads, 1u) + 1;
    ensure(offset <= f->bytes.len && n <= f->bytes.len - offset);
    if (number == f->fail_at)
        return err_set(err, ERR_UNAVAILABLE, "the store of objects is away");
    memcpy(to, f->bytes.ptr + offset, n);
    if (number == f->damage_at && n > 0)
        ((char *)to)[n / 2] ^= 4;
    atomic_fetch_add(&f->read_bytes, (unsigned long long)n);
    return true;
}

static void far_close(void *ctx)
{
    ((struct far *)ctx)->closed = true;
}

static bool far_open(
    struct far *f, struct segment_cache *cache, struct segment **out, struct err *err)
{
    struct segment_file file = {f, f->bytes.len, far_read, far_close};
    f->closed = false;
    f->read_bytes = 0;
    atomic_store(&f->reads, 0u);
    return segment_open_file("far.seg", &file, cache, out, err);
}

struct world {
    struct fixture fixture;
    struct far far;
};

/* What no codec makes small. */
static int64_t scatter(uint64_t v)
{
    v *= UINT64_C(0x9e3779b97f4a7c15);
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return (int64_t)((v ^ v >> 27) >> 3) + 1;
}

static void fill(struct fixture *f, int n)
{
    for (int i = 0; i < n; i++) {
        char labels[64];
        snprintf(labels, sizeof labels, "id=%05d,odd=%d", i, i % 2);
        struct columns *c = fixture_counter(f, &counter, labels, 20, T0 + 5, 5, 1 + i);
        c->t[19] += i % 3;
        for (int k = 0; k < 20; k++)
            c->amount[k] = scatter((uint64_t)(i * 20 + k + 1));
        f->series[f->n - 1].id = (uint32_t)i * 3;
        c = fixture_add(f, &histogram, labels, 1, 1);
        c->t[0] = T0 + 5;
        c->sum[0] = i;
        c->bucket[0] = (struct hist_bucket){i % 20, 1};
        c->bucket_at[1] = 1;
        f->series[f->n - 1].id = (uint32_t)i * 3 + 1;
    }
}

static int setup_with(void **state, int n)
{
    struct world *w = xcalloc(1, sizeof *w);
    struct segment_info info;
    struct err err = {0};
    char path[PATH_BYTES];
    fixture_init(&w->fixture, T0, T1);
    fill(&w->fixture, n);
    expect_ok(fixture_write(&w->fixture, &info, &err), &err);
    fixture_path(&w->fixture, &info, path);
    buf_init(&w->far.bytes, 0);
    ensure(file_read(path, 1u << 30, &w->far.bytes, &err));
    *state = w;
    return 0;
}

static int setup_small(void **state)
{
    return setup_with(state, 150);
}

static int setup_large(void **state)
{
    return setup_with(state, 2000);
}

static int teardown(void **state)
{
    struct world *w = *state;
    buf_fini(&w->far.bytes);
    fixture_fini(&w->fixture);
    free(w);
    return 0;
}

/* Everything that a reader asks: cells and labels by fixture_eq, the rest here. */
static bool read_all(struct world *w, struct segment *s, struct err *err)
{
    uint32_t ordinals[2], ordinal;
    size_t n = 2;
    struct segment_aggregate aggregate;
    const struct segment_chunk *chunks;
    const struct segment_source *sources;
    struct fixture *f = &w->fixture;
    if (!segment_postings(s, SLICE("id"), SLICE("00007"), ordinals, &n, err) ||
        !segment_find(s, 21, &ordinal, err) || !segment_sources(s, &sources, &n, err) ||
        !segment_chunks(s, 5, T0, T1, &f->arena, &chunks, &n, err) ||
        !segment_aggregate(s, chunks, &aggregate, err))
        return false;
    ensure(ordinal == 7 && ordinals[0] == 7 && aggregate.count == 20);
    return fixture_eq(f, s, err);
}

/* Whatever read fails, the caller hears it; what was asked again is answered. */
static void unreachable_now(void **state)
{
    struct world *w = *state;
    struct segment *s = NULL;
    struct err err = {0};
    expect_ok(far_open(&w->far, NULL, &s, &err), &err);
    expect_ok(read_all(w, s, &err), &err);
    unsigned total = atomic_load(&w->far.reads);
    segment_put(&s);
    assert_true(w->far.closed);
    assert_true(total > 15);
    for (unsigned k = 1; k <= total; k += k < 30 ? 1 : 211) {
        w->far.fail_at = k;
        err = (struct err){0};
        bool ok = far_open(&w->far, NULL, &s, &err);
        if (!ok) {
            assert_null(s);
            assert_true(w->far.closed);
        }
        ok = ok && read_all(w, s, &err);
        assert_false(ok);
        assert_int_equal(err.code, ERR_UNAVAILABLE);
        assert_non_null(strstr(err.text, "is away"));
        w->far.fail_at = 0;
        if (s)
            expect_ok(read_all(w, s, &err), &err); /* nothing bad has stuck */
        segment_put(&s);
    }
}

static void damaged_on_the_way(void **state)
{
    struct world *w = *state;
    struct segment *s = NULL;
    struct err err = {0};
    unsigned hit = 0;
    for (unsigned k = 1; k < 60; k++) {
        w->far.damage_at = k;
        bool ok = far_open(&w->far, NULL, &s, &err) && read_all(w, s, &err);
        if (!ok) {
            assert_true(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
            assert_string_equal(err.file, "far.seg");
        }
        /* The tail is read with what lies before the footer; a wrong bit there is not seen. Nor is
         * there one when fewer reads do. */
        if (ok)
            assert_true(k <= 2 || atomic_load(&w->far.reads) < k);
        hit += !ok;
        w->far.damage_at = 0;
        if (s)
            expect_ok(read_all(w, s, &err), &err);
        segment_put(&s);
    }
    assert_true(hit >= 10);
}

/* Opening reads a fraction of the file, one series not much more. */
static void little_is_read(void **state)
{
    struct world *w = *state;
    struct segment *s = NULL;
    struct err err = {0};
    struct labels labels;
    const struct segment_chunk *chunks;
    struct columns c;
    size_t n;
    expect_ok(far_open(&w->far, NULL, &s, &err), &err);
    assert_true(atomic_load(&w->far.reads) <= 4);
    assert_true(w->far.read_bytes < 80u << 10);
    assert_true(w->far.bytes.len > 250u << 10);
    assert_true(segment_labels(s, 1345, &w->fixture.arena, &labels, &err));
    assert_true(segment_chunks(s, 1345, T0, T1, &w->fixture.arena, &chunks, &n, &err));
    assert_true(segment_read(s, chunks, &w->fixture.arena, &c, &err));
    assert_true(w->far.read_bytes < w->far.bytes.len / 2);
    segment_put(&s);
}

/* Two segments share a cache that holds a part of what they need. */
static void small_cache(void **state)
{
    struct world *w = *state;
    struct segment_cache *cache = segment_cache_new(300u << 10);
    struct segment *s[2] = {NULL, NULL};
    struct err err = {0};
    expect_ok(far_open(&w->far, cache, &s[0], &err), &err);
    expect_ok(far_open(&w->far, cache, &s[1], &err), &err);
    for (int i = 0; i < 2; i++)
        expect_ok(fixture_eq(&w->fixture, s[i], &err), &err);
    assert_true(segment_cache_bytes(cache) > 0);
    assert_true(segment_cache_bytes(cache) <= 300u << 10); /* nothing is held any more */
    segment_put(&s[0]);
    segment_cache_put(&cache); /* the other segment keeps it */
    expect_ok(fixture_eq(&w->fixture, s[1], &err), &err);
    segment_put(&s[1]);
}

struct reader_thread {
    struct world *world;
    struct segment *segment;
    uint32_t first;
    struct err err;
    bool ok;
};

static void *read_some(void *arg)
{
    struct reader_thread *r = arg;
    const struct fixture *f = &r->world->fixture;
    struct arena arena;
    arena_init(&arena, 0);
    r->ok = true;
    for (uint32_t i = r->first; r->ok && i < f->n; i += 7) {
        arena_reset(&arena);
        r->ok = fixture_series_eq(f, r->segment, i, &arena, &r->err);
    }
    arena_fini(&arena);
    return NULL;
}

static void threads(void **state)
{
    struct world *w = *state;
    struct segment_cache *cache = segment_cache_new(64u << 10);
    struct reader_thread readers[4];
    pthread_t thread[4];
    struct segment *s = NULL;
    struct err err = {0};
    expect_ok(far_open(&w->far, cache, &s, &err), &err);
    for (uint32_t i = 0; i < 4; i++) {
        readers[i] = (struct reader_thread){.world = w, .segment = s, .first = i};
        assert_int_equal(pthread_create(&thread[i], NULL, read_some, &readers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        expect_ok(readers[i].ok, &readers[i].err);
    }
    segment_put(&s);
    segment_cache_put(&cache);
}

#define SMALL(name) cmocka_unit_test_setup_teardown(name, setup_small, teardown)
#define LARGE(name) cmocka_unit_test_setup_teardown(name, setup_large, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {SMALL(unreachable_now), SMALL(damaged_on_the_way),
        LARGE(little_is_read), LARGE(small_cache), SMALL(threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
