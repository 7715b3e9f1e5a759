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

static void print_label(struct slice name, bool plain, struct buf *out)
{
    if (plain)
        buf_slice(out, name);
    else
        quote_text(name, out);
}

void print_matcher(const struct matcher *matcher, struct buf *out)
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

static void print_time_of(const struct duration *d, struct buf *out)
{
    if (d->expr)
        print_node(d->expr, out);
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

static void print_at(const struct when *when, struct buf *out)
{
    if (when->at == AT_START) {
        buf_str(out, " @ start()");
    } else if (when->at == AT_END) {
        buf_str(out, " @ end()");
    } else if (when->at == AT_TIME) {
        uint64_t ms = when->at_ms < 0 ? -(uint64_t)when->at_ms : (uint64_t)when->at_ms;
        buf_printf(
            out, " @ %s%" PRIu64 ".%03" PRIu64, when->at_ms < 0 ? "-" : "", ms / 1000, ms % 1000);
    }
}

static void print_offset(const struct when *when, struct buf *out)
{
    if (!when->offset.expr && when->offset.ms == 0)
        return;
    buf_str(out, " offset ");
    print_time_of(&when->offset, out);
}

static const char *extend_text(enum range_extend extend)
{
    return extend == EXTEND_ANCHORED ? " anchored" : extend == EXTEND_SMOOTHED ? " smoothed" : "";
}

static void print_selector(const struct node *node, struct buf *out)
{
    buf_slice(out, node->u.selector.name);
    print_matchers(node, out);
    print_at(&node->u.selector.when, out);
    buf_str(out, extend_text(node->u.selector.extend));
    print_offset(&node->u.selector.when, out);
}

/* The selector's modifiers come behind the range, and `anchored` in front of the time. */
static void print_matrix(const struct node *node, struct buf *out)
{
    const struct node *selector = node->u.matrix.selector;
    buf_slice(out, selector->u.selector.name);
    print_matchers(selector, out);
    buf_char(out, '[');
    print_time_of(&node->u.matrix.range, out);
    buf_char(out, ']');
    buf_str(out, extend_text(selector->u.selector.extend));
    print_at(&selector->u.selector.when, out);
    print_offset(&selector->u.selector.when, out);
}

static void print_subquery(const struct node *node, struct buf *out)
{
    const struct duration *step = &node->u.subquery.step;
    print_node(node->u.subquery.expr, out);
    buf_char(out, '[');
    print_time_of(&node->u.subquery.range, out);
    buf_char(out, ':');
    if (step->expr || step->ms != 0)
        print_time_of(step, out);
    buf_char(out, ']');
    print_at(&node->u.subquery.when, out);
    print_offset(&node->u.subquery.when, out);
}

/* ---- operators and calls ---- */

static void print_call(const struct node *node, struct buf *out)
{
    buf_str(out, node->u.call.function->name);
    buf_char(out, '(');
    for (size_t i = 0; i < node->u.call.n_args; i++) {
        buf_str(out, i ? ", " : "");
        print_node(node->u.call.args[i], out);
    }
    buf_char(out, ')');
}

static void print_aggregate(const struct node *node, struct buf *out)
{
    buf_str(out, aggregate_op_name(node->u.aggregate.op));
    if (node->u.aggregate.without || node->u.aggregate.n_labels > 0) {
        buf_str(out, node->u.aggregate.without ? " without (" : " by (");
        print_labels(node->u.aggregate.labels, node->u.aggregate.n_labels, out);
        buf_str(out, ") ");
    }
    buf_char(out, '(');
    if (node->u.aggregate.param) {
        print_node(node->u.aggregate.param, out);
        buf_str(out, ", ");
    }
    print_node(node->u.aggregate.expr, out);
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

static void print_binary(const struct node *node, struct buf *out)
{
    const struct node *lhs = node->u.binary.lhs;
    /* A sign binds less than ^, so +Inf ^ 2 would be +(Inf ^ 2). */
    bool bare = node->u.binary.op == OP_POW && lhs->type == NODE_NUMBER && isinf(lhs->u.number.v);
    if (bare)
        buf_str(out, "Inf");
    else
        print_node(lhs, out);
    buf_printf(
        out, " %s%s", binary_op_name(node->u.binary.op), node->u.binary.return_bool ? " bool" : "");
    print_matching(node, out);
    buf_char(out, ' ');
    print_node(node->u.binary.rhs, out);
}

static void print_duration_op(const struct node *node, struct buf *out)
{
    char op = node->u.duration.op;
    const struct node *lhs = node->u.duration.lhs, *rhs = node->u.duration.rhs;
    if (op == 's' || op == 'r') {
        buf_str(out, op == 's' ? "step()" : "range()");
    } else if (op == 'm' || op == 'M') {
        buf_str(out, op == 'm' ? "min_of(" : "max_of(");
        print_node(lhs, out);
        buf_str(out, ", ");
        print_node(rhs, out);
        buf_char(out, ')');
    } else {
        print_node(lhs, out);
        buf_printf(out, " %c ", op);
        print_node(rhs, out);
    }
}

void print_node(const struct node *node, struct buf *out)
{
    switch (node->type) {
    case NODE_NUMBER:
        if (node->u.number.is_duration)
            print_duration(llround(node->u.number.v * 1000), out);
        else
            print_number(node->u.number.v, out);
        break;
    case NODE_STRING: quote_text(node->u.string, out); break;
    case NODE_SELECTOR: print_selector(node, out); break;
    case NODE_MATRIX: print_matrix(node, out); break;
    case NODE_SUBQUERY: print_subquery(node, out); break;
    case NODE_CALL: print_call(node, out); break;
    case NODE_AGGREGATE: print_aggregate(node, out); break;
    case NODE_BINARY: print_binary(node, out); break;
    case NODE_UNARY:
        buf_char(out, node->u.unary.minus ? '-' : '+');
        print_node(node->u.unary.expr, out);
        break;
    case NODE_PAREN:
        buf_char(out, '(');
        print_node(node->u.paren, out);
        buf_char(out, ')');
        break;
    case NODE_DURATION: print_duration_op(node, out); break;
    }
}
