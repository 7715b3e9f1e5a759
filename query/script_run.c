#include "query/script_run.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/ensure.h"
#include "query/function.h"
#include "query/script_compare.h"
#include "query/script_nhcb.h"
#include "store/store.h"

#define QUERY_BYTES_MAX (256u << 20)
#define RANGE_FORM_MS   60000 /* between the steps of the range form */

struct running {
    const struct engine_options *options;
    struct store *store;
    int start_times_line; /* of a load since the last clear; 0: none */
    script_event_f *event;
    void *ctx;
    struct script_result *result;
};

/* One evaluation in all its forms. */
struct checking {
    const struct script_eval *eval;
    struct store *store;
    const struct engine_options *options;
    struct buf why; /* the difference */
};

/* One query in one form. */
struct form {
    const char *name;
    struct slice text;
    int64_t t_ms;
};

/* ---- loading ---- */

static bool load_series(
    struct txn *txn, const struct script_series *series, int64_t gap_ms, struct err *err)
{
    struct slice name = labels_get(series->labels, SLICE(LABEL_METRIC_NAME));
    struct metric_def def = {.name = name.ptr ? name : SLICE(""), .kind = KIND_SAMPLE};
    uint32_t metric, id;
    bool any = false;
    for (size_t i = 0; i < series->n && !any; i++)
        any = !series->values[i].omitted;
    if (!any)
        return true;
    if (!txn_metric(txn, &def, &metric, err) || !txn_series(txn, metric, series->labels, &id, err))
        return false;
    for (size_t i = 0; i < series->n; i++) {
        const struct script_value *v = &series->values[i];
        int64_t t = (int64_t)i * gap_ms;
        if (v->omitted)
            continue;
        if (v->h)
            txn_sample_histogram(txn, id, t, v->h);
        else
            txn_sample(txn, id, t, v->v);
    }
    return true;
}

static bool load_all(struct store *store, const struct script_series *series, size_t n,
    int64_t gap_ms, struct err *err)
{
    struct txn *txn = txn_begin(store);
    for (size_t i = 0; i < n; i++)
        if (!load_series(txn, &series[i], gap_ms, err)) {
            txn_abort(&txn);
            return false;
        }
    if (txn_commit(&txn, NULL, err))
        return true;
    txn_abort(&txn);
    return false;
}

static bool run_load(struct running *r, const struct script_load *load, struct err *err)
{
    struct arena arena;
    struct script_series *converted;
    size_t n;
    if (load->start_times_line)
        r->start_times_line = load->start_times_line;
    if (!load_all(r->store, load->series, load->n, load->gap_ms, err))
        return false;
    if (!load->custom_buckets)
        return true;
    arena_init(&arena, QUERY_BYTES_MAX);
    bool ok = script_nhcb(load, &arena, &converted, &n, err) &&
              load_all(r->store, converted, n, load->gap_ms, err);
    arena_fini(&arena);
    return ok;
}

static bool run_clear(struct running *r, struct err *err)
{
    const struct store_options options = {.path = NULL};
    if (r->store)
        store_close(&r->store);
    r->start_times_line = 0;
    return store_open(&options, &r->store, err);
}

/* ---- one query ---- */

static bool ask(struct checking *c, const struct query *query, struct arena *arena,
    struct answer *answer, struct err *err)
{
    *answer = (struct answer){0};
    *err = (struct err){0};
    return engine_query(c->store, c->options, query, arena, answer, err);
}

static bool put_error(struct checking *c, const char *what, const struct err *err)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 64];
    buf_printf(&c->why, "%s: %s", what, err_format(err, text, sizeof text));
    return false;
}

/* A query that fails passes when that was expected, in these words. */
static bool check_error(struct checking *c, const struct err *err)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 64];
    const struct script_notes *fails = &c->eval->notes[NOTE_FAIL];
    if (fails->n == 0)
        return put_error(c, "error", err);
    if (script_match_ok(&fails->items[0], err->text) ||
        script_match_ok(&fails->items[0], err_format(err, text, sizeof text)))
        return true;
    buf_printf(&c->why, "expected another error than: %s", text);
    return false;
}

static bool check_answer(struct checking *c, const struct answer *answer)
{
    if (c->eval->notes[NOTE_FAIL].n > 0) {
        buf_str(&c->why, "expected an error, but got none");
        return false;
    }
    return script_compare_notes(c->eval, &answer->notes, &c->why) &&
           script_compare_value(c->eval, &answer->value, &c->why);
}

/* ---- the range form ---- */

static bool has_context_call(struct slice text)
{
    static const char *const calls[] = {"start()", "end()", "range()", "step()"};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (memmem(text.ptr, text.len, calls[i], strlen(calls[i])))
            return true;
    return false;
}

/* The points of a matrix at one time, as the vector or scalar that the instant query gave. */
static bool value_at(const struct value *matrix, enum value_type type, int64_t t_ms,
    struct arena *arena, struct value *out)
{
    *out = (struct value){.type = type, .t_ms = t_ms};
    out->series = arena_array(arena, matrix->n, sizeof *out->series);
    if (!out->series)
        return false;
    for (size_t i = 0; i < matrix->n; i++) {
        const struct series *s = &matrix->series[i];
        for (size_t k = 0; k < s->n; k++)
            if (s->points[k].t_ms == t_ms)
                out->series[out->n++] = (struct series){s->labels, &s->points[k], 1};
    }
    return true;
}

static bool check_range_form(
    struct checking *c, const struct form *form, enum value_type type, struct arena *arena)
{
    struct query query = {.text = form->text,
        .start_ms = form->t_ms - RANGE_FORM_MS,
        .end_ms = form->t_ms + RANGE_FORM_MS,
        .step_ms = RANGE_FORM_MS};
    struct answer answer;
    struct value middle;
    struct err err;
    if (!ask(c, &query, arena, &answer, &err))
        return put_error(c, "error as a range query", &err);
    if (c->eval->ordered)
        return true;
    if (!value_at(&answer.value, type, form->t_ms, arena, &middle)) {
        buf_str(&c->why, "the answer of the range query is too large");
        return false;
    }
    size_t before = c->why.len;
    if (script_compare_value(c->eval, &middle, &c->why))
        return true;
    ensure(c->why.len > before);
    buf_str(&c->why, " (as a range query)");
    return false;
}

/* ---- forms ---- */

static bool check_instant(struct checking *c, const struct form *form, struct arena *arena)
{
    struct query query = {.text = form->text, .start_ms = form->t_ms, .end_ms = form->t_ms};
    struct answer answer;
    struct err err;
    if (!ask(c, &query, arena, &answer, &err))
        return check_error(c, &err);
    if (!check_answer(c, &answer))
        return false;
    enum value_type type = answer.value.type;
    if (c->eval->range_vector || (type != VALUE_VECTOR && type != VALUE_SCALAR) ||
        has_context_call(form->text))
        return true;
    return check_range_form(c, form, type, arena);
}

static bool check_form(struct checking *c, const struct form *form)
{
    struct arena arena;
    arena_init(&arena, QUERY_BYTES_MAX);
    bool ok = check_instant(c, form, &arena);
    arena_fini(&arena);
    if (!ok && form->name)
        buf_printf(&c->why, " [%s: %.*s at %" PRId64 " ms]", form->name, SLICE_FMT(form->text),
            form->t_ms);
    return ok;
}

/* Functions whose result depends on the time of evaluation even when their arguments do not. */
static bool depends_on_time(const struct function *function)
{
    switch (function->id) {
    case FN_DAY_OF_MONTH:
    case FN_DAY_OF_WEEK:
    case FN_DAY_OF_YEAR:
    case FN_DAYS_IN_MONTH:
    case FN_HOUR:
    case FN_MINUTE:
    case FN_MONTH:
    case FN_YEAR:
    case FN_TIME:
    case FN_TIMESTAMP:
    case FN_PREDICT_LINEAR:
    case FN_START:
    case FN_END:
    case FN_STEP:
    case FN_RANGE: return true;
    default: return false;
    }
}

static bool any_depends_on_time(const struct node *node);

static bool call_depends_on_time(const struct node *node)
{
    bool found = depends_on_time(node->u.call.function);
    for (size_t i = 0; i < node->u.call.n_args && !found; i++)
        found = any_depends_on_time(node->u.call.args[i]);
    return found;
}

static bool any_depends_on_time(const struct node *node)
{
    switch (node->type) {
    case NODE_CALL: return call_depends_on_time(node);
    case NODE_AGGREGATE:
        return any_depends_on_time(node->u.aggregate.expr) ||
               (node->u.aggregate.param && any_depends_on_time(node->u.aggregate.param));
    case NODE_BINARY:
        return any_depends_on_time(node->u.binary.lhs) || any_depends_on_time(node->u.binary.rhs);
    case NODE_SUBQUERY: return any_depends_on_time(node->u.subquery.expr);
    case NODE_UNARY: return any_depends_on_time(node->u.unary.expr);
    case NODE_PAREN: return any_depends_on_time(node->u.paren);
    default: return false;
    }
}

static bool check_at_forms(struct checking *c, const struct node *root)
{
    int64_t t = c->eval->range_vector ? c->eval->to_ms : c->eval->start_ms;
    int64_t times[5] = {-10 * t, 0, t / 5, t, 10 * t};
    size_t n = 5;
    if (t == 0) {
        times[0] = -1000;
        times[2] = 1000;
        n = 3;
    }
    struct buf text;
    buf_init(&text, PARSE_TEXT_MAX);
    print_node_at(root, t, &text);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        ok = check_form(c, &(struct form){"@ form", buf_view(&text), times[i]});
    buf_fini(&text);
    return ok;
}

static bool check_range(struct checking *c)
{
    const struct script_eval *eval = c->eval;
    struct query query = {.text = eval->expr,
        .start_ms = eval->start_ms,
        .end_ms = eval->end_ms,
        .step_ms = eval->step_ms};
    struct arena arena;
    struct answer answer;
    struct err err;
    arena_init(&arena, QUERY_BYTES_MAX);
    bool ok =
        ask(c, &query, &arena, &answer, &err) ? check_answer(c, &answer) : check_error(c, &err);
    arena_fini(&arena);
    return ok;
}

static bool check_all_forms(struct checking *c, const struct node *root)
{
    if (c->eval->is_range)
        return check_range(c);
    int64_t t = c->eval->range_vector ? c->eval->to_ms : c->eval->start_ms;
    if (!check_form(c, &(struct form){NULL, c->eval->expr, t}))
        return false;
    return any_depends_on_time(root) || check_at_forms(c, root);
}

/* ---- evaluations ---- */

static void report(struct running *r, enum script_event event, int line, const char *text)
{
    if (event == SCRIPT_FAILED)
        r->result->failed++;
    else
        r->result->unsupported++;
    r->event(r->ctx, event, line, text);
}

static void run_parsed(struct running *r, const struct script_command *command, struct ast *ast)
{
    struct err err = {0};
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 64];
    if (!engine_supports(ast, r->options, &err)) {
        report(r, SCRIPT_UNSUPPORTED, command->line, err_format(&err, text, sizeof text));
        return;
    }
    if (r->start_times_line) {
        snprintf(text, sizeof text, "not supported yet: start timestamps (line %d)",
            r->start_times_line);
        report(r, SCRIPT_UNSUPPORTED, command->line, text);
        return;
    }
    struct checking c = {.eval = &command->u.eval, .store = r->store, .options = r->options};
    buf_init(&c.why, 1 << 16);
    if (check_all_forms(&c, ast->root))
        r->result->passed++;
    else
        report(r, SCRIPT_FAILED, command->line, buf_cstr(&c.why));
    buf_fini(&c.why);
}

static void run_eval(struct running *r, const struct script_command *command)
{
    struct arena arena;
    struct ast ast;
    struct err err = {0};
    arena_init(&arena, QUERY_BYTES_MAX);
    if (parse_query(command->u.eval.expr, &arena, &ast, &err)) {
        run_parsed(r, command, &ast);
        ast_free(&ast);
    } else {
        struct checking c = {.eval = &command->u.eval};
        buf_init(&c.why, 1 << 16);
        if (check_error(&c, &err))
            r->result->passed++;
        else
            report(r, SCRIPT_FAILED, command->line, buf_cstr(&c.why));
        buf_fini(&c.why);
    }
    arena_fini(&arena);
}

static bool run_command(struct running *r, const struct script_command *command, struct err *err)
{
    switch (command->type) {
    case SCRIPT_CLEAR: return run_clear(r, err);
    case SCRIPT_LOAD: return run_load(r, &command->u.load, err);
    case SCRIPT_EVAL: run_eval(r, command); return true;
    }
    return true;
}

bool script_run(const struct script *script, const struct engine_options *options,
    script_event_f *event, void *ctx, struct script_result *out, struct err *err)
{
    struct running r = {.options = options, .event = event, .ctx = ctx, .result = out};
    *out = (struct script_result){0};
    bool ok = run_clear(&r, err);
    for (size_t i = 0; i < script->n && ok; i++) {
        ok = run_command(&r, &script->commands[i], err);
        if (!ok)
            err_at(err, NULL, script->commands[i].line, 0);
    }
    if (r.store)
        store_close(&r.store);
    return ok;
}
