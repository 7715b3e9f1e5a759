/*
 * Any text as `registry`, `streams`, `lifecycles` and `rollups` of larder.yml. What is accepted
 * must be fit to run: every index points at something of the right type, no label can hold personal
 * data, and an event of nothing but its time decodes, and evaluates in every expression.
 */
#include <stdint.h>
#include <stdio.h>

#include "base/ensure.h"
#include "base/settings.h"
#include "base/yaml.h"
#include "ingest/json_event.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/registry_config.h"
#include "ingest/streams_config.h"

static bool is_field(const struct contract *contract, int field)
{
    return field >= 0 && (size_t)field < contract->n_fields;
}

static void check_contract(const struct contract *c)
{
    ensure(c->n_fields > 0 && c->n_fields <= FIELDS_MAX && c->late_ms >= 0 && c->ahead_ms >= 0);
    ensure(is_field(c, c->event_time) && c->fields[c->event_time].type == FIELD_TIME);
    ensure(c->event_id == -1 || is_field(c, c->event_id));
    ensure(c->key == -1 || is_field(c, c->key));
    ensure(c->revision == -1 || is_field(c, c->revision));
    for (size_t i = 0; i < c->n_fields; i++) {
        const struct field *field = &c->fields[i];
        ensure(field->digits >= 0 && field->digits <= DIGITS_MAX);
        ensure(field->n_allowed == 0 || field->type == FIELD_STRING);
        ensure(!field->has_min || !field->has_max || field->min <= field->max);
        for (size_t j = 0; j < i; j++)
            ensure(!slice_eq(field->name, c->fields[j].name));
    }
}

static void check_stream(const struct stream *stream)
{
    struct event event;
    struct arena scratch;
    char text[2 * FIELD_NAME_MAX];
    check_contract(&stream->contract);
    ensure(stream->n_topics > 0 && stream->n_topics <= TOPICS_MAX);
    if (stream->format != FORMAT_JSON)
        return;
    arena_init(&scratch, 1 << 20);
    const struct field *time = &stream->contract.fields[stream->contract.event_time];
    struct json_decoder *decoder = json_decoder_new(&stream->contract);
    int n = snprintf(text, sizeof text, "{\"%.*s\":0}", SLICE_FMT(time->name));
    json_decode(decoder, slice_of(text, (size_t)n), &scratch, &event, NULL);
    json_decoder_free(&decoder);
    arena_fini(&scratch);
}

static void check_stage(const struct streams *all, const struct lifecycle_stage *stage)
{
    ensure(stage->stream >= 0 && (size_t)stage->stream < all->n_streams);
    const struct contract *c = &all->streams[stage->stream].contract;
    ensure(is_field(c, stage->key) && stage->when && stage->n_captures <= CAPTURES_MAX);
    ensure(stage->revision == -1 || is_field(c, stage->revision));
    for (int i = 0; i < stage->n_captures; i++)
        ensure(is_field(c, stage->captures[i]) && !c->fields[stage->captures[i]].personal);
}

static void check_lifecycle(const struct streams *all, const struct lifecycle *life)
{
    const struct contract *first = &all->streams[life->stages[0].stream].contract;
    ensure(life->rules.n_stages > 0 && life->rules.n_stages <= STAGES_MAX);
    for (size_t i = 0; i < life->rules.n_stages; i++)
        check_stage(all, &life->stages[i]);
    ensure(life->rules.expire_ms > 0 && life->n_labels <= LIFECYCLE_LABELS_MAX);
    for (size_t i = 0; i < life->n_labels; i++)
        ensure(is_field(first, life->labels[i]) && !first->fields[life->labels[i]].personal &&
               !first->fields[life->labels[i]].unbounded);
    ensure(life->view.n_fields <= FIELDS_MAX);
}

static void evaluate(const struct expr *expr, const struct contract *contract)
{
    struct event none = {.contract = contract};
    struct field_value v;
    if (expr)
        expr_eval(expr, &none, &v);
}

static void check_rollup(const struct streams *all, const struct rollup *rollup)
{
    ensure((rollup->stream >= 0) != (rollup->lifecycle >= 0));
    ensure(rollup->stream < (int)all->n_streams && rollup->lifecycle < (int)all->n_lifecycles);
    const struct contract *c = rollup->stream >= 0 ? &all->streams[rollup->stream].contract
                                                   : &all->lifecycles[rollup->lifecycle].view;
    ensure(rollup->def.every_ms > 0 && rollup->n_labels <= ROLLUP_LABELS_MAX);
    ensure(rollup->lifecycle < 0 || rollup->def.kind != KIND_GAUGE);
    evaluate(rollup->when, c);
    evaluate(rollup->value, c);
    for (size_t i = 0; i < rollup->n_labels; i++) {
        const struct rollup_label *label = &rollup->labels[i];
        ensure(i == 0 || slice_cmp(rollup->labels[i - 1].name, label->name) < 0);
        ensure((label->from == LABEL_EXPR) == (label->value != NULL));
        if (label->from == LABEL_FIRST)
            ensure(label->first >= 0 &&
                   (size_t)label->first < all->lifecycles[rollup->lifecycle].n_labels);
        evaluate(label->value, c);
    }
}

static void check(const struct streams *all)
{
    for (size_t i = 0; i < all->n_streams; i++)
        check_stream(&all->streams[i]);
    for (size_t i = 0; i < all->n_lifecycles; i++)
        check_lifecycle(all, &all->lifecycles[i]);
    for (size_t i = 0; i < all->n_rollups; i++)
        check_rollup(all, &all->rollups[i]);
}

/* Readers' schemas are files, which are none of this target's. */
static bool names_files(const struct yaml_node *root)
{
    const struct yaml_node *streams = yaml_get(root, "streams");
    if (!streams || streams->type != YAML_MAPPING)
        return false;
    for (size_t i = 0; i < streams->n; i++)
        if (streams->values[i]->type == YAML_MAPPING && yaml_get(streams->values[i], "schema"))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct yaml_node *root;
    struct err err = {0};
    struct err_list errors = {0};
    struct streams streams = {0};
    arena_init(&arena, 0); /* the tree is bounded, and what is made of it is in proportion */
    struct settings settings = {&errors, &arena};
    if (yaml_parse(slice_of(data, size), "fuzz", &arena, &root, &err) &&
        root->type == YAML_MAPPING && !names_files(root)) {
        const struct yaml_node *registry = yaml_get(root, "registry");
        streams_config_read(&settings, yaml_get(root, "streams"), yaml_get(root, "lifecycles"),
            yaml_get(root, "rollups"), registry ? registry_config_read(&settings, registry) : NULL,
            NULL, &streams);
        for (size_t i = 0; i < errors.n; i++)
            ensure(errors.items[i].text[0] && errors.items[i].line >= 1);
        if (errors.n == 0)
            check(&streams);
    }
    err_list_fini(&errors);
    arena_fini(&arena);
    return 0;
}
