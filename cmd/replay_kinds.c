/*
 * `larder replay`: what was read is sent, or read, once more.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/commands.h"

static const char help[] =
    "usage: larder replay dlq [-c CONFIG] [--stream NAME] [options]\n"
    "\n"
    "  dlq    sends the dead letters of a stream to its retry topic, after a fix\n"
    "\n"
    "`larder replay dlq --help` says more.\n";

int cmd_replay(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "dlq") == 0)
        return cmd_replay_dlq(argc - 1, argv + 1);
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        fputs(help, stdout);
        return EXIT_FINE;
    }
    if (*what && *what != '-')
        fprintf(stderr, "larder replay: not supported yet: replay %s\n", what);
    else
        fprintf(stderr, "larder replay: what? dlq\n\n%s", help);
    return EXIT_USAGE;
}
