#include "query/engine.h"

#include "base/ensure.h"
#include "query/function.h"

/*
 * What engine_query refuses from the tree alone, each with its place: what is not built yet, and
 * what is experimental where the options do not allow it.
 */

struct checker {
    const struct ast *ast;
    const struct engine_options *options;
    struct err *err;
};

static bool refuse(const struct checker *c, const struct node *node, enum err_code code,
    const char *before, struct slice name, const char *after)
{
    int line, col;
    text_place(c->ast->text, node->start, &line, &col);
    err_set(c->err, code, "%s%.*s%s", before, SLICE_FMT(name), after);
    return err_at(c->err, NULL, line, col);
}

static bool check_selector(const struct checker *c, const struct node *node)
{
    enum range_extend extend = node->u.selector.extend;
    if (extend == EXTEND_NONE || c->options->experimental)
        return true;
    return refuse(c, node, ERR_INVALID,
        "parse error: ", slice_from(extend == EXTEND_ANCHORED ? "anchored" : "smoothed"),
        " modifier is experimental and not enabled");
}

static bool check_call(const struct checker *c, const struct node *node)
{
    const struct function *function = node->u.call.function;
    struct slice name = slice_from(function->name);
    if (function->experimental && !c->options->experimental)
        return refuse(c, node, ERR_INVALID, "parse error: function \"", name, "\" is not enabled");
    switch (function->id) {
    case FN_INFO:
    case FN_START_TIMESTAMP:
        return refuse(c, node, ERR_UNSUPPORTED, "not supported yet: ", name, "()");
    default: return true;
    }
}

static bool check_aggregate(const struct checker *c, const struct node *node)
{
    enum aggregate_op op = node->u.aggregate.op;
    if ((op == AGG_LIMITK || op == AGG_LIMIT_RATIO) && !c->options->experimental)
        return refuse(c, node, ERR_INVALID, "parse error: ", slice_from(aggregate_op_name(op)),
            "() is experimental and must be enabled");
    return true;
}

static bool check_node(const struct checker *c, const struct node *node)
{
    switch (node->type) {
    case NODE_NUMBER:
    case NODE_STRING:
    case NODE_DURATION: return true;
    case NODE_SELECTOR: return check_selector(c, node);
    case NODE_MATRIX: return check_node(c, node->u.matrix.selector);
    case NODE_SUBQUERY: return check_node(c, node->u.subquery.expr);
    case NODE_CALL:
        for (size_t i = 0; i < node->u.call.n_args; i++)
            if (!check_node(c, node->u.call.args[i]))
                return false;
        return check_call(c, node);
    case NODE_AGGREGATE:
        return check_aggregate(c, node) && check_node(c, node->u.aggregate.expr) &&
               (!node->u.aggregate.param || check_node(c, node->u.aggregate.param));
    case NODE_BINARY: return check_node(c, node->u.binary.lhs) && check_node(c, node->u.binary.rhs);
    case NODE_UNARY: return check_node(c, node->u.unary.expr);
    case NODE_PAREN: return check_node(c, node->u.paren);
    }
    unreachable("node type");
}

bool engine_supports(const struct ast *ast, const struct engine_options *options, struct err *err)
{
    struct checker checker = {ast, options, err};
    return check_node(&checker, ast->root);
}
