/*
 * Request parameters and the JSON that errors show them in. Holds the parser to its promises:
 * decoded text never grows, times stay inside TIME_MAX_MS, and whatever bytes come in, what goes
 * out is JSON.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "api/json_out.h"
#include "api/params.h"

static void check(bool promise)
{
    if (!promise)
        abort();
}

static void check_json(struct slice text)
{
    struct buf out;
    buf_init(&out, 0);
    json_out_error(&out, "bad_data", text);
    json_t *parsed = json_loadb(out.ptr, out.len, JSON_ALLOW_NUL, NULL);
    check(parsed != NULL);
    json_decref(parsed);
    buf_fini(&out);
}

static void check_typed(const struct params *params, struct slice text)
{
    struct err err = {0};
    int64_t ms = 1;
    size_t limit;
    if (params_parse_time(text, &ms, &err))
        check(ms >= -TIME_MAX_MS && ms <= TIME_MAX_MS);
    else
        check_json(slice_from(err.text));
    /* 292 years as a number of seconds; as long as the language allows when written with units. */
    if (!params_parse_duration(text, &ms, &err))
        check_json(slice_from(err.text));
    for (size_t i = 0; i < params->n && i < 64; i++) {
        char name[32];
        struct slice n = params->items[i].name;
        if (n.len >= sizeof name || memchr(n.ptr, 0, n.len))
            continue;
        memcpy(name, n.ptr, n.len);
        name[n.len] = 0;
        if (params_limit(params, name, &limit, &err))
            check(limit > 0);
        if (!params_time(params, name, &ms, &err))
            check(err.code == ERR_INVALID);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct arena arena;
    struct params params;
    struct err err = {0};
    arena_init(&arena, 1 << 22);
    params_init(&params, &arena);
    if (!params_parse(&params, text, &err))
        check(err.code == ERR_INVALID || err.code == ERR_LIMIT);
    size_t bytes = 0;
    for (size_t i = 0; i < params.n; i++)
        bytes += params.items[i].name.len + params.items[i].value.len;
    check(bytes <= size && params.n <= PARAMS_MAX);
    check_typed(&params, text);
    check_json(text);
    arena_fini(&arena);
    return 0;
}
