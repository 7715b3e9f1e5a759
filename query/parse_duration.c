/*
 * Durations: literals such as 1h30m, and expressions of them, in brackets and behind offset.
 *
 *     [5m]  [2 * step()]  [30m - 5]  offset -1h  offset (2 * range())  [max_of(step(), 1m)]
 *
 * Behind offset a literal, a call and what follows a sign end the duration, so that
 * x offset 5m + 1 is (x offset 5m) + 1; only what begins with a parenthesis goes on as an
 * expression.
 */
#include <inttypes.h>
#include <math.h>

#include "base/ensure.h"
#include "base/number.h"
#include "query/parser.h"
#include "query/quote.h"

#define SECONDS_MAX (9223372036.854775807) /* of Go's duration, in nanoseconds */

/* ---- literals ---- */

static const struct unit {
    const char *name;
    int64_t ms;
    bool exact; /* printed only when nothing is left over */
} units[] = {
    {"y", 365LL * 24 * 3600 * 1000, true},
    {"w", 7LL * 24 * 3600 * 1000, true},
    {"d", 24LL * 3600 * 1000, false},
    {"h", 3600LL * 1000, false},
    {"m", 60LL * 1000, false},
    {"s", 1000, false},
    {"ms", 1, false},
};
#define N_UNITS (sizeof units / sizeof units[0])

static bool bad_duration(struct slice text, struct err *err)
{
    struct buf quoted;
    buf_init(&quoted, 256);
    quote_text(text, &quoted);
    err_set(err, ERR_INVALID, "not a valid duration string: %s", buf_cstr(&quoted));
    buf_fini(&quoted);
    return false;
}

/* Digits at *at, at least one and no more than fit. */
static bool take_digits(struct slice text, size_t *at, int64_t *out)
{
    size_t start = *at;
    for (*out = 0; *at < text.len && text.ptr[*at] >= '0' && text.ptr[*at] <= '9'; ++*at) {
        if (*out > (INT64_MAX - 9) / 10)
            return false;
        *out = *out * 10 + (text.ptr[*at] - '0');
    }
    return *at > start;
}

/* The unit at *at that comes after `after` in the table; N_UNITS: none. */
static size_t take_unit(struct slice text, size_t *at, size_t after)
{
    size_t len = 0;
    while (*at + len < text.len && (text.ptr[*at + len] < '0' || text.ptr[*at + len] > '9'))
        len++;
    struct slice name = slice_of(text.ptr + *at, len);
    *at += len;
    for (size_t i = after; i < N_UNITS; i++)
        if (slice_is(name, units[i].name))
            return i;
    return N_UNITS;
}

/* Units fall from y to ms, each at most once. */
static bool parse_units(struct slice text, int64_t *ms, struct err *err)
{
    size_t at = 0, next = 0;
    *ms = 0;
    while (at < text.len) {
        int64_t n;
        if (!take_digits(text, &at, &n))
            return bad_duration(text, err);
        size_t unit = take_unit(text, &at, next);
        if (unit == N_UNITS)
            return bad_duration(text, err);
        next = unit + 1;
        if (n > (int64_t)(SECONDS_MAX * 1000 - (double)*ms) / units[unit].ms)
            return err_set(err, ERR_INVALID, "duration out of range");
        *ms += n * units[unit].ms;
    }
    return true;
}

static bool is_plain_number(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((text.ptr[i] < '0' || text.ptr[i] > '9') && text.ptr[i] != '.')
            return false;
    return true;
}

bool parse_duration(struct slice text, int64_t *ms, struct err *err)
{
    if (text.len == 0)
        return err_set(err, ERR_INVALID, "empty duration string");
    if (!is_plain_number(text))
        return parse_units(text, ms, err);
    double seconds;
    if (!number_parse(text, &seconds))
        return bad_duration(text, err);
    if (seconds > SECONDS_MAX)
        return err_set(err, ERR_INVALID, "duration out of range");
    *ms = llround(seconds * 1000);
    return true;
}

void print_duration(int64_t ms, struct buf *out)
{
    if (ms == 0) {
        buf_str(out, "0s");
        return;
    }
    uint64_t left = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
    if (ms < 0)
        buf_char(out, '-');
    for (size_t i = 0; i < N_UNITS; i++) {
        uint64_t unit = (uint64_t)units[i].ms;
        ensure(unit > 0);
        if (left < unit || (units[i].exact && left % unit != 0))
            continue;
        buf_printf(out, "%" PRIu64 "%s", left / unit, units[i].name);
        left %= unit;
    }
}

/* ---- expressions ---- */

static struct node *parse_sum(struct parser *p, int least);

static bool in_range(struct parser *p, const struct node *node)
{
    if (node->type != NODE_NUMBER || fabs(node->u.number.v) <= SECONDS_MAX)
        return true;
    return parser_fail(p, node->start, "duration out of range");
}

static struct node *parse_literal(struct parser *p)
{
    struct node *node = parse_number_node(p);
    return node && in_range(p, node) ? node : NULL;
}

/* step() and range(), min_of(a, b) and max_of(a, b). */
static struct node *parse_duration_call(struct parser *p)
{
    struct token name = parser_take(p);
    struct node *node = parser_node(p, NODE_DURATION, VALUE_SCALAR, name.start), *a = NULL,
                *b = NULL;
    if (!node || !parser_expect(p, TOKEN_LEFT_PAREN))
        return NULL;
    node->u.duration.op = name.type == TOKEN_STEP     ? 's'
                          : name.type == TOKEN_RANGE  ? 'r'
                          : name.type == TOKEN_MIN_OF ? 'm'
                                                      : 'M';
    if (name.type == TOKEN_MIN_OF || name.type == TOKEN_MAX_OF) {
        if (!(a = parse_sum(p, 0)) || !parser_expect(p, TOKEN_COMMA) || !(b = parse_sum(p, 0)))
            return NULL;
        node->u.duration.lhs = a;
        node->u.duration.rhs = b;
    }
    return parser_expect(p, TOKEN_RIGHT_PAREN) ? parser_close(p, node, a, b) : NULL;
}

static struct node *parse_duration_paren(struct parser *p)
{
    uint32_t start = parser_take(p).start;
    struct node *inner = parse_sum(p, 0);
    if (!inner || !parser_expect(p, TOKEN_RIGHT_PAREN))
        return NULL;
    struct node *node = parser_node(p, NODE_PAREN, VALUE_SCALAR, start);
    if (!node)
        return NULL;
    node->u.paren = inner;
    return parser_close(p, node, inner, NULL);
}

static bool is_duration_call(enum token_type type)
{
    return type >= TOKEN_STEP && type <= TOKEN_MAX_OF;
}

static struct node *parse_duration_primary(struct parser *p)
{
    if (p->now.type == TOKEN_LEFT_PAREN)
        return parse_duration_paren(p);
    if (is_duration_call(p->now.type))
        return parse_duration_call(p);
    if (parser_is_number(p))
        return parse_literal(p);
    return parser_unexpected(p, NULL, NULL);
}

/* The sign is put into a literal; a plus is dropped. */
static struct node *apply_sign(struct parser *p, struct token sign, struct node *operand)
{
    if (operand->type == NODE_NUMBER) {
        if (sign.type == TOKEN_SUB)
            operand->u.number.v = -operand->u.number.v;
        operand->start = sign.start;
        return operand;
    }
    if (sign.type != TOKEN_SUB)
        return operand;
    struct node *node = parser_node(p, NODE_UNARY, VALUE_SCALAR, sign.start);
    if (!node)
        return NULL;
    node->u.unary.minus = true;
    node->u.unary.expr = operand;
    return parser_close(p, node, operand, NULL);
}

enum { LEVEL_NONE = -1, LEVEL_ADD, LEVEL_MUL, LEVEL_POW };

static int level_of(enum token_type type, char *op)
{
    switch (type) {
    case TOKEN_ADD: *op = '+'; return LEVEL_ADD;
    case TOKEN_SUB: *op = '-'; return LEVEL_ADD;
    case TOKEN_MUL: *op = '*'; return LEVEL_MUL;
    case TOKEN_DIV: *op = '/'; return LEVEL_MUL;
    case TOKEN_MOD: *op = '%'; return LEVEL_MUL;
    case TOKEN_POW: *op = '^'; return LEVEL_POW;
    default: return LEVEL_NONE;
    }
}

static struct node *parse_duration_operand(struct parser *p)
{
    if (p->now.type != TOKEN_ADD && p->now.type != TOKEN_SUB)
        return parse_duration_primary(p);
    struct token sign = parser_take(p);
    struct node *operand = parse_sum(p, LEVEL_POW);
    return operand ? apply_sign(p, sign, operand) : NULL;
}

static struct node *parse_duration_operator(struct parser *p, struct node *lhs, char op, int level)
{
    uint32_t at = parser_take(p).start;
    struct node *rhs = parse_sum(p, level == LEVEL_POW ? level : level + 1);
    if (!rhs)
        return NULL;
    if ((op == '/' || op == '%') && rhs->type == NODE_NUMBER && rhs->u.number.v == 0)
        return parser_fail(p, at, op == '/' ? "division by zero" : "modulo by zero");
    struct node *node = parser_node(p, NODE_DURATION, VALUE_SCALAR, lhs->start);
    if (!node)
        return NULL;
    node->u.duration.op = op;
    node->u.duration.lhs = lhs;
    node->u.duration.rhs = rhs;
    return parser_close(p, node, lhs, rhs);
}

static struct node *parse_sum(struct parser *p, int least)
{
    if (!parser_enter(p))
        return NULL;
    struct node *node = parse_duration_operand(p);
    while (node) {
        char op = 0;
        int level = level_of(p->now.type, &op);
        if (level == LEVEL_NONE || level < least)
            break;
        node = parse_duration_operator(p, node, op, level);
    }
    p->depth--;
    return node;
}

/* A literal becomes ms. A number of seconds is taken to the nanosecond, as Prometheus does, and
 * what is below 1 ms is cut. */
static void settle(const struct node *node, struct duration *out)
{
    *out = (struct duration){0};
    if (node->type != NODE_NUMBER)
        out->expr = node;
    else if (node->u.number.is_duration)
        out->ms = llround(node->u.number.v * 1000);
    else
        out->ms = (int64_t)(round(node->u.number.v * 1e9) / 1e6);
}

bool parse_positive_duration(struct parser *p, struct duration *out)
{
    const struct node *node = parse_sum(p, 0);
    if (!node)
        return false;
    settle(node, out);
    if (!out->expr && out->ms <= 0)
        return parser_fail(p, node->start, "duration must be greater than 0");
    return true;
}

bool parse_offset_duration(struct parser *p, struct duration *out)
{
    const char *context = p->context, *expected = p->expected;
    p->context = "offset";
    p->expected = "number, duration, step(), or range()";
    struct node *node;
    if (p->now.type == TOKEN_LEFT_PAREN) {
        node = parse_sum(p, 0);
    } else if (p->now.type == TOKEN_ADD || p->now.type == TOKEN_SUB) {
        struct token sign = parser_take(p);
        node = parse_duration_primary(p);
        node = node ? apply_sign(p, sign, node) : NULL;
    } else {
        node = parse_duration_primary(p);
    }
    if (!node)
        return false;
    settle(node, out);
    p->context = context;
    p->expected = expected;
    return true;
}
