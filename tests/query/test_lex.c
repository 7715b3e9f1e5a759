#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "query/lex.h"
#include "query/quote.h"

/* All tokens of a text as one line: descriptions with blanks between. An error ends it. */
static void lex_all(const char *text, struct buf *out)
{
    struct lexer lexer;
    lexer_init(&lexer, slice_from(text));
    buf_clear(out);
    for (;;) {
        struct token token = lexer_next(&lexer);
        if (token.type == TOKEN_EOF)
            return;
        buf_str(out, out->len ? " " : "");
        if (token.type == TOKEN_ERROR) {
            buf_printf(out, "%u: %s", (unsigned)lexer.error_at, lexer.message);
            assert_int_equal(lexer_next(&lexer).type, TOKEN_ERROR);
            return;
        }
        token_describe(&token, out);
    }
}

struct lex_case {
    const char *text, *tokens;
};

static void check(const struct lex_case *cases, size_t n)
{
    struct buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < n; i++) {
        lex_all(cases[i].text, &out);
        assert_string_equal(buf_cstr(&out), cases[i].tokens);
    }
    buf_fini(&out);
}
#define CHECK(cases) check(cases, sizeof(cases) / sizeof(cases)[0])

static void test_outside(void **state)
{
    (void)state;
    static const struct lex_case cases[] = {
        {"", ""},
        {" \t\r\n# a comment, (unclosed\n ", ""},
        {"foo", "identifier \"foo\""},
        {"foo:bar :x", "metric identifier \"foo:bar\" metric identifier \":x\""},
        {"a+b#c\n-d", "identifier \"a\" <op:+> identifier \"b\" <op:-> identifier \"d\""},
        {"= == != < <= > >= </ >/ * / % ^ @ ,", "\"=\" <op:==> <op:!=> <op:<> <op:<=> <op:>> "
                                                "<op:>=> <op:</> <op:>/> <op:*> <op:/> <op:%> "
                                                "<op:^> <op:@> \",\""},
        {"AND oR Unless ATAN2", "<op:AND> <op:oR> <op:Unless> <op:ATAN2>"},
        {"sum LIMIT_RATIO", "<aggr:sum> <aggr:LIMIT_RATIO>"},
        {"by WITHOUT on group_left bool offset anchored smoothed",
            "<by> <WITHOUT> <on> <group_left> <bool> <offset> <anchored> <smoothed>"},
        {"start end step range", "\"start\" \"end\" \"step\" \"range\""},
        {"fill fill (1)", "identifier \"fill\" <fill> \"(\" number \"1\" \")\""},
        {"fill_left\n(", "<fill_left> \"(\" 11: unclosed left parenthesis"},
        {")", "0: unexpected right parenthesis ')'"},
        {"]", "0: unexpected right bracket ']'"},
        {"a $", "identifier \"a\" 2: unexpected character: '$'"},
        {"a \xc3\xa9", "identifier \"a\" 2: unexpected character: '\xc3\xa9'"},
        {"a =~ b", "identifier \"a\" 2: unexpected character after '=': '~'"},
        {"a ! b", "identifier \"a\" 2: unexpected character after '!': ' '"},
        {"a !", "identifier \"a\" 2: unexpected character after '!': end of input"},
    };
    CHECK(cases);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct lex_case cases[] = {
        {"1 .5 1. 1.5 1e3 1E-3 1_000",
            "number \"1\" number \".5\" number \"1.\" number \"1.5\" number "
            "\"1e3\" number \"1E-3\" number \"1_000\""},
        {"0x1F 0X_1f 0xdead_beef", "number \"0x1F\" number \"0X_1f\" number \"0xdead_bee\"..."},
        {"Inf nAn", "number \"Inf\" number \"nAn\""},
        {"5m 1h30m 100ms 1y2w3d4h5m6s7ms",
            "duration \"5m\" duration \"1h30m\" duration \"100ms\" duration \"1y2w3d4h5m\"..."},
        {"1.5m", "duration \"1.5m\""}, /* the parser refuses it */
        {"5hs", "duration \"5hs\""},
        {"1..2", "0: bad number or duration syntax: \"1..2\""},
        {"1e", "0: bad number or duration syntax: \"1e\""},
        {"1e5e5", "0: bad number or duration syntax: \"1e5e\""},
        {"1__0", "0: bad number or duration syntax: \"1__0\""},
        {"1_", "0: bad number or duration syntax: \"1_\""},
        {"5mx", "0: bad number or duration syntax: \"5mx\""},
        {"5x", "0: bad number or duration syntax: \"5x\""},
        {"0b101", "0: bad number or duration syntax: \"0b\""},
        {"0xg", "0: bad number or duration syntax: \"0xg\""},
    };
    CHECK(cases);
}

static void test_strings(void **state)
{
    (void)state;
    static const struct lex_case cases[] = {
        {"\"a\" 'b' `c`", "string \"\\\"a\\\"\" string \"'b'\" string \"`c`\""},
        {"`a\\n\n`", "string \"`a\\\\n\\n`\""},
        {"\"\\\"\\a\\x41\\101\\u00e9\\U0001F600\"", "string \"\\\"\\\\\\\"\\\\a\\\\x41\\\\\"..."},
        {"\"abc", "0: unterminated quoted string"},
        {"\"a\nb\"", "0: unterminated quoted string"},
        {"`abc", "0: unterminated raw string"},
        {"\"\\q\"", "0: unknown escape sequence 'q'"},
        {"'\\\"'", "0: unknown escape sequence '\"'"},
        {"\"\\x4g\"", "0: illegal character in escape sequence: 'g'"},
        {"\"\\400\"", "0: escape sequence is an invalid Unicode code point"},
        {"\"\\ud800\"", "0: escape sequence is an invalid Unicode code point"},
        {"\"\\U00110000\"", "0: escape sequence is an invalid Unicode code point"},
        {"\"\\", "0: escape sequence not terminated"},
        {"\"\\x4", "0: escape sequence not terminated"},
        {"\"a\xff\"", "0: invalid UTF-8 rune"},
        {"`\xed\xa0\x80`", "0: invalid UTF-8 rune"},
    };
    CHECK(cases);
}

static void test_braces(void **state)
{
    (void)state;
    static const struct lex_case cases[] = {
        {"{a=\"b\",sum!='c', x=~`d` # e\n, y!~\"f\"}",
            "\"{\" identifier \"a\" \"=\" string \"\\\"b\\\"\" \",\" identifier \"sum\" <op:!=> "
            "string "
            "\"'c'\" \",\" identifier \"x\" <op:=~> string \"`d`\" \",\" identifier \"y\" <op:!~> "
            "string "
            "\"\\\"f\\\"\" \"}\""},
        {"{", "\"{\" 1: unexpected end of input inside braces"},
        {"{{", "\"{\" 1: unexpected left brace '{'"},
        {"{a:b", "\"{\" identifier \"a\" 2: unexpected character inside braces: ':'"},
        {"{a!b", "\"{\" identifier \"a\" 2: unexpected character after '!' inside braces: 'b'"},
        {"{1", "\"{\" 1: unexpected character inside braces: '1'"},
    };
    CHECK(cases);
}

static void test_brackets(void **state)
{
    (void)state;
    static const struct lex_case cases[] = {
        {"[5m]", "\"[\" duration \"5m\" \"]\""},
        {"[ 5m : 1m ]", "\"[\" duration \"5m\" \":\" duration \"1m\" \"]\""},
        {"[STEP()+range()*min_of(1,Max_Of(2,3))]",
            "\"[\" \"STEP\" \"(\" \")\" <op:+> \"range\" \"(\" \")\" <op:*> \"min_of\" \"(\" "
            "number \"1\" "
            "\",\" \"Max_Of\" \"(\" number \"2\" \",\" number \"3\" \")\" \")\" \"]\""},
        {"[5m", "\"[\" duration \"5m\" 3: unclosed left bracket"},
        {"[", "\"[\" 1: unexpected end of input in duration expression"},
        {"[[", "\"[\" 1: unexpected left bracket '['"},
        {"[5m:1m:", "\"[\" duration \"5m\" \":\" duration \"1m\" 6: unexpected colon ':'"},
        {"[foo]", "\"[\" 1: unexpected character in duration expression: 'f'"},
        {"[5m sum]", "\"[\" duration \"5m\" 4: unexpected character: 's', expected ':'"},
        {"[(5m", "\"[\" \"(\" duration \"5m\" 4: unclosed left parenthesis"},
    };
    CHECK(cases);
}

static void test_quote(void **state)
{
    (void)state;
    static const struct {
        const char *text, *quoted;
        size_t len;
    } cases[] = {
        {"", "\"\"", 0},
        {"a\"b\\c'", "\"a\\\"b\\\\c'\"", 6},
        {"\a\b\f\n\r\t\v", "\"\\a\\b\\f\\n\\r\\t\\v\"", 7},
        {"\0\x1f\x7f", "\"\\x00\\x1f\\x7f\"", 3},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", 9},
        {"\xff\xc3", "\"\\xff\\xc3\"", 2},
        {"\xc2\xa0\xe2\x80\x8b\xf3\xa0\x80\x81", "\"\\u00a0\\u200b\\U000e0001\"", 9},
        {"\xc0\x80\xed\xa0\x80", "\"\\xc0\\x80\\xed\\xa0\\x80\"", 5},
    };
    struct buf out;
    struct arena arena;
    buf_init(&out, 0);
    arena_init(&arena, 1 << 16);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_clear(&out);
        quote_text(slice_of(cases[i].text, cases[i].len), &out);
        assert_string_equal(buf_cstr(&out), cases[i].quoted);
        struct slice back = unquote_text(buf_view(&out), &arena);
        assert_int_equal(back.len, cases[i].len);
        assert_memory_equal(back.ptr, cases[i].text, cases[i].len);
    }
    struct slice back = unquote_text(SLICE("'\\101\\x42\\u00e9\\U0001F600\\n\\''"), &arena);
    assert_true(slice_is(back, "AB\xc3\xa9\xf0\x9f\x98\x80\n'"));
    assert_true(slice_is(unquote_text(SLICE("`\\n`"), &arena), "\\n"));
    arena_fini(&arena);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outside),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_braces),
        cmocka_unit_test(test_brackets),
        cmocka_unit_test(test_quote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
