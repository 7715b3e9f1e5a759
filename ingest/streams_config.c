#include "ingest/streams_config.h"

#include <limits.h>
#include <stdio.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/regex.h"
#include "ingest/avro/avro_schema.h"
#include "ingest/fields_config.h"
#include "ingest/json_event.h"
#include "ingest/letters/outbox.h"
#include "ingest/lifecycles_config.h"
#include "ingest/rollups_config.h"
#include "ingest/stream_topics.h"
#include "store/labels.h"

#define LATE_DEFAULT_MS  INT64_C(86400000)
#define AHEAD_DEFAULT_MS INT64_C(300000)
#define IDLE_DEFAULT_MS  INT64_C(30000)
#define EXEMPLARS_MS     INT64_C(86400000)
#define TOPIC_NAME_MAX   249 /* Kafka's */
#define PATTERN_MAX      1000
#define OUTBOX_DEFAULT   (64u << 20)

static const char *const stream_keys[] = {"topics", "key", "format", "schema", "event_time",
    "event_id", "revision", "fields", "late", "ahead", "arrival", "owner", "watermark_bound",
    "idle_after", "start", "out_of_range", "dead_letters", "outbox", "retry", "exemplars"};

/* Kafka's own rule. */
static bool topic_is_valid(struct slice name)
{
    if (name.len == 0 || name.len > TOPIC_NAME_MAX || slice_is(name, ".") || slice_is(name, ".."))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* The stream that has the topic; NULL: none. */
static const struct stream *topic_owner(const struct stream *streams, size_t n, struct slice topic)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < streams[i].n_topics; k++)
            if (slice_eq(streams[i].topics[k], topic))
                return &streams[i];
    return NULL;
}

/* The text of a pattern is checked here, and compiled again by whoever matches with it. */
static bool pattern_is_valid(
    struct settings *settings, const struct yaml_node *node, struct slice text)
{
    struct regex *regex;
    struct err err = {0};
    if (text.len > PATTERN_MAX)
        return settings_error(settings, node, "a pattern has at most %d bytes", PATTERN_MAX);
    if (!regex_new(slice_of(text.ptr + 1, text.len - 1), &regex, &err))
        return settings_error(settings, node, "'%.*s': %s", SLICE_FMT(text), err.text);
    regex_free(&regex);
    return true;
}

static bool topic_is_sound(
    struct settings *settings, const struct yaml_node *node, struct slice topic)
{
    if (topic_is_pattern(topic))
        return pattern_is_valid(settings, node, topic);
    return topic_is_valid(topic) ||
           settings_error(settings, node,
               "'%.*s' is no topic name: Kafka allows 1 to %d letters, digits, '.', '_' and '-'; a "
               "pattern begins with '^'",
               SLICE_FMT(topic), TOPIC_NAME_MAX);
}

/* Whether none of the streams has it. */
static bool topic_is_free(struct settings *settings, const struct yaml_node *node,
    const struct stream *streams, size_t n, struct slice topic)
{
    const struct stream *owner = topic_owner(streams, n, topic);
    return !owner || settings_error(settings, node, "topic '%.*s' belongs to stream '%.*s' already",
                         SLICE_FMT(topic), SLICE_FMT(owner->name));
}

/* A single topic that none of the streams has, and no pattern. */
static bool read_topic_name(struct settings *settings, const struct yaml_node *node,
    const char *what, const struct stream *streams, size_t n, struct slice *out)
{
    if (!settings_text(settings, node, what, out))
        return false;
    if (!topic_is_valid(*out))
        return settings_error(settings, node,
            "'%.*s' is no topic name: Kafka allows 1 to %d letters, digits, '.', '_' and '-'",
            SLICE_FMT(*out), TOPIC_NAME_MAX);
    return topic_is_free(settings, node, streams, n, *out);
}

/* streams[n] is the one that is read; retry, which may be NULL, names the last of its topics. */
static void read_topics(struct settings *settings, const struct yaml_node *node,
    const struct yaml_node *retry, struct stream *streams, size_t n)
{
    struct stream *stream = &streams[n];
    if (!settings_sequence(settings, node, "'topics'"))
        return;
    if (node->n == 0 || node->n > TOPICS_MAX) {
        settings_error(settings, node, "a stream has 1 to %d topics", TOPICS_MAX);
        return;
    }
    struct slice *topics = arena_array(settings->arena, node->n + 1, sizeof *topics);
    ensure(topics);
    stream->topics = topics;
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml_node *item = node->values[i];
        struct slice topic;
        if (settings_text(settings, item, "a topic", &topic) &&
            topic_is_sound(settings, item, topic) &&
            topic_is_free(settings, item, streams, n + 1, topic))
            topics[stream->n_topics++] = topic;
    }
    if (retry && read_topic_name(settings, retry, "'retry'", streams, n + 1, &stream->retry))
        topics[stream->n_topics++] = stream->retry;
}

/* A file beside the config, or anywhere. */
static bool open_beside(const char *config, struct slice name, FILE **out, struct err *err)
{
    const char *slash = config ? strrchr(config, '/') : NULL;
    bool beside = slash && name.len && name.ptr[0] != '/';
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%.*s%.*s", beside ? (int)(slash + 1 - config) : 0,
        beside ? config : "", SLICE_FMT(name));
    *out = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    return *out || err_sys(err, "cannot read '%.*s'", SLICE_FMT(name));
}

static void read_schema(
    struct settings *settings, const struct yaml_node *node, struct stream *stream)
{
    struct slice name;
    struct avro_schema *schema;
    struct buf text;
    struct err err = {0};
    FILE *file;
    if (!settings_text(settings, node, "'schema'", &name))
        return;
    if (!open_beside(node->file, name, &file, &err)) {
        settings_error(settings, node, "%s", err.text);
        return;
    }
    buf_init(&text, AVRO_SCHEMA_BYTES_MAX + 1);
    char *room = buf_reserve(&text, AVRO_SCHEMA_BYTES_MAX + 1);
    text.len = fread(room, 1, AVRO_SCHEMA_BYTES_MAX + 1, file);
    fclose(file);
    stream->reader_schema = arena_slice(settings->arena, buf_view(&text));
    buf_fini(&text);
    if (!avro_schema_parse(&stream->reader_schema, 1, &schema, &err)) {
        settings_error(settings, node, "%.*s: %s", SLICE_FMT(name), err.text);
        return;
    }
    if (avro_schema_root(schema)->type != AVRO_RECORD)
        settings_error(settings, node, "%.*s: an event is a record", SLICE_FMT(name));
    avro_schema_free(&schema);
}

static void read_format(struct settings *settings, const struct yaml_node *node,
    const struct registry_options *registry, struct stream *stream)
{
    static const char *const formats[] = {"json", "avro"};
    const struct yaml_node *value = yaml_get(node, "format");
    int format = 0;
    if (value && settings_choice(settings, value, "'format'", formats, 2, &format) && format == 1) {
        stream->format = FORMAT_AVRO;
        if (registry)
            stream->framing = registry->framing;
        else
            settings_error(
                settings, value, "format avro needs a 'registry' that knows the schemas");
    }
    if (!(value = yaml_get(node, "schema")))
        return;
    if (stream->format == FORMAT_AVRO)
        read_schema(settings, value, stream);
    else
        settings_error(settings, value, "only format avro has a 'schema'");
}

/* Event time, id and key are fields; time and id must be there in every event. */
static void read_roles(
    struct settings *settings, const struct yaml_node *node, struct contract *contract)
{
    const struct yaml_node *value =
        settings_need(settings, node, "event_time", "the name of the time field");
    contract->event_time =
        value ? fields_config_find(settings, value, "'event_time'", contract) : -1;
    if (contract->event_time >= 0) {
        struct field *field = &contract->fields[contract->event_time];
        field->required = true;
        if (field->type != FIELD_TIME)
            settings_error(settings, value, "'event_time' must be a field of type time");
    }
    if ((value = yaml_get(node, "event_id")))
        contract->event_id = fields_config_find(settings, value, "'event_id'", contract);
    if (contract->event_id >= 0) {
        struct field *field = &contract->fields[contract->event_id];
        field->required = true;
        if (field->type != FIELD_STRING)
            settings_error(settings, value, "'event_id' must be a field of type string");
    }
    if ((value = yaml_get(node, "revision")))
        contract->revision = fields_config_find(settings, value, "'revision'", contract);
    if (contract->revision >= 0 && contract->fields[contract->revision].type != FIELD_INT)
        settings_error(settings, value, "'revision' must be a field of type int");
    if ((value = yaml_get(node, "key")))
        contract->key = fields_config_find(settings, value, "'key'", contract);
}

static void read_times(
    struct settings *settings, const struct yaml_node *node, struct stream *stream)
{
    static const char *const arrivals[] = {"record", "partition"};
    struct contract *contract = &stream->contract;
    const struct yaml_node *value;
    int arrival = 0;
    if ((value = yaml_get(node, "late")))
        settings_duration(settings, value, "'late'", &contract->late_ms);
    if ((value = yaml_get(node, "ahead")))
        settings_duration(settings, value, "'ahead'", &contract->ahead_ms);
    if ((value = yaml_get(node, "arrival")))
        settings_choice(settings, value, "'arrival'", arrivals, 2, &arrival);
    contract->arrival_partition = arrival == 1;
    stream->watermark_bound_ms = contract->ahead_ms;
    if ((value = yaml_get(node, "watermark_bound")) &&
        settings_duration(settings, value, "'watermark_bound'", &stream->watermark_bound_ms) &&
        stream->watermark_bound_ms < contract->ahead_ms)
        settings_error(settings, value, "'watermark_bound' must be at least 'ahead'");
    if ((value = yaml_get(node, "idle_after")))
        settings_duration(settings, value, "'idle_after'", &stream->idle_after_ms);
    if ((value = yaml_get(node, "exemplars")) && !slice_is(value->text, "0"))
        settings_duration(settings, value, "'exemplars'", &stream->exemplars_ms);
    else if (value)
        stream->exemplars_ms = 0;
}

static void read_start(
    struct settings *settings, const struct yaml_node *node, struct stream *stream)
{
    static const char *const ranges[] = {"halt", "skip"};
    const struct yaml_node *value = yaml_get(node, "start");
    struct slice text;
    int range = 0;
    if (value && settings_text(settings, value, "'start'", &text)) {
        if (slice_is(text, "latest"))
            stream->start = START_LATEST;
        else if (time_parse_rfc3339(text, &stream->start_ms))
            stream->start = START_TIME;
        else if (!slice_is(text, "earliest"))
            settings_error(settings, value,
                "'start' must be earliest, latest or a time such as \"2026-11-21T00:00:00Z\", not "
                "'%.*s'",
                SLICE_FMT(text));
    }
    if ((value = yaml_get(node, "out_of_range")))
        settings_choice(settings, value, "'out_of_range'", ranges, 2, &range);
    stream->skip_out_of_range = range == 1;
}

/* Where refused records go. */
static void read_letters(
    struct settings *settings, const struct yaml_node *node, struct stream *stream)
{
    const struct yaml_node *letters = yaml_get(node, "dead_letters"), *value;
    stream->outbox_bytes = OUTBOX_DEFAULT;
    if (letters)
        read_topic_name(settings, letters, "'dead_letters'", NULL, 0, &stream->dead_letters);
    if ((value = yaml_get(node, "outbox")) && !letters)
        settings_error(settings, value, "'outbox' is for letters, and there is no 'dead_letters'");
    else if (value && settings_bytes(settings, value, "'outbox'", &stream->outbox_bytes) &&
             stream->outbox_bytes < OUTBOX_BYTES_MIN)
        settings_error(settings, value, "'outbox' must be at least 16MiB");
    if ((value = yaml_get(node, "retry")) && !letters)
        settings_error(settings, value, "'retry' is for letters, and there is no 'dead_letters'");
}

/* Letters that are read as events would become letters, for ever. */
static void check_letters(
    struct settings *settings, const struct yaml_node *streams, const struct stream *all, size_t n)
{
    struct stream_topics *topics =
        stream_topics_new(&(struct streams){.streams = all, .n_streams = n});
    for (size_t i = 0; i < n; i++) {
        bool by_pattern;
        int reader = all[i].dead_letters.len
                         ? stream_topics_find(topics, all[i].dead_letters, &by_pattern)
                         : -1;
        if (reader >= 0)
            settings_error(settings, yaml_get(streams->values[i], "dead_letters"),
                "stream '%.*s' reads topic '%.*s': its letters would come back as events",
                SLICE_FMT(all[reader].name), SLICE_FMT(all[i].dead_letters));
    }
    stream_topics_free(&topics);
}

/* streams[n] is the one that is read. Returns whether the types of its fields are known. */
static bool read_stream(struct settings *settings, const struct yaml_node *name,
    const struct yaml_node *node, const struct registry_options *registry, struct stream *streams,
    size_t n)
{
    struct stream *stream = &streams[n];
    struct contract *contract = &stream->contract;
    stream->name = contract->stream = name->text;
    stream->idle_after_ms = IDLE_DEFAULT_MS;
    stream->exemplars_ms = EXEMPLARS_MS;
    contract->late_ms = LATE_DEFAULT_MS;
    contract->ahead_ms = AHEAD_DEFAULT_MS;
    contract->event_time = contract->event_id = contract->key = contract->revision = -1;
    if (!label_name_is_plain(name->text))
        settings_error(settings, name,
            "'%.*s' is no stream name: letters, digits and '_', not a digit first",
            SLICE_FMT(name->text));
    stream->horizon_clock =
        slice_from(arena_printf(settings->arena, "%.*s/horizon", SLICE_FMT(name->text)));
    if (name->text.len > STREAM_NAME_MAX)
        settings_error(settings, name, "a stream's name has at most %d bytes", STREAM_NAME_MAX);
    if (!settings_mapping(
            settings, node, "a stream", stream_keys, sizeof stream_keys / sizeof *stream_keys))
        return false;
    const struct yaml_node *value =
        settings_need(settings, node, "topics", "a list such as [orders]");
    if (value)
        read_topics(settings, value, yaml_get(node, "retry"), streams, n);
    read_letters(settings, node, stream);
    read_format(settings, node, registry, stream);
    if ((value = yaml_get(node, "owner")))
        settings_text(settings, value, "'owner'", &contract->owner);
    read_times(settings, node, stream);
    read_start(settings, node, stream);
    value = settings_need(settings, node, "fields", "the names and types of the events' fields");
    if (!value || !fields_config_read(settings, value, contract))
        return false;
    read_roles(settings, node, contract);
    return true;
}

/* ---- rollups ---- */

struct rollup_node {
    const struct yaml_node *name, *node;
    const struct generation *former; /* NULL: it is the config's */
    bool newest;                     /* former: nothing has come after it */
};

/* The config's, then those of former generations. */
struct rollup_nodes {
    struct rollup_node *items;
    const struct yaml_node **nodes; /* of the items */
    size_t n, n_now, items_cap, nodes_cap;
};

static void add_node(struct rollup_nodes *all, struct rollup_node node)
{
    GROW(all->items, all->items_cap, all->n + 1);
    GROW(all->nodes, all->nodes_cap, all->n + 1);
    all->items[all->n] = node;
    all->nodes[all->n++] = node.node;
}

/* A text that does not read any more is none. */
static void add_former(struct settings *settings, const struct rollup_history *history, size_t i,
    struct rollup_nodes *all)
{
    const struct generation *former = &history->items[i];
    struct yaml_node *node, *name = arena_zalloc(settings->arena, sizeof *name);
    struct err err;
    ensure(name);
    name->file = "the store";
    name->text = arena_slice(settings->arena, history->name);
    if (former->text.len && yaml_parse(former->text, name->file, settings->arena, &node, &err) &&
        node->type == YAML_MAPPING)
        add_node(all, (struct rollup_node){name, node, former, i + 1 == history->n});
}

static void list_rollups(struct settings *settings, const struct yaml_node *rollups,
    const struct rollup_histories *past, struct rollup_nodes *all)
{
    *all = (struct rollup_nodes){0};
    if (rollups && settings_names(settings, rollups, "'rollups'")) {
        if (rollups->n > ROLLUPS_MAX)
            settings_error(settings, rollups, "at most %d rollups", ROLLUPS_MAX);
        for (size_t i = 0; i < rollups->n && i < ROLLUPS_MAX; i++)
            add_node(all, (struct rollup_node){rollups->keys[i], rollups->values[i], NULL, false});
    }
    all->n_now = all->n;
    for (size_t i = 0; past && i < past->n; i++)
        for (size_t k = 0; k < past->items[i].n; k++)
            add_former(settings, &past->items[i], k, all);
}

static const struct rollup *rollup_named(const struct rollup *rollups, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(rollups[i].def.name, name))
            return &rollups[i];
    return NULL;
}

/* What says nothing of which cells there are is the newest definition's: a metric has one of it. */
static void describe_as(struct rollup *former, const struct rollup *newest)
{
    struct metric_def *def = &former->def;
    def->help = newest->def.help;
    def->unit = newest->def.unit;
    def->clock = newest->def.clock;
    def->stale_after_ms = newest->def.stale_after_ms;
    if (def->kind == KIND_GAUGE && newest->def.kind == KIND_GAUGE)
        def->schema = newest->def.schema;
}

/* Read as the config's own; that it makes no sense any more is no mistake. False: it is none, or it
 * is what the config has, unchanged. now: what the config has by its name, or NULL. */
static bool read_former(struct settings *settings, const struct rollup_node *node,
    const struct streams *streams, const bool *sound, struct lifecycle *lives,
    const struct rollup *now, struct rollup *out)
{
    struct err_list ignored = {0};
    struct settings own = {&ignored, settings->arena};
    rollups_config_read(&own, node->name, node->node, streams, sound, lives, out);
    bool sense = ignored.n == 0 && hash128_eq(out->meaning, node->former->meaning);
    err_list_fini(&ignored);
    out->former = node->former->number;
    return sense && !(node->newest && now && hash128_eq(now->meaning, out->meaning));
}

/* The newest former one speaks for a metric that the config does not have any more. */
static void describe_formers(struct rollup *made, size_t n_now, size_t n)
{
    for (size_t i = n; i-- > n_now;) {
        const struct rollup *newest = rollup_named(made, n_now, made[i].def.name);
        for (size_t k = n; !newest; k--)
            if (slice_eq(made[k - 1].def.name, made[i].def.name))
                newest = &made[k - 1];
        describe_as(&made[i], newest);
    }
}

static void read_rollups(struct settings *settings, const struct rollup_nodes *all,
    const bool *sound, struct lifecycle *lives, struct streams *out)
{
    struct rollup *made = arena_zalloc(settings->arena, (all->n + !all->n) * sizeof *made);
    ensure(made);
    for (size_t i = 0; i < all->n_now; i++)
        rollups_config_read(settings, all->items[i].name, all->items[i].node, out, sound, lives,
            &made[out->n_rollups++]);
    for (size_t i = all->n_now; i < all->n; i++) {
        struct rollup *next = &made[all->n_now + out->n_former];
        const struct rollup *now = rollup_named(made, all->n_now, all->items[i].name->text);
        *next = (struct rollup){0};
        out->n_former += read_former(settings, &all->items[i], out, sound, lives, now, next);
    }
    out->rollups = made;
    out->n_rollups += out->n_former;
    describe_formers(made, all->n_now, out->n_rollups);
    for (size_t i = 0; i < out->n_lifecycles; i++)
        lifecycle_sort_labels(out, (int)i, &lives[i], made, out->n_rollups);
}

void streams_config_read(struct settings *settings, const struct yaml_node *streams,
    const struct yaml_node *lifecycles, const struct yaml_node *rollups,
    const struct registry_options *registry, const struct rollup_histories *past,
    struct streams *out)
{
    struct rollup_nodes all;
    bool sound[STREAMS_MAX] = {false};
    *out = (struct streams){.registry = registry};
    if (streams && settings_names(settings, streams, "'streams'")) {
        if (streams->n > STREAMS_MAX)
            settings_error(settings, streams, "at most %d streams", STREAMS_MAX);
        size_t n = streams->n < STREAMS_MAX ? streams->n : STREAMS_MAX;
        struct stream *made = arena_zalloc(settings->arena, (n + !n) * sizeof *made);
        ensure(made);
        for (size_t i = 0; i < n; i++)
            sound[i] =
                read_stream(settings, streams->keys[i], streams->values[i], registry, made, i);
        check_letters(settings, streams, made, n);
        out->streams = made;
        out->n_streams = n;
    }
    list_rollups(settings, rollups, past, &all);
    struct lifecycle *lives =
        lifecycles ? lifecycles_config_read(settings, lifecycles, all.nodes, all.n, sound, out)
                   : NULL;
    read_rollups(settings, &all, sound, lives, out);
    free(all.items);
    free(all.nodes);
}
