/*
 * A tree as text, in the one form that Prometheus' Expr.String() gives: what is printed parses
 * again to the same tree. Matchers are sorted; by () without labels is left out.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/number.h"
#include "query/function.h"
#include "query/parse.h"
#include "query/quote.h"
#include "query/token.h"

static const char *const match_ops[] = {
    [MATCH_EQUAL] = "=",
    [MATCH_NOT_EQUAL] = "!=",
    [MATCH_REGEX] = "=~",
    [MATCH_NOT_REGEX] = "!~",
};

/* Where to print, and for print_node_at the time of what has none of its own. */
struct printer {
    struct buf *out;
    bool at_set;
    int64_t at_ms;
};

static void print_tree(const struct printer *p, const struct node *node);

static void print_label(struct slice name, bool plain, struct buf *out)
{
    if (plain)
        buf_slice(out, name);
    else
        quote_text(name, out);
}

/* `name="value"`, the name quoted where it must be. */
static void print_matcher(const struct matcher *matcher, struct buf *out)
{
    print_label(matcher->name, label_name_is_plain(matcher->name), out);
    buf_str(out, match_ops[matcher->op]);
    quote_text(matcher->value, out);
}

/* Outside of braces inf and nan are numbers: labels of that name need quotes. */
static void print_labels(const struct slice *labels, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        bool plain = label_name_is_plain(labels[i]) && token_of_word(labels[i]) != TOKEN_NUMBER;
        buf_str(out, i ? ", " : "");
        print_label(labels[i], plain, out);
    }
}

static void print_number(double v, struct buf *out)
{
    char text[NUMBER_MAX];
    buf_add(out, text, number_format_f(v, text));
}

static void print_time_of(const struct printer *p, const struct duration *d)
{
    struct buf *out = p->out;
    if (d->expr)
        print_tree(p, d->expr);
    else
        print_duration(d->ms, out);
}

/* ---- selectors ---- */

static int by_text(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* The matcher that stands in front of the braces as the name. */
static bool is_front_name(const struct node *node, const struct matcher *m)
{
    return m->op == MATCH_EQUAL && slice_is(m->name, LABEL_METRIC_NAME) && m->value.len > 0 &&
           slice_eq(m->value, node->u.selector.name);
}

static void print_matchers(const struct node *node, struct buf *out)
{
    size_t n = 0, total = node->u.selector.n_matchers;
    struct slice *parts = xcalloc(total + 1, sizeof *parts);
    size_t *ends = xcalloc(total + 1, sizeof *ends);
    struct buf texts;
    buf_init(&texts, 0);
    for (size_t i = 0; i < total; i++) {
        if (is_front_name(node, &node->u.selector.matchers[i]))
            continue;
        print_matcher(&node->u.selector.matchers[i], &texts);
        ends[n++] = texts.len;
    }
    for (size_t i = 0; i < n; i++) {
        size_t start = i ? ends[i - 1] : 0;
        parts[i] = slice_of(texts.ptr + start, ends[i] - start);
    }
    qsort(parts, n, sizeof *parts, by_text);
    for (size_t i = 0; i < n; i++) {
        buf_char(out, i ? ',' : '{');
        buf_slice(out, parts[i]);
    }
    buf_str(out, n ? "}" : "");
    buf_fini(&texts);
    free(parts);
    free(ends);
}

static void print_at(const struct printer *p, const struct when *when)
{
    bool own = when->at == AT_TIME || !p->at_set;
    enum at_kind at = own ? when->at : AT_TIME;
    int64_t t = own ? when->at_ms : p->at_ms;
    uint64_t ms = t < 0 ? -(uint64_t)t : (uint64_t)t;
    if (at == AT_START)
        buf_str(p->out, " @ start()");
    else if (at == AT_END)
        buf_str(p->out, " @ end()");
    else if (at == AT_TIME)
        buf_printf(p->out, " @ %s%" PRIu64 ".%03" PRIu64, t < 0 ? "-" : "", ms / 1000, ms % 1000);
}

static void print_offset(const struct printer *p, const struct when *when)
{
    struct buf *out = p->out;
    if (!when->offset.expr && when->offset.ms == 0)
        return;
    buf_str(out, " offset ");
    print_time_of(p, &when->offset);
}

static const char *extend_text(enum range_extend extend)
{
    return extend == EXTEND_ANCHORED ? " anchored" : extend == EXTEND_SMOOTHED ? " smoothed" : "";
}

static void print_selector(const struct printer *p, const struct node *node)
{
    struct buf *out = p->out;
    buf_slice(out, node->u.selector.name);
    print_matchers(node, out);
    print_at(p, &node->u.selector.when);
    buf_str(out, extend_text(node->u.selector.extend));
    print_offset(p, &node->u.selector.when);
}

/* The selector's modifiers come behind the range, and `anchored` in front of the time. */
static void print_matrix(const struct printer *p, const struct node *node)
{
    struct buf *out = p->out;
    const struct node *selector = node->u.matrix.selector;
    buf_slice(out, selector->u.selector.name);
    print_matchers(selector, out);
    buf_char(out, '[');
    print_time_of(p, &node->u.matrix.range);
    buf_char(out, ']');
    buf_str(out, extend_text(selector->u.selector.extend));
    print_at(p, &selector->u.selector.when);
    print_offset(p, &selector->u.selector.when);
}

static void print_subquery(const struct printer *p, const struct node *node)
{
    struct buf *out = p->out;
    const struct duration *step = &node->u.subquery.step;
    print_node(node->u.subquery.expr, out);
    buf_char(out, '[');
    print_time_of(p, &node->u.subquery.range);
    buf_char(out, ':');
    if (step->expr || step->ms != 0)
        print_time_of(p, step);
    buf_char(out, ']');
    print_at(p, &node->u.subquery.when);
    print_offset(p, &node->u.subquery.when);
}

/* ---- operators and calls ---- */

static void print_call(const struct printer *p, const struct node *node)
{
    struct buf *out = p->out;
    buf_str(out, node->u.call.function->name);
    buf_char(out, '(');
    for (size_t i = 0; i < node->u.call.n_args; i++) {
        buf_str(out, i ? ", " : "");
        print_tree(p, node->u.call.args[i]);
    }
    buf_char(out, ')');
}

static void print_aggregate(const struct printer *p, const struct node *node)
{
    struct buf *out = p->out;
    buf_str(out, aggregate_op_name(node->u.aggregate.op));
    if (node->u.aggregate.without || node->u.aggregate.n_labels > 0) {
        buf_str(out, node->u.aggregate.without ? " without (" : " by (");
        print_labels(node->u.aggregate.labels, node->u.aggregate.n_labels, out);
        buf_str(out, ") ");
    }
    buf_char(out, '(');
    if (node->u.aggregate.param) {
        print_tree(p, node->u.aggregate.param);
        buf_str(out, ", ");
    }
    print_tree(p, node->u.aggregate.expr);
    buf_char(out, ')');
}

static void print_fill(const char *keyword, const struct fill *fill, struct buf *out)
{
    char text[NUMBER_MAX];
    if (!fill->set)
        return;
    number_format_g(fill->value, text);
    buf_printf(out, " %s (%s)", keyword, text);
}

/* The same to the bit, but for the kinds of NaN. */
static bool same_fills(const struct fill *a, const struct fill *b)
{
    if (!a->set || !b->set)
        return false;
    if (isnan(a->value) || isnan(b->value))
        return isnan(a->value) && isnan(b->value);
    return a->value == b->value && signbit(a->value) == signbit(b->value);
}

static void print_matching(const struct node *node, struct buf *out)
{
    enum match_card card = node->u.binary.card;
    bool grouped = card == CARD_MANY_TO_ONE || card == CARD_ONE_TO_MANY;
    if (node->u.binary.n_labels > 0 || node->u.binary.on || grouped) {
        buf_str(out, node->u.binary.on ? " on (" : " ignoring (");
        print_labels(node->u.binary.labels, node->u.binary.n_labels, out);
        buf_char(out, ')');
    }
    if (grouped) {
        buf_str(out, card == CARD_MANY_TO_ONE ? " group_left (" : " group_right (");
        print_labels(node->u.binary.include, node->u.binary.n_include, out);
        buf_char(out, ')');
    }
    if (same_fills(&node->u.binary.fill_left, &node->u.binary.fill_right)) {
        print_fill("fill", &node->u.binary.fill_left, out);
    } else {
        print_fill("fill_left", &node->u.binary.fill_left, out);
        print_fill("fill_right", &node->u.binary.fill_right, out);
    }
}

static void print_binary(const struct printer *p, const struct node *node)
{
    struct buf *out = p->out;
    const struct node *lhs = node->u.binary.lhs;
    /* A sign binds less than ^, so +Inf ^ 2 would be +(Inf ^ 2). */
    bool bare = node->u.binary.op == OP_POW && lhs->type == NODE_NUMBER && isinf(lhs->u.number.v);
    if (bare)
        buf_str(out, "Inf");
    else
        print_tree(p, lhs);
    buf_printf(
        out, " %s%s", binary_op_name(node->u.binary.op), node->u.binary.return_bool ? " bool" : "");
    print_matching(node, out);
    buf_char(out, ' ');
    print_tree(p, node->u.binary.rhs);
}

static void print_duration_op(const struct printer *p, const struct node *node)
{
    struct buf *out = p->out;
    char op = node->u.duration.op;
    const struct node *lhs = node->u.duration.lhs, *rhs = node->u.duration.rhs;
    if (op == 's' || op == 'r') {
        buf_str(out, op == 's' ? "step()" : "range()");
    } else if (op == 'm' || op == 'M') {
        buf_str(out, op == 'm' ? "min_of(" : "max_of(");
        print_tree(p, lhs);
        buf_str(out, ", ");
        print_tree(p, rhs);
        buf_char(out, ')');
    } else {
        print_tree(p, lhs);
        buf_printf(out, " %c ", op);
        print_tree(p, rhs);
    }
}

static void print_tree(const struct printer *p, const struct node *node)
{
    struct buf *out = p->out;
    switch (node->type) {
    case NODE_NUMBER:
        if (node->u.number.is_duration)
            print_duration(llround(node->u.number.v * 1000), out);
        else
            print_number(node->u.number.v, out);
        break;
    case NODE_STRING: quote_text(node->u.string, out); break;
    case NODE_SELECTOR: print_selector(p, node); break;
    case NODE_MATRIX: print_matrix(p, node); break;
    case NODE_SUBQUERY: print_subquery(p, node); break;
    case NODE_CALL: print_call(p, node); break;
    case NODE_AGGREGATE: print_aggregate(p, node); break;
    case NODE_BINARY: print_binary(p, node); break;
    case NODE_UNARY:
        buf_char(out, node->u.unary.minus ? '-' : '+');
        print_tree(p, node->u.unary.expr);
        break;
    case NODE_PAREN:
        buf_char(out, '(');
        print_tree(p, node->u.paren);
        buf_char(out, ')');
        break;
    case NODE_DURATION: print_duration_op(p, node); break;
    }
}

void print_node(const struct node *node, struct buf *out)
{
    print_tree(&(struct printer){.out = out}, node);
}

void print_node_at(const struct node *node, int64_t at_ms, struct buf *out)
{
    print_tree(&(struct printer){out, true, at_ms}, node);
}
