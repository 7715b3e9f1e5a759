#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/yaml.h"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 64u << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct yaml_node *parsed(const char *text)
{
    struct yaml_node *node = NULL;
    struct err err = {0};
    if (!yaml_parse(slice_from(text), "f.yml", &arena, &node, &err))
        fail_msg("%s: %d:%d: %s", text, err.line, err.col, err.text);
    return node;
}

static void assert_scalar(
    const struct yaml_node *node, const char *text, int line, int col, bool plain)
{
    assert_non_null(node);
    assert_int_equal(node->type, YAML_SCALAR);
    assert_true(slice_is(node->text, text));
    assert_int_equal(node->line, line);
    assert_int_equal(node->col, col);
    assert_int_equal(node->plain, plain);
    assert_string_equal(node->file, "f.yml");
}

static void test_tree(void **state)
{
    (void)state;
    struct yaml_node *root = parsed("# a comment\n"
                                    "a: 1\n"
                                    "\xc3\xa9t\xc3\xa9: {b: \"x y\", c: [p, 'q', ]}\n"
                                    "d:\n"
                                    "  - one\n"
                                    "  - e: two\n"
                                    "    f:\n");
    assert_int_equal(root->type, YAML_MAPPING);
    assert_int_equal(root->n, 3);
    assert_scalar(root->keys[0], "a", 2, 1, true);
    assert_scalar(root->values[0], "1", 2, 4, true);
    struct yaml_node *flow = yaml_get(root, "\xc3\xa9t\xc3\xa9");
    assert_int_equal(flow->line, 3);
    assert_int_equal(flow->col, 6); /* characters, not bytes */
    assert_scalar(yaml_get(flow, "b"), "x y", 3, 10, false);
    struct yaml_node *list = yaml_get(flow, "c");
    assert_int_equal(list->type, YAML_SEQUENCE);
    assert_int_equal(list->n, 2);
    assert_scalar(list->values[1], "q", 3, 24, false);
    struct yaml_node *items = yaml_get(root, "d");
    assert_scalar(items->values[0], "one", 5, 5, true);
    assert_scalar(yaml_get(items->values[1], "e"), "two", 6, 8, true);
    assert_true(yaml_is_null(yaml_get(items->values[1], "f")));
    assert_null(yaml_get(root, "z"));
    assert_null(yaml_get(items, "one"));
}

static void test_empty(void **state)
{
    static const char *const texts[] = {"", "\n\n", "# nothing\n", "---\n", "---\n...\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct yaml_node *root = parsed(texts[i]);
        assert_int_equal(root->type, YAML_MAPPING);
        assert_int_equal(root->n, 0);
    }
    assert_true(yaml_is_null(parsed("~")));
    assert_true(yaml_is_null(parsed("null")));
    assert_false(yaml_is_null(parsed("'null'")));
    assert_false(yaml_is_null(parsed("\"\"")));
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        int line, col;
        const char *want;
    } cases[] = {
        {"a: *x", 1, 4, "aliases (*name) are not supported"},
        {"a: &x 1", 1, 4, "anchors (&name) are not supported"},
        {"a: &x [1]", 1, 4, "anchors (&name) are not supported"},
        {"a: !!str 1", 1, 4, "tags (!name) are not supported"},
        {"a: !x {}", 1, 4, "tags (!name) are not supported"},
        {"a: 1\n--- \nb: 2", 2, 1, "only one document in a file is supported"},
        {"a: 1\nb: 2\na: 3", 3, 1, "key 'a' occurs twice, first in line 1"},
        {"x:\n  {k: 1, l: 2, k: 3}", 2, 16, "key 'k' occurs twice, first in line 2"},
        {"[1, 2]: 3", 1, 1, "a key must be one word"},
        {"a: [1, 2\n]]", 2, 2, NULL},
        {"a: 'x", 1, 6, NULL},
        {"a: b: c", 1, 5, NULL},
        {"a:\n\t- b", 2, 1, NULL},
        {"a: \x01", 1, 4, NULL},
        {"ok: 1\nb: \xff", 2, 4, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct yaml_node *node;
        struct err err = {0};
        if (yaml_parse(slice_from(cases[i].text), "f.yml", &arena, &node, &err))
            fail_msg("%s is read", cases[i].text);
        assert_int_equal(err.code, ERR_INVALID);
        assert_string_equal(err.file, "f.yml");
        bool text = cases[i].want ? strcmp(err.text, cases[i].want) == 0
                                  : strncmp(err.text, "not YAML: ", 10) == 0;
        if (!text || err.line != cases[i].line || err.col != cases[i].col)
            fail_msg("%s: %d:%d: %s", cases[i].text, err.line, err.col, err.text);
    }
}

static void test_bounds(void **state)
{
    struct yaml_node *node;
    struct err err = {0};
    char deep[2 * YAML_DEPTH_MAX + 4] = "";
    (void)state;
    for (int i = 0; i < YAML_DEPTH_MAX; i++) {
        deep[i] = '[';
        deep[2 * YAML_DEPTH_MAX - 1 - i] = ']';
    }
    assert_true(yaml_parse(slice_from(deep), "f", &arena, &node, &err));
    memset(deep, '[', YAML_DEPTH_MAX + 1);
    assert_false(yaml_parse(slice_from(deep), "f", &arena, &node, &err));
    assert_string_equal(err.text, "nested too deeply: at most 32 levels");
    assert_int_equal(err.col, YAML_DEPTH_MAX + 1);

    size_t len = YAML_BYTES_MAX + 1;
    char *big = malloc(len);
    memset(big, '#', len);
    assert_true(yaml_parse(slice_of(big, len - 1), "f", &arena, &node, &err));
    assert_false(yaml_parse(slice_of(big, len), "f", &arena, &node, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    for (size_t i = 0; i < len; i += 2)
        memcpy(big + i, "1,", len - i < 2 ? 1 : 2);
    memcpy(big, "[ ", 2);
    assert_false(yaml_parse(slice_of(big, len - 1), "f", &arena, &node, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    struct arena small;
    arena_init(&small, 20000);
    assert_false(yaml_parse(slice_of(big, 15000), "f", &small, &node, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    arena_fini(&small);
    free(big);
}

/* The place of each word of a scalar, whatever its style. */
static void test_places(void **state)
{
    static const struct {
        const char *text, *word;
        int line, col;
    } cases[] = {
        {"k: one two", "one", 1, 4},
        {"k: one two", "two", 1, 8},
        {"k:   one two", "two", 1, 10},
        {"k: \"one two\"", "two", 1, 9},
        {"k: 'one two'", "two", 1, 9},
        {"k: 'it''s two'", "two", 1, 11},
        {"k: \"a\\\"b\\\\ two\"", "two", 1, 12},
        {"k: \"a\\n\\t two\"", "two", 1, 11},
        {"k: \"\\x41 two\"", "two", 1, 10},
        {"k: one\n   two", "two", 2, 4},
        {"k: 'one\n\n   two'", "two", 3, 4},
        {"k: \"one\\\n   two\"", "two", 2, 4},
        {"k: |\n  one\n  two", "two", 3, 3},
        {"k: >-\n\n    one\n     two", "two", 4, 6},
        {"k: \xc3\xa9\xc3\xa9 two", "two", 1, 7},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct yaml_node *node = yaml_get(parsed(cases[i].text), "k");
        char *at = strstr(node->text.ptr, cases[i].word);
        int line, col;
        assert_non_null(at);
        yaml_place(node, (size_t)(at - node->text.ptr), &line, &col);
        if (line != cases[i].line || col != cases[i].col)
            fail_msg("%s: %d:%d", cases[i].text, line, col);
    }
    int line, col;
    yaml_place(yaml_get(parsed("k: one two"), "k"), 7, &line, &col);
    assert_int_equal(col, 11);
}

static void test_load(void **state)
{
    char path[] = "/tmp/larder_test_yaml_XXXXXX";
    struct yaml_node *node;
    struct err err = {0};
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a: 1\n]\n", 7), 7);
    close(fd);
    assert_false(yaml_load(path, &arena, &node, &err));
    assert_string_equal(err.file, path);
    assert_int_equal(err.line, 2);
    assert_int_equal(truncate(path, 5), 0);
    assert_true(yaml_load(path, &arena, &node, &err));
    assert_true(slice_is(yaml_get(node, "a")->text, "1"));
    assert_int_equal(truncate(path, YAML_BYTES_MAX + 1), 0);
    assert_false(yaml_load(path, &arena, &node, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    unlink(path);
    assert_false(yaml_load(path, &arena, &node, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_false(yaml_load("/tmp", &arena, &node, &err));
    assert_int_equal(err.code, ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_load, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
