#include "cmd/config_arguments.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

void config_arguments_set(struct config_arguments *arguments, const char *override)
{
    GROW(arguments->overrides, arguments->cap, arguments->n_overrides + 1);
    arguments->overrides[arguments->n_overrides++] = override;
}

void config_arguments_fini(struct config_arguments *arguments)
{
    free(arguments->overrides);
    arguments->overrides = NULL;
    arguments->n_overrides = arguments->cap = 0;
}

bool config_arguments_load(const struct config_arguments *arguments, struct config *out)
{
    const char *file = arguments->file ? arguments->file : "larder.yml";
    struct err_list errors = {0};
    char line[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    bool ok = config_load(file, arguments->overrides, arguments->n_overrides, out, &errors);
    for (size_t i = 0; i < errors.n; i++)
        fprintf(stderr, "%s\n", err_format(&errors.items[i], line, sizeof line));
    if (!ok)
        fprintf(stderr, "%s: %s has %zu error%s\n", arguments->command, file, errors.n,
            errors.n == 1 ? "" : "s");
    err_list_fini(&errors);
    return ok;
}

static void list_streams(const struct streams *streams)
{
    for (size_t i = 0; i < streams->n_streams; i++)
        fprintf(stderr, "%s%.*s", i ? ", " : "", SLICE_FMT(streams->streams[i].name));
    fputc('\n', stderr);
}

bool config_arguments_stream(
    const struct config_arguments *arguments, const struct config *config, size_t *out)
{
    const struct streams *streams = &config->streams;
    const char *name = arguments->stream;
    for (*out = 0; *out < streams->n_streams; ++*out)
        if (name ? slice_is(streams->streams[*out].name, name) : streams->n_streams == 1)
            return true;
    if (name)
        fprintf(stderr, "%s: the config has no stream '%s', but: ", arguments->command, name);
    else
        fprintf(stderr, "%s: which stream? --stream, one of: ", arguments->command);
    list_streams(streams);
    return false;
}
