#include "query/selectors.h"

static bool each_argument(const struct node *call, selector_f *each, void *ctx)
{
    for (size_t i = 0; i < call->u.call.n_args; i++)
        if (!node_each_selector(call->u.call.args[i], each, ctx))
            return false;
    return true;
}

static bool each_aggregated(const struct node *node, selector_f *each, void *ctx)
{
    const struct node *param = node->u.aggregate.param;
    return (!param || node_each_selector(param, each, ctx)) &&
           node_each_selector(node->u.aggregate.expr, each, ctx);
}

/* As deep as the tree: PARSE_DEPTH_MAX. */
bool node_each_selector(const struct node *root, selector_f *each, void *ctx)
{
    switch (root->type) {
    case NODE_NUMBER:
    case NODE_STRING:
    case NODE_DURATION: return true;
    case NODE_SELECTOR: return each(ctx, root);
    case NODE_MATRIX: return each(ctx, root->u.matrix.selector);
    case NODE_SUBQUERY: return node_each_selector(root->u.subquery.expr, each, ctx);
    case NODE_CALL: return each_argument(root, each, ctx);
    case NODE_AGGREGATE: return each_aggregated(root, each, ctx);
    case NODE_BINARY:
        return node_each_selector(root->u.binary.lhs, each, ctx) &&
               node_each_selector(root->u.binary.rhs, each, ctx);
    case NODE_UNARY: return node_each_selector(root->u.unary.expr, each, ctx);
    case NODE_PAREN: return node_each_selector(root->u.paren, each, ctx);
    }
    return true;
}
