/*
 * A search that finds nothing has its deadline and can be canceled all the same; one over what is
 * set aside answers with a warning.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/metadata_api.h"
#include "api/series_search.h"
#include "base/clock.h"
#include "base/log.h"
#include "tests/store/support/aside.h"

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

/* Whether the answer of a call holds the text. */
static bool answers(const struct api *api,
    void (*call)(const struct api *api, struct request *request, struct response *response),
    const char *text)
{
    struct arena arena;
    struct err err = {0};
    struct response response;
    arena_init(&arena, 1 << 20);
    atomic_bool cancel;
    atomic_init(&cancel, false);
    struct request request = {.arena = &arena, .cancel = &cancel, .start_ns = clock_mono_ns()};
    response_init(&response, 1 << 20);
    params_init(&request.params, &arena);
    assert_true(params_parse(&request.params, SLICE("match[]={__name__=~\".%2B\"}"), &err));
    call(api, &request, &response);
    if (response.status != 200)
        fail_msg("%s", buf_cstr(&response.body));
    bool has = strstr(buf_cstr(&response.body), text) != NULL;
    response_fini(&response);
    arena_fini(&arena);
    return has;
}

/* The rest of the store is listed, and what is set aside is named. */
static void test_what_is_set_aside(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    aside_fill(f, 0, ASIDE_DAY);
    aside_maintain(f, ASIDE_DAY - 1);
    struct api api = {.store = f->store, .timeout_ms = 60000};
    assert_true(answers(&api, metadata_series, "m_total"));
    assert_false(answers(&api, metadata_series, "warnings"));
    aside_set_aside(f, &(struct aside_which){0, ASIDE_BLOCK, 0}, name);
    api.store = f->store;
    assert_true(answers(&api, metadata_series, "m_total"));
    assert_true(answers(&api, metadata_series, "\"warnings\":[\"segment 0-7200000."));
    assert_true(answers(&api, metadata_labels, "\"__name__\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_up),
        cmocka_unit_test_setup_teardown(test_what_is_set_aside, aside_setup, aside_teardown),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests_name("series_search", tests, NULL, NULL);
}
