/*
 * YAML as a tree that knows where everything stands, made from libyaml's events. Bounded: depth,
 * nodes, bytes; aliases and anchors, tags and several documents are refused. A key that occurs
 * twice in one mapping is an error.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define YAML_BYTES_MAX (4u << 20)
#define YAML_DEPTH_MAX 32
#define YAML_NODES_MAX 200000

enum yaml_type { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_type type;
    const char *file;  /* for errors */
    int line, col;     /* 1-based, in characters; 0: the text has no lines, as a command line's */
    struct slice text; /* of a scalar */
    bool plain;        /* a scalar without quotes: may be a number, true, null, ... */
    size_t n;          /* items of a sequence, pairs of a mapping */
    struct yaml_node **keys;   /* of a mapping */
    struct yaml_node **values; /* of a mapping or sequence */
    const char *source;        /* of a scalar: where it begins in the file, with its quote */
    char style;                /* of a scalar: 0 plain, or one of  ' " | > */
};

/* file is for errors only. The tree lives in the arena, with a copy of the text. An empty document
 * is an empty mapping. ERR_INVALID with the place, ERR_LIMIT when it is too large. */
bool yaml_parse(struct slice text, const char *file, struct arena *arena, struct yaml_node **out,
    struct err *err);
/* Reads the file first. */
bool yaml_load(const char *path, struct arena *arena, struct yaml_node **out, struct err *err);
/* The value of a key, or NULL. */
struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key);
/* Where byte `offset` of a scalar's text stands in the file, whatever its style: quotes, escapes
 * and line breaks are accounted for. */
void yaml_place(const struct yaml_node *scalar, size_t offset, int *line, int *col);
/* A scalar without a value: nothing, ~ or null. */
bool yaml_is_null(const struct yaml_node *node);

#endif
