/* Fields that stand in a record's key, and the W3C trace context. Headers need a broker:
 * test_ingest. */
#include "ingest/record_fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/json_event.h"

static const struct slice none = {NULL, 0};

/* What becomes of the event when its key is `key`, under a field of the type. */
static enum refusal decode(
    const struct field *about, struct slice key, struct slice value, struct field_value *out)
{
    struct contract contract = {.n_fields = 2, .event_time = 0, .event_id = -1, .key = -1};
    struct record_fields beside;
    struct event_rules rules;
    struct event event;
    struct arena scratch;
    contract.fields[0] = (struct field){.name = SLICE("at"), .type = FIELD_TIME, .required = true};
    contract.fields[1] = *about;
    contract.fields[1].name = SLICE("k");
    contract.fields[1].from = FROM_KEY;
    struct json_decoder *decoder = json_decoder_new(&contract);
    struct kafka_record record = {.key = key, .value = value};
    event_rules_init(&rules, &contract);
    arena_init(&scratch, 1 << 20);
    assert_int_equal(record_fields_of(&contract), 2);
    record_fields_read(&rules, 2, &record, &beside);
    enum refusal refusal = json_decode_beside(decoder, &beside, value, &scratch, &event, NULL);
    *out = event.v[1];
    arena_fini(&scratch);
    event_rules_fini(&rules);
    json_decoder_free(&decoder);
    return refusal;
}

static void test_types(void **state)
{
    (void)state;
    static const struct slice colours[] = {{"red", 3}, {"blue", 4}};
    const struct field string = {.type = FIELD_STRING}, number = {.type = FIELD_INT},
                       needed = {.type = FIELD_STRING, .required = true},
                       small = {.type = FIELD_INT, .has_max = true, .max = 10},
                       decimal = {.type = FIELD_DECIMAL, .digits = 2}, time = {.type = FIELD_TIME},
                       boolean = {.type = FIELD_BOOL},
                       colour = {.type = FIELD_STRING, .allowed = colours, .n_allowed = 2};
    static char long_text[FIELD_STRING_MAX + 1];
    memset(long_text, 'x', sizeof long_text);
    const struct {
        const struct field *field;
        struct slice key;
        enum refusal refusal;
        bool present;
        int64_t num;
    } cases[] = {
        {&string, SLICE("o-1"), REFUSED_NOT, true, 0},
        {&string, SLICE(""), REFUSED_NOT, true, 0},
        {&string, none, REFUSED_NOT, false, 0},
        {&needed, none, REFUSED_MISSING, false, 0},
        {&string, SLICE("\xff\xfe"), REFUSED_TYPE, false, 0},
        {&string, SLICE("gr\xc3\xbcn"), REFUSED_NOT, true, 0},
        {&string, slice_of(long_text, FIELD_STRING_MAX), REFUSED_NOT, true, 0},
        {&string, slice_of(long_text, FIELD_STRING_MAX + 1), REFUSED_RANGE, false, 0},
        {&colour, SLICE("red"), REFUSED_NOT, true, 0},
        {&colour, SLICE("green"), REFUSED_NOT_ALLOWED, false, 0},
        {&number, SLICE("42"), REFUSED_NOT, true, 42},
        {&number, SLICE("-3e1"), REFUSED_NOT, true, -30},
        {&number, SLICE("4.5"), REFUSED_TYPE, false, 0},
        {&number, SLICE("42 "), REFUSED_TYPE, false, 0},
        {&number, SLICE(""), REFUSED_NOT, false, 0},
        {&number, SLICE("99999999999999999999"), REFUSED_RANGE, false, 0},
        {&small, SLICE("11"), REFUSED_RANGE, false, 0},
        {&decimal, SLICE("1.255"), REFUSED_NOT, true, 126},
        {&time, SLICE("1970-01-01T00:00:01Z"), REFUSED_NOT, true, 1000},
        {&time, SLICE("1500"), REFUSED_NOT, true, 1500},
        {&time, SLICE("soon"), REFUSED_TYPE, false, 0},
        {&boolean, SLICE("true"), REFUSED_NOT, true, 1},
        {&boolean, SLICE("false"), REFUSED_NOT, true, 0},
        {&boolean, SLICE("yes"), REFUSED_TYPE, false, 0},
    };
    struct field_value value;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum refusal refusal = decode(cases[i].field, cases[i].key, SLICE("{\"at\":5}"), &value);
        if (refusal != cases[i].refusal)
            fail_msg("case %zu: %s", i, refusal_name(refusal));
        if (refusal)
            continue;
        assert_int_equal(value.present, cases[i].present);
        assert_int_equal(value.num, cases[i].num);
        if (value.present && cases[i].field->type == FIELD_STRING)
            assert_true(slice_eq(value.str, cases[i].key));
    }
}

/* What the message has under the name does not count, and is not looked at. */
static void test_the_value_is_ignored(void **state)
{
    (void)state;
    const struct field number = {.type = FIELD_INT};
    struct field_value value;
    assert_int_equal(decode(&number, SLICE("7"), SLICE("{\"at\":5,\"k\":8}"), &value), REFUSED_NOT);
    assert_int_equal(value.num, 7);
    assert_int_equal(
        decode(&number, SLICE("7"), SLICE("{\"k\":true,\"at\":5,\"k\":[]}"), &value), REFUSED_NOT);
    assert_int_equal(decode(&number, none, SLICE("{\"at\":5,\"k\":8}"), &value), REFUSED_NOT);
    assert_false(value.present);
    assert_int_equal(decode(&number, SLICE("7"), SLICE("{\"at\":5"), &value), REFUSED_MALFORMED);
}

static void test_traces(void **state)
{
    (void)state;
    static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    static const struct {
        const char *text;
        bool sound;
    } cases[] = {
        {good, true},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", false},
        {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true},
        {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-ever", true},
        {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", false},
        {"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false},
        {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01", false},
        {"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g", false},
        {"", false},
    };
    struct trace trace;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (trace_parse(slice_from(cases[i].text), &trace) != cases[i].sound ||
            trace.present != cases[i].sound)
            fail_msg("%s", cases[i].text);
    for (size_t n = 0; n < sizeof good - 1; n++)
        assert_false(trace_parse(slice_of(good, n), &trace));
    assert_false(trace_parse(none, &trace));
    assert_true(trace_parse(slice_from(good), &trace));
    assert_int_equal(trace.trace_id[0], 0x4b);
    assert_int_equal(trace.trace_id[15], 0x36);
    assert_int_equal(trace.parent_id[7], 0xb7);
    assert_int_equal(trace.flags, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_the_value_is_ignored),
        cmocka_unit_test(test_traces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
