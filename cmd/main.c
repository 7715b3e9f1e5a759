#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "cmd/commands.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

/* In the order in which a newcomer meets them. */
static const struct command commands[] = {
    {"serve", cmd_serve, "run the server: Kafka topics in, Prometheus' API out"},
    {"demo", cmd_demo, "the whole thing on made-up events: broker, server, live page"},
    {"query", cmd_query, "ask a server a PromQL query; table, JSON or CSV"},
    {"source", cmd_source, "positions in Kafka: list, pause, resume, skip, seek"},
    {"check", cmd_check, "check a config, or a file of events: every mistake with its place"},
    {"replay", cmd_replay,
        "make a rollup anew of what the topics hold, or send dead letters once more"},
    {"segment", cmd_segment, "look into a file of the store: sizes, cells, whether it is whole"},
    {"verify", cmd_verify, "check a whole data folder; repair what is damaged"},
    {"test", cmd_test, "run files of tests: promqltest scripts"},
};

#define COMMANDS (sizeof commands / sizeof *commands)

static void print_help(FILE *out)
{
    fprintf(out,
        "Larder " LARDER_VERSION ": events from Kafka to exact metrics, asked with PromQL.\n\n"
        "usage: larder COMMAND [ARGUMENTS]\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fprintf(out,
        "\n`larder COMMAND --help` says more. Exit codes: 0 fine, 1 something was found to be "
        "wrong, 2 usage or environment.\n");
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

int main(int argc, char **argv)
{
    /* A peer that closes its end is an error of write(2), not the end of the program. */
    signal(SIGPIPE, SIG_IGN);
    const char *name = argc > 1 ? argv[1] : "--help";
    bool help = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0;
    if (help) {
        print_help(argc > 1 ? stdout : stderr);
        return argc > 1 ? EXIT_FINE : EXIT_USAGE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("larder " LARDER_VERSION " (" LARDER_REVISION ")\n");
        return EXIT_FINE;
    }
    const struct command *command = find_command(name);
    if (!command) {
        fprintf(stderr, "larder: there is no command \"%s\"; `larder --help` lists them\n", name);
        return EXIT_USAGE;
    }
    return command->run(argc - 1, argv + 1);
}
