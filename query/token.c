#include "query/token.h"

#include <stddef.h>
#include <strings.h>

#include "query/quote.h"

static const struct keyword {
    const char *word;
    enum token_type type;
} keywords[] = {
    {"and", TOKEN_AND},
    {"or", TOKEN_OR},
    {"unless", TOKEN_UNLESS},
    {"atan2", TOKEN_ATAN2},
    {"sum", TOKEN_SUM},
    {"avg", TOKEN_AVG},
    {"count", TOKEN_COUNT},
    {"min", TOKEN_MIN},
    {"max", TOKEN_MAX},
    {"group", TOKEN_GROUP},
    {"stddev", TOKEN_STDDEV},
    {"stdvar", TOKEN_STDVAR},
    {"topk", TOKEN_TOPK},
    {"bottomk", TOKEN_BOTTOMK},
    {"quantile", TOKEN_QUANTILE},
    {"count_values", TOKEN_COUNT_VALUES},
    {"limitk", TOKEN_LIMITK},
    {"limit_ratio", TOKEN_LIMIT_RATIO},
    {"bool", TOKEN_BOOL},
    {"by", TOKEN_BY},
    {"without", TOKEN_WITHOUT},
    {"on", TOKEN_ON},
    {"ignoring", TOKEN_IGNORING},
    {"group_left", TOKEN_GROUP_LEFT},
    {"group_right", TOKEN_GROUP_RIGHT},
    {"offset", TOKEN_OFFSET},
    {"anchored", TOKEN_ANCHORED},
    {"smoothed", TOKEN_SMOOTHED},
    {"fill", TOKEN_FILL},
    {"fill_left", TOKEN_FILL_LEFT},
    {"fill_right", TOKEN_FILL_RIGHT},
    {"start", TOKEN_START},
    {"end", TOKEN_END},
    {"step", TOKEN_STEP},
    {"range", TOKEN_RANGE},
    {"min_of", TOKEN_MIN_OF},
    {"max_of", TOKEN_MAX_OF},
    {"inf", TOKEN_NUMBER},
    {"nan", TOKEN_NUMBER},
};

enum token_type token_of_word(struct slice word)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (strlen(keywords[i].word) == word.len &&
            strncasecmp(keywords[i].word, word.ptr, word.len) == 0)
            return keywords[i].type;
    return memchr(word.ptr, ':', word.len) ? TOKEN_METRIC_IDENTIFIER : TOKEN_IDENTIFIER;
}

static bool is_operator(enum token_type type)
{
    return type >= TOKEN_ADD && type <= TOKEN_AT;
}

bool token_is_aggregator(enum token_type type)
{
    return type >= TOKEN_SUM && type <= TOKEN_LIMIT_RATIO;
}

static bool is_keyword(enum token_type type)
{
    return type >= TOKEN_BOOL && type <= TOKEN_FILL_RIGHT;
}

bool token_is_context(enum token_type type)
{
    return type >= TOKEN_START && type <= TOKEN_MAX_OF;
}

bool token_is_metric(enum token_type type)
{
    switch (type) {
    case TOKEN_IDENTIFIER:
    case TOKEN_METRIC_IDENTIFIER:
    case TOKEN_AND:
    case TOKEN_OR:
    case TOKEN_UNLESS:
    case TOKEN_BY:
    case TOKEN_WITHOUT:
    case TOKEN_OFFSET:
    case TOKEN_ANCHORED:
    case TOKEN_SMOOTHED: return true;
    default: return token_is_aggregator(type) || token_is_context(type);
    }
}

bool token_is_label(enum token_type type)
{
    return token_is_metric(type) || is_keyword(type) || type == TOKEN_ATAN2;
}

/* Prometheus cuts what is not a name after ten characters. */
static struct slice cut(struct slice text, bool *was_cut)
{
    size_t at = 0;
    int n = 0;
    while (at < text.len && n < 10) {
        at++;
        while (at < text.len && ((unsigned char)text.ptr[at] & 0xc0) == 0x80)
            at++;
        n++;
    }
    *was_cut = text.len > 10;
    return *was_cut ? slice_of(text.ptr, at) : text;
}

static const char *kind_text(enum token_type type)
{
    switch (type) {
    case TOKEN_IDENTIFIER: return "identifier ";
    case TOKEN_METRIC_IDENTIFIER: return "metric identifier ";
    case TOKEN_NUMBER: return "number ";
    case TOKEN_DURATION: return "duration ";
    case TOKEN_STRING: return "string ";
    default: return "";
    }
}

void token_describe(const struct token *token, struct buf *out)
{
    const char *group = is_operator(token->type)           ? "op:"
                        : token_is_aggregator(token->type) ? "aggr:"
                        : is_keyword(token->type)          ? ""
                                                           : NULL;
    if (token->type == TOKEN_EOF) {
        buf_str(out, "end of input");
    } else if (group) {
        buf_printf(out, "<%s%.*s>", group, SLICE_FMT(token->text));
    } else {
        bool was_cut = false;
        struct slice text = token->text;
        if (token->type != TOKEN_IDENTIFIER && token->type != TOKEN_METRIC_IDENTIFIER)
            text = cut(text, &was_cut);
        buf_str(out, kind_text(token->type));
        quote_text(text, out);
        buf_str(out, was_cut ? "..." : "");
    }
}
