#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

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

static bool print_to(int fd, size_t bytes)
{
    struct buf text;
    int before = dup(STDOUT_FILENO);
    buf_init(&text, 0);
    while (text.len < bytes)
        buf_str(&text, "a line\n");
    fflush(stdout);
    dup2(fd, STDOUT_FILENO);
    bool ok = terminal_print("larder test", &text);
    dup2(before, STDOUT_FILENO);
    close(before);
    buf_fini(&text);
    return ok;
}

static void test_nobody_reads_on(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(signal(SIGPIPE, SIG_IGN) == SIG_ERR, 0);
    assert_int_equal(pipe(ends), 0);
    assert_true(print_to(ends[1], 1000));
    close(ends[0]);
    assert_true(print_to(ends[1], 1000000));
    close(ends[1]);
    int full = open("/dev/full", O_WRONLY);
    assert_true(full >= 0);
    assert_false(print_to(full, 1000));
    close(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text), cmocka_unit_test(test_nobody_reads_on)};
    return cmocka_run_group_tests_name("terminal", tests, NULL, NULL);
}
