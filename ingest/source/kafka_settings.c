#include "ingest/source/kafka_settings.h"

#include <stdio.h>
#include <stdlib.h>

bool client_settings_set(
    rd_kafka_conf_t *conf, const struct client_setting *settings, size_t n, struct err *err)
{
    char text[512];
    for (size_t i = 0; i < n; i++)
        if (rd_kafka_conf_set(conf, settings[i].name, settings[i].value, text, sizeof text) !=
            RD_KAFKA_CONF_OK)
            return err_set(err, ERR_INVALID, "kafka: %s", text);
    return true;
}

bool client_settings_common(rd_kafka_conf_t *conf, struct err *err)
{
    static const struct client_setting common[] = {
        {"client.id", "larder"},
        {"reconnect.backoff.ms", "100"},
        {"reconnect.backoff.max.ms", "2000"},
        {"socket.keepalive.enable", "true"},
    };
    return client_settings_set(conf, common, sizeof common / sizeof *common, err);
}

bool client_settings_user(
    rd_kafka_conf_t *conf, const struct ingest_options *options, struct err *err)
{
    for (size_t i = 0; i < options->n_kafka; i++) {
        char name[256], value[4096];
        const struct kafka_setting *k = &options->kafka[i];
        if (k->name.len >= sizeof name || k->value.len >= sizeof value)
            return err_set(err, ERR_INVALID, "kafka: setting %.40s is too long", k->name.ptr);
        snprintf(name, sizeof name, "%.*s", SLICE_FMT(k->name));
        snprintf(value, sizeof value, "%.*s", SLICE_FMT(k->value));
        if (!client_settings_set(conf, &(struct client_setting){name, value}, 1, err))
            return false;
    }
    return true;
}

/*
 * The fetcher of librdkafka 2.0 sleeps for a second when its queue is full, so the queue holds more
 * than a second's worth. One answer comes on top of it, per broker, so it is bounded as well; and
 * many partitions have their turn in one answer, so that none of them is far ahead of the others.
 */
static const struct client_setting defaults[] = {
    {"group.id", "larder"},
    {"queued.min.messages", "500000"},
    {"queued.max.messages.kbytes", "131072"},
    {"fetch.wait.max.ms", "100"},
    {"fetch.max.bytes", "16777216"},
    {"fetch.message.max.bytes", "262144"},
    {"fetch.error.backoff.ms", "200"},
};

/* allow.auto.create.topics is false for consumers already; said aloud, librdkafka warns of it every
 * ten seconds where the broker is older than the setting. */
static const struct client_setting fixed[] = {
    {"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"},
    {"isolation.level", "read_committed"}, {"auto.offset.reset", "error"}, {"check.crcs", "true"},
    {"enable.partition.eof", "false"}, {"statistics.interval.ms", "500"}, /* KAFKA_STATS_MS */
};

bool kafka_settings_apply(
    rd_kafka_conf_t *conf, const struct ingest_options *options, struct err *err)
{
    return client_settings_common(conf, err) &&
           client_settings_set(conf, defaults, sizeof defaults / sizeof *defaults, err) &&
           client_settings_user(conf, options, err) &&
           client_settings_set(conf, fixed, sizeof fixed / sizeof *fixed, err);
}

size_t kafka_settings_queue_bytes(const rd_kafka_conf_t *conf)
{
    char text[32];
    size_t size = sizeof text;
    if (rd_kafka_conf_get(conf, "queued.max.messages.kbytes", text, &size) != RD_KAFKA_CONF_OK)
        return 0;
    return (size_t)strtoull(text, NULL, 10) << 10;
}
