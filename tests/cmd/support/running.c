#include "tests/cmd/support/running.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cmd/ask.h"
#include "tests/api/raw_client.h"
#include "tests/store/support/folder.h"

void running_write(struct running *r, const char *text)
{
    FILE *file = fopen(r->file, "w");
    assert_non_null(file);
    fprintf(file, "kafka: {brokers: \"%s\", fetch.wait.max.ms: 10}\n%s",
        rd_kafka_mock_cluster_bootstraps(r->cluster), text);
    fclose(file);
}

static rd_kafka_t *producer_new(const char *brokers)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (brokers)
        rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(rk);
    return rk;
}

static void start(struct running *r)
{
    struct err_list errors;
    struct err err = {0};
    char path[128];
    snprintf(path, sizeof path, "store.path=%s/data", r->folder);
    const char *overrides[] = {path, "http.listen=127.0.0.1:0"};
    assert_true(config_load(r->file, overrides, 2, &r->config, &errors));
    err_list_fini(&errors);
    if (!service_open(&r->config, &r->service, &err))
        fail_msg("%s", err.text);
    while (!service_await(r->service, 1000, &err))
        assert_int_equal(err.code, ERR_TIMEOUT);
    if (!service_run(r->service, &err))
        fail_msg("%s", err.text);
    snprintf(r->url, sizeof r->url, "http://127.0.0.1:%d", service_port(r->service));
}

static void stop(struct running *r)
{
    service_stop(&r->service);
    config_free(&r->config);
}

void running_restart(struct running *r)
{
    stop(r);
    start(r);
}

void running_open(struct running *r, const char *text)
{
    *r = (struct running){0};
    folder_new("running", r->folder, sizeof r->folder);
    snprintf(r->file, sizeof r->file, "%s/larder.yml", r->folder);
    r->host = producer_new(NULL);
    r->cluster = rd_kafka_mock_cluster_new(r->host, 1);
    assert_non_null(r->cluster);
    r->producer = producer_new(rd_kafka_mock_cluster_bootstraps(r->cluster));
    assert_int_equal(rd_kafka_mock_topic_create(r->cluster, "orders", 3, 1), 0);
    assert_int_equal(rd_kafka_mock_topic_create(r->cluster, "audits", 1, 1), 0);
    running_write(r, text);
    start(r);
}

void running_close(struct running *r)
{
    stop(r);
    rd_kafka_destroy(r->producer);
    rd_kafka_mock_cluster_destroy(r->cluster);
    rd_kafka_destroy(r->host);
    folder_remove(r->folder);
}

static void send_one(
    struct running *r, const char *topic, int64_t timestamp_ms, char *json, size_t len)
{
    assert_int_equal(rd_kafka_producev(r->producer, RD_KAFKA_V_TOPIC(topic),
                         RD_KAFKA_V_VALUE(json, len), RD_KAFKA_V_TIMESTAMP(timestamp_ms),
                         RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
        0);
}

void running_produce(struct running *r, const char *topic, int n)
{
    for (int i = 0; i < n; i++, r->sent++) {
        char json[256];
        int len = snprintf(json, sizeof json, "{\"id\":\"%d\",\"at\":%lld,\"market\":\"m%d\"}",
            r->sent, (long long)(RUNNING_T0 + r->sent), r->sent % 5);
        send_one(r, topic, RUNNING_T0 + r->sent, json, (size_t)len);
    }
    assert_int_equal(rd_kafka_flush(r->producer, 20000), 0);
}

void running_send(struct running *r, const char *topic, int64_t timestamp_ms, const char *json)
{
    char copy[512];
    int len = snprintf(copy, sizeof copy, "%s", json);
    send_one(r, topic, timestamp_ms, copy, (size_t)len);
    assert_int_equal(rd_kafka_flush(r->producer, 20000), 0);
}

long running_post(struct running *r, const char *path, const char *form, struct buf *out)
{
    long status = 0;
    struct err err = {0};
    buf_clear(out);
    if (!ask_post(r->url, path, slice_from(form), 30000, out, &status, &err))
        fail_msg("%s", err.text);
    return status;
}

/* The value behind the text in the answer. */
int running_total(struct running *r, const char *query)
{
    char form[256];
    int value = -1;
    struct buf body;
    buf_init(&body, 0);
    snprintf(form, sizeof form, "query=%s&time=%lld", query, (long long)(RUNNING_T0 / 1000 + 3600));
    assert_int_equal(running_post(r, "/api/v1/query", form, &body), 200);
    const char *at = strstr(buf_cstr(&body), "\"value\":[");
    if (at && (at = strstr(at, ",\"")))
        value = atoi(at + 2);
    buf_fini(&body);
    return value;
}

void running_await(struct running *r, const char *query, int want)
{
    int have = running_total(r, query);
    for (int i = 0; i < 1000 && have < want; i++) {
        clock_sleep_ms(20);
        have = running_total(r, query);
    }
    assert_int_equal(have, want);
}

double running_metric(struct running *r, const char *name)
{
    struct buf body;
    double value = -1;
    buf_init(&body, 0);
    assert_int_equal(client_get(service_port(r->service), "/metrics", &body), 200);
    const char *at = strstr(buf_cstr(&body), name);
    while (at && (at[-1] != '\n' || at[strlen(name)] != ' '))
        at = strstr(at + 1, name);
    if (at)
        value = atof(at + strlen(name) + 1);
    buf_fini(&body);
    return value;
}
