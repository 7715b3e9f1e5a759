/*
 * Inside of the parser: its state, and what the parse_*.c files share. Nobody else includes this.
 *
 * Recursive descent with precedence climbing, one function per rule of Prometheus' grammar. A rule
 * returns its node, or NULL when p->err is set. Two tokens are looked at: the current and the next.
 *
 * Order of errors: what is wrong with the syntax is found first, from left to right; types and
 * matching are checked when the whole text has parsed (parse_check.c), as Prometheus does it.
 */
#ifndef QUERY_PARSER_H
#define QUERY_PARSER_H

#include "query/function.h"
#include "query/lex.h"
#include "query/parse.h"

struct parser {
    struct lexer lexer;
    struct token now, next;
    uint32_t last_end; /* end of the token before now */
    int depth;
    /* What is being read, for "unexpected ... in CONTEXT, expected EXPECTED". */
    const char *context, *expected;
    struct arena *arena;
    struct ast *ast;
    struct err *err;
};

/* ---- parse.c ---- */

/* "parse error: ..." at a byte of the text. Returns NULL. */
void *parser_fail(struct parser *p, uint32_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "parse error: unexpected TOKEN in CONTEXT, expected EXPECTED", or the lexer's error. With NULL
 * for context: those of the parser. Returns NULL. */
void *parser_unexpected(struct parser *p, const char *context, const char *expected);
/* ERR_LIMIT: the arena is full. Returns NULL. */
void *parser_full(struct parser *p);

/* The current token; the next one becomes current. */
struct token parser_take(struct parser *p);
/* Takes it when it is of this type. */
bool parser_accept(struct parser *p, enum token_type type);
/* Takes it, or fails with parser_unexpected. */
bool parser_expect(struct parser *p, enum token_type type);

struct node *parser_node(
    struct parser *p, enum node_type type, enum value_type value, uint32_t start);
/* The node's end is where the last token ended; its height is over these children (NULL: none). */
struct node *parser_close(
    struct parser *p, struct node *node, const struct node *a, const struct node *b);
/* Room for one more element behind n; NULL: the arena is full. */
void *parser_grow(struct parser *p, void *array, size_t n, size_t *cap, size_t elem_size);

/* One more level of recursion; false: too deep. Undone with p->depth--. */
bool parser_enter(struct parser *p);

struct node *parse_expr(struct parser *p);

/* ---- parse_call.c ---- */

struct node *parse_aggregate(struct parser *p);
struct node *parse_call(struct parser *p);

/* ---- parse_match.c ---- */

/* bool, on, ignoring, group_left, group_right and fills behind a binary operator. */
bool parse_matching(struct parser *p, struct node *binary);
/* (a, b, "c.d") of by, without, on and so on. */
bool parse_grouping(struct parser *p, const struct slice **labels, size_t *n);

/* ---- parse_selector.c ---- */

struct node *parse_vector_selector(struct parser *p);
/* All of [5m], [5m:1m], offset, @, anchored and smoothed that follow. */
struct node *parse_modifiers(struct parser *p, struct node *node);

/* ---- parse_duration.c ---- */

/* What stands in brackets: a positive duration. */
bool parse_positive_duration(struct parser *p, struct duration *out);
/* What stands behind offset. */
bool parse_offset_duration(struct parser *p, struct duration *out);

/* ---- parse_number.c ---- */

bool parser_is_number(const struct parser *p); /* a number or a duration is current */
/* A number or a duration literal, as a node. */
struct node *parse_number_node(struct parser *p);
/* With a sign or without one. */
bool parse_signed_number(struct parser *p, double *out);

/* ---- parse_check.c ---- */

bool check_types(struct parser *p, const struct node *root);

#endif
