/* Merging segments: random overlapping ones against cells merged by hand. */
#include "store/merge.h"

#include "store/catalog.h"
#include "tests/store/segment_fixture.h"

#define BLOCK    INT64_C(7200000)
#define T0       (INT64_C(236111) * BLOCK)
#define EVERY    5000
#define SEGMENTS 4
#define KINDS    5
#define SERIES   (3 * KINDS)
#define CELLS    40
#define KEYS     7

static struct metric_def defs[KINDS] = {
    {.name = {"a_level", 7}, .kind = KIND_LEVEL, .every_ms = EVERY},
    {.name = {"b_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY, .stale_after_ms = 1},
    {.name = {"c", 1}, .kind = KIND_SAMPLE},
    {.name = {"d_gauge", 7}, .kind = KIND_GAUGE, .every_ms = EVERY, .digits = 2},
    {.name = {"e_seconds", 9}, .kind = KIND_HISTOGRAM, .every_ms = EVERY, .schema = 3},
};
static const int32_t keys[KEYS] = {
    HIST_NEGATIVE(9), HIST_NEGATIVE(-2), HIST_ZERO, -5, 0, 1, 1 << 13};

static uint64_t seed;

static uint32_t below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % n;
}

static const char *label_of(size_t series)
{
    static char text[16];
    snprintf(text, sizeof text, "s=%zu", series / KINDS);
    return text;
}

struct world {
    struct fixture files[SEGMENTS];
    struct segment *segments[SEGMENTS];
    int64_t value[SERIES][CELLS]; /* an amount, the bits of a sample, a sum of a histogram */
    int64_t buckets[SERIES][CELLS][KEYS];
    struct gauge_cell gauge[SERIES][CELLS];
    bool there[SERIES][CELLS];
    int64_t stale_after; /* of b_total, as the newest segment that has it says */
};

static void put_sample(struct world *w, size_t s, size_t cell, struct columns *c, size_t i)
{
    w->value[s][cell] = below(5);
    w->there[s][cell] = true;
    c->bits[i] = (uint64_t)w->value[s][cell];
}

static void put_amount(struct world *w, size_t s, size_t cell, struct columns *c, size_t i)
{
    int64_t v = (int64_t)below(5) - 2;
    v = v ? v : 7;
    w->value[s][cell] += v;
    w->there[s][cell] = w->value[s][cell] != 0;
    c->amount[i] = v;
}

/* The model's rule, written out. */
static void merge_gauge(struct gauge_cell *to, const struct gauge_cell *in)
{
    bool later = in->last_ms > to->last_ms || (in->last_ms == to->last_ms && in->last > to->last);
    to->last = later ? in->last : to->last;
    to->last_ms = later ? in->last_ms : to->last_ms;
    to->min = in->min < to->min ? in->min : to->min;
    to->max = in->max > to->max ? in->max : to->max;
    to->sum += in->sum;
    to->count += in->count;
}

static void put_gauge(struct world *w, size_t s, size_t cell, struct columns *c, size_t i)
{
    int64_t low = (int64_t)below(100) - 50, high = low + below(20);
    struct gauge_cell g = {.last = low + below((uint32_t)(high - low) + 1),
        .last_ms = c->t[i] - below(3),
        .min = low,
        .max = high,
        .sum = (int128)low * INT64_MAX + below(9), /* two words */
        .count = 1 + below(4)};
    c->last[i] = g.last;
    c->last_ms[i] = g.last_ms;
    c->min[i] = g.min;
    c->max[i] = g.max;
    c->sum[i] = g.sum;
    c->count[i] = g.count;
    if (w->there[s][cell])
        merge_gauge(&w->gauge[s][cell], &g);
    else
        w->gauge[s][cell] = g;
    w->there[s][cell] = true;
}

/* Counts of 1 and -1, so that buckets cancel out, and cells. */
static void put_histogram(struct world *w, size_t s, size_t cell, struct columns *c, size_t i)
{
    uint32_t at = i ? c->bucket_at[i] : 0, begin = at;
    bool left = false;
    c->bucket_at[0] = 0;
    for (size_t k = 0; k < KEYS; k++) {
        int64_t count = (int64_t)below(3) - 1;
        count = k + 1 == KEYS && at == begin ? 1 : count; /* no empty cell */
        if (count)
            c->bucket[at++] = (struct hist_bucket){keys[k], count};
        w->buckets[s][cell][k] += count;
        left |= w->buckets[s][cell][k] != 0;
    }
    c->bucket_at[i + 1] = at;
    c->sum[i] = (int64_t)below(3) - 1;
    w->value[s][cell] += (int64_t)c->sum[i];
    w->there[s][cell] = left || w->value[s][cell] != 0;
}

/* A cell of a segment, and what becomes of the model. */
static void put(struct world *w, size_t s, size_t cell, struct columns *c, size_t i)
{
    c->t[i] = T0 + (int64_t)(cell + 1) * EVERY;
    switch (c->kind) {
    case KIND_SAMPLE: put_sample(w, s, cell, c, i); return;
    case KIND_GAUGE: put_gauge(w, s, cell, c, i); return;
    case KIND_HISTOGRAM: put_histogram(w, s, cell, c, i); return;
    default: put_amount(w, s, cell, c, i);
    }
}

static bool is_cell(const struct world *w, size_t s, size_t cell, const struct columns *c, size_t i)
{
    const struct gauge_cell *g = &w->gauge[s][cell];
    if (c->t[i] != T0 + (int64_t)(cell + 1) * EVERY)
        return false;
    if (c->kind == KIND_SAMPLE)
        return (int64_t)c->bits[i] == w->value[s][cell];
    if (c->kind == KIND_GAUGE)
        return c->last[i] == g->last && c->last_ms[i] == g->last_ms && c->min[i] == g->min &&
               c->max[i] == g->max && c->sum[i] == g->sum && c->count[i] == g->count;
    if (c->kind != KIND_HISTOGRAM)
        return c->amount[i] == w->value[s][cell];
    uint32_t at = c->bucket_at[i];
    for (size_t k = 0; k < KEYS; k++) {
        bool has = at < c->bucket_at[i + 1] && c->bucket[at].key == keys[k];
        if ((has ? c->bucket[at].count : 0) != w->buckets[s][cell][k])
            return false;
        at += has;
    }
    return at == c->bucket_at[i + 1] && c->sum[i] == w->value[s][cell];
}

static void make_segment(struct world *w, size_t at)
{
    struct fixture *f = &w->files[at];
    struct segment_info info;
    struct err err = {0};
    char path[PATH_BYTES];
    fixture_init(f, T0, T0 + BLOCK);
    for (size_t s = 0; s < SERIES; s++) {
        bool cells[CELLS];
        size_t n = 0;
        for (size_t i = 0; i < CELLS; i++)
            n += cells[i] = below(3) == 0;
        if (n == 0 || below(4) == 0)
            continue;
        struct columns *c = fixture_add(f, &defs[s % KINDS], label_of(s), n, n * KEYS);
        if (below(2)) /* ids of its own: nobody looks at them */
            f->series[f->n - 1].id = (uint32_t)(SERIES - s);
        if (s % KINDS == 1)
            w->stale_after = defs[1].stale_after_ms;
        n = 0;
        for (size_t i = 0; i < CELLS; i++)
            if (cells[i])
                put(w, s, i, c, n++);
    }
    f->sources[0] = (struct segment_source){SLICE("one"), (int64_t)at};
    f->sources[1] = (struct segment_source){at % 2 ? SLICE("odd") : SLICE("even"), 7};
    f->n_sources = 2;
    qsort(f->series, f->n, sizeof *f->series, fixture_cmp);
    assert_true(fixture_write_unsorted(f, &info, &err));
    assert_true(path_join(path, f->dir, info.name, &err));
    assert_true(segment_open(path, NULL, &w->segments[at], &err));
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    for (size_t i = 0; i < SEGMENTS; i++) {
        defs[1].stale_after_ms = (int64_t)i + 1; /* each has its own */
        make_segment(w, i);
    }
}

static void world_fini(struct world *w)
{
    for (size_t i = 0; i < SEGMENTS; i++) {
        segment_put(&w->segments[i]);
        fixture_fini(&w->files[i]);
    }
}

/* Series KINDS (a_level{s="1"}) is left out; b_total loses two ranges. */
static bool leave_out(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n)
{
    static struct merge_range ranges[2] = {
        {T0, T0 + 10 * EVERY}, {T0 + 20 * EVERY, T0 + 25 * EVERY}};
    size_t *asked = ctx;
    (*asked)++;
    if (slice_is(def->name, "a_level") && slice_is(labels_get(labels, SLICE("s")), "1"))
        return false;
    if (slice_is(def->name, "b_total")) {
        *out = ranges;
        *n = 2;
    }
    return true;
}

static bool left_out(size_t series, size_t cell)
{
    bool first = cell < 10, second = cell >= 20 && cell < 25;
    return series == KINDS || (series % KINDS == 1 && (first || second));
}

static uint32_t id_in(const struct catalog *catalog, struct labels labels)
{
    return catalog ? catalog_find_series(catalog, labels) : SEGMENT_NO_ID;
}

/* What the merge gives, against the model, in order. */
static void check(
    struct world *w, struct segment_input *in, bool filtered, const struct catalog *catalog)
{
    struct segment_series out;
    for (size_t m = 0; m < KINDS; m++)
        for (size_t s = m; s < SERIES; s += KINDS) {
            size_t expected = 0, n = 0;
            for (size_t i = 0; i < CELLS; i++)
                expected += w->there[s][i] && !(filtered && left_out(s, i));
            if (expected == 0)
                continue;
            assert_true(in->next(in->ctx, &out));
            assert_true(slice_eq(out.def->name, defs[m].name));
            assert_int_equal(out.def->stale_after_ms, m == 1 ? w->stale_after : 0);
            assert_int_equal(strtoul(labels_get(out.labels, SLICE("s")).ptr, NULL, 10), s / KINDS);
            assert_int_equal(out.id, id_in(catalog, out.labels));
            assert_int_equal(out.columns.n, expected);
            for (size_t i = 0; i < CELLS; i++) {
                if (!w->there[s][i] || (filtered && left_out(s, i)))
                    continue;
                assert_true(is_cell(w, s, i, &out.columns, n));
                n++;
            }
        }
    assert_false(in->next(in->ctx, &out));
    assert_false(in->failed(in->ctx, NULL));
}

/* All series, last ones first; but for the first `less` of them. */
static void know_series(struct catalog *catalog, struct world *w, size_t less)
{
    catalog_init(catalog);
    for (size_t m = 0; m < KINDS; m++)
        assert_int_equal(catalog_add_metric(catalog, &defs[m]), m);
    for (size_t s = SERIES; s-- > less;)
        catalog_add_series(catalog, (uint32_t)(s % KINDS),
            fixture_labels(&w->files[0], &defs[s % KINDS], label_of(s)));
}

static void test_cells_merge_as_the_kinds_say(void **state)
{
    struct world w;
    struct err err = {0};
    (void)state;
    for (uint64_t i = 0; i < 200; i++) {
        size_t asked = 0;
        struct merge *merge;
        struct segment_input in;
        struct catalog catalog;
        seed = 1000 + i;
        world_init(&w);
        know_series(&catalog, &w, 0);
        struct merge_options options = {
            .filter = i % 2 ? leave_out : NULL, .ctx = &asked, .catalog = i % 3 ? &catalog : NULL};
        merge_new(w.segments, SEGMENTS, &options, &merge);
        assert_true(merge_input(merge, &in, &err));
        assert_int_equal(in.t0, T0);
        assert_int_equal(in.t1, T0 + BLOCK);
        assert_int_equal(in.n_sources, 3);
        assert_true(slice_is(in.sources[0].name, "even"));
        assert_true(slice_is(in.sources[2].name, "one"));
        assert_int_equal(in.sources[2].next, SEGMENTS - 1);
        check(&w, &in, i % 2, options.catalog);
        assert_false(merge_is_empty(merge));
        assert_true(asked <= SERIES);
        merge_free(&merge);
        catalog_fini(&catalog);
        world_fini(&w);
    }
}

/* The ids come with the labels, whatever the inputs say; then the file has all of them. */
static void test_ids_are_the_catalogues(void **state)
{
    struct world w;
    struct catalog catalog;
    struct merge *merge;
    struct segment_input in;
    struct segment_info info;
    struct segment *segment;
    struct err err = {0};
    char path[PATH_BYTES];
    uint32_t ids[SERIES];
    (void)state;
    seed = 77;
    world_init(&w);
    know_series(&catalog, &w, 0);
    assert_false(segment_has_ids(w.segments[0]));
    merge_new(w.segments, SEGMENTS, &(struct merge_options){.catalog = &catalog}, &merge);
    assert_true(merge_input(merge, &in, &err));
    assert_true(segment_write(w.files[0].dir, &in, &info, &err));
    merge_free(&merge);
    fixture_path(&w.files[0], &info, path);
    assert_true(segment_open(path, NULL, &segment, &err));
    assert_true(segment_has_ids(segment));
    assert_true(segment_ids(segment, ids, &err));
    for (uint32_t i = 0; i < info.series; i++) {
        struct labels labels;
        assert_true(segment_labels(segment, i, &w.files[0].arena, &labels, &err));
        assert_int_equal(ids[i], catalog_find_series(&catalog, labels));
    }
    segment_put(&segment);
    catalog_fini(&catalog);
    world_fini(&w);
}

static void test_a_series_nobody_knows_is_damage(void **state)
{
    struct world w;
    struct catalog catalog;
    struct merge *merge;
    struct segment_input in;
    struct segment_series out;
    struct err err = {0};
    size_t bad;
    (void)state;
    seed = 78;
    world_init(&w);
    know_series(&catalog, &w, SERIES);
    merge_new(w.segments, SEGMENTS, &(struct merge_options){.catalog = &catalog}, &merge);
    assert_true(merge_input(merge, &in, &err));
    assert_false(in.next(in.ctx, &out));
    assert_true(in.failed(in.ctx, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_true(merge_bad_segment(merge, &bad));
    assert_non_null(strstr(err.text, segment_info(w.segments[bad])->name));
    merge_free(&merge);
    catalog_fini(&catalog);
    world_fini(&w);
}

/* Merged twice, the file is the same; merged in two steps, it is the same again. */
static void test_output_depends_on_inputs_alone(void **state)
{
    struct world w;
    struct segment_info info[3], half;
    struct err err = {0};
    struct segment *step[SEGMENTS];
    char path[PATH_BYTES];
    (void)state;
    seed = 5;
    world_init(&w);
    const char *dir = w.files[0].dir;
    for (int i = 0; i < 4; i++) {
        struct merge *merge;
        struct segment_input in;
        bool steps = i == 3;
        if (steps) {
            assert_true(path_join(path, dir, half.name, &err));
            assert_true(segment_open(path, NULL, &step[0], &err));
            step[1] = w.segments[2];
            step[2] = w.segments[3];
        }
        merge_new(steps ? step : w.segments, steps ? 3 : i == 2 ? 2 : SEGMENTS, NULL, &merge);
        assert_true(merge_input(merge, &in, &err));
        if (!segment_write(dir, &in, i == 2 ? &half : &info[i == 3 ? 2 : i], &err))
            fail_msg("%s", err.text);
        merge_free(&merge);
        if (steps)
            segment_put(&step[0]);
    }
    assert_string_equal(info[0].name, info[1].name);
    assert_string_equal(info[0].name, info[2].name);
    world_fini(&w);
}

static bool drop_all(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n)
{
    (void)ctx, (void)def, (void)labels, (void)out, (void)n;
    return false;
}

static void test_nothing_left_is_known(void **state)
{
    struct world w;
    struct err err = {0};
    struct merge *merge;
    struct segment_input in;
    struct segment_series out;
    (void)state;
    seed = 9;
    world_init(&w);
    merge_new(w.segments, SEGMENTS, &(struct merge_options){.filter = drop_all}, &merge);
    assert_true(merge_input(merge, &in, &err));
    assert_false(in.next(in.ctx, &out));
    assert_false(in.failed(in.ctx, &err));
    assert_true(merge_is_empty(merge));
    merge_free(&merge);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_merge_as_the_kinds_say),
        cmocka_unit_test(test_ids_are_the_catalogues),
        cmocka_unit_test(test_a_series_nobody_knows_is_damage),
        cmocka_unit_test(test_output_depends_on_inputs_alone),
        cmocka_unit_test(test_nothing_left_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
