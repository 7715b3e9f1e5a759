/* The demo's events against the shipped larder.yml: what the model calls sound is accepted, and
 * what it spoils is refused for the reason that it had in mind. */
#include "cmd/demo/demo_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "cmd/config.h"
#include "cmd/demo/demo_folder.h"
#include "cmd/demo/demo_model.h"
#include "dashboards/assets.h"
#include "ingest/json_event.h"

#define START_MS 1714550400000 /* 2024-05-01 08:00 UTC */
#define HOUR_MS  3600000

static void load_shipped(struct config *config)
{
    struct err err = {0};
    struct demo_folder folder;
    struct slice text = {NULL, 0};
    struct err_list errors = {0};
    char path[DEMO_PATH_MAX + 16];
    for (size_t i = 0; i < assets_n; i++)
        if (strcmp(assets[i].path, "larder.yml") == 0)
            text = slice_of(assets[i].data, assets[i].len);
    assert_non_null(text.ptr);
    assert_true(demo_folder_make(NULL, &folder, &err));
    assert_true(demo_folder_write(&folder, "larder.yml", text, &err));
    snprintf(path, sizeof path, "%s/larder.yml", folder.path);
    assert_true(config_load(path, NULL, 0, config, &errors));
    err_list_fini(&errors);
    demo_folder_end(&folder);
    assert_int_not_equal(access(path, F_OK), 0);
}

static const struct stream *stream_of(const struct config *config, int topic)
{
    for (size_t i = 0; i < config->streams.n_streams; i++)
        if (slice_is(config->streams.streams[i].name, demo_topic_name((enum demo_topic)topic)))
            return &config->streams.streams[i];
    return NULL;
}

static enum refusal judge(const struct json_decoder *decoder, const struct contract *contract,
    struct slice value, int64_t arrival_ms, struct event *event)
{
    struct arena scratch;
    arena_init(&scratch, 0);
    enum refusal refusal = json_decode(decoder, value, &scratch, event, NULL);
    if (refusal == REFUSED_NOT)
        refusal = contract_judge_time(contract, event->time_ms, arrival_ms, INT64_MIN, &arrival_ms);
    arena_fini(&scratch);
    return refusal;
}

static void events_keep_or_break_their_contract(void **state)
{
    (void)state;
    struct config config = {0};
    load_shipped(&config);
    struct json_decoder *decoders[DEMO_TOPICS];
    for (int i = 0; i < DEMO_TOPICS; i++) {
        assert_non_null(stream_of(&config, i));
        decoders[i] = json_decoder_new(&stream_of(&config, i)->contract);
    }
    struct demo_model_options options = {3, 2000, START_MS, START_MS + HOUR_MS};
    struct demo_model *model = demo_model_new(&options);
    struct buf key, value;
    buf_init(&key, 0);
    buf_init(&value, 0);
    uint64_t defects[DEMO_DEFECTS] = {0};
    for (int i = 0; i < 400000; i++) {
        struct demo_event e;
        struct event event;
        demo_model_next(model, &e);
        buf_clear(&key);
        buf_clear(&value);
        demo_json_write(&e, 3, &key, &value);
        const struct contract *contract = &stream_of(&config, e.topic)->contract;
        enum refusal got =
            judge(decoders[e.topic], contract, buf_view(&value), e.arrival_ms, &event);
        const char *want = demo_defect_refusal((enum demo_defect)e.defect);
        if (strcmp(got == REFUSED_NOT ? "" : refusal_name(got), want ? want : "") != 0)
            fail_msg("%s: %s, not %s", buf_cstr(&value), refusal_name(got), want);
        if (got == REFUSED_NOT)
            assert_int_equal(event.time_ms, e.time_ms);
        defects[e.defect]++;
    }
    for (int i = 0; i < DEMO_DEFECTS; i++)
        assert_true(defects[i] > 0);
    for (int i = 0; i < DEMO_TOPICS; i++)
        json_decoder_free(&decoders[i]);
    buf_fini(&key);
    buf_fini(&value);
    demo_model_free(&model);
    config_free(&config);
}

static void folder_must_be_absent_or_empty(void **state)
{
    (void)state;
    struct err err = {0};
    struct demo_folder outer, named;
    char path[DEMO_PATH_MAX + 16];
    assert_true(demo_folder_make(NULL, &outer, &err));
    snprintf(path, sizeof path, "%s/kept", outer.path);
    assert_true(demo_folder_make(path, &named, &err));
    assert_false(named.temporary);
    demo_folder_end(&named);
    assert_int_equal(access(path, F_OK), 0);
    assert_true(demo_folder_make(path, &named, &err));
    assert_true(demo_folder_write(&named, "file", SLICE("x"), &err));
    assert_false(demo_folder_make(path, &named, &err));
    assert_int_equal(err.code, ERR_USAGE);
    assert_non_null(strstr(err.text, "not empty"));
    snprintf(path, sizeof path, "%s/no/such", outer.path);
    assert_false(demo_folder_make(path, &named, &err));
    assert_int_equal(err.code, ERR_IO);
    snprintf(path, sizeof path, "%s", outer.path);
    demo_folder_end(&outer);
    assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_keep_or_break_their_contract),
        cmocka_unit_test(folder_must_be_absent_or_empty),
    };
    return cmocka_run_group_tests_name("demo_contract", tests, NULL, NULL);
}
