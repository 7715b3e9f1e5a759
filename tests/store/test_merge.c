/* Merging segments: random overlapping ones against cells merged by hand. */
#include "store/merge.h"

#include "tests/store/segment_fixture.h"

#define BLOCK    INT64_C(7200000)
#define T0       (INT64_C(236111) * BLOCK)
#define EVERY    5000
#define SEGMENTS 4
#define SERIES   9
#define CELLS    40

static struct metric_def defs[3] = {
    {.name = {"a_level", 7}, .kind = KIND_LEVEL, .every_ms = EVERY},
    {.name = {"b_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY, .stale_after_ms = 1},
    {.name = {"c", 1}, .kind = KIND_SAMPLE},
};

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
    snprintf(text, sizeof text, "s=%zu", series / 3);
    return text;
}

struct world {
    struct fixture files[SEGMENTS];
    struct segment *segments[SEGMENTS];
    int64_t value[SERIES][CELLS];
    bool there[SERIES][CELLS];
    int64_t stale_after; /* of b_total, as the newest segment that has it says */
};

/* A cell of a segment, and what becomes of the model. */
static void put(struct world *w, size_t s, size_t cell, struct columns *c, size_t i)
{
    int64_t v = (int64_t)below(5) - 2;
    c->t[i] = T0 + (int64_t)(cell + 1) * EVERY;
    if (c->kind == KIND_SAMPLE) {
        w->value[s][cell] = v;
        w->there[s][cell] = true;
        c->bits[i] = (uint64_t)v;
        return;
    }
    v = v ? v : 7;
    w->value[s][cell] += v;
    w->there[s][cell] = w->value[s][cell] != 0;
    c->amount[i] = v;
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
        struct columns *c = fixture_add(f, &defs[s % 3], label_of(s), n, 0);
        if (s % 3 == 1)
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

/* Series 3 (a_level{s="1"}) is left out; b_total loses two ranges. */
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
    return series == 3 || (series % 3 == 1 && (first || second));
}

/* What the merge gives, against the model, in order. */
static void check(struct world *w, struct segment_input *in, bool filtered)
{
    struct segment_series out;
    for (size_t m = 0; m < 3; m++)
        for (size_t s = m; s < SERIES; s += 3) {
            size_t expected = 0, n = 0;
            for (size_t i = 0; i < CELLS; i++)
                expected += w->there[s][i] && !(filtered && left_out(s, i));
            if (expected == 0)
                continue;
            assert_true(in->next(in->ctx, &out));
            assert_true(slice_eq(out.def->name, defs[m].name));
            assert_int_equal(out.def->stale_after_ms, m == 1 ? w->stale_after : 0);
            assert_int_equal(strtoul(labels_get(out.labels, SLICE("s")).ptr, NULL, 10), s / 3);
            assert_int_equal(out.columns.n, expected);
            for (size_t i = 0; i < CELLS; i++) {
                if (!w->there[s][i] || (filtered && left_out(s, i)))
                    continue;
                assert_int_equal(out.columns.t[n], T0 + (int64_t)(i + 1) * EVERY);
                assert_int_equal(
                    m == 2 ? (int64_t)out.columns.bits[n] : (int64_t)out.columns.amount[n],
                    w->value[s][i]);
                n++;
            }
        }
    assert_false(in->next(in->ctx, &out));
    assert_false(in->failed(in->ctx, NULL));
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
        seed = 1000 + i;
        world_init(&w);
        struct merge_options options = {.filter = i % 2 ? leave_out : NULL, .ctx = &asked};
        merge_new(w.segments, SEGMENTS, &options, &merge);
        assert_true(merge_input(merge, &in, &err));
        assert_int_equal(in.t0, T0);
        assert_int_equal(in.t1, T0 + BLOCK);
        assert_int_equal(in.n_sources, 3);
        assert_true(slice_is(in.sources[0].name, "even"));
        assert_true(slice_is(in.sources[2].name, "one"));
        assert_int_equal(in.sources[2].next, SEGMENTS - 1);
        check(&w, &in, i % 2);
        assert_false(merge_is_empty(merge));
        assert_true(asked <= SERIES);
        merge_free(&merge);
        world_fini(&w);
    }
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
        cmocka_unit_test(test_output_depends_on_inputs_alone),
        cmocka_unit_test(test_nothing_left_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
