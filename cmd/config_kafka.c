#include "cmd/config_kafka.h"

#include <librdkafka/rdkafka.h>
#include <string.h>
#include <strings.h>

#include "base/ensure.h"
#include "base/nearest.h"

#define BROKERS_MAX 100

/* What the promise of exactness rests on is not for the config to change. */
static const struct {
    const char *name, *why;
} decided[] = {
    {"enable.auto.commit", "positions are kept with the data"},
    {"enable.auto.offset.store", "positions are kept with the data"},
    {"auto.offset.reset", "a position that is out of range halts its partition"},
    {"isolation.level", "only committed messages count"},
    {"enable.partition.eof", "the ingestion needs its own"},
    {"check.crcs", "what is broken must not be taken for events"},
    {"statistics.interval.ms", "the ingestion hears by them how far it is"},
    {"transactional.id", "that of dead letters is made of 'group.id'"},
    {"bootstrap.servers", "it is called 'brokers' here"},
    {"metadata.broker.list", "it is called 'brokers' here"},
};

static bool check_decided(struct settings *settings, const struct yaml_node *key)
{
    for (size_t i = 0; i < sizeof decided / sizeof *decided; i++)
        if (slice_is(key->text, decided[i].name))
            return settings_error(
                settings, key, "'%s' cannot be set: %s", decided[i].name, decided[i].why);
    return true;
}

/* librdkafka knows its settings and their values; conf is for nothing else. */
static bool check_setting(struct settings *settings, rd_kafka_conf_t *conf,
    const struct yaml_node *key, const struct yaml_node *value, struct slice text)
{
    char why[512];
    switch (rd_kafka_conf_set(conf, key->text.ptr, text.ptr, why, sizeof why)) {
    case RD_KAFKA_CONF_OK: return true;
    case RD_KAFKA_CONF_UNKNOWN:
        if (nearest_find(key->text, &(struct slice){"brokers", 7}, 1) == 0)
            settings_error(
                settings, key, "unknown key '%.*s', did you mean 'brokers'?", SLICE_FMT(key->text));
        else
            settings_error(settings, key, "'%.*s' is neither 'brokers' nor a setting of librdkafka",
                SLICE_FMT(key->text));
        return false;
    default: return settings_error(settings, value, "librdkafka: %s", why);
    }
}

/* ---- settings that go together ---- */

static bool begins(struct slice text, const char *with)
{
    return text.len >= strlen(with) && memcmp(text.ptr, with, strlen(with)) == 0;
}

static bool is_secure(struct slice name)
{
    return begins(name, "security.") || begins(name, "sasl.") || begins(name, "ssl.");
}

/* The setting of security that the text names, else the mechanism, else the first. NULL: there is
 * none. */
static const struct yaml_node *blamed(const struct yaml_node *node, const char *why)
{
    const struct yaml_node *first = NULL;
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml_node *key = node->keys[i];
        if (!is_secure(key->text))
            continue;
        if (strstr(why, key->text.ptr))
            return key;
        if (!first || begins(key->text, "sasl.mechanism"))
            first = key;
    }
    return first;
}

static void be_quiet(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
    (void)rk, (void)level, (void)fac, (void)text;
}

static bool is_set_to(const rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[64];
    size_t size = sizeof text;
    return rd_kafka_conf_get(conf, name, text, &size) == RD_KAFKA_CONF_OK &&
           strcasecmp(text, value) == 0;
}

/* librdkafka itself would wait for ever for a token that nobody gives. */
static bool lacks_token(const rd_kafka_conf_t *conf)
{
    bool sasl = is_set_to(conf, "security.protocol", "sasl_plaintext") ||
                is_set_to(conf, "security.protocol", "sasl_ssl");
    return sasl && is_set_to(conf, "sasl.mechanisms", "OAUTHBEARER") &&
           !is_set_to(conf, "enable.sasl.oauthbearer.unsecure.jwt", "true") &&
           !is_set_to(conf, "sasl.oauthbearer.method", "oidc");
}

/* A client without brokers, which connects to nobody, is made of them. */
static void check_security(
    struct settings *settings, const rd_kafka_conf_t *conf, const struct yaml_node *node)
{
    char why[512] = "sasl.mechanism";
    const struct yaml_node *place = blamed(node, why);
    if (!place)
        return;
    if (lacks_token(conf)) {
        settings_error(settings, place,
            "OAUTHBEARER needs 'sasl.oauthbearer.method: oidc', for which librdkafka has to be "
            "built "
            "with libcurl, or 'enable.sasl.oauthbearer.unsecure.jwt'");
        return;
    }
    rd_kafka_conf_t *trial = rd_kafka_conf_dup(conf);
    rd_kafka_conf_set_log_cb(trial, be_quiet);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, trial, why, sizeof why);
    if (rk) {
        rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        return;
    }
    rd_kafka_conf_destroy(trial);
    settings_error(settings, blamed(node, why), "librdkafka: %s", why);
}

/* One text of brokers: a list is joined. */
static bool read_brokers(struct settings *settings, const struct yaml_node *node, struct slice *out)
{
    if (node->type != YAML_SEQUENCE)
        return settings_text(settings, node, "'brokers'", out);
    if (node->n == 0 || node->n > BROKERS_MAX)
        return settings_error(settings, node,
            "'brokers' must name 1 to %d brokers, each as \"HOST:PORT\"", BROKERS_MAX);
    char *all = arena_printf(settings->arena, "%s", "");
    for (size_t i = 0; i < node->n; i++) {
        struct slice one;
        if (!settings_text(settings, node->values[i], "a broker", &one))
            return false;
        all = arena_printf(settings->arena, "%s%s%.*s", all, i ? "," : "", SLICE_FMT(one));
        ensure(all);
    }
    *out = slice_from(all);
    return true;
}

void config_kafka_read(
    struct settings *settings, const struct yaml_node *node, struct kafka_setting **out, size_t *n)
{
    *n = 0;
    if (!settings_names(settings, node, "'kafka'"))
        return;
    struct kafka_setting *made = arena_array(settings->arena, node->n + 1, sizeof *made);
    ensure(made);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool good = true;
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml_node *key = node->keys[i], *value = node->values[i];
        struct kafka_setting *to = &made[*n];
        if (slice_is(key->text, "brokers")) {
            to->name = SLICE("bootstrap.servers");
            *n += read_brokers(settings, value, &to->value);
            continue;
        }
        to->name = key->text;
        if (!check_decided(settings, key) ||
            !settings_text(settings, value, "a setting of librdkafka", &to->value))
            continue;
        good = check_setting(settings, conf, key, value, to->value) && good;
        (*n)++;
    }
    if (good)
        check_security(settings, conf, node);
    rd_kafka_conf_destroy(conf);
    settings_need(settings, node, "brokers", "\"HOST:PORT\" of one broker or more");
    *out = made;
}
