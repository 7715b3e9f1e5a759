#include "cmd/event_place.h"

#include <jansson.h>
#include <string.h>

#include "ingest/json_event.h"

/* The place behind the string that begins at `at`, a quote. */
static size_t skip_string(struct slice json, size_t at)
{
    for (at++; at < json.len && json.ptr[at] != '"'; at++)
        at += json.ptr[at] == '\\';
    return at < json.len ? at + 1 : json.len;
}

/* The column of the first bracket that is one level too deep; 0: there is none. */
static size_t too_deep(struct slice json)
{
    size_t depth = 0;
    for (size_t at = 0; at < json.len;) {
        char c = json.ptr[at];
        if (c == '"') {
            at = skip_string(json, at);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= depth && (c == '}' || c == ']');
        at++;
        if (depth > JSON_DEPTH_MAX)
            return at;
    }
    return 0;
}

size_t event_place_malformed(struct slice json)
{
    size_t deep = too_deep(json);
    json_error_t error;
    json_t *value = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    bool object = json_is_object(value);
    json_decref(value);
    if (value)
        return object ? deep : 1;
    size_t at = error.position > 0 ? (size_t)error.position : 1;
    return deep && deep < at ? deep : at;
}

size_t event_place_field(struct slice json, struct slice name)
{
    size_t found = 0, depth = 0;
    bool key = false; /* a string that stands here is a member's name */
    for (size_t at = 0; at < json.len;) {
        char c = json.ptr[at];
        if (c == '"') {
            size_t end = skip_string(json, at);
            if (key && depth == 1 && end - at == name.len + 2 &&
                memcmp(json.ptr + at + 1, name.ptr, name.len) == 0)
                found = at + 1;
            key = false;
            at = end;
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= depth && (c == '}' || c == ']');
        key = c == '{' || (c == ',' && depth == 1) || (key && strchr(" \t\r\n", c));
        at++;
    }
    return found;
}
