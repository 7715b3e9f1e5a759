#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/terminal.h"

static void test_text(void **state)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"", ""},
        {"z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x98\x80",
            "z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"a\x1b[31m\tb\n\x7f", "a?[31m?b??"},
        {"\xc2\x80-\xc2\x9b"
         "31m-\xc2\x9f-\xc2\xa0",
            "?-?31m-?-\xc2\xa0"},
        {"\xe2\x80\x8d\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\x90", "\xe2\x80\x8d??\xe2\x80\x90"},
        {"\xe2\x80\xa9\xe2\x80\xaa\xe2\x80\xae\xe2\x80\xaf", "\xe2\x80\xa9??\xe2\x80\xaf"},
        {"\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa", "\xe2\x81\xa5??\xe2\x81\xaa"},
        {"\xd8\x9b\xd8\x9c", "\xd8\x9b?"},
        /* No UTF-8: a lone C1 byte is one to an old terminal, a cut sequence hides nothing. */
        {"\x9b"
         "31m",
            "?31m"},
        {"\xe2\x80", "\xe2?"},
        {"\xe2\x1b[m", "\xe2?[m"},
        {"\xf0\xc2\x9b", "\xf0?"},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&out);
        terminal_text(&out, cases[i].text);
        assert_string_equal(buf_cstr(&out), cases[i].shown);
    }
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text)};
    return cmocka_run_group_tests_name("terminal", tests, NULL, NULL);
}
