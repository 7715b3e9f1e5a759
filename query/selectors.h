/*
 * The selectors of an expression.
 */
#ifndef QUERY_SELECTORS_H
#define QUERY_SELECTORS_H

#include "query/ast.h"

typedef bool selector_f(void *ctx, const struct node *selector);

/* Calls each for every NODE_SELECTOR of the tree, those of ranges among them, in the order of the
 * text; it returns false to stop. Returns whether none has stopped it. */
bool node_each_selector(const struct node *root, selector_f *each, void *ctx);

#endif
