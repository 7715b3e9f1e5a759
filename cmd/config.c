#include "cmd/config.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/settings.h"
#include "cmd/config_kafka.h"
#include "cmd/config_override.h"
#include "cmd/config_retention.h"
#include "cmd/config_shard.h"
#include "ingest/registry_config.h"
#include "ingest/streams_config.h"

#define LISTEN_DEFAULT_ADDRESS  "127.0.0.1"
#define LISTEN_DEFAULT_PORT     9595
#define STORE_DEFAULT_PATH      "data"
#define SAMPLE_AHEAD_DEFAULT_MS 600000 /* as Prometheus has it for remote write */
#define HEAD_BYTES_MIN          (UINT64_C(16) << 20)

#define QUERY_TIMEOUT_MAX_MS  INT64_C(86400000)
#define QUERY_CONCURRENCY_MAX 1024
#define QUERY_QUEUE_MAX       65536
#define QUERY_SAMPLES_MAX     INT64_C(1000000000000)
#define QUERY_SERIES_MAX      INT64_C(1000000000)
#define QUERY_MEMORY_MIN      (UINT64_C(1) << 20)
#define INGEST_MEMORY_MIN     (UINT64_C(16) << 20)

static const struct query_limits query_defaults = {
    .timeout_ms = 120000,
    .concurrency = 4,
    .queue = 64,
    .max_samples = 50000000,
    .max_series = 500000,
    .memory_bytes = UINT64_C(1) << 30,
};

static const struct ingest_limits ingest_defaults = {
    .workers = 2,
    .memory_bytes = UINT64_C(512) << 20,
};

static const char *const root_keys[] = {"kafka", "shard", "registry", "http", "store", "query",
    "ingest", "streams", "lifecycles", "rollups"};

/* "ADDRESS:PORT" with an address of digits, an IPv6 one in brackets; or localhost. */
static bool parse_listen(struct slice text, char *address, size_t size, int *port)
{
    const char *colon = memrchr(text.ptr, ':', text.len);
    if (!colon)
        return false;
    struct slice host = slice_of(text.ptr, (size_t)(colon - text.ptr));
    bool brackets = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (brackets)
        host = slice_of(host.ptr + 1, host.len - 2);
    if (slice_is(host, "localhost"))
        host = SLICE(LISTEN_DEFAULT_ADDRESS);
    if (host.len >= size)
        return false;
    memcpy(address, host.ptr, host.len);
    address[host.len] = 0;
    unsigned char bytes[16];
    if (inet_pton(brackets ? AF_INET6 : AF_INET, address, bytes) != 1)
        return false;
    *port = 0;
    const char *p = colon + 1, *end = text.ptr + text.len;
    if (p == end || end - p > 5)
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        *port = *port * 10 + (*p - '0');
    }
    return *port <= 65535;
}

static void read_http(
    struct settings *settings, const struct yaml_node *node, struct config *config)
{
    static const char *const keys[] = {"listen"};
    char address[64];
    struct slice text;
    if (!settings_mapping(settings, node, "'http'", keys, 1))
        return;
    const struct yaml_node *listen = yaml_get(node, "listen");
    if (!listen || !settings_text(settings, listen, "'listen'", &text))
        return;
    if (!parse_listen(text, address, sizeof address, &config->http_port))
        settings_error(settings, listen,
            "'listen' must be an address and a port, such as \"127.0.0.1:9595\", \"0.0.0.0:9595\" "
            "or "
            "\"[::1]:9595\", not '%.*s'",
            SLICE_FMT(text));
    else
        config->http_address = arena_slice(settings->arena, slice_from(address)).ptr;
}

static void read_limits(struct settings *settings, const struct yaml_node *node, struct limits *out)
{
    static const char *const keys[] = {"series", "series_per_metric", "labels_per_series",
        "label_name_bytes", "label_value_bytes", "sample_age", "sample_ahead"};
    const struct {
        const char *key, *what;
        int64_t max;
        uint64_t *wide;
        uint32_t *narrow;
    } counts[] = {
        {"series", "'series'", UINT32_MAX, &out->series, NULL},
        {"series_per_metric", "'series_per_metric'", UINT32_MAX, &out->series_per_metric, NULL},
        {"labels_per_series", "'labels_per_series'", LABELS_MAX, NULL, &out->labels_per_series},
        {"label_name_bytes", "'label_name_bytes'", LABEL_NAME_MAX, NULL, &out->label_name_bytes},
        {"label_value_bytes", "'label_value_bytes'", LABEL_VALUE_MAX, NULL,
            &out->label_value_bytes},
    };
    const struct yaml_node *value;
    if (!settings_mapping(settings, node, "'limits'", keys, sizeof keys / sizeof *keys))
        return;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int64_t n;
        if (!(value = yaml_get(node, counts[i].key)) ||
            !settings_int(settings, value, counts[i].what, 1, counts[i].max, &n))
            continue;
        if (counts[i].wide)
            *counts[i].wide = (uint64_t)n;
        else
            *counts[i].narrow = (uint32_t)n;
    }
    if ((value = yaml_get(node, "sample_age")))
        settings_duration(settings, value, "'sample_age'", &out->sample_age_ms);
    if ((value = yaml_get(node, "sample_ahead")))
        settings_duration(settings, value, "'sample_ahead'", &out->sample_ahead_ms);
}

static void read_store(
    struct settings *settings, const struct yaml_node *node, struct config *config)
{
    static const char *const keys[] = {"path", "head_memory", "retention", "limits"};
    const struct yaml_node *value;
    struct slice path;
    if (!settings_mapping(settings, node, "'store'", keys, 4))
        return;
    if ((value = yaml_get(node, "path")) && settings_text(settings, value, "'path'", &path))
        config->store_path = path.ptr; /* scalars of the tree end in NUL */
    if ((value = yaml_get(node, "head_memory")) &&
        settings_bytes(settings, value, "'head_memory'", &config->store_head_bytes) &&
        config->store_head_bytes < HEAD_BYTES_MIN)
        settings_error(settings, value, "'head_memory' must be at least 16MiB");
    if ((value = yaml_get(node, "retention")))
        config_retention_read(settings, value, &config->retention);
    if ((value = yaml_get(node, "limits")))
        read_limits(settings, value, &config->limits);
}

static void read_query(
    struct settings *settings, const struct yaml_node *node, struct query_limits *limits)
{
    static const char *const keys[] = {
        "timeout", "concurrency", "queue", "max_samples", "max_series", "memory"};
    const struct {
        const char *key, *what;
        int64_t max, *out;
    } counts[] = {
        {"concurrency", "'concurrency'", QUERY_CONCURRENCY_MAX, &limits->concurrency},
        {"queue", "'queue'", QUERY_QUEUE_MAX, &limits->queue},
        {"max_samples", "'max_samples'", QUERY_SAMPLES_MAX, &limits->max_samples},
        {"max_series", "'max_series'", QUERY_SERIES_MAX, &limits->max_series},
    };
    const struct yaml_node *value;
    if (!settings_mapping(settings, node, "'query'", keys, sizeof keys / sizeof *keys))
        return;
    if ((value = yaml_get(node, "timeout")) &&
        settings_duration(settings, value, "'timeout'", &limits->timeout_ms) &&
        (limits->timeout_ms < 1 || limits->timeout_ms > QUERY_TIMEOUT_MAX_MS))
        settings_error(settings, value, "'timeout' must be from 1ms to 24h");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if ((value = yaml_get(node, counts[i].key)))
            settings_int(settings, value, counts[i].what, 1, counts[i].max, counts[i].out);
    if ((value = yaml_get(node, "memory")) &&
        settings_bytes(settings, value, "'memory'", &limits->memory_bytes) &&
        limits->memory_bytes < QUERY_MEMORY_MIN)
        settings_error(settings, value, "'memory' must be at least 1MiB");
}

static void read_ingest(
    struct settings *settings, const struct yaml_node *node, struct ingest_limits *limits)
{
    static const char *const keys[] = {"workers", "memory"};
    const struct yaml_node *value;
    if (!settings_mapping(settings, node, "'ingest'", keys, 2))
        return;
    if ((value = yaml_get(node, "workers")))
        settings_int(settings, value, "'workers'", 1, INGEST_WORKERS_MAX, &limits->workers);
    if ((value = yaml_get(node, "memory")) &&
        settings_bytes(settings, value, "'memory'", &limits->memory_bytes) &&
        limits->memory_bytes < INGEST_MEMORY_MIN)
        settings_error(settings, value, "'memory' must be at least 16MiB");
}

/* What no event could ever pass is said before the first one comes. */
static void check_rollup(struct settings *settings, const struct yaml_node *name,
    const struct rollup *rollup, const struct limits *limits)
{
    if (limits->labels_per_series && rollup->n_labels + 1 > limits->labels_per_series)
        settings_error(settings, name,
            "'%.*s' has series of %zu labels, its name among them, and 'labels_per_series' is %u",
            SLICE_FMT(name->text), rollup->n_labels + 1, limits->labels_per_series);
    if (limits->label_value_bytes && name->text.len > limits->label_value_bytes)
        settings_error(settings, name,
            "'%.*s' has %zu bytes, and 'label_value_bytes', which holds for names of metrics too, "
            "is %u",
            SLICE_FMT(name->text), name->text.len, limits->label_value_bytes);
    if (limits->label_name_bytes && limits->label_name_bytes < sizeof LABEL_METRIC_NAME - 1)
        settings_error(settings, name,
            "'label_name_bytes' is %u, and every series has the label " LABEL_METRIC_NAME,
            limits->label_name_bytes);
    for (size_t i = 0; i < rollup->n_labels; i++)
        if (limits->label_name_bytes && rollup->labels[i].name.len > limits->label_name_bytes)
            settings_error(settings, name,
                "label '%.*s' has %zu bytes, and 'label_name_bytes' is %u",
                SLICE_FMT(rollup->labels[i].name), rollup->labels[i].name.len,
                limits->label_name_bytes);
}

static void check_rollups(
    struct settings *settings, const struct yaml_node *rollups, const struct config *config)
{
    for (size_t i = 0; i + config->streams.n_former < config->streams.n_rollups; i++)
        check_rollup(settings, rollups->keys[i], &config->streams.rollups[i], &config->limits);
}

/* In the order of the file, which that of fields and stages is. Depth is bounded by the parser. */
static void write_node(const struct yaml_node *node, struct buf *out)
{
    if (!node)
        return;
    buf_u8(out, (uint8_t)node->type);
    buf_lstr(out, node->type == YAML_SCALAR ? node->text : SLICE(""));
    buf_varint(out, node->n);
    for (size_t i = 0; i < node->n; i++) {
        if (node->type == YAML_MAPPING)
            write_node(node->keys[i], out);
        write_node(node->values[i], out);
    }
}

static struct hash128 hash_ingested(const struct yaml_node *root, const struct streams *streams)
{
    static const char *const keys[] = {
        "kafka", "shard", "registry", "streams", "lifecycles", "rollups"};
    struct buf text;
    buf_init(&text, 0);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        buf_u8(&text, 0xff);
        write_node(yaml_get(root, keys[i]), &text);
    }
    for (size_t i = 0; i < streams->n_streams; i++)
        buf_lstr(&text, streams->streams[i].reader_schema); /* a file of its own */
    struct hash128 hash = hash128(text.ptr, text.len);
    buf_fini(&text);
    return hash;
}

static void read_root(struct settings *settings, const struct yaml_node *root,
    const struct rollup_histories *past, struct config *config)
{
    const struct yaml_node *value;
    if (!settings_mapping(
            settings, root, "the config", root_keys, sizeof root_keys / sizeof *root_keys))
        return;
    const struct yaml_node *streams = yaml_get(root, "streams");
    if ((value = yaml_get(root, "kafka")))
        config_kafka_read(settings, value, &config->kafka, &config->n_kafka);
    else if (streams)
        settings_need(settings, root, "kafka", "kafka: {brokers: \"HOST:PORT\"}");
    if ((value = yaml_get(root, "shard")))
        config_shard_read(settings, value, &config->shard);
    if ((value = yaml_get(root, "http")))
        read_http(settings, value, config);
    if ((value = yaml_get(root, "store")))
        read_store(settings, value, config);
    if ((value = yaml_get(root, "query")))
        read_query(settings, value, &config->query);
    if ((value = yaml_get(root, "ingest")))
        read_ingest(settings, value, &config->ingest);
    value = yaml_get(root, "registry");
    const struct registry_options *registry = value ? registry_config_read(settings, value) : NULL;
    value = yaml_get(root, "rollups");
    streams_config_read(
        settings, streams, yaml_get(root, "lifecycles"), value, registry, past, &config->streams);
    check_rollups(settings, value, config);
    config->ingested = hash_ingested(root, &config->streams);
}

static void keep_overrides(struct config *out, const char *const *overrides, size_t n)
{
    const char **kept = arena_array(&out->arena, n + 1, sizeof *kept);
    ensure(kept);
    for (size_t i = 0; i < n; i++)
        kept[i] = arena_slice(&out->arena, slice_from(overrides[i])).ptr;
    out->overrides = kept;
    out->n_overrides = n;
}

bool config_load(const char *path, const char *const *overrides, size_t n_overrides,
    struct config *out, struct err_list *errors)
{
    return config_load_with(path, overrides, n_overrides, NULL, out, errors);
}

bool config_load_with(const char *path, const char *const *overrides, size_t n_overrides,
    const struct rollup_histories *past, struct config *out, struct err_list *errors)
{
    struct yaml_node *root;
    struct err err;
    *errors = (struct err_list){0};
    *out = (struct config){.http_address = LISTEN_DEFAULT_ADDRESS,
        .http_port = LISTEN_DEFAULT_PORT,
        .store_path = STORE_DEFAULT_PATH,
        .query = query_defaults,
        .ingest = ingest_defaults,
        .limits = {.sample_ahead_ms = SAMPLE_AHEAD_DEFAULT_MS}};
    arena_init(&out->arena, 0); /* the tree is bounded, and what is made from it is in proportion */
    struct settings settings = {errors, &out->arena};
    out->file = arena_slice(&out->arena, slice_from(path)).ptr;
    keep_overrides(out, overrides, n_overrides);
    if (yaml_load(path, &out->arena, &root, &err)) {
        for (size_t i = 0; i < n_overrides && root->type == YAML_MAPPING; i++)
            config_override(&settings, root, overrides[i]);
        read_root(&settings, root, past, out);
    } else {
        err_list_add(errors, &err);
    }
    err_list_sort(errors);
    return errors->n == 0;
}

void config_free(struct config *config)
{
    arena_fini(&config->arena);
    *config = (struct config){0};
}
