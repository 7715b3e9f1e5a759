/*
 * larder test: runs files of tests. What is tested is the next word.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cmd/commands.h"

static void print_help(FILE *out)
{
    fputs("usage: larder test promql [-v] FILE...\n\n"
          "  promql    promqltest scripts: series to load, queries, and what they must give\n\n"
          "`larder test promql --help` says more.\n",
        out);
}

int cmd_test(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "promql") == 0)
        return cmd_test_promql(argc - 1, argv + 1);
    if (strcmp(what, "rules") == 0) {
        fputs("larder test: not supported yet: rules\n", stderr);
        return EXIT_USAGE;
    }
    bool help = strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0;
    print_help(help ? stdout : stderr);
    return help ? EXIT_FINE : EXIT_USAGE;
}
