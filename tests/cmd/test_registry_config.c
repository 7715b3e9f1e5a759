/* `registry:` of larder.yml. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmd/config.h"

static char folder[] = "/tmp/larder_test_registry_config_XXXXXX";

static const char *const variables[] = {
    "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"};

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++)
        unsetenv(variables[i]);
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* Loads a config with this registry. The caller frees. */
static bool load(const char *registry, struct config *config, struct err_list *errors)
{
    char path[128];
    snprintf(path, sizeof path, "%s/larder.yml", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
        "kafka: {brokers: \"localhost:9092\"}\n"
        "registry: {%s}\n"
        "streams: {a: {topics: [a], event_time: at, fields: {at: time}}}\n",
        registry);
    fclose(f);
    bool ok = config_load(path, NULL, 0, config, errors);
    unlink(path);
    return ok;
}

/* why NULL: nothing is wrong. */
static void check(const char *registry, const char *why)
{
    struct config config;
    struct err_list errors;
    bool ok = load(registry, &config, &errors);
    const char *got = errors.n ? errors.items[0].text : "nothing";
    if (ok != !why || (why && (errors.n != 1 || strcmp(got, why) != 0)))
        fail_msg("{%s}: '%s' (%zu), not '%s'", registry, got, errors.n, why ? why : "nothing");
    err_list_fini(&errors);
    config_free(&config);
}

#define FORM                                                                                       \
    "'url' must begin with http:// or https://, such as \"http://localhost:8081\", not "           \
    "'localhost'"
#define PLAIN  "'url' must be a host, a port and a path, without '?', '#', spaces and the like"
#define SECRET "'url' must not hold a password, which messages would show: 'user' and 'password' do"

static void test_addresses(void **state)
{
    (void)state;
    check("url: \"http://localhost:8081\"", NULL);
    check("url: \"https://registry.example.com/behind/this/\"", NULL);
    check("url: [\"http://a:1\", \"http://b:1\"]", NULL);
    check("url: \"localhost\"", FORM);
    check("url: \"http://\"", PLAIN);
    check("url: \"http:///schemas\"", PLAIN);
    check("url: \"http://a?x=1\"", PLAIN);
    check("url: \"http://a/#x\"", PLAIN);
    check("url: \"http://a /\"", PLAIN);
    check("url: \"http://a\\r\\nHost: b\"", PLAIN);
    check("url: \"http://me:geheim@a:8081\"", SECRET);
    check("url: [\"http://a:1\", \"https://key@b\"]", SECRET);
    check("url: \"http://a/@b\"", NULL);
}

static void test_credentials(void **state)
{
    (void)state;
    check("url: \"http://a\", user: me, password: geheim", NULL);
    check("url: \"http://a\", user: me", NULL);
    check("url: \"http://a\", password: geheim", "a 'password' needs a 'user'");
    check("url: \"http://a\", user: me, token: abc", "either 'user' or 'token', not both");
}

#define KEYS "type: glue, region: eu-west-1, access_key: AKID, secret_key: s"

static void test_glue(void **state)
{
    (void)state;
    check(KEYS, NULL);
    check(KEYS ", url: \"http://localhost:5000\"", NULL);
    check(KEYS ", url: \"http://localhost:5000/\"", NULL);
    check(KEYS ", url: \"http://localhost:5000/glue\"", "Glue's address has no path");
    check("type: glue, region: eu-west-1, access_key: AKID",
        "'access_key' and 'secret_key' belong together");
    check("type: glue, region: eu-west-1, session_token: x",
        "'session_token' belongs to an 'access_key'");
    check("type: glue, region: eu-west-1",
        "'access_key' and 'secret_key' are missing, and AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY are not set");
}

/* Keys of the config and a session of the environment would be no pair. */
static void test_environment(void **state)
{
    (void)state;
    struct config config;
    struct err_list errors;
    const struct registry_options *options;
    setenv("AWS_REGION", "eu-central-1", 1);
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "env", 1);
    setenv("AWS_SESSION_TOKEN", "session", 1);
    assert_true(load("type: glue", &config, &errors));
    options = config.streams.registry;
    assert_true(slice_is(options->region, "eu-central-1"));
    assert_true(slice_is(options->access_key, "ENV"));
    assert_true(slice_is(options->secret_key, "env"));
    assert_true(slice_is(options->session_token, "session"));
    err_list_fini(&errors);
    config_free(&config);
    assert_true(load(KEYS, &config, &errors));
    options = config.streams.registry;
    assert_true(slice_is(options->region, "eu-west-1"));
    assert_true(slice_is(options->access_key, "AKID"));
    assert_true(slice_is(options->secret_key, "s"));
    assert_int_equal(options->session_token.len, 0);
    err_list_fini(&errors);
    config_free(&config);
    for (size_t i = 0; i < 4; i++)
        unsetenv(variables[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_glue),
        cmocka_unit_test(test_environment),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
