#include "ingest/registry_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"

#define TIMEOUT_MIN_MS 100
#define TIMEOUT_MAX_MS 600000

static const char *const registry_keys[] = {"type", "url", "user", "password", "token", "ca",
    "certificate", "key", "region", "access_key", "secret_key", "session_token", "timeout"};

/* What stands between "://" and the path. */
static struct slice authority_of(struct slice url)
{
    const char *from = memchr(url.ptr, ':', url.len), *end = url.ptr + url.len;
    from += 3; /* read_url has looked at it */
    const char *slash = memchr(from, '/', (size_t)(end - from));
    return slice_of(from, (size_t)((slash ? slash : end) - from));
}

static bool is_plain(struct slice url)
{
    for (size_t i = 0; i < url.len; i++)
        if ((uint8_t)url.ptr[i] <= ' ' || url.ptr[i] == '?' || url.ptr[i] == '#')
            return false;
    return authority_of(url).len > 0;
}

static void read_url(
    struct settings *settings, const struct yaml_node *node, struct registry_options *out)
{
    struct slice url;
    if (!settings_text(settings, node, "'url'", &url))
        return;
    if (out->n_urls == REGISTRY_URLS_MAX)
        settings_error(settings, node, "at most %d addresses", REGISTRY_URLS_MAX);
    else if (!slice_starts(url, SLICE("http://")) && !slice_starts(url, SLICE("https://")))
        settings_error(settings, node,
            "'url' must begin with http:// or https://, such as \"http://localhost:8081\", not "
            "'%.*s'",
            SLICE_FMT(url));
    else if (memchr(authority_of(url).ptr, '@', authority_of(url).len))
        settings_error(settings, node,
            "'url' must not hold a password, which messages would show: 'user' and 'password' do");
    else if (!is_plain(url))
        settings_error(settings, node,
            "'url' must be a host, a port and a path, without '?', '#', spaces and the like");
    else
        out->urls[out->n_urls++] = url;
}

static void read_urls(
    struct settings *settings, const struct yaml_node *node, struct registry_options *out)
{
    if (node->type != YAML_SEQUENCE) {
        read_url(settings, node, out);
        return;
    }
    for (size_t i = 0; i < node->n; i++)
        read_url(settings, node->values[i], out);
}

/* Keys that belong to the other type of registry would be ignored silently. */
static void refuse_keys(struct settings *settings, const struct yaml_node *node,
    const char *const *keys, size_t n, const char *type)
{
    for (size_t i = 0; i < n; i++) {
        const struct yaml_node *value = yaml_get(node, keys[i]);
        if (value)
            settings_error(settings, value, "'%s' is not for a registry of type %s", keys[i], type);
    }
}

static void from_environment(struct slice *out, const char *name)
{
    const char *value = out->len ? NULL : getenv(name);
    if (value)
        *out = slice_from(value);
}

/* Of the config or of the environment, whole: keys of one and a session of the other are no pair.
 */
static void check_keys(
    struct settings *settings, const struct yaml_node *node, struct registry_options *out)
{
    if (out->access_key.len || out->secret_key.len) {
        if (!out->access_key.len || !out->secret_key.len)
            settings_error(settings, node, "'access_key' and 'secret_key' belong together");
        return;
    }
    if (out->session_token.len) {
        settings_error(settings, node, "'session_token' belongs to an 'access_key'");
        return;
    }
    from_environment(&out->access_key, "AWS_ACCESS_KEY_ID");
    from_environment(&out->secret_key, "AWS_SECRET_ACCESS_KEY");
    from_environment(&out->session_token, "AWS_SESSION_TOKEN");
    if (!out->access_key.len || !out->secret_key.len)
        settings_error(settings, node,
            "'access_key' and 'secret_key' are missing, and AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY are not set");
}

static bool has_path(struct slice url)
{
    struct slice host = authority_of(url);
    size_t rest = (size_t)(url.ptr + url.len - (host.ptr + host.len));
    return rest > 1;
}

static void check_glue(
    struct settings *settings, const struct yaml_node *node, struct registry_options *out)
{
    static const char *const others[] = {"user", "password", "token"};
    refuse_keys(settings, node, others, 3, "glue");
    from_environment(&out->region, "AWS_REGION");
    if (!out->region.len)
        settings_error(settings, node, "'region' is missing, and AWS_REGION is not set");
    check_keys(settings, node, out);
    if (out->n_urls > 1)
        settings_error(settings, yaml_get(node, "url"), "Glue has one address");
    else if (out->n_urls == 1 && has_path(out->urls[0]))
        settings_error(settings, yaml_get(node, "url"), "Glue's address has no path");
}

static void check_confluent(
    struct settings *settings, const struct yaml_node *node, const struct registry_options *out)
{
    static const char *const others[] = {"region", "access_key", "secret_key", "session_token"};
    refuse_keys(settings, node, others, 4, "confluent");
    if (!yaml_get(node, "url"))
        settings_need(settings, node, "url", "url: \"http://localhost:8081\"");
    if (out->password.len && !out->user.len)
        settings_error(settings, yaml_get(node, "password"), "a 'password' needs a 'user'");
    if (out->token.len && out->user.len)
        settings_error(settings, yaml_get(node, "token"), "either 'user' or 'token', not both");
}

const struct registry_options *registry_config_read(
    struct settings *settings, const struct yaml_node *node)
{
    static const char *const types[] = {"confluent", "glue"};
    struct registry_options *out = arena_zalloc(settings->arena, sizeof *out);
    const struct {
        const char *key, *what;
        struct slice *text;
    } texts[] = {
        {"user", "'user'", &out->user},
        {"password", "'password'", &out->password},
        {"token", "'token'", &out->token},
        {"ca", "'ca'", &out->ca_file},
        {"certificate", "'certificate'", &out->cert_file},
        {"key", "'key'", &out->key_file},
        {"region", "'region'", &out->region},
        {"access_key", "'access_key'", &out->access_key},
        {"secret_key", "'secret_key'", &out->secret_key},
        {"session_token", "'session_token'", &out->session_token},
    };
    const struct yaml_node *value;
    int64_t timeout_ms;
    int type = 0;
    ensure(out);
    if (!settings_mapping(settings, node, "'registry'", registry_keys,
            sizeof registry_keys / sizeof *registry_keys))
        return out;
    if ((value = yaml_get(node, "type")))
        settings_choice(settings, value, "'type'", types, 2, &type);
    out->framing = type == 1 ? FRAMING_GLUE : FRAMING_CONFLUENT;
    if ((value = yaml_get(node, "url")))
        read_urls(settings, value, out);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if ((value = yaml_get(node, texts[i].key)))
            settings_text(settings, value, texts[i].what, texts[i].text);
    if ((value = yaml_get(node, "timeout")) &&
        settings_duration(settings, value, "'timeout'", &timeout_ms)) {
        if (timeout_ms < TIMEOUT_MIN_MS || timeout_ms > TIMEOUT_MAX_MS)
            settings_error(settings, value, "'timeout' must be from 100ms to 10m");
        out->timeout_ms = (uint32_t)timeout_ms;
    }
    if (type == 1)
        check_glue(settings, node, out);
    else
        check_confluent(settings, node, out);
    return out;
}
