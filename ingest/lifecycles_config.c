#include "ingest/lifecycles_config.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/nearest.h"
#include "ingest/expr_lex.h"
#include "ingest/streams_config.h"
#include "store/labels.h"
#include "store/limits.h"

#define STEP_DIGITS 3 /* milliseconds as seconds */

static const char *const lifecycle_keys[] = {"key", "stages", "ends", "expire"};
/* What `at` and labels mean by these names. */
static const char *const own_names[] = {"step", "end", "open", "outcome", "from", "to"};

static bool is_own(struct slice name)
{
    for (size_t i = 0; i < sizeof own_names / sizeof *own_names; i++)
        if (slice_is(name, own_names[i]))
            return true;
    return false;
}

static int find_stage(const struct lifecycle *l, struct slice name)
{
    for (int i = 0; i < l->rules.n_stages; i++)
        if (slice_eq(l->stages[i].name, name))
            return i;
    return -1;
}

static int find_field(const struct contract *contract, struct slice name)
{
    for (size_t i = 0; i < contract->n_fields; i++)
        if (slice_eq(contract->fields[i].name, name))
            return (int)i;
    return -1;
}

/* "left.right"; false: there is no dot. */
static bool split_name(struct slice name, struct slice *left, struct slice *right)
{
    const char *dot = memchr(name.ptr, '.', name.len);
    if (!dot)
        return false;
    *left = slice_of(name.ptr, (size_t)(dot - name.ptr));
    *right = slice_of(dot + 1, name.len - left->len - 1);
    return true;
}

/* The next name in an expression; false: there is none, or what comes is no expression. */
static bool next_name(struct expr_lexer *lexer, struct slice *out)
{
    struct token token;
    const char *why;
    while (expr_lex(lexer, &token, &why) && token.kind != TOKEN_END)
        if (token.kind == TOKEN_NAME) {
            *out = token.text;
            return true;
        }
    return false;
}

static struct expr_lexer lexer_of(struct slice text)
{
    return (struct expr_lexer){text.ptr, text.ptr, text.ptr + text.len};
}

/* ---- stages ---- */

static int find_stream(struct settings *settings, const struct yaml_node *node, struct slice name,
    const struct streams *streams)
{
    struct slice names[STREAMS_MAX];
    for (size_t i = 0; i < streams->n_streams; i++) {
        names[i] = streams->streams[i].name;
        if (slice_eq(names[i], name))
            return (int)i;
    }
    int near = nearest_find(name, names, streams->n_streams);
    settings_error(settings, node, "no stream '%.*s'%s%.*s%s", SLICE_FMT(name),
        near >= 0 ? ", did you mean '" : "", near >= 0 ? (int)names[near].len : 0,
        near >= 0 ? names[near].ptr : "", near >= 0 ? "'?" : "");
    return -1;
}

/* The stream that the condition's names are of; -1 after an error. */
static int stream_of(struct settings *settings, const struct yaml_node *node, struct slice text,
    const struct streams *streams)
{
    struct expr_lexer lexer = lexer_of(text);
    struct slice name, stream, field, first = {NULL, 0};
    int found = -1;
    while (next_name(&lexer, &name)) {
        if (!split_name(name, &stream, &field))
            continue;
        if (!first.len && (found = find_stream(settings, node, stream, streams)) < 0)
            return -1;
        first = first.len ? first : stream;
        if (!slice_eq(stream, first)) {
            settings_error(settings, node,
                "a stage is a condition over the events of one stream, '%.*s' or '%.*s'",
                SLICE_FMT(first), SLICE_FMT(stream));
            return -1;
        }
    }
    if (found < 0)
        settings_error(settings, node,
            "a stage needs a condition over the fields of a stream, such as orders.type == "
            "\"placed\"");
    return found;
}

/* The contract with its fields named "stream.field". */
static const struct contract *with_prefix(struct settings *settings, const struct contract *from)
{
    struct contract *c = arena_alloc(settings->arena, sizeof *c);
    ensure(c);
    *c = *from;
    for (size_t i = 0; i < c->n_fields; i++)
        c->fields[i].name = slice_from(arena_printf(settings->arena, "%.*s.%.*s",
            SLICE_FMT(from->stream), SLICE_FMT(from->fields[i].name)));
    return c;
}

static void read_key(struct settings *settings, const struct yaml_node *node, struct slice key,
    const struct streams *streams, struct lifecycle_stage *stage)
{
    const struct contract *contract = &streams->streams[stage->stream].contract;
    stage->revision = contract->revision;
    if (!key.len)
        return; /* an error already */
    stage->key = find_field(contract, key);
    if (stage->key < 0 || contract->fields[stage->key].type != FIELD_STRING)
        settings_error(settings, node,
            "stream '%.*s' has no field '%.*s' of type string, which is the lifecycle's key",
            SLICE_FMT(contract->stream), SLICE_FMT(key));
}

static void read_stage(struct settings *settings, const struct yaml_node *name,
    const struct yaml_node *node, struct slice key, const struct streams *streams,
    const bool *sound, struct lifecycle *l)
{
    struct lifecycle_stage *stage = &l->stages[l->rules.n_stages];
    struct slice text;
    struct err err;
    if (!label_name_is_plain(name->text) || is_own(name->text))
        settings_error(settings, name,
            "'%.*s' is no name of a stage: letters, digits and '_', and none of step, end, open, "
            "outcome, from, to",
            SLICE_FMT(name->text));
    if (!settings_text(settings, node, "a stage", &text))
        return;
    *stage = (struct lifecycle_stage){.name = name->text, .key = -1, .revision = -1};
    stage->stream = stream_of(settings, node, text, streams);
    if (stage->stream < 0 || !sound[stage->stream])
        return;
    const struct contract *contract = &streams->streams[stage->stream].contract;
    if (!expr_compile(text, with_prefix(settings, contract), false, node->file, 1, 1,
            settings->arena, &stage->when, &err))
        settings_error_inside(settings, node, &err);
    else if (expr_type(stage->when) != EXPR_BOOL)
        settings_error(settings, node, "a stage is a condition");
    read_key(settings, node, key, streams, stage);
    if (contract->late_ms > l->late_ms)
        l->late_ms = contract->late_ms;
    l->layout.revisions |= stage->revision >= 0;
    l->rules.n_stages++;
}

static void read_stages(struct settings *settings, const struct yaml_node *node, struct slice key,
    const struct streams *streams, const bool *sound, struct lifecycle *l)
{
    if (!settings_names(settings, node, "'stages'"))
        return;
    if (node->n < 2 || node->n > STAGES_MAX) {
        settings_error(settings, node, "a lifecycle has 2 to %d stages", STAGES_MAX);
        return;
    }
    for (size_t i = 0; i < node->n; i++)
        read_stage(settings, node->keys[i], node->values[i], key, streams, sound, l);
    if (l->rules.n_stages < node->n)
        l->rules.n_stages = 0; /* what depends on its stages cannot be judged */
}

static void read_ends(struct settings *settings, const struct yaml_node *node, struct lifecycle *l)
{
    struct slice names[STAGES_MAX], text;
    if (!settings_sequence(settings, node, "'ends'") || l->rules.n_stages == 0)
        return;
    for (int i = 0; i < l->rules.n_stages; i++)
        names[i] = l->stages[i].name;
    for (size_t i = 0; i < node->n; i++) {
        if (!settings_text(settings, node->values[i], "an end", &text))
            continue;
        int stage = find_stage(l, text), near = nearest_find(text, names, l->rules.n_stages);
        if (stage > 0)
            l->rules.ends |= UINT32_C(1) << stage;
        else if (stage == 0)
            settings_error(settings, node->values[i], "a life does not end with its first stage");
        else
            settings_error(settings, node->values[i], "no stage '%.*s'%s%.*s%s", SLICE_FMT(text),
                near >= 0 ? ", did you mean '" : "", near >= 0 ? (int)names[near].len : 0,
                near >= 0 ? names[near].ptr : "", near >= 0 ? "'?" : "");
    }
    if (l->rules.ends == 0)
        settings_error(settings, node, "'ends' must name at least one stage");
}

/* ---- what expressions of rollups see ---- */

static void capture(struct lifecycle *l, const struct streams *streams, int s, struct slice name)
{
    struct lifecycle_stage *stage = &l->stages[s];
    const struct contract *contract = &streams->streams[stage->stream].contract;
    int field = find_field(contract, name);
    if (field < 0 || contract->fields[field].type == FIELD_STRING ||
        stage->n_captures == CAPTURES_MAX)
        return; /* the expression will say that it does not know it */
    for (int i = 0; i < stage->n_captures; i++)
        if (stage->captures[i] == field)
            return;
    stage->captures[stage->n_captures++] = field;
}

/* By the names of the fields: what is stored does not hang on the order of rollups. */
static void sort_captures(struct lifecycle_stage *stage, const struct contract *contract)
{
    for (int i = 1; i < stage->n_captures; i++) {
        int field = stage->captures[i], k = i;
        for (; k > 0 && slice_cmp(contract->fields[stage->captures[k - 1]].name,
                            contract->fields[field].name) > 0;
             k--)
            stage->captures[k] = stage->captures[k - 1];
        stage->captures[k] = field;
    }
}

static void capture_names(
    struct lifecycle *l, const struct streams *streams, const struct yaml_node *node)
{
    struct slice name, stage, field;
    if (!node || node->type != YAML_SCALAR)
        return;
    struct expr_lexer lexer = lexer_of(node->text);
    while (next_name(&lexer, &name))
        if (split_name(name, &stage, &field) && find_stage(l, stage) >= 0)
            capture(l, streams, find_stage(l, stage), field);
}

static void add_view(struct lifecycle *l, const struct field *field, int stage, int number)
{
    struct contract *view = &l->view;
    if (view->n_fields == FIELDS_MAX)
        return;
    l->captured[view->n_fields].stage = (uint8_t)stage;
    l->captured[view->n_fields].capture = (uint8_t)number;
    view->fields[view->n_fields++] = *field;
}

static void make_view(struct settings *settings, struct lifecycle *l, const struct streams *streams)
{
    l->view = (struct contract){.stream = l->name, .event_id = -1, .key = -1, .revision = -1};
    for (int s = 0; s < l->rules.n_stages; s++)
        add_view(l, &(struct field){.name = l->stages[s].name, .type = FIELD_TIME}, s, 0);
    for (int s = 0; s < l->rules.n_stages; s++) {
        const struct lifecycle_stage *stage = &l->stages[s];
        l->layout.captures[s] = stage->n_captures;
        for (int i = 0; i < stage->n_captures; i++) {
            struct field field =
                streams->streams[stage->stream].contract.fields[stage->captures[i]];
            field.name = slice_from(arena_printf(
                settings->arena, "%.*s.%.*s", SLICE_FMT(stage->name), SLICE_FMT(field.name)));
            add_view(l, &field, s, i);
        }
    }
    l->layout.n_stages = l->rules.n_stages;
}

/* ---- lifecycles ---- */

static void read_lifecycle(struct settings *settings, const struct yaml_node *name,
    const struct yaml_node *node, const struct streams *streams, const bool *sound,
    struct lifecycle *l)
{
    const struct yaml_node *value;
    struct slice key = {NULL, 0};
    l->name = name->text;
    l->cohort_clock =
        slice_from(arena_printf(settings->arena, "%.*s/cohort", SLICE_FMT(name->text)));
    if (!label_name_is_plain(name->text) || name->text.len > LIFECYCLE_NAME_MAX)
        settings_error(settings, name,
            "'%.*s' is no name of a lifecycle: at most %d letters, digits and '_', not a digit "
            "first",
            SLICE_FMT(name->text), LIFECYCLE_NAME_MAX);
    for (size_t i = 0; i < streams->n_streams; i++)
        if (slice_eq(streams->streams[i].name, name->text))
            settings_error(settings, name, "a stream is called '%.*s' already", SLICE_FMT(l->name));
    if (!settings_mapping(settings, node, "a lifecycle", lifecycle_keys, 4))
        return;
    value = settings_need(settings, node, "key", "the field that names the entity");
    if (value)
        settings_text(settings, value, "'key'", &key);
    value = settings_need(settings, node, "stages", "{placed: orders.type == \"placed\", ...}");
    if (value)
        read_stages(settings, value, key, streams, sound, l);
    value = settings_need(settings, node, "ends", "a list of stages");
    if (value)
        read_ends(settings, value, l);
    value = settings_need(settings, node, "expire", "how long a life may last, such as 6h");
    if (value && settings_duration(settings, value, "'expire'", &l->rules.expire_ms) &&
        l->rules.expire_ms == 0)
        settings_error(settings, value, "'expire' must be longer than nothing");
}

struct lifecycle *lifecycles_config_read(struct settings *settings, const struct yaml_node *node,
    const struct yaml_node *const *rollups, size_t n_rollups, const bool *sound,
    struct streams *out)
{
    if (!settings_names(settings, node, "'lifecycles'"))
        return NULL;
    if (node->n > LIFECYCLES_MAX)
        settings_error(settings, node, "at most %d lifecycles", LIFECYCLES_MAX);
    size_t n = node->n < LIFECYCLES_MAX ? node->n : LIFECYCLES_MAX;
    struct lifecycle *made = arena_zalloc(settings->arena, (n + !n) * sizeof *made);
    ensure(made);
    out->lifecycles = made;
    out->n_lifecycles = n;
    for (size_t i = 0; i < n; i++) {
        struct lifecycle *l = &made[i];
        read_lifecycle(settings, node->keys[i], node->values[i], out, sound, l);
        for (size_t k = 0; k < n_rollups; k++) {
            const struct yaml_node *rollup = rollups[k];
            const struct yaml_node *from =
                rollup->type == YAML_MAPPING ? yaml_get(rollup, "from") : NULL;
            if (!from || from->type != YAML_SCALAR || !slice_eq(from->text, l->name))
                continue;
            capture_names(l, out, yaml_get(rollup, "value"));
            capture_names(l, out, yaml_get(rollup, "when"));
        }
        for (int s = 0; s < l->rules.n_stages; s++)
            sort_captures(&l->stages[s], &out->streams[l->stages[s].stream].contract);
        make_view(settings, l, out);
    }
    return made;
}

/* ---- rollups of lifecycles ---- */

/* Fields of stages that are there, and that expressions do not see. */
static bool check_captured(struct settings *settings, const struct yaml_node *node,
    struct slice text, const struct streams *streams, const struct lifecycle *l)
{
    struct expr_lexer lexer = lexer_of(text);
    struct slice name, stage, field;
    while (next_name(&lexer, &name)) {
        int s = split_name(name, &stage, &field) ? find_stage(l, stage) : -1;
        if (s < 0 || find_field(&l->view, name) >= 0)
            continue;
        const struct contract *contract = &streams->streams[l->stages[s].stream].contract;
        int i = find_field(contract, field);
        if (i >= 0 && contract->fields[i].type == FIELD_STRING)
            return settings_error(settings, node,
                "'%.*s' is a string: of a life, expressions see numbers, times and conditions",
                SLICE_FMT(name));
        if (i >= 0)
            return settings_error(settings, node,
                "'%.*s' is one too many: the rollups of a lifecycle see at most %d fields of a "
                "stage",
                SLICE_FMT(name), CAPTURES_MAX);
    }
    return true;
}

static const struct expr *read_expr(struct settings *settings, const struct yaml_node *node,
    const char *what, const struct streams *streams, const struct lifecycle *l)
{
    struct slice text;
    const struct expr *expr;
    struct err err;
    if (!settings_text(settings, node, what, &text) ||
        !check_captured(settings, node, text, streams, l))
        return NULL;
    if (expr_compile(text, &l->view, false, node->file, 1, 1, settings->arena, &expr, &err))
        return expr;
    settings_error_inside(settings, node, &err);
    return NULL;
}

static void read_at(struct settings *settings, const struct yaml_node *node,
    const struct lifecycle *l, struct rollup *out)
{
    struct slice text, names[STAGES_MAX];
    if (!settings_text(settings, node, "'at'", &text))
        return;
    out->at = slice_is(text, "step")   ? ROLLUP_AT_STEP
              : slice_is(text, "end")  ? ROLLUP_AT_END
              : slice_is(text, "open") ? ROLLUP_AT_OPEN
                                       : ROLLUP_AT_STAGE;
    out->stage = find_stage(l, text);
    for (int i = 0; i < l->rules.n_stages; i++)
        names[i] = l->stages[i].name;
    int near = nearest_find(text, names, l->rules.n_stages);
    if (out->at == ROLLUP_AT_STAGE && out->stage < 0)
        settings_error(settings, node,
            "'at' must be a stage of '%.*s', step, end or open, not '%.*s'%s%.*s%s",
            SLICE_FMT(l->name), SLICE_FMT(text), near >= 0 ? ", did you mean '" : "",
            near >= 0 ? (int)names[near].len : 0, near >= 0 ? names[near].ptr : "",
            near >= 0 ? "'?" : "");
    if ((out->at == ROLLUP_AT_OPEN) != (out->def.kind == KIND_LEVEL))
        settings_error(settings, node,
            out->at == ROLLUP_AT_OPEN ? "'open' is for kind: level: lives that began and have "
                                        "not ended"
                                      : "a level of a lifecycle counts 'at: open'");
}

static void read_value(struct settings *settings, const struct yaml_node *node,
    const struct streams *streams, const struct lifecycle *l, struct rollup *out)
{
    const struct expr *value = read_expr(settings, node, "'value'", streams, l);
    int64_t min;
    if (!value)
        return;
    if (out->at == ROLLUP_AT_STEP)
        settings_error(settings, node, "the value of a step is how long it took: leave it out");
    else if (expr_type(value) != EXPR_NUMBER)
        settings_error(settings, node, "'value' must be a number");
    else if (out->def.kind == KIND_COUNTER && (!expr_min(value, &min) || min < 0))
        settings_error(settings, node,
            "a counter only grows, and this value may be negative: give its fields 'min: 0', or "
            "use kind: histogram");
    out->value = value;
    out->def.digits = expr_digits(value);
}

/* The number of the field among the lifecycle's labels; -1 after an error. */
static int keep_label(struct settings *settings, const struct yaml_node *node, struct slice name,
    const struct contract *contract, struct lifecycle *l)
{
    const struct expr *expr;
    struct err err;
    if (!expr_compile(name, contract, true, node->file, 1, 1, settings->arena, &expr, &err)) {
        settings_error_inside(settings, node, &err);
        return -1;
    }
    int field = expr_field(expr);
    if (field < 0 || expr_type(expr) == EXPR_TIME) {
        settings_error(settings, node,
            "a label of a lifecycle is a field of its first stage's events, and no time; or "
            "outcome, from or to");
        return -1;
    }
    for (size_t i = 0; i < l->n_labels; i++)
        if (l->labels[i] == field)
            return (int)i;
    if (l->n_labels == LIFECYCLE_LABELS_MAX) {
        settings_error(settings, node, "the rollups of a lifecycle have at most %d labels",
            LIFECYCLE_LABELS_MAX);
        return -1;
    }
    l->labels[l->n_labels] = field;
    return (int)l->n_labels++;
}

static bool check_label(
    struct settings *settings, const struct yaml_node *name, const struct rollup *out)
{
    if (!label_name_is_plain(name->text) || slice_starts(name->text, SLICE("__")) ||
        slice_is(name->text, LABEL_OVERFLOW))
        return settings_error(settings, name,
            "'%.*s' is no label name: letters, digits and '_', not a digit or '__' first, and not "
            "'" LABEL_OVERFLOW "'",
            SLICE_FMT(name->text));
    for (size_t i = 0; i < out->n_labels; i++)
        if (slice_eq(out->labels[i].name, name->text))
            return settings_error(
                settings, name, "label '%.*s' occurs twice", SLICE_FMT(name->text));
    return out->n_labels < ROLLUP_LABELS_MAX ||
           settings_error(settings, name, "at most %d labels", ROLLUP_LABELS_MAX);
}

static void read_label(struct settings *settings, const struct yaml_node *name,
    const struct yaml_node *value, const struct streams *streams, struct lifecycle *l,
    struct rollup *out)
{
    struct rollup_label label = {.name = name->text, .from = LABEL_FIRST};
    struct slice text, stage, field;
    if (!check_label(settings, name, out) || !settings_text(settings, value, "a label", &text))
        return;
    if (split_name(text, &stage, &field) && slice_eq(stage, l->stages[0].name))
        text = field;
    else if (slice_is(text, "outcome"))
        label.from = LABEL_OUTCOME;
    else if (slice_is(text, "from") || slice_is(text, "to"))
        label.from = slice_is(text, "to") ? LABEL_STEP_TO : LABEL_STEP_FROM;
    if ((label.from == LABEL_STEP_FROM || label.from == LABEL_STEP_TO) && out->at != ROLLUP_AT_STEP)
        settings_error(settings, value, "'from' and 'to' are labels of 'at: step' alone");
    if (label.from == LABEL_FIRST)
        label.first =
            keep_label(settings, value, text, &streams->streams[l->stages[0].stream].contract, l);
    out->needs_outcome |= label.from == LABEL_OUTCOME;
    out->labels[out->n_labels++] = label;
}

static int compare_labels(const void *a, const void *b)
{
    return slice_cmp(
        ((const struct rollup_label *)a)->name, ((const struct rollup_label *)b)->name);
}

static void read_by(struct settings *settings, const struct yaml_node *node,
    const struct streams *streams, struct lifecycle *l, struct rollup *out)
{
    if (!settings_sequence(settings, node, "'by'"))
        return;
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml_node *item = node->values[i];
        if (item->type == YAML_SCALAR && !yaml_is_null(item))
            read_label(settings, item, item, streams, l, out);
        else if (item->type != YAML_MAPPING || item->n == 0)
            settings_error(settings, item, "a label must be a field, or {label: field}");
        for (size_t k = 0; item->type == YAML_MAPPING && k < item->n; k++)
            read_label(settings, item->keys[k], item->values[k], streams, l, out);
    }
    qsort(out->labels, out->n_labels, sizeof *out->labels, compare_labels);
}

void lifecycle_rollup_read(struct settings *settings, const struct yaml_node *node,
    struct lifecycle *lifecycle, const struct streams *streams, struct rollup *out)
{
    const struct yaml_node *value;
    if (lifecycle->rules.n_stages < 2)
        return; /* an error already */
    if (out->def.kind == KIND_GAUGE)
        settings_error(settings, node,
            "a lifecycle makes no gauge, which cannot be taken back: use kind: level");
    value = settings_need(settings, node, "at", "a stage, step, end or open");
    if (value)
        read_at(settings, value, lifecycle, out);
    if ((value = yaml_get(node, "when"))) {
        out->when = read_expr(settings, value, "'when'", streams, lifecycle);
        if (out->when && expr_type(out->when) != EXPR_BOOL)
            settings_error(settings, value, "'when' must be a condition");
    }
    if (out->at == ROLLUP_AT_STEP && out->def.kind != KIND_COUNTER)
        out->def.digits = STEP_DIGITS;
    if ((value = yaml_get(node, "value")))
        read_value(settings, value, streams, lifecycle, out);
    else if (out->def.kind == KIND_HISTOGRAM && out->at != ROLLUP_AT_STEP)
        settings_error(settings, node, "'value' is missing: a histogram is made of numbers");
    if ((value = yaml_get(node, "by")))
        read_by(settings, value, streams, lifecycle, out);
}

/* The place of label i in order of the fields' names. */
static int rank_of(const struct lifecycle *l, const struct contract *contract, size_t i)
{
    int rank = 0;
    for (size_t k = 0; k < l->n_labels; k++)
        rank +=
            slice_cmp(contract->fields[l->labels[k]].name, contract->fields[l->labels[i]].name) < 0;
    return rank;
}

void lifecycle_sort_labels(const struct streams *streams, int number, struct lifecycle *lifecycle,
    struct rollup *rollups, size_t n)
{
    if (lifecycle->n_labels == 0)
        return; /* of a mistaken one, too */
    const struct contract *contract = &streams->streams[lifecycle->stages[0].stream].contract;
    int rank[LIFECYCLE_LABELS_MAX], fields[LIFECYCLE_LABELS_MAX];
    for (size_t i = 0; i < lifecycle->n_labels; i++) {
        rank[i] = rank_of(lifecycle, contract, i);
        fields[rank[i]] = lifecycle->labels[i];
    }
    memcpy(lifecycle->labels, fields, lifecycle->n_labels * sizeof fields[0]);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < rollups[i].n_labels; k++) {
            struct rollup_label *label = &rollups[i].labels[k];
            if (rollups[i].stream < 0 && rollups[i].lifecycle == number &&
                label->from == LABEL_FIRST && label->first >= 0)
                label->first = rank[label->first];
        }
}

/* The stages that an expression of a rollup sees, a bit for each. */
static uint32_t stages_of(const struct lifecycle *l, const struct expr *expr)
{
    uint32_t stages = 0;
    for (uint64_t fields = expr_fields(expr); fields; fields &= fields - 1) {
        int field = __builtin_ctzll(fields);
        stages |= UINT32_C(1) << (field < l->rules.n_stages ? field : l->captured[field].stage);
    }
    return stages;
}

bool lifecycle_rollup_waits(const struct lifecycle *lifecycle, const struct rollup *rollup)
{
    const struct lifecycle *l = lifecycle;
    uint32_t first = 1, sees = stages_of(l, rollup->when) | stages_of(l, rollup->value);
    if (l->layout.revisions) /* a later event may say any stage again */
        return true;
    switch (rollup->at) {
    case ROLLUP_AT_STAGE:
        /* Behind an end comes nothing that counts, but for clocks that are off. */
        return !(l->rules.ends >> rollup->stage & 1) &&
               (rollup->needs_outcome || (sees & ~(first | UINT32_C(1) << rollup->stage)));
    case ROLLUP_AT_STEP:
    case ROLLUP_AT_OPEN: return rollup->needs_outcome || (sees & ~first);
    default: return false;
    }
}
