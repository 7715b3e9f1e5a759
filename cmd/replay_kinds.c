/*
 * `larder replay`: what was read is sent, or read, once more.
 */
#include <string.h>

#include "cmd/commands.h"

int cmd_replay(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "dlq") == 0)
        return cmd_replay_dlq(argc - 1, argv + 1);
    return cmd_replay_rollup(argc, argv);
}
