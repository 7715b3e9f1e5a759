/*
 * The parser on any bytes. What parses must print to a text that parses and prints the same; what
 * does not must say why, and where.
 */
#include <stdint.h>

#include "base/ensure.h"
#include "query/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct ast *ast, struct arena *arena)
{
    struct buf first, second;
    struct ast again;
    struct err err = {0};
    buf_init(&first, PARSE_TEXT_MAX);
    buf_init(&second, PARSE_TEXT_MAX);
    print_node(ast->root, &first);
    if (!first.failed) {
        ensure(parse_query(buf_view(&first), arena, &again, &err));
        print_node(again.root, &second);
        ensure(slice_eq(buf_view(&first), buf_view(&second)));
        ast_free(&again);
    }
    buf_fini(&first);
    buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct ast ast;
    struct err err = {0};
    arena_init(&arena, 16 << 20);
    if (parse_query(slice_of(data, size), &arena, &ast, &err)) {
        check_round_trip(&ast, &arena);
        ast_free(&ast);
    } else {
        ensure(err.code == ERR_LIMIT || (err.code == ERR_INVALID && err.line > 0 && err.col > 0));
    }
    arena_fini(&arena);
    return 0;
}
