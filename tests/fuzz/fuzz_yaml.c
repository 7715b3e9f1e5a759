/*
 * Any bytes as YAML, within a small arena: a tree whose scalars all have a place in the text, or an
 * error with one.
 */
#include <stdint.h>

#include "base/ensure.h"
#include "base/yaml.h"

static int lines;

static void check(const struct yaml_node *node, int depth)
{
    int line, col;
    ensure(depth <= YAML_DEPTH_MAX);
    ensure(node->line >= 1 && node->col >= 1);
    if (node->type == YAML_SCALAR)
        for (size_t i = 0; i <= node->text.len; i += 1 + node->text.len / 4) {
            yaml_place(node, i, &line, &col);
            ensure(line >= node->line && line <= lines + 1 && col >= 1);
        }
    for (size_t i = 0; node->type != YAML_SCALAR && i < node->n; i++) {
        check(node->values[i], depth + 1);
        if (node->type == YAML_MAPPING)
            check(node->keys[i], depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct yaml_node *root;
    struct err err = {0};
    lines = 1;
    for (size_t i = 0; i + 1 < size;
         i++) /* libyaml breaks lines at CR and at three more characters */
        lines += data[i] == '\n' || data[i] == '\r' || data[i] == 0xc2 || data[i] == 0xe2;
    arena_init(&arena, 1 << 20);
    if (yaml_parse(slice_of(data, size), "fuzz", &arena, &root, &err))
        check(root, 0);
    else
        ensure(err.text[0] && (err.code == ERR_LIMIT || (err.line >= 1 && err.col >= 1)));
    arena_fini(&arena);
    return 0;
}
