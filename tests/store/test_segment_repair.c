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

/* ---- every part by its name ---- */

struct part {
    const char *name;
    uint64_t from, to; /* in the file */
    bool harmless;     /* nothing is lost with it */
};

static size_t parts_of(const struct segment *s, struct part *out)
{
    size_t n = 0;
    uint64_t size = s->file.size, footer = size;
    for (size_t i = 0; i < s->footer.n_sections; i++) {
        const struct section *x = &s->footer.sections[i];
        bool harmless = x->id >= SECTION_POSTINGS;
        if (x->bytes)
            out[n++] =
                (struct part){section_name(x->id), x->offset, x->offset + x->bytes, harmless};
        footer = x->offset + x->bytes;
    }
    out[n++] = (struct part){"header", 0, HEADER_BYTES, true};
    out[n++] = (struct part){"footer", footer, size, true};
    const struct page_range aggregates = s->index.types[PAGE_AGGREGATES];
    const struct page_ref *first = &s->index.pages[aggregates.begin];
    const struct page_ref *last = &s->index.pages[aggregates.end - 1];
    out[n++] = (struct part){"aggregates", first->offset, last->offset + last->bytes, true};
    out[n++] =
        (struct part){"index and footer", s->footer.sections[SECTION_INDEX - 1].offset, size, true};
    out[n++] =
        (struct part){"ids, index, footer", s->footer.sections[SECTION_IDS - 1].offset, size, true};
    out[n++] = (struct part){
        "from sources on", s->footer.sections[SECTION_PROVENANCE - 1].offset, size, true};
    return n;
}

/* What is left of the file and what is told to be lost are what there was. */
static void repair_part(struct fixture *f, const char *path, const struct part *part, uint64_t all)
{
    struct segment *s = NULL, *whole = NULL;
    struct segment_repaired out;
    struct losses losses = {.f = f};
    struct err err = {0}, why = {0};
    char made[PATH_BYTES];
    uint64_t cells = 0;
    if (!segment_open_damaged(path, -1, &s, &why, &err) ||
        !segment_repair(s, f->dir, &how_of(&losses), &out, &err)) {
        if (part->harmless)
            fail_msg("%s: %s", part->name, err.text);
        assert_int_equal(err.code, ERR_CORRUPT);
        assert_true(err.text[0]);
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
    segment_put(&s);
    if (cells + losses.cells != all || (part->harmless && losses.cells))
        fail_msg("%s: %llu cells are left and %llu lost of %llu", part->name,
            (unsigned long long)cells, (unsigned long long)losses.cells, (unsigned long long)all);
}

enum ruin { FLIP_FIRST, FLIP_MIDDLE, FLIP_LAST, ZERO, CUT, RUINS };

/* False: the part cannot be ruined so. */
static bool ruin(const char *path, const struct buf *bytes, const struct part *part, enum ruin how)
{
    struct buf copy;
    uint64_t at = how == FLIP_FIRST  ? part->from
                  : how == FLIP_LAST ? part->to - 1
                                     : (part->from + part->to) / 2;
    buf_init(&copy, 0);
    buf_slice(&copy, buf_view(bytes));
    if (how == ZERO)
        memset(copy.ptr + part->from, 0, part->to - part->from);
    else if (how == CUT)
        copy.len = part->from;
    else
        copy.ptr[at] ^= 32;
    bool is = how != CUT || (part->to == bytes->len && part->from > 0);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && file_write_at(fd, path, 0, copy.ptr, copy.len, NULL));
    close(fd);
    buf_fini(&copy);
    return is;
}

/* With its own name, and with one that says nothing; with a damaged page of cells besides. */
static void every_part(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct segment *s = fixture_round_trip(f, &info);
    struct part parts[16];
    char good[PATH_BYTES], dir[PATH_BYTES], paths[2][PATH_BYTES];
    struct buf bytes;
    size_t n = parts_of(s, parts);
    fixture_path(f, &info, good);
    buf_init(&bytes, 0);
    assert_true(file_read(good, 1u << 30, &bytes, NULL));
    assert_true(path_join(dir, f->dir, "apart", NULL) && dir_make(dir, NULL));
    assert_true(path_join(paths[0], dir, info.name, NULL));
    assert_true(path_join(paths[1], dir, "damaged.seg", NULL));
    for (size_t i = 0; i < n; i++)
        for (enum ruin how = 0; how < RUINS; how++)
            for (int name = 0; name < 2; name++) {
                /* Without a name nothing is left of a header that is all zeros but the content. */
                if (ruin(paths[name], &bytes, &parts[i], how) &&
                    !(name == 1 && how == ZERO && parts[i].from == 0))
                    repair_part(f, paths[name], &parts[i], info.cells);
                assert_int_equal(unlink(paths[name]), 0);
            }
    assert_int_equal(rmdir(dir), 0);
    buf_fini(&bytes);
    segment_put(&s);
}

/* A footer, a header or an index, and a page of cells: what hangs on that page is lost, no more. */
static void a_part_and_a_page(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct segment *s = fixture_round_trip(f, &info);
    struct part parts[16];
    char good[PATH_BYTES], path[PATH_BYTES];
    struct buf bytes;
    size_t n = parts_of(s, parts);
    uint64_t tried = 0;
    fixture_path(f, &info, good);
    buf_init(&bytes, 0);
    assert_true(file_read(good, 1u << 30, &bytes, NULL));
    assert_true(path_join(path, f->dir, "damaged.seg", NULL));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(parts[i].name, "header") != 0 && strcmp(parts[i].name, "index") != 0 &&
            strcmp(parts[i].name, "footer") != 0)
            continue;
        for (size_t page = 0; page < s->index.n_data; page++) {
            struct part cells = parts[i];
            const struct page_ref *ref = &s->index.pages[page];
            bytes.ptr[ref->offset + ref->bytes - 1] ^= 8;
            ruin(path, &bytes, &parts[i], FLIP_MIDDLE);
            bytes.ptr[ref->offset + ref->bytes - 1] ^= 8;
            cells.harmless = false;
            struct segment *open = NULL;
            struct err err, why;
            if (!segment_open_damaged(path, -1, &open, &why, &err))
                fail_msg("%s: %s", parts[i].name, err.text);
            segment_put(&open);
            repair_part(f, path, &cells, info.cells);
            tried++;
        }
    }
    assert_int_equal(tried, 3 * s->index.n_data);
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
    const struct CMUnitTest tests[] = {TEST(every_page), TEST(every_part), TEST(a_part_and_a_page),
        TEST(base_lost), TEST(unreachable_bytes), TEST(pages_are_fetched_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
