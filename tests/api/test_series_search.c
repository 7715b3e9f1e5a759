/*
 * A search that finds nothing has its deadline and can be canceled all the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/series_search.h"
#include "base/clock.h"

static bool ask(void *ctx, const struct listing *listing, struct err *err)
{
    (void)ctx;
    return listing->go_on(listing->go_on_ctx, err);
}

/* Searches an empty store; the request is `age_ms` old, of 60 s that it may take. */
static bool search(int64_t age_ms, bool canceled, struct err *err)
{
    struct store *store;
    struct store_options options = {0};
    assert_true(store_open(&options, &store, err));
    struct arena arena;
    arena_init(&arena, 1 << 20);
    atomic_bool cancel;
    atomic_init(&cancel, canceled);
    struct api api = {.store = store, .timeout_ms = 60000};
    struct request request = {
        .arena = &arena, .cancel = &cancel, .start_ns = clock_mono_ns() - age_ms * 1000000};
    params_init(&request.params, &arena);
    struct series_search *s = search_new(&api, &request);
    size_t n;
    assert_true(search_params(s, &n, err));
    bool ok = search_run(s, ask, NULL, err);
    search_free(&s);
    arena_fini(&arena);
    store_close(&store);
    return ok;
}

static void test_gives_up(void **state)
{
    struct err err = {0};
    (void)state;
    assert_true(search(0, false, &err));
    assert_false(search(61000, false, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_false(search(0, true, &err));
    assert_int_equal(err.code, ERR_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gives_up)};
    return cmocka_run_group_tests_name("series_search", tests, NULL, NULL);
}
