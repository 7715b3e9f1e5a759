/*
 * libyaml's events arrive in the order of the text; the open collections are a stack of frames with
 * the children that came so far, which become arrays when the collection ends. libyaml counts its
 * marks in characters: a cursor that only moves forward turns them into bytes.
 */
#include "base/yaml.h"

#include <stdio.h>
#include <yaml.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "base/map.h"

struct link {
    struct yaml_node *node;
    struct link *next;
};

struct frame {
    struct yaml_node *node;
    struct link *first, **last; /* keys and values in turns for a mapping */
    size_t n;
};

struct builder {
    struct slice text; /* the copy in the arena, with a NUL */
    const char *file;
    struct arena *arena;
    struct frame frames[YAML_DEPTH_MAX];
    int depth, nodes;
    struct yaml_node *root;
    size_t index; /* cursor: this character ... */
    size_t byte;  /* ... begins at this byte */
    struct err *err;
};

static bool fail(struct builder *b, size_t line, size_t col, const char *text)
{
    err_set(b->err, ERR_INVALID, "%s", text);
    return err_at(b->err, b->file, (int)line + 1, (int)col + 1);
}

static bool too_large(struct builder *b)
{
    err_set(b->err, ERR_LIMIT, "the file is too large");
    return err_at(b->err, b->file, 0, 0);
}

static const char *source_at(struct builder *b, size_t index)
{
    for (; b->index < index && b->byte < b->text.len; b->index++)
        do
            b->byte++;
        while (b->byte < b->text.len && ((uint8_t)b->text.ptr[b->byte] & 0xc0) == 0x80);
    return b->text.ptr + b->byte;
}

/* ---- the tree ---- */

static struct yaml_node *node_new(struct builder *b, enum yaml_type type, yaml_mark_t mark)
{
    struct yaml_node *node = NULL;
    if (b->nodes++ < YAML_NODES_MAX)
        node = arena_zalloc(b->arena, sizeof *node);
    if (!node)
        return NULL;
    node->type = type;
    node->file = b->file;
    node->line = (int)mark.line + 1;
    node->col = (int)mark.column + 1;
    node->source = source_at(b, mark.index);
    return node;
}

/* Adds a finished or just opened node to the innermost collection. */
static bool attach(struct builder *b, struct yaml_node *node)
{
    if (b->depth == 0) {
        b->root = node;
        return true;
    }
    struct frame *frame = &b->frames[b->depth - 1];
    bool is_key = frame->node->type == YAML_MAPPING && frame->n % 2 == 0;
    if (is_key && node->type != YAML_SCALAR)
        return fail(b, (size_t)node->line - 1, (size_t)node->col - 1, "a key must be one word");
    struct link *link = arena_alloc(b->arena, sizeof *link);
    if (!link)
        return too_large(b);
    *link = (struct link){node, NULL};
    *frame->last = link;
    frame->last = &link->next;
    frame->n++;
    return true;
}

static bool add_scalar(struct builder *b, const yaml_event_t *event)
{
    struct yaml_node *node = node_new(b, YAML_SCALAR, event->start_mark);
    if (!node)
        return too_large(b);
    node->text =
        arena_slice(b->arena, slice_of(event->data.scalar.value, event->data.scalar.length));
    if (!node->text.ptr)
        return too_large(b);
    switch (event->data.scalar.style) {
    case YAML_SINGLE_QUOTED_SCALAR_STYLE: node->style = '\''; break;
    case YAML_DOUBLE_QUOTED_SCALAR_STYLE: node->style = '"'; break;
    case YAML_LITERAL_SCALAR_STYLE: node->style = '|'; break;
    case YAML_FOLDED_SCALAR_STYLE: node->style = '>'; break;
    default: node->plain = true;
    }
    return attach(b, node);
}

static bool open_collection(struct builder *b, enum yaml_type type, yaml_mark_t mark)
{
    if (b->depth == YAML_DEPTH_MAX)
        return fail(b, mark.line, mark.column, "nested too deeply: at most 32 levels");
    struct yaml_node *node = node_new(b, type, mark);
    if (!node)
        return too_large(b);
    if (!attach(b, node))
        return false;
    struct frame *frame = &b->frames[b->depth++];
    *frame = (struct frame){.node = node};
    frame->last = &frame->first;
    return true;
}

static bool key_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct yaml_node *mapping = ctx;
    const struct slice *text = key;
    return slice_eq(mapping->keys[id]->text, *text);
}

static bool check_twice(struct builder *b, const struct yaml_node *mapping)
{
    struct map seen;
    bool ok = true;
    map_init(&seen);
    for (uint32_t i = 0; i < mapping->n && ok; i++) {
        const struct yaml_node *key = mapping->keys[i];
        uint64_t hash = hash64(key->text.ptr, key->text.len);
        uint32_t first = map_find(&seen, hash, key_matches, mapping, &key->text);
        if (first == MAP_NONE) {
            map_insert(&seen, hash, i);
            continue;
        }
        err_set(b->err, ERR_INVALID, "key '%.*s' occurs twice, first in line %d",
            SLICE_FMT(key->text), mapping->keys[first]->line);
        ok = err_at(b->err, b->file, key->line, key->col);
    }
    map_fini(&seen);
    return ok;
}

static bool close_collection(struct builder *b)
{
    struct frame *frame = &b->frames[--b->depth];
    struct yaml_node *node = frame->node;
    bool mapping = node->type == YAML_MAPPING;
    node->n = mapping ? frame->n / 2 : frame->n;
    node->values = arena_array(b->arena, node->n, sizeof(struct yaml_node *));
    node->keys = mapping ? arena_array(b->arena, node->n, sizeof(struct yaml_node *)) : NULL;
    if (!node->values || (mapping && !node->keys))
        return too_large(b);
    size_t i = 0;
    for (struct link *link = frame->first; link; link = link->next, i++) {
        if (!mapping)
            node->values[i] = link->node;
        else
            (i % 2 ? node->values : node->keys)[i / 2] = link->node;
    }
    return !mapping || check_twice(b, node);
}

/* ---- the events ---- */

static bool parser_error(struct builder *b, const yaml_parser_t *parser)
{
    char text[ERR_TEXT_MAX];
    const char *context = parser->context;
    snprintf(text, sizeof text, "not YAML: %s%s%s", parser->problem ? parser->problem : "no memory",
        context ? ", " : "", context ? context : "");
    if (parser->error != YAML_READER_ERROR)
        return fail(b, parser->problem_mark.line, parser->problem_mark.column, text);
    /* The reader knows the byte only. */
    size_t line = 0, start = 0;
    for (size_t i = 0; i < parser->problem_offset && i < b->text.len; i++)
        if (b->text.ptr[i] == '\n') {
            line++;
            start = i + 1;
        }
    return fail(b, line, parser->problem_offset - start, text);
}

/* What would make a config hard to read or to check has no place in it. */
static const char *refused(const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT: return "aliases (*name) are not supported";
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default: break;
    }
    return anchor ? "anchors (&name) are not supported"
           : tag  ? "tags (!name) are not supported"
                  : NULL;
}

static bool take(struct builder *b, const yaml_event_t *event)
{
    const char *why = refused(event);
    if (why)
        return fail(b, event->start_mark.line, event->start_mark.column, why);
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return !b->root || fail(b, event->start_mark.line, event->start_mark.column,
                               "only one document in a file is supported");
    case YAML_SCALAR_EVENT: return add_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT: return open_collection(b, YAML_SEQUENCE, event->start_mark);
    case YAML_MAPPING_START_EVENT: return open_collection(b, YAML_MAPPING, event->start_mark);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return close_collection(b);
    default: return true;
    }
}

static bool run(struct builder *b)
{
    yaml_parser_t parser;
    yaml_event_t event;
    if (!yaml_parser_initialize(&parser))
        return too_large(b);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)b->text.ptr, b->text.len);
    bool ok = true, end = false;
    while (ok && !end) {
        if (!yaml_parser_parse(&parser, &event)) {
            ok = parser_error(b, &parser);
            break;
        }
        ok = take(b, &event);
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return ok;
}

bool yaml_parse(struct slice text, const char *file, struct arena *arena, struct yaml_node **out,
    struct err *err)
{
    struct builder b = {.arena = arena, .err = err, .file = file};
    if (text.len > YAML_BYTES_MAX)
        return too_large(&b);
    b.text = arena_slice(arena, text);
    b.file = arena_slice(arena, slice_from(file)).ptr;
    if (!b.text.ptr || !b.file || !run(&b))
        return b.text.ptr && b.file ? false : too_large(&b);
    /* Nothing, or comments alone, is an empty mapping. */
    if (!b.root || (yaml_is_null(b.root) && b.root->text.len == 0)) {
        b.root = node_new(&b, YAML_MAPPING, (yaml_mark_t){0, 0, 0});
        if (!b.root)
            return too_large(&b);
    }
    *out = b.root;
    return true;
}

bool yaml_load(const char *path, struct arena *arena, struct yaml_node **out, struct err *err)
{
    struct buf text;
    FILE *f = fopen(path, "rb");
    if (!f)
        return err_sys(err, "cannot open %s", path);
    buf_init(&text, YAML_BYTES_MAX + 1);
    char chunk[16384];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0 && !text.failed)
        buf_add(&text, chunk, n);
    bool ok = !ferror(f) || err_sys(err, "cannot read %s", path);
    fclose(f);
    if (ok && text.failed) {
        err_set(err, ERR_LIMIT, "the file is too large: at most %u bytes", YAML_BYTES_MAX);
        ok = err_at(err, path, 0, 0);
    }
    ok = ok && yaml_parse(buf_view(&text), path, arena, out, err);
    buf_fini(&text);
    return ok;
}

struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key)
{
    for (size_t i = 0; mapping->type == YAML_MAPPING && i < mapping->n; i++)
        if (slice_is(mapping->keys[i]->text, key))
            return mapping->values[i];
    return NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
    return node->type == YAML_SCALAR && node->plain &&
           (node->text.len == 0 || slice_is(node->text, "~") || slice_is(node->text, "null"));
}
