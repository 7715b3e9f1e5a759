/*
 * `larder check`: what is wrong in a file, each mistake in a line of its own that editors can
 * follow:
 *
 *     larder.yml:12:9: unknown key 'topcis', did you mean 'topics'?
 *
 * Findings go to standard output, for they are what was asked for; what keeps it from looking goes
 * to standard error.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/commands.h"
#include "cmd/config.h"

#define OVERRIDES_MAX 64

static const char usage[] =
    "usage: larder check config [--set KEY=VALUE]... FILE...\n"
    "       larder check events [-c CONFIG] [--stream NAME] FILE...\n"
    "\n"
    "Reads config files and lists every mistake with its file, line and column; or tries the\n"
    "contract of a stream on events: `larder check events --help`.\n"
    "\n"
    "  --set KEY=VALUE  check it with this value, such as kafka.brokers=HOST:PORT\n"
    "  -h, --help       this text\n"
    "\n"
    "Exit code: 0 all is well, 1 there are mistakes, 2 it could not be checked.\n";

/* A file that cannot be read is no finding. */
static int report(const char *path, const struct err_list *errors)
{
    char line[ERR_FILE_MAX + ERR_TEXT_MAX + 32];
    for (size_t i = 0; i < errors->n; i++) {
        bool unread = errors->items[i].code == ERR_IO;
        fprintf(unread ? stderr : stdout, "%s\n", err_format(&errors->items[i], line, sizeof line));
        if (unread)
            return EXIT_USAGE;
    }
    if (errors->n == ERR_LIST_MAX)
        printf("%s: and perhaps more: this is where counting ends\n", path);
    if (errors->n == 0)
        printf("%s: OK\n", path);
    return errors->n ? EXIT_FOUND : EXIT_FINE;
}

static int check_config(const char *path, const char *const *overrides, size_t n)
{
    struct config config;
    struct err_list errors;
    config_load(path, overrides, n, &config, &errors);
    int code = report(path, &errors);
    err_list_fini(&errors);
    config_free(&config);
    return code;
}

static int refuse(const char *what, const char *argument)
{
    fprintf(stderr, "larder check: %s%s%s\n\n%s", what, argument ? ": " : "",
        argument ? argument : "", usage);
    return EXIT_USAGE;
}

static int check_configs(int argc, char **argv)
{
    const char *overrides[OVERRIDES_MAX];
    size_t n = 0;
    int files = 0, worst = EXIT_FINE;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--set") == 0) {
            if (i + 1 == argc || n == OVERRIDES_MAX)
                return refuse(
                    n == OVERRIDES_MAX ? "too many of" : "a value is missing behind", argv[i]);
            overrides[n++] = argv[++i];
        } else if (strncmp(argv[i], "--set=", 6) == 0 && n < OVERRIDES_MAX) {
            overrides[n++] = argv[i] + 6;
        } else if (argv[i][0] == '-' && argv[i][1]) {
            return refuse("unknown option", argv[i]);
        } else {
            argv[files++] = argv[i];
        }
    }
    if (files == 0)
        return refuse("no file to check", NULL);
    for (int i = 0; i < files; i++) {
        int code = check_config(argv[i], overrides, n);
        worst = code > worst ? code : worst;
    }
    return worst;
}

int cmd_check(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "events") == 0)
        return cmd_check_events(argc - 1, argv + 1);
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return EXIT_FINE;
        }
    if (argc < 2)
        return refuse("what is to be checked?", NULL);
    if (strcmp(argv[1], "config") == 0)
        return check_configs(argc - 2, argv + 2);
    if (strcmp(argv[1], "rules") == 0) {
        fprintf(stderr, "larder check: not supported yet: check %s\n", argv[1]);
        return EXIT_USAGE;
    }
    return refuse("unknown kind of file", argv[1]);
}
