#include "cmd/config_shard.h"

static bool read_number(const char **p, const char *end, uint32_t *out)
{
    const char *first = *p;
    *out = 0;
    for (; *p < end && **p >= '0' && **p <= '9' && *p - first < 5; (*p)++)
        *out = *out * 10 + (uint32_t)(**p - '0');
    return *p > first;
}

static bool parse_shard(struct slice text, struct shard *out)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    if (!read_number(&p, end, &out->number) || p == end || *p++ != '/' ||
        !read_number(&p, end, &out->of) || p != end)
        return false;
    return out->number >= 1 && out->number <= out->of && out->of <= SHARDS_MAX;
}

void config_shard_read(struct settings *settings, const struct yaml_node *node, struct shard *out)
{
    struct shard shard;
    struct slice text;
    if (!settings_text(settings, node, "'shard'", &text))
        return;
    if (parse_shard(text, &shard))
        *out = shard;
    else
        settings_error(settings, node,
            "'shard' must be which of how many, such as 1/3, of at most %d, not '%.*s'", SHARDS_MAX,
            SLICE_FMT(text));
}
