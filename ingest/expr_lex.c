#include "ingest/expr_lex.h"

#include "base/ensure.h"
#include "ingest/json_scan.h"

static const struct {
    const char *text;
    enum token_kind kind;
} words[] = {
    {"true", TOKEN_TRUE},
    {"false", TOKEN_FALSE},
    {"and", TOKEN_AND},
    {"or", TOKEN_OR},
    {"not", TOKEN_NOT},
    {"in", TOKEN_IN},
    {"if", TOKEN_IF},
};

/* Longer ones first: the first that fits is taken. */
static const struct {
    const char *text;
    enum token_kind kind;
} signs[] = {
    {"==", TOKEN_EQ},
    {"!=", TOKEN_NE},
    {"<=", TOKEN_LE},
    {">=", TOKEN_GE},
    {"<", TOKEN_LT},
    {">", TOKEN_GT},
    {"+", TOKEN_PLUS},
    {"-", TOKEN_MINUS},
    {"*", TOKEN_STAR},
    {"/", TOKEN_SLASH},
    {"(", TOKEN_OPEN},
    {")", TOKEN_CLOSE},
    {"[", TOKEN_LIST_OPEN},
    {"]", TOKEN_LIST_CLOSE},
    {",", TOKEN_COMMA},
};

/* What people bring from other languages. */
static const struct {
    const char *text, *why;
} foreign[] = {
    {"&&", "'&&' is not an operator here: use 'and'"},
    {"||", "'||' is not an operator here: use 'or'"},
    {"=~", "there are no regular expressions here: use '==' or 'in [...]'"},
    {"=", "'=' is not an operator here: use '==' to compare"},
    {"!", "'!' is not an operator here: use 'not'"},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

const char *token_name(enum token_kind kind)
{
    for (size_t i = 0; i < COUNT(words); i++)
        if (words[i].kind == kind)
            return words[i].text;
    for (size_t i = 0; i < COUNT(signs); i++)
        if (signs[i].kind == kind)
            return signs[i].text;
    switch (kind) {
    case TOKEN_END: return "the end";
    case TOKEN_NAME: return "a field";
    case TOKEN_NUMBER: return "a number";
    case TOKEN_STRING: return "a string";
    default: unreachable("every other kind is a word or a sign");
    }
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool starts(const struct expr_lexer *lexer, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(lexer->end - lexer->at) >= n && memcmp(lexer->at, text, n) == 0;
}

/* A dot between two words. */
static bool joins(const struct expr_lexer *lexer)
{
    return *lexer->at == '.' && lexer->end - lexer->at > 1 && is_letter(lexer->at[1]);
}

static bool lex_word(struct expr_lexer *lexer, struct token *out)
{
    const char *from = lexer->at;
    while (
        lexer->at < lexer->end && (is_letter(*lexer->at) || is_digit(*lexer->at) || joins(lexer)))
        lexer->at++;
    out->text = slice_of(from, (size_t)(lexer->at - from));
    out->kind = TOKEN_NAME;
    for (size_t i = 0; i < COUNT(words); i++)
        if (slice_is(out->text, words[i].text))
            out->kind = words[i].kind;
    return true;
}

static bool lex_number(struct expr_lexer *lexer, struct token *out, const char **why)
{
    struct json_number number;
    const char *behind = json_number_scan(lexer->at, lexer->end, &number);
    if (!behind || (behind < lexer->end && (is_letter(*behind) || is_digit(*behind)))) {
        *why = "not a number: write 5, 0.25";
        return false;
    }
    if (number.odd) {
        *why = "a number has at most 18 digits and no exponent";
        return false;
    }
    out->kind = TOKEN_NUMBER;
    out->text = number.token;
    out->num = (int64_t)number.mantissa;
    out->digits = number.fraction;
    lexer->at = behind;
    return true;
}

/* A string in either quotes, or a field's name in backquotes, in which nothing is escaped. */
static bool lex_quoted(struct expr_lexer *lexer, struct token *out, const char **why)
{
    char quote = *lexer->at++;
    const char *from = lexer->at;
    while (lexer->at < lexer->end && *lexer->at != quote)
        lexer->at += quote != '`' && *lexer->at == '\\' && lexer->end - lexer->at > 1 ? 2 : 1;
    if (lexer->at == lexer->end) {
        *why = quote == '`' ? "the closing backquote is missing" : "the closing quote is missing";
        return false;
    }
    out->kind = quote == '`' ? TOKEN_NAME : TOKEN_STRING;
    out->text = slice_of(from, (size_t)(lexer->at++ - from));
    return true;
}

static bool lex_sign(struct expr_lexer *lexer, struct token *out, const char **why)
{
    for (size_t i = 0; i < COUNT(signs); i++)
        if (starts(lexer, signs[i].text)) {
            out->kind = signs[i].kind;
            out->text = slice_of(lexer->at, strlen(signs[i].text));
            lexer->at += out->text.len;
            return true;
        }
    *why = "unexpected character";
    for (size_t i = 0; i < COUNT(foreign); i++)
        if (starts(lexer, foreign[i].text)) {
            *why = foreign[i].why;
            break;
        }
    return false;
}

bool expr_lex(struct expr_lexer *lexer, struct token *out, const char **why)
{
    while (lexer->at < lexer->end && strchr(" \t\r\n", *lexer->at) && *lexer->at)
        lexer->at++;
    *out = (struct token){.kind = TOKEN_END, .at = (size_t)(lexer->at - lexer->start)};
    if (lexer->at == lexer->end)
        return true;
    char c = *lexer->at;
    if (is_letter(c))
        return lex_word(lexer, out);
    if (is_digit(c))
        return lex_number(lexer, out, why);
    if (c == '"' || c == '\'' || c == '`')
        return lex_quoted(lexer, out, why);
    return lex_sign(lexer, out, why);
}
