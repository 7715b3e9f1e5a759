#include "ingest/letters/kafka_client.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ingest/source/client_end.h"

#define END_MS 2000

/* That a setting is for the other kind of client is no news: both read one list. */
static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
    (void)rk;
    enum log_level l = strcmp(fac, "CONFWARN") == 0 ? LOG_DEBUG
                       : level <= 3                 ? LOG_ERROR
                       : level <= 5                 ? LOG_WARN
                                                    : LOG_DEBUG;
    log_line(l, "kafka: letters: %s: %s", fac, text);
}

/* Who calls hears of errors by what he has called; brokers that are away are not told again. */
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    (void)rk;
    (void)opaque;
    log_debug("kafka: letters: %s: %s", rd_kafka_err2name((rd_kafka_resp_err_t)code), reason);
}

bool kafka_client_new(rd_kafka_type_t type, const struct ingest_options *options,
    const struct client_setting *defaults, size_t n_defaults, const struct client_setting *fixed,
    size_t n_fixed, rd_kafka_conf_t *conf_take, rd_kafka_t **out, struct err *err)
{
    char text[512];
    rd_kafka_conf_t *conf = conf_take ? conf_take : rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    bool ok =
        client_settings_common(conf, err) && client_settings_set(conf, defaults, n_defaults, err) &&
        client_settings_user(conf, options, err) && client_settings_set(conf, fixed, n_fixed, err);
    *out = ok ? rd_kafka_new(type, conf, text, sizeof text) : NULL;
    if (ok && !*out)
        err_set(err, ERR_INVALID, "kafka: %s", text);
    if (!*out)
        rd_kafka_conf_destroy(conf);
    return *out != NULL;
}

bool kafka_reader_new(
    const struct ingest_options *options, bool committed, rd_kafka_t **out, struct err *err)
{
    static const struct client_setting defaults[] = {
        {"group.id", "larder"}, {"fetch.wait.max.ms", "100"}};
    const struct client_setting fixed[] = {
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "earliest"},
        {"enable.partition.eof", "true"},
        {"check.crcs", "true"},
        {"isolation.level", committed ? "read_committed" : "read_uncommitted"},
    };
    if (!kafka_client_new(RD_KAFKA_CONSUMER, options, defaults, 2, fixed,
            sizeof fixed / sizeof *fixed, NULL, out, err))
        return false;
    rd_kafka_poll_set_consumer(*out);
    return true;
}

void kafka_client_end(rd_kafka_t *client)
{
    client_end(client, END_MS);
}

bool kafka_topic_partitions(
    rd_kafka_t *client, const char *topic, int wait_ms, int *out, struct err *err)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(client, topic, NULL);
    if (!rkt)
        return err_set(err, ERR_INVALID, "topic %s: not a valid name", topic);
    rd_kafka_resp_err_t rc = rd_kafka_metadata(client, 0, rkt, &md, wait_ms);
    rd_kafka_topic_destroy(rkt);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        return err_set(err, ERR_UNAVAILABLE, "topic %s: %s", topic, rd_kafka_err2str(rc));
    rd_kafka_resp_err_t error =
        md->topic_cnt == 1 ? md->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    *out = md->topic_cnt == 1 ? md->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(md);
    if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return err_set(err, ERR_NOT_FOUND, "topic %s does not exist on the broker", topic);
    if (error || *out == 0)
        return err_set(err, ERR_UNAVAILABLE, "topic %s: %s", topic,
            error ? rd_kafka_err2str(error) : "the broker names no partitions of it");
    return true;
}

struct slice kafka_instance(const struct ingest_options *options)
{
    for (size_t i = options->n_kafka; i-- > 0;)
        if (slice_is(options->kafka[i].name, "group.id"))
            return options->kafka[i].value;
    return SLICE("larder");
}
