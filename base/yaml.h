/*
 * YAML as a tree that knows where everything stands, made from libyaml's events. Bounded: depth,
 * nodes, bytes; aliases and anchors, tags and several documents are refused. A key that occurs twice
 * in one mapping is an error.
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

enum yaml_type { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_type type;
    int line, col;      /* 1-based */
    struct slice text;  /* of a scalar */
    bool plain;         /* a scalar without quotes: may be a number, true, null, ... */
    size_t n;           /* items of a sequence, pairs of a mapping */
    struct yaml_node **keys;   /* of a mapping */
    struct yaml_node **values; /* of a mapping or sequence */
};

/* file is for errors only. The tree lives in the arena. An empty document is an empty mapping. */
bool yaml_parse(struct slice text, const char *file, struct arena *arena, struct yaml_node **out,
    struct err *err);
/* Reads the file first. */
bool yaml_load(const char *path, struct arena *arena, struct yaml_node **out, struct err *err);
/* The value of a key, or NULL. */
struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key);

#endif
