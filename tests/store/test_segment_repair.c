/*
 * A damaged segment, repaired: what is left is exact, and what is lost is said. Every page is
 * damaged in turn.
 */
#include "tests/store/segment_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "store/segment/segment_reader.h"

#define T0 INT64_C(1700000000000)
#define T1 (T0 + 86400000)

static const struct metric_def counter = {
    .name = {"orders_total", 12}, .kind = KIND_COUNTER, .every_ms = 5000};
static const struct metric_def bucket = {.name = {"wait_bucket", 11}, .kind = KIND_SAMPLE};
static const struct metric_def sample = {.name = {"up", 2}, .kind = KIND_SAMPLE};

/* What no codec makes small. */
static int64_t scatter(uint64_t v)
{
    v *= UINT64_C(0x9e3779b97f4a7c15);
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return (int64_t)((v ^ v >> 27) >> 3) + 1;
}

/* Two buckets in two pages, the second less the first: who loses the first loses both. */
static void fill_family(struct fixture *f)
{
    for (int b = 0; b < 2; b++) {
        struct columns *c = fixture_add(f, &bucket, b ? "le=2" : "le=1", 2000, 0);
        for (int k = 0; k < 2000; k++) {
            double count = (double)(scatter((uint64_t)k) >> 13) + b * (k % 3);
            c->t[k] = T0 + 5 * (k + 1);
            memcpy(&c->bits[k], &count, sizeof count);
        }
    }
}

static void fill(struct fixture *f)
{
    for (int i = 0; i < 40; i++) {
        char labels[64];
        snprintf(labels, sizeof labels, "id=%02d,odd=%d", i, i % 2);
        struct columns *c = fixture_counter(f, &counter, labels, 3000, T0 + 5, 5, 1);
        for (int k = 0; k < 3000; k++)
            c->amount[k] = scatter((uint64_t)(i * 3000 + k + 1));
        f->series[f->n - 1].id = (uint32_t)(100 - i);
    }
    fill_family(f);
    struct columns *c = fixture_add(f, &sample, "job=a", 10, 0);
    for (int k = 0; k < 10; k++) {
        c->t[k] = T0 + 1 + k * k;
        c->bits[k] = (uint64_t)k;
    }
    f->sources[0] = (struct segment_source){SLICE("orders/0"), 99};
    f->n_sources = 1;
}

struct losses {
    const struct fixture *f;
    uint64_t cells, series;
};

static void add_loss(void *ctx, const struct segment_loss *loss)
{
    struct losses *l = ctx;
    assert_true(loss->why->code == ERR_CORRUPT && loss->why->text[0]);
    assert_true(loss->min_t > T0 && loss->max_t <= T1 && loss->min_t <= loss->max_t);
    l->cells += loss->cells ? loss->cells : l->f->series[loss->ordinal].columns.n;
    l->series += loss->cells == 0;
    if (loss->cells)
        assert_int_equal(labels_cmp(loss->labels, l->f->series[loss->ordinal].labels), 0);
}

#define how_of(losses) ((struct segment_repair_how){.lost = add_loss, .ctx = (losses)})

/* Every cell of the repaired segment is one of the original's. */
static uint64_t count_right_cells(struct fixture *f, const struct segment *s)
{
    uint64_t cells = 0;
    for (uint32_t i = 0, from = 0; i < segment_info(s)->series; i++) {
        struct labels labels;
        size_t n;
        const struct segment_chunk *chunks = fixture_chunks(f, s, i, &n);
        assert_true(segment_labels(s, i, &f->arena, &labels, NULL));
        while (labels_cmp(f->series[from].labels, labels) != 0)
            assert_true(++from < f->n);
        const struct columns *want = &f->series[from].columns;
        for (size_t k = 0; k < n; k++) {
            struct columns c;
            assert_true(segment_read(s, &chunks[k], &f->arena, &c, NULL));
            for (size_t j = 0; j < c.n; j++) {
                size_t at = columns_after(want, c.t[j] - 1);
                assert_true(at < want->n && cell_eq(&c, j, want, at));
            }
            cells += c.n;
        }
    }
    return cells;
}

static void repair_one(struct fixture *f, const char *path, uint64_t *repaired, uint64_t *hopeless)
{
    struct segment *s = NULL, *whole = NULL;
    struct segment_repaired out;
    struct losses losses = {.f = f};
    struct err err = {0};
    char made[PATH_BYTES];
    uint64_t cells = 0;
    if (!segment_open(path, NULL, &s, &err) ||
        !segment_repair(s, f->dir, &how_of(&losses), &out, &err)) {
        assert_int_equal(err.code, ERR_CORRUPT);
        ++*hopeless;
        segment_put(&s);
        return;
    }
    if (out.info.series) {
        fixture_path(f, &out.info, made);
        expect_ok(segment_open(made, NULL, &whole, &err), &err);
        expect_ok(segment_verify(whole, &err), &err);
        cells = count_right_cells(f, whole);
        segment_put(&whole);
    }
    assert_int_equal(cells + losses.cells, segment_info(s)->cells);
    assert_int_equal(losses.series, out.lost_series);
    assert_true(losses.cells || out.lost_ids || out.lost_sources ||
                strcmp(out.info.name, segment_info(s)->name) == 0);
    *repaired += losses.cells < segment_info(s)->cells;
    segment_put(&s);
}

static void every_page(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct segment *s = fixture_round_trip(f, &info);
    char good[PATH_BYTES], path[PATH_BYTES];
    struct buf bytes;
    uint64_t repaired = 0, hopeless = 0;
    fixture_path(f, &info, good);
    buf_init(&bytes, 0);
    assert_true(file_read(good, 1u << 30, &bytes, NULL));
    assert_true(path_join(path, f->dir, "damaged.seg", NULL));
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(file_write_at(fd, path, 0, bytes.ptr, bytes.len, NULL));
    repair_one(f, path, &repaired, &hopeless); /* whole: it gives itself */
    assert_int_equal(repaired, 1);
    for (size_t i = 0; i < s->index.n; i++) {
        uint64_t at = s->index.pages[i].offset + s->index.pages[i].bytes / 2;
        char byte = (char)(bytes.ptr[at] ^ 16);
        assert_true(file_write_at(fd, path, at, &byte, 1, NULL));
        repair_one(f, path, &repaired, &hopeless);
        assert_true(file_write_at(fd, path, at, bytes.ptr + at, 1, NULL));
    }
    print_message(
        "%zu pages: %llu times something was left\n", s->index.n, (unsigned long long)repaired);
    assert_true(hopeless <= 3);              /* names, metrics, values of the metrics' names */
    assert_true(repaired > s->index.n_data); /* no page of cells takes all with it */
    close(fd);
    buf_fini(&bytes);
    segment_put(&s);
}

/* The page of a base takes along what hangs on it, and the repair says of both why. */
static void base_lost(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct segment *s = fixture_round_trip(f, &info);
    struct segment_repaired out;
    struct losses losses = {.f = f};
    struct err err = {0};
    uint32_t pages[CHUNK_PAGES_MAX];
    char path[PATH_BYTES];
    size_t n;
    const struct segment_chunk *second = fixture_chunks(f, s, (uint32_t)f->n - 1, &n);
    assert_int_equal(n, 1);
    assert_int_equal(second->n_bases, 1);
    assert_int_equal(segment_chunk_pages(second, pages), 2);
    uint64_t at = s->index.pages[pages[1]].offset + 16 + second->bases[0].offset;
    uint64_t lost = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        const struct segment_chunk *chunks = fixture_chunks(f, s, i, &n);
        for (size_t k = 0; k < n; k++)
            if (chunks[k].page == pages[1] || chunks[k].n_bases)
                lost += chunks[k].n;
    }
    assert_true(lost >= 4000);
    segment_put(&s);
    fixture_path(f, &info, path);
    int fd = open(path, O_RDWR);
    assert_true(file_write_at(fd, path, at, "damaged", 7, NULL));
    close(fd);
    expect_ok(segment_open(path, NULL, &s, &err), &err);
    expect_ok(segment_repair(s, f->dir, &how_of(&losses), &out, &err), &err);
    assert_int_equal(losses.cells, lost);
    segment_put(&s);
}

/* Bytes that cannot be reached are no loss: the repair ends. */
static bool away(void *ctx, uint64_t offset, void *to, size_t n, struct err *err)
{
    const struct segment *s = ctx;
    if (offset > 0 && offset < s->index.pages[1].offset)
        return err_set(err, ERR_UNAVAILABLE, "away");
    return s->file.read(s->file.ctx, offset, to, n, err);
}

static void stay(void *ctx)
{
    (void)ctx;
}

static void unreachable_bytes(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct segment *s = fixture_round_trip(f, &info), *far = NULL;
    struct segment_file file = {s, s->file.size, away, stay};
    struct segment_repaired out;
    struct losses losses = {.f = f};
    struct err err = {0};
    size_t files = fixture_files(f);
    assert_true(segment_open_file("far", &file, NULL, &far, &err));
    assert_false(segment_repair(far, f->dir, &how_of(&losses), &out, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_int_equal(losses.cells, 0);
    assert_int_equal(fixture_files(f), files);
    segment_put(&far);
    segment_put(&s);
}

/* Counts reads of DATA. */
struct counted {
    const struct segment *of;
    size_t reads;
};

static bool count_read(void *ctx, uint64_t offset, void *to, size_t n, struct err *err)
{
    struct counted *c = ctx;
    c->reads += offset >= c->of->index.pages[0].offset &&
                offset <= c->of->index.pages[c->of->index.n_data - 1].offset;
    return c->of->file.read(c->of->file.ctx, offset, to, n, err);
}

/* Chunks share pages; who reads one after the other fetches each page once. */
static void pages_are_fetched_once(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct segment *s = fixture_round_trip(f, &info), *other = NULL;
    struct counted counted = {s, 0};
    struct segment_file file = {&counted, s->file.size, count_read, stay};
    struct segment_repaired out;
    struct losses losses = {.f = f};
    struct err err = {0};
    expect_ok(segment_open_file("counted", &file, NULL, &other, &err), &err);
    counted.reads = 0;
    expect_ok(segment_repair(other, f->dir, &how_of(&losses), &out, &err), &err);
    assert_true(info.chunks > s->index.n_data);
    assert_in_range(counted.reads, s->index.n_data, s->index.n_data + 1);
    segment_put(&other);
    segment_put(&s);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    fixture_init(f, T0, T1);
    fill(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_fini(*state);
    free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_page), TEST(base_lost), TEST(unreachable_bytes), TEST(pages_are_fetched_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
