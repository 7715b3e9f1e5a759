/*
 * PromQL text to a checked syntax tree, and back. The grammar is that of Prometheus 3.14,
 * experimental parts included; types, arities and label matching are checked here, so that a tree
 * that parses can be evaluated, or is refused by the planner as "not supported yet: NAME" with its
 * position.
 */
#ifndef QUERY_PARSE_H
#define QUERY_PARSE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "query/ast.h"

#define PARSE_TEXT_MAX  (1u << 20) /* bytes of a query */
#define PARSE_DEPTH_MAX 500 /* height of the tree: nesting, and terms of one chain a + b + c */

/* Regular expressions of matchers are compiled; the tree owns them: ast_free gives them back. */
struct ast {
    const struct node *root;
    struct slice text; /* the query, copied into the arena */
    struct regex **regexes;
    size_t n_regexes;
    size_t regexes_cap;
};

/* err has line, column (1-based, in bytes) and a text in Prometheus' words: "parse error: ...". On
 * failure nothing has to be freed. */
bool parse_query(struct slice text, struct arena *arena, struct ast *out, struct err *err);
/* A selector alone, as in match[]: an instant vector selector without modifiers. At least one of
 * its matchers must not match the empty string. */
bool parse_selector(struct slice text, struct arena *arena, struct ast *out, struct err *err);
void ast_free(struct ast *ast);

/* "5m", "1h30m", "100ms", "300" (seconds) or "1.5" to milliseconds. Prometheus' model durations. */
bool parse_duration(struct slice text, int64_t *ms, struct err *err);

/* The canonical text of a node, as Prometheus' Expr.String(). */
void print_node(const struct node *node, struct buf *out);
/* As print_node, with @ at_ms on every selector and subquery without a time; those inside of a
 * subquery are left as they are. start() and end() count as no time. */
void print_node_at(const struct node *node, int64_t at_ms, struct buf *out);

/* "5m", "1h30m", "0s": Prometheus' form of a duration; a leading minus when it is negative. */
void print_duration(int64_t ms, struct buf *out);

/* 1-based line and column of a byte of the query text. */
void text_place(struct slice text, uint32_t at, int *line, int *col);

#endif
