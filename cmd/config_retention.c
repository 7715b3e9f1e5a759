#include "cmd/config_retention.h"

#define RETENTION_MIN_MS INT64_C(86400000)

#define AGES 3
static const char *const age_keys[AGES] = {"raw", "1m", "1h"};

static void read_age(struct settings *settings, const struct yaml_node *value, int64_t *out)
{
    if (settings_duration(settings, value, "a retention", out) && *out < RETENTION_MIN_MS)
        settings_error(settings, value, "a retention must be at least 1d");
}

/* Of a metric an age may also be `forever`, where that of the others is not. */
static void read_metric(
    struct settings *settings, const struct yaml_node *node, struct metric_retention *out)
{
    int64_t *const ages[AGES] = {&out->raw_ms, &out->minute_ms, &out->hour_ms};
    if (!settings_mapping(settings, node, "the retention of a metric", age_keys, AGES))
        return;
    for (size_t i = 0; i < AGES; i++) {
        const struct yaml_node *value = yaml_get(node, age_keys[i]);
        if (value && value->type == YAML_SCALAR && slice_is(value->text, "forever"))
            *ages[i] = RETENTION_FOR_EVER;
        else if (value)
            read_age(settings, value, ages[i]);
    }
}

static void read_metrics(
    struct settings *settings, const struct yaml_node *node, struct retention *out)
{
    if (!settings_names(settings, node, "'metrics'"))
        return;
    if (node->n > RETENTION_METRICS_MAX) {
        settings_error(settings, node, "at most %d metrics with a retention of their own",
            RETENTION_METRICS_MAX);
        return;
    }
    struct metric_retention *metrics = arena_zalloc(settings->arena, node->n * sizeof *metrics);
    for (size_t i = 0; i < node->n; i++) {
        metrics[i].metric = node->keys[i]->text;
        read_metric(settings, node->values[i], &metrics[i]);
    }
    out->metrics = metrics;
    out->n_metrics = node->n;
}

void config_retention_read(
    struct settings *settings, const struct yaml_node *node, struct retention *out)
{
    static const char *const keys[] = {"raw", "1m", "1h", "max_bytes", "metrics"};
    int64_t *const ages[AGES] = {&out->raw_ms, &out->minute_ms, &out->hour_ms};
    const struct yaml_node *value;
    if (!settings_mapping(settings, node, "'retention'", keys, sizeof keys / sizeof *keys))
        return;
    for (size_t i = 0; i < AGES; i++)
        if ((value = yaml_get(node, age_keys[i])))
            read_age(settings, value, ages[i]);
    if ((value = yaml_get(node, "max_bytes")))
        settings_bytes(settings, value, "'max_bytes'", &out->max_bytes);
    if ((value = yaml_get(node, "metrics")))
        read_metrics(settings, value, out);
}
