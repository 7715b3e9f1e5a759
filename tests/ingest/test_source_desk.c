/* Requests of operators: who waits, who has waited too long, and what is left when the thread ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "ingest/source/source_desk.h"

struct asker {
    struct source_desk *desk;
    struct source_request request;
    struct source_answer answer;
    struct arena arena;
    struct err err;
    pthread_t thread;
    int wait_ms;
    bool ok;
};

static void *ask(void *arg)
{
    struct asker *a = arg;
    a->ok = source_desk_ask(a->desk, &a->request, a->wait_ms, &a->arena, &a->answer, &a->err);
    source_desk_put(&a->desk);
    return NULL;
}

static void prepare(
    struct asker *a, struct source_desk *desk, enum source_action action, int wait_ms)
{
    memset(a, 0, sizeof *a);
    arena_init(&a->arena, 0);
    a->desk = source_desk_get(desk);
    a->request.action = action;
    a->wait_ms = wait_ms;
}

static void go(struct asker *a)
{
    thread_start(&a->thread, "asker", ask, a);
}

static void begin(struct asker *a, struct source_desk *desk, enum source_action action, int wait_ms)
{
    prepare(a, desk, action, wait_ms);
    go(a);
}

static void end(struct asker *a, bool ok, enum err_code code)
{
    thread_join(a->thread);
    arena_fini(&a->arena);
    assert_int_equal(a->ok, ok);
    if (!ok)
        assert_int_equal(a->err.code, code);
}

/* Waits for somebody. */
static struct errand *take(struct source_desk *desk, bool lists)
{
    for (int i = 0; i < 5000; i++) {
        struct errand *errand = source_desk_take(desk, lists);
        if (errand)
            return errand;
        clock_sleep_ms(1);
    }
    fail_msg("nobody asks");
    return NULL;
}

static void test_answers(void **state)
{
    struct source_desk *desk = source_desk_new();
    struct asker one, two;
    (void)state;
    assert_null(source_desk_take(desk, false));
    begin(&one, desk, SOURCE_PAUSE, 60000);
    struct errand *errand = take(desk, false);
    assert_ptr_equal(errand->request, &one.request);
    errand->answer->n = 7;
    source_desk_done(desk, errand, true);
    end(&one, true, ERR_OK);
    assert_int_equal(one.answer.n, 7);
    /* A refusal. */
    begin(&two, desk, SOURCE_SEEK, 60000);
    errand = take(desk, false);
    err_set(&errand->err, ERR_INVALID, "not so");
    source_desk_done(desk, errand, false);
    end(&two, false, ERR_INVALID);
    assert_string_equal(two.err.text, "not so");
    source_desk_put(&desk);
    assert_null(desk);
}

/* While nothing can be committed, lists are answered and changes wait. */
static void test_lists_overtake(void **state)
{
    struct source_desk *desk = source_desk_new();
    struct asker change, list;
    (void)state;
    begin(&change, desk, SOURCE_PAUSE, 60000);
    begin(&list, desk, SOURCE_LIST, 60000);
    struct errand *errand = take(desk, true);
    assert_ptr_equal(errand->request, &list.request);
    source_desk_done(desk, errand, true);
    end(&list, true, ERR_OK);
    assert_null(source_desk_take(desk, true));
    errand = take(desk, false);
    assert_ptr_equal(errand->request, &change.request);
    source_desk_done(desk, errand, true);
    end(&change, true, ERR_OK);
    source_desk_put(&desk);
}

static void test_nobody_comes(void **state)
{
    struct source_desk *desk = source_desk_new();
    struct asker a;
    (void)state;
    begin(&a, desk, SOURCE_PAUSE, 20);
    end(&a, false, ERR_TIMEOUT);
    assert_null(source_desk_take(desk, false)); /* it is never done behind its back */
    source_desk_put(&desk);
}

static void test_who_asks_gives_up(void **state)
{
    struct source_desk *desk = source_desk_new();
    struct asker waits, commits;
    atomic_bool cancel = false;
    (void)state;
    prepare(&commits, desk, SOURCE_PAUSE, 60000);
    commits.request.cancel = &cancel;
    go(&commits);
    struct errand *errand = take(desk, false);
    prepare(&waits, desk, SOURCE_PAUSE, 60000);
    waits.request.cancel = &cancel;
    go(&waits);
    while (!source_desk_waits(desk))
        clock_sleep_ms(1);
    source_desk_commits(desk, errand);
    int64_t from_ns = clock_mono_ns();
    atomic_store(&cancel, true);
    end(&waits, false, ERR_CANCELED);
    end(&commits, false, ERR_TIMEOUT);
    assert_true(clock_mono_ns() - from_ns < INT64_C(10000000000));
    assert_non_null(strstr(commits.err.text, "it will be when it goes on"));
    assert_false(source_desk_waits(desk));
    source_desk_done(desk, errand, true);
    source_desk_put(&desk);
}

/* It is told that it may be done all the same; what was the asker's is not used afterwards. */
static void test_commit_takes_long(void **state)
{
    struct source_desk *desk = source_desk_new();
    struct asker a;
    (void)state;
    begin(&a, desk, SOURCE_PAUSE, 1000);
    struct errand *errand = take(desk, false);
    source_desk_commits(desk, errand);
    end(&a, false, ERR_TIMEOUT);
    assert_non_null(strstr(a.err.text, "it will be when it goes on"));
    memset(&a, 0xee, sizeof a);
    source_desk_done(desk, errand, true);
    source_desk_put(&desk);
}

/* What is being done is waited for, however long it takes: the answer goes to the asker's memory.
 */
static void test_taken_is_waited_for(void **state)
{
    struct source_desk *desk = source_desk_new();
    struct asker a;
    (void)state;
    begin(&a, desk, SOURCE_LIST, 1000);
    struct errand *errand = take(desk, false);
    clock_sleep_ms(1200);
    errand->answer->n = 3;
    source_desk_done(desk, errand, true);
    end(&a, true, ERR_OK);
    assert_int_equal(a.answer.n, 3);
    source_desk_put(&desk);
}

static void test_close(void **state)
{
    struct source_desk *desk = source_desk_new();
    struct asker a, b;
    (void)state;
    begin(&a, desk, SOURCE_PAUSE, 60000);
    struct errand *errand = take(desk, false);
    begin(&b, desk, SOURCE_PAUSE, 60000);
    clock_sleep_ms(10);
    source_desk_done(desk, errand, true);
    source_desk_close(desk);
    end(&a, true, ERR_OK);
    end(&b, false, ERR_UNAVAILABLE);
    struct asker late;
    begin(&late, desk, SOURCE_LIST, 60000);
    end(&late, false, ERR_UNAVAILABLE);
    source_desk_put(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_lists_overtake),
        cmocka_unit_test(test_nobody_comes),
        cmocka_unit_test(test_who_asks_gives_up),
        cmocka_unit_test(test_commit_takes_long),
        cmocka_unit_test(test_taken_is_waited_for),
        cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests_name("source_desk", tests, NULL, NULL);
}
