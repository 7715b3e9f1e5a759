#include "store/segment/metric_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/bytes.h"

#define SERIES_MAX (1u << 23)
#define METRICS    100000u /* more than one page of them */

static const struct place place = {.file = "some.seg", .part = "page", .offset = 64};
static const struct metric_def counter = {.kind = KIND_COUNTER, .every_ms = 60000};

/* A page's head, and one row as it is written. */
static void put_page(struct buf *out, uint32_t first, uint32_t n, uint32_t total)
{
    struct section_buf section = {0};
    struct buf scratch;
    struct page page;
    struct slice raw;
    struct err err;
    metric_table_put(&section, &counter, &(uint32_t){3}, 1);
    buf_init(&scratch, 0);
    assert_true(page_get(buf_view(&section.bytes), &place, &page, &err));
    assert_true(page_raw(&page, &scratch, &raw, &err));
    buf_slice(out, raw);
    le32_put(out->ptr, first);
    le32_put(out->ptr + 4, n);
    le32_put(out->ptr + 8, total);
    buf_fini(&scratch);
    section_fini(&section);
}

static bool get_page(
    struct metric_table *table, uint32_t first, uint32_t n, uint32_t total, struct arena *arena)
{
    struct buf raw;
    struct err err;
    buf_init(&raw, 0);
    put_page(&raw, first, n, total);
    bool ok = metric_table_get(table, buf_view(&raw), true, &place, arena, &err);
    if (!ok)
        assert_int_equal(err.code, ERR_CORRUPT);
    buf_fini(&raw);
    return ok;
}

/* The total costs no memory until its rows come. */
static void total_is_not_believed(void **state)
{
    struct arena arena;
    struct metric_table table = {0};
    (void)state;
    arena_init(&arena, 64 << 10);
    assert_true(get_page(&table, 0, 1, SERIES_MAX, &arena));
    assert_int_equal(table.n, 1);
    assert_int_equal(table.total, SERIES_MAX);
    assert_int_equal(table.end[0], 3);
    arena_fini(&arena);
}

static void more_rows_than_bytes(void **state)
{
    struct arena arena;
    struct metric_table table = {0};
    (void)state;
    arena_init(&arena, 64 << 10);
    assert_false(get_page(&table, 0, SERIES_MAX, SERIES_MAX, &arena));
    assert_false(get_page(&table, 0, 2, 2, &arena));
    assert_int_equal(table.n, 0);
    arena_fini(&arena);
}

static void pages_that_do_not_follow(void **state)
{
    struct arena arena;
    struct metric_table table = {0};
    (void)state;
    arena_init(&arena, 64 << 10);
    assert_true(get_page(&table, 0, 1, 3, &arena));
    assert_false(get_page(&table, 2, 1, 3, &arena)); /* one is missing */
    assert_false(get_page(&table, 1, 1, 4, &arena)); /* of another total */
    assert_true(get_page(&table, 1, 1, 3, &arena));
    assert_true(get_page(&table, 2, 1, 3, &arena));
    assert_false(get_page(&table, 3, 1, 3, &arena)); /* more than all */
    assert_int_equal(table.end[2], 9);
    arena_fini(&arena);
}

/* Room grows over many pages, and what was there stays. */
static void many_pages(void **state)
{
    struct section_buf section = {0};
    struct metric_def *defs = calloc(METRICS, sizeof *defs);
    uint32_t *n_series = calloc(METRICS, sizeof *n_series);
    struct metric_table table = {0};
    struct arena arena;
    struct page page;
    struct slice raw;
    struct err err;
    (void)state;
    assert_non_null(defs);
    assert_non_null(n_series);
    for (uint32_t i = 0; i < METRICS; i++) {
        defs[i] = (struct metric_def){.kind = KIND_COUNTER, .every_ms = i + 1};
        n_series[i] = 1 + i % 3;
    }
    metric_table_put(&section, defs, n_series, METRICS);
    assert_true(section.n_pages > 2);
    arena_init(&arena, 0);
    struct slice left = buf_view(&section.bytes);
    struct buf scratch;
    buf_init(&scratch, 0);
    while (left.len > 0) {
        assert_true(page_get(left, &place, &page, &err));
        assert_true(page_raw(&page, &scratch, &raw, &err));
        assert_true(metric_table_get(&table, raw, true, &place, &arena, &err));
        left = slice_of(left.ptr + page_bytes(&page), left.len - page_bytes(&page));
    }
    assert_int_equal(table.n, METRICS);
    for (uint32_t i = 0, end = 0; i < METRICS; i++) {
        end += n_series[i];
        assert_int_equal(table.end[i], end);
        assert_int_equal(table.defs[i].every_ms, i + 1);
    }
    buf_fini(&scratch);
    arena_fini(&arena);
    section_fini(&section);
    free(n_series);
    free(defs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(total_is_not_believed),
        cmocka_unit_test(more_rows_than_bytes),
        cmocka_unit_test(pages_that_do_not_follow),
        cmocka_unit_test(many_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
