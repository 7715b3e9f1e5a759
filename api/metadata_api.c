#include "api/metadata_api.h"

#include <stdlib.h>

#include "api/json_out.h"
#include "api/series_search.h"
#include "base/checksum.h"
#include "base/map.h"
#include "store/metadata.h"

/* ---- a set of strings ---- */

struct strings {
    struct arena *arena;
    struct map map;
    struct slice *items;
    size_t n, cap;
    struct store *store;
    struct slice label;  /* whose values are collected; {NULL, 0}: names are */
    size_t limit, heard; /* of one selector: more than one past the limit are not needed */
    struct err *err;
};

static bool same_string(const void *ctx, const void *key, uint32_t id)
{
    const struct strings *set = ctx;
    return slice_eq(set->items[id], *(const struct slice *)key);
}

static bool strings_add(struct strings *set, struct slice text, struct err *err)
{
    uint64_t hash = hash64(text.ptr, text.len);
    if (map_find(&set->map, hash, same_string, set, &text) != MAP_NONE)
        return true;
    struct slice *items = arena_grow(set->arena, set->items, set->n, &set->cap, sizeof *items);
    if (!items || set->n + 1 >= MAP_NONE)
        return search_full(err);
    set->items = items;
    struct slice copy = arena_slice(set->arena, text);
    if (!copy.ptr)
        return search_full(err);
    set->items[set->n] = copy;
    map_insert(&set->map, hash, (uint32_t)set->n++);
    return true;
}

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static void write_strings(struct buf *out, struct strings *set, struct notes notes, size_t limit)
{
    size_t n = set->n < limit ? set->n : limit;
    if (set->n)
        qsort(set->items, set->n, sizeof *set->items, by_bytes);
    json_out_begin(out);
    buf_char(out, '[');
    for (size_t i = 0; i < n && !out->failed; i++) {
        if (i)
            buf_char(out, ',');
        json_out_string(out, set->items[i]);
    }
    buf_char(out, ']');
    json_out_end(out, &notes, set->n > limit);
}

static bool found_string(void *ctx, struct slice text)
{
    struct strings *set = ctx;
    return strings_add(set, text, set->err) && set->heard++ < set->limit;
}

static bool ask_strings(void *ctx, const struct listing *listing, struct err *err)
{
    struct strings *set = ctx;
    set->heard = 0;
    set->err = err;
    err->code = ERR_OK;
    bool ok = set->label.ptr
                  ? store_label_values(set->store, listing, set->label, found_string, set, err)
                  : store_label_names(set->store, listing, found_string, set, err);
    return ok && err->code == ERR_OK;
}

/* Answers with the names, or the values of the label. */
static void list(
    const struct api *api, struct request *request, struct response *response, struct slice label)
{
    struct err err = {0};
    size_t n;
    struct strings set = {.arena = request->arena, .store = api->store, .label = label};
    struct series_search *search = search_new(api, request);
    map_init(&set.map);
    if (params_limit(&request->params, "limit", &set.limit, &err) &&
        search_params(search, &n, &err) && search_run(search, ask_strings, &set, &err))
        write_strings(&response->body, &set, search_notes(search), set.limit);
    else
        response_err(response, &err);
    map_fini(&set.map);
    search_free(&search);
}

void metadata_labels(const struct api *api, struct request *request, struct response *response)
{
    list(api, request, response, (struct slice){NULL, 0});
}

/* ---- label values ---- */

static size_t put_utf8(uint32_t c, char *p)
{
    if (c < 0x80) {
        p[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        p[i] = (char)(0x80 | (c & 0x3f));
    p[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* "_e9_" after the '_': the code point, and *at behind the closing '_'. */
static bool escaped_char(struct slice text, size_t *at, uint32_t *c)
{
    size_t digits = 0;
    for (*c = 0; *at < text.len && text.ptr[*at] != '_'; (*at)++, digits++) {
        char d = text.ptr[*at];
        bool decimal = d >= '0' && d <= '9';
        if (digits == 6 || !(decimal || (d >= 'a' && d <= 'f') || (d >= 'A' && d <= 'F')))
            return false;
        *c = *c << 4 | (uint32_t)(decimal ? d - '0' : (d | 32) - 'a' + 10);
    }
    return *at < text.len && digits > 0 && (*at)++ && *c <= 0x10ffff;
}

/* Names that do not fit a path come as "U__a_2e_b" for "a.b": Prometheus' escaping scheme "values".
 * What only looks like it is taken as it stands. */
static struct slice unescape_name(struct arena *arena, struct slice name)
{
    if (!slice_starts(name, SLICE("U__")))
        return name;
    char *out = arena_alloc(arena, name.len + 4);
    size_t n = 0;
    for (size_t i = 3; out && i < name.len;) {
        uint32_t c;
        if (name.ptr[i] != '_') {
            out[n++] = name.ptr[i++];
        } else if (i + 1 < name.len && name.ptr[i + 1] == '_') {
            out[n++] = '_';
            i += 2;
        } else {
            i++;
            if (!escaped_char(name, &i, &c))
                return name;
            n += put_utf8(c, out + n);
        }
    }
    return out ? slice_of(out, n) : name;
}

void metadata_label_values(
    const struct api *api, struct request *request, struct response *response)
{
    list(api, request, response, unescape_name(request->arena, request->capture));
}

/* ---- series ---- */

struct found_series {
    struct arena *arena;
    struct labels *items;
    size_t n, cap;
    struct store *store;
    size_t limit, heard; /* as of strings */
    struct err *err;
};

static bool found_labels(void *ctx, struct labels labels, const struct metric_def *def)
{
    struct found_series *set = ctx;
    struct labels *items = arena_grow(set->arena, set->items, set->n, &set->cap, sizeof *items);
    (void)def;
    if (!items)
        return search_full(set->err);
    set->items = items;
    struct labels copy = labels_copy(set->arena, labels);
    if (labels.n && !copy.items)
        return search_full(set->err);
    set->items[set->n++] = copy;
    return set->heard++ < set->limit;
}

static bool ask_series(void *ctx, const struct listing *listing, struct err *err)
{
    struct found_series *set = ctx;
    set->heard = 0;
    set->err = err;
    err->code = ERR_OK;
    return store_list_series(set->store, listing, found_labels, set, err) && err->code == ERR_OK;
}

static int by_labels(const void *a, const void *b)
{
    return labels_cmp(*(const struct labels *)a, *(const struct labels *)b);
}

static void write_series(
    struct buf *out, struct found_series *set, struct notes notes, size_t limit)
{
    size_t written = 0;
    bool more = false;
    if (set->n)
        qsort(set->items, set->n, sizeof *set->items, by_labels);
    json_out_begin(out);
    buf_char(out, '[');
    for (size_t i = 0; i < set->n && !out->failed && !more; i++) {
        if (i && labels_cmp(set->items[i - 1], set->items[i]) == 0)
            continue;
        more = written == limit;
        if (more)
            break;
        if (written++)
            buf_char(out, ',');
        json_out_labels(out, set->items[i]);
    }
    buf_char(out, ']');
    json_out_end(out, &notes, more);
}

void metadata_series(const struct api *api, struct request *request, struct response *response)
{
    struct err err = {0};
    size_t n;
    struct found_series set = {.arena = request->arena, .store = api->store};
    struct series_search *search = search_new(api, request);
    bool ok = params_limit(&request->params, "limit", &set.limit, &err) &&
              search_params(search, &n, &err);
    if (ok && !n)
        ok = err_set(&err, ERR_INVALID, "no match[] parameter provided");
    if (ok && search_run(search, ask_series, &set, &err))
        write_series(&response->body, &set, search_notes(search), set.limit);
    else
        response_err(response, &err);
    search_free(&search);
}

/* ---- metadata ---- */

struct metadata {
    struct buf *out;
    struct slice metric; /* the only one wanted, or {NULL, 0} */
    size_t n, limit;
};

static const char *type_of(enum kind kind)
{
    switch (kind) {
    case KIND_COUNTER: return "counter";
    case KIND_HISTOGRAM: return "histogram";
    case KIND_LEVEL:
    case KIND_GAUGE: return "gauge";
    case KIND_SAMPLE: break;
    }
    return "unknown";
}

static bool write_metric(void *ctx, const struct metric_def *def)
{
    struct metadata *m = ctx;
    if (m->metric.ptr && !slice_eq(m->metric, def->name))
        return true;
    if (m->n == m->limit)
        return false;
    if (m->n++)
        buf_char(m->out, ',');
    json_out_string(m->out, def->name);
    buf_printf(m->out, ":[{\"type\":\"%s\",\"help\":", type_of(def->kind));
    json_out_string(m->out, def->help);
    buf_str(m->out, ",\"unit\":");
    json_out_string(m->out, def->unit);
    buf_str(m->out, "}]");
    return !m->out->failed;
}

void metadata_metrics(const struct api *api, struct request *request, struct response *response)
{
    struct err err = {0};
    struct metadata m = {.out = &response->body, .metric = params_get(&request->params, "metric")};
    if (!params_limit(&request->params, "limit", &m.limit, &err)) {
        response_err(response, &err);
        return;
    }
    json_out_begin(&response->body);
    buf_char(&response->body, '{');
    if (!store_each_metric(api->store, NULL, write_metric, &m, &err)) {
        response_err(response, &err);
        return;
    }
    buf_char(&response->body, '}');
    json_out_end(&response->body, NULL, false);
}
