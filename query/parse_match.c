/*
 * How a binary operator matches its sides, and lists of label names:
 *
 *     bool? ((on | ignoring) (labels) ((group_left | group_right) ((labels))?)?)? fills?
 */
#include "query/parser.h"
#include "query/quote.h"

/* A name that can be a label's: not empty, and UTF-8. */
static bool is_label_name(struct slice name)
{
    for (size_t at = 0; at < name.len;) {
        int width;
        if (rune_at(name, at, &width) == RUNE_ERROR && width == 1)
            return false;
        at += (size_t)width;
    }
    return name.len > 0;
}

static bool parse_label_name(struct parser *p, struct slice *out)
{
    if (p->now.type != TOKEN_STRING && !token_is_label(p->now.type))
        return parser_unexpected(p, "grouping opts", "label");
    struct token token = parser_take(p);
    *out = token.text;
    if (token.type != TOKEN_STRING)
        return true;
    *out = unquote_text(token.text, p->arena);
    if (!out->ptr)
        return parser_full(p);
    if (is_label_name(*out))
        return true;
    struct buf quoted;
    buf_init(&quoted, 256);
    quote_text(*out, &quoted);
    parser_fail(p, token.start, "invalid label name for grouping: %s", buf_cstr(&quoted));
    buf_fini(&quoted);
    return false;
}

bool parse_grouping(struct parser *p, const struct slice **labels, size_t *n)
{
    struct slice *items = NULL;
    size_t cap = 0;
    *n = 0;
    if (!parser_accept(p, TOKEN_LEFT_PAREN))
        return parser_unexpected(p, "grouping opts", "\"(\"");
    while (!parser_accept(p, TOKEN_RIGHT_PAREN)) {
        items = parser_grow(p, items, *n, &cap, sizeof *items);
        if (!items || !parse_label_name(p, &items[*n]))
            return false;
        *labels = items;
        ++*n;
        if (!parser_accept(p, TOKEN_COMMA) && p->now.type != TOKEN_RIGHT_PAREN)
            return parser_unexpected(p, "grouping opts", "\",\" or \")\"");
    }
    return true;
}

static bool parse_group_side(struct parser *p, struct node *node)
{
    if (p->now.type != TOKEN_GROUP_LEFT && p->now.type != TOKEN_GROUP_RIGHT)
        return true;
    bool left = parser_take(p).type == TOKEN_GROUP_LEFT;
    node->u.binary.card = left ? CARD_MANY_TO_ONE : CARD_ONE_TO_MANY;
    if (p->now.type != TOKEN_LEFT_PAREN)
        return true;
    return parse_grouping(p, &node->u.binary.include, &node->u.binary.n_include);
}

static bool parse_fill_value(struct parser *p, struct fill *out)
{
    out->set = true;
    return parser_expect(p, TOKEN_LEFT_PAREN) && parse_signed_number(p, &out->value) &&
           parser_expect(p, TOKEN_RIGHT_PAREN);
}

/* fill(x) for both sides, or fill_left(x) and fill_right(y) in any order, each once. */
static bool parse_fills(struct parser *p, struct node *node)
{
    struct fill *left = &node->u.binary.fill_left, *right = &node->u.binary.fill_right;
    if (parser_accept(p, TOKEN_FILL)) {
        if (!parse_fill_value(p, left))
            return false;
        *right = *left;
        return true;
    }
    for (;;) {
        if (p->now.type == TOKEN_FILL_LEFT && !left->set) {
            parser_take(p);
            if (!parse_fill_value(p, left))
                return false;
        } else if (p->now.type == TOKEN_FILL_RIGHT && !right->set) {
            parser_take(p);
            if (!parse_fill_value(p, right))
                return false;
        } else {
            return true;
        }
    }
}

bool parse_matching(struct parser *p, struct node *node)
{
    node->u.binary.return_bool = parser_accept(p, TOKEN_BOOL);
    if (p->now.type == TOKEN_ON || p->now.type == TOKEN_IGNORING) {
        node->u.binary.on = parser_take(p).type == TOKEN_ON;
        node->u.binary.matching = true;
        if (!parse_grouping(p, &node->u.binary.labels, &node->u.binary.n_labels) ||
            !parse_group_side(p, node))
            return false;
    }
    return parse_fills(p, node);
}
