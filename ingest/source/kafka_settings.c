#include "ingest/source/kafka_settings.h"

#include <stdio.h>
#include <stdlib.h>

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    char text[512];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return true;
    return err_set(err, ERR_INVALID, "kafka: %s", text);
}

/*
 * The fetcher of librdkafka 2.0 sleeps for a second when its queue is full, so the queue holds more
 * than a second's worth. One answer comes on top of it, per broker, so it is bounded as well; and
 * many partitions have their turn in one answer, so that none of them is far ahead of the others.
 */
static const char *const defaults[][2] = {
    {"client.id", "larder"},
    {"group.id", "larder"},
    {"queued.min.messages", "500000"},
    {"queued.max.messages.kbytes", "131072"},
    {"fetch.wait.max.ms", "100"},
    {"fetch.max.bytes", "16777216"},
    {"fetch.message.max.bytes", "262144"},
    {"fetch.error.backoff.ms", "200"},
    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms", "2000"},
    {"socket.keepalive.enable", "true"},
};

/* allow.auto.create.topics is false for consumers already; said aloud, librdkafka warns of it every
 * ten seconds where the broker is older than the setting. */
static const char *const fixed[][2] = {
    {"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"},
    {"isolation.level", "read_committed"}, {"auto.offset.reset", "error"}, {"check.crcs", "true"},
    {"enable.partition.eof", "false"}, {"statistics.interval.ms", "500"}, /* KAFKA_STATS_MS */
};

bool kafka_settings_apply(
    rd_kafka_conf_t *conf, const struct ingest_options *options, struct err *err)
{
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
        if (!set(conf, defaults[i][0], defaults[i][1], err))
            return false;
    for (size_t i = 0; i < options->n_kafka; i++) {
        char name[256], value[4096];
        const struct kafka_setting *k = &options->kafka[i];
        if (k->name.len >= sizeof name || k->value.len >= sizeof value)
            return err_set(err, ERR_INVALID, "kafka: setting %.40s is too long", k->name.ptr);
        snprintf(name, sizeof name, "%.*s", SLICE_FMT(k->name));
        snprintf(value, sizeof value, "%.*s", SLICE_FMT(k->value));
        if (!set(conf, name, value, err))
            return false;
    }
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (!set(conf, fixed[i][0], fixed[i][1], err))
            return false;
    return true;
}

size_t kafka_settings_queue_bytes(const rd_kafka_conf_t *conf)
{
    char text[32];
    size_t size = sizeof text;
    if (rd_kafka_conf_get(conf, "queued.max.messages.kbytes", text, &size) != RD_KAFKA_CONF_OK)
        return 0;
    return (size_t)strtoull(text, NULL, 10) << 10;
}
