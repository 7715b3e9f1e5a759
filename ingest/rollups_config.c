#include "ingest/rollups_config.h"

#include <stdlib.h>

#include "base/nearest.h"
#include "ingest/lifecycles_config.h"
#include "ingest/rollup_text.h"
#include "ingest/streams_config.h"
#include "store/labels.h"
#include "store/limits.h"

#define STALE_DEFAULT_MS 3600000
#define MINUTE_MS        60000
/* Former definitions that a lifecycle keeps lie in the milliseconds before a window's end. */
#define LIVES_EVERY_MIN_MS 10
_Static_assert(LIVES_EVERY_MIN_MS > GENERATIONS_MAX, "each has one");
#define HOUR_MS        3600000
#define SCHEMA_DEFAULT 5
#define SCHEMA_MIN     (-4)
#define SCHEMA_MAX     8

static const char *const rollup_keys[] = {"kind", "from", "at", "when", "value", "by", "every",
    "stale_after", "schema", "reduce", "help", "unit"};

struct reader {
    struct settings *settings;
    const struct stream *stream;
    bool sound;   /* expressions over the stream can be checked */
    bool reduces; /* there is a 'reduce' */
    struct rollup *out;
};

static const char *type_name(enum expr_type type)
{
    static const char *const names[] = {"a condition", "a number", "a string", "a time"};
    return names[type];
}

/* NULL after an error, or when the stream's fields are not known. */
static const struct expr *read_expr(
    struct reader *r, const struct yaml_node *node, const char *what, bool label)
{
    struct slice text;
    const struct expr *expr;
    struct err err;
    if (!settings_text(r->settings, node, what, &text) || !r->sound)
        return NULL;
    if (expr_compile(
            text, &r->stream->contract, label, node->file, 1, 1, r->settings->arena, &expr, &err))
        return expr;
    settings_error_inside(r->settings, node, &err);
    return NULL;
}

static void read_when(struct reader *r, const struct yaml_node *node)
{
    const struct expr *when = read_expr(r, node, "'when'", false);
    if (when && expr_type(when) != EXPR_BOOL)
        settings_error(r->settings, node, "'when' must be a condition, this is %s",
            type_name(expr_type(when)));
    r->out->when = when;
}

static void read_value(struct reader *r, const struct yaml_node *node)
{
    const struct expr *value = read_expr(r, node, "'value'", false);
    int64_t min;
    if (!value)
        return;
    if (expr_type(value) != EXPR_NUMBER)
        settings_error(
            r->settings, node, "'value' must be a number, this is %s", type_name(expr_type(value)));
    else if (r->out->def.kind == KIND_COUNTER && (!expr_min(value, &min) || min < 0))
        settings_error(r->settings, node,
            "a counter only grows, and by the contract this value may be negative: give its fields "
            "'min: 0', or use kind: level");
    r->out->value = value;
    r->out->def.digits = expr_digits(value);
}

/* ---- labels ---- */

static void read_label(
    struct reader *r, const struct yaml_node *name, const struct yaml_node *value)
{
    struct rollup *out = r->out;
    if (!label_name_is_plain(name->text) || slice_starts(name->text, SLICE("__"))) {
        settings_error(r->settings, name,
            "'%.*s' is no label name: letters, digits and '_', not a digit or '__' first",
            SLICE_FMT(name->text));
        return;
    }
    if (slice_is(name->text, LABEL_OVERFLOW)) {
        settings_error(r->settings, name,
            "'%.*s' is the store's own label, for what a limit folds: choose another name",
            SLICE_FMT(name->text));
        return;
    }
    for (size_t i = 0; i < out->n_labels; i++)
        if (slice_eq(out->labels[i].name, name->text)) {
            settings_error(r->settings, name, "label '%.*s' occurs twice", SLICE_FMT(name->text));
            return;
        }
    if (out->n_labels == ROLLUP_LABELS_MAX) {
        settings_error(r->settings, name, "at most %d labels", ROLLUP_LABELS_MAX);
        return;
    }
    const struct expr *expr = read_expr(r, value, "a label", true);
    if (expr && expr_type(expr) == EXPR_TIME)
        settings_error(r->settings, value, "a time is never a label: it is new for every event");
    out->labels[out->n_labels++] = (struct rollup_label){.name = name->text, .value = expr};
}

static int compare_labels(const void *a, const void *b)
{
    return slice_cmp(
        ((const struct rollup_label *)a)->name, ((const struct rollup_label *)b)->name);
}

static void read_by(struct reader *r, const struct yaml_node *node)
{
    if (!settings_sequence(r->settings, node, "'by'"))
        return;
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml_node *item = node->values[i];
        if (item->type == YAML_SCALAR && !yaml_is_null(item))
            read_label(r, item, item);
        else if (item->type != YAML_MAPPING || item->n == 0)
            settings_error(r->settings, item, "a label must be a field, or {label: expression}");
        for (size_t k = 0; item->type == YAML_MAPPING && k < item->n; k++)
            read_label(r, item->keys[k], item->values[k]);
    }
    qsort(r->out->labels, r->out->n_labels, sizeof *r->out->labels, compare_labels);
}

/* Without the key, readings of different things meet in one series, and which one is last says
 * nothing: what is wanted of them has to be said. */
static void check_gauge(struct reader *r, const struct yaml_node *name)
{
    const struct rollup *out = r->out;
    int key = r->stream->contract.key;
    bool has_key = false;
    for (size_t i = 0; i < out->n_labels; i++) {
        if (!out->labels[i].value)
            return; /* an error already */
        has_key |= key >= 0 && expr_field(out->labels[i].value) == key;
    }
    if (has_key || r->reduces)
        return;
    if (key < 0)
        settings_error(r->settings, name,
            "a gauge needs the key of its stream among its labels, and stream '%.*s' has no 'key': "
            "say which, or 'reduce': avg, min, max, sum or last of all readings of a window",
            SLICE_FMT(r->stream->name));
    else
        settings_error(r->settings, name,
            "a gauge needs the key of its stream, '%.*s', among its labels, or 'reduce': avg, min, "
            "max, sum or last of all readings of a window",
            SLICE_FMT(r->stream->contract.fields[key].name));
}

/* ---- the rest ---- */

static void read_windows(struct reader *r, const struct yaml_node *node)
{
    struct metric_def *def = &r->out->def;
    const struct yaml_node *value;
    def->every_ms = EVERY_DEFAULT_MS;
    def->stale_after_ms = STALE_DEFAULT_MS;
    if ((value = yaml_get(node, "every")) &&
        settings_duration(r->settings, value, "'every'", &def->every_ms)) {
        int64_t every = def->every_ms;
        bool fits = every > 0 &&
                    (MINUTE_MS % every == 0 || (every % MINUTE_MS == 0 && HOUR_MS % every == 0));
        if (!fits)
            settings_error(r->settings, value,
                "'every' must divide a minute, or be whole minutes that divide an hour, such as 5s "
                "or "
                "15m, not '%.*s'",
                SLICE_FMT(value->text));
    }
    if ((value = yaml_get(node, "stale_after")) &&
        settings_duration(r->settings, value, "'stale_after'", &def->stale_after_ms) &&
        def->stale_after_ms < def->every_ms)
        settings_error(r->settings, value, "'stale_after' must be at least 'every'");
}

static bool read_kind(struct reader *r, const struct yaml_node *node)
{
    static const char *const kinds[] = {"counter", "histogram", "gauge", "level"};
    static const enum kind values[] = {KIND_COUNTER, KIND_HISTOGRAM, KIND_GAUGE, KIND_LEVEL};
    int kind;
    if (!settings_choice(r->settings, node, "'kind'", kinds, 4, &kind))
        return false;
    r->out->def.kind = values[kind];
    return true;
}

static const struct stream *read_from(
    struct reader *r, const struct yaml_node *node, const struct streams *streams)
{
    struct slice names[STREAMS_MAX + LIFECYCLES_MAX], text;
    if (!settings_text(r->settings, node, "'from'", &text))
        return NULL;
    for (size_t i = 0; i < streams->n_streams; i++) {
        names[i] = streams->streams[i].name;
        if (!slice_eq(names[i], text))
            continue;
        r->out->stream = (int)i;
        return &streams->streams[i];
    }
    for (size_t i = 0; i < streams->n_lifecycles; i++) {
        names[streams->n_streams + i] = streams->lifecycles[i].name;
        if (slice_eq(streams->lifecycles[i].name, text)) {
            r->out->lifecycle = (int)i;
            return NULL;
        }
    }
    int near = nearest_find(text, names, streams->n_streams + streams->n_lifecycles);
    if (near >= 0)
        settings_error(r->settings, node, "no stream '%.*s', did you mean '%.*s'?", SLICE_FMT(text),
            SLICE_FMT(names[near]));
    else
        settings_error(r->settings, node, "no stream '%.*s' in 'streams'", SLICE_FMT(text));
    return NULL;
}

static void read_schema(struct reader *r, const struct yaml_node *node)
{
    int64_t schema = SCHEMA_DEFAULT;
    if (node && r->out->def.kind && r->out->def.kind != KIND_HISTOGRAM)
        settings_error(r->settings, node, "only histograms have a 'schema'");
    else if (node)
        settings_int(r->settings, node, "'schema'", SCHEMA_MIN, SCHEMA_MAX, &schema);
    r->out->def.schema = r->out->def.kind == KIND_HISTOGRAM ? (int)schema : 0;
}

static void read_reduce(struct reader *r, const struct yaml_node *node)
{
    static const char *const names[] = {"last", "avg", "min", "max", "sum"}; /* enum gauge_reduce */
    int reduce;
    if (!node)
        return;
    r->reduces = true;
    if (r->out->def.kind && r->out->def.kind != KIND_GAUGE)
        settings_error(r->settings, node, "only gauges have a 'reduce'");
    else if (settings_choice(r->settings, node, "'reduce'", names, 5, &reduce))
        r->out->def.schema = reduce;
}

static void read_texts(struct reader *r, const struct yaml_node *node)
{
    const struct yaml_node *value;
    if ((value = yaml_get(node, "help")))
        settings_text(r->settings, value, "'help'", &r->out->def.help);
    if ((value = yaml_get(node, "unit")))
        settings_text(r->settings, value, "'unit'", &r->out->def.unit);
}

static void check_name(struct settings *settings, const struct yaml_node *name)
{
    if (!metric_name_is_plain(name->text) || name->text.len > LABEL_NAME_MAX)
        settings_error(settings, name,
            "'%.*s' is no metric name: letters, digits, '_' and ':', not a digit first",
            SLICE_FMT(name->text));
}

/* Metrics that depend on how lives end are complete only when the lives are. */
static void read_of_lifecycle(struct reader *r, const struct yaml_node *node,
    const struct streams *streams, struct lifecycle *lifecycles)
{
    struct lifecycle *l = &lifecycles[r->out->lifecycle];
    lifecycle_rollup_read(r->settings, node, l, streams, r->out);
    bool known = r->out->at != ROLLUP_AT_STAGE || r->out->stage >= 0;
    bool waits = known && lifecycle_rollup_waits(l, r->out);
    r->out->def.clock = waits ? l->cohort_clock : l->name;
}

static void read_rollup(struct settings *settings, const struct yaml_node *name,
    const struct yaml_node *node, const struct streams *streams, const bool *sound,
    struct lifecycle *lifecycles, struct rollup *out)
{
    struct reader r = {.settings = settings, .out = out};
    const struct yaml_node *value;
    out->def.name = name->text;
    check_name(settings, name);
    if (!settings_mapping(settings, node, "a rollup", rollup_keys, 12))
        return;
    value = settings_need(settings, node, "kind", "counter, histogram, gauge or level");
    bool known = value && read_kind(&r, value);
    read_schema(&r, yaml_get(node, "schema"));
    read_windows(&r, node);
    read_reduce(&r, yaml_get(node, "reduce"));
    read_texts(&r, node);
    out->stream = out->lifecycle = -1;
    value = settings_need(settings, node, "from", "the name of a stream or lifecycle");
    r.stream = value ? read_from(&r, value, streams) : NULL;
    if (known && out->lifecycle >= 0)
        read_of_lifecycle(&r, node, streams, lifecycles);
    if (out->lifecycle >= 0 && out->def.every_ms > 0 && out->def.every_ms < LIVES_EVERY_MIN_MS)
        settings_error(settings, yaml_get(node, "every"),
            "'every' must be at least %dms of a lifecycle", LIVES_EVERY_MIN_MS);
    if (!r.stream)
        return;
    if ((value = yaml_get(node, "at")))
        settings_error(settings, value, "'at' is for rollups of lifecycles");
    r.sound = sound[out->stream];
    out->def.clock = r.stream->name;
    if ((value = yaml_get(node, "when")))
        read_when(&r, value);
    if ((value = yaml_get(node, "value")))
        read_value(&r, value);
    else if (known && out->def.kind != KIND_COUNTER)
        settings_error(settings, node, "'value' is missing: a %s is made of numbers",
            kind_name(out->def.kind));
    if ((value = yaml_get(node, "by")))
        read_by(&r, value);
    if (known && out->def.kind == KIND_GAUGE && r.sound)
        check_gauge(&r, name);
}

/* Of what is mistaken the text is of no use. */
static void keep_text(struct settings *settings, const struct yaml_node *node, struct rollup *out)
{
    struct buf text;
    buf_init(&text, 0);
    rollup_text_write(node, &text);
    out->text = arena_slice(settings->arena, buf_view(&text));
    out->meaning = rollup_meaning(node, out);
    buf_fini(&text);
}

void rollups_config_read(struct settings *settings, const struct yaml_node *name,
    const struct yaml_node *node, const struct streams *streams, const bool *sound,
    struct lifecycle *lifecycles, struct rollup *out)
{
    size_t mistakes = settings->errors->n;
    read_rollup(settings, name, node, streams, sound, lifecycles, out);
    if (settings->errors->n == mistakes && node->type == YAML_MAPPING)
        keep_text(settings, node, out);
}
