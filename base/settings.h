/*
 * A YAML tree read as settings. Every reader takes a node and what it is called, and says what
 * would be right when it is not: the mistake goes to the list with its place, and false comes back,
 * so that reading goes on and all mistakes of a file are found in one go. Nodes that are NULL (the
 * key is not there) are no mistake of a reader: callers ask for what must be there with
 * settings_need.
 */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include <stdint.h>

#include "base/err_list.h"
#include "base/yaml.h"

struct settings {
    struct err_list *errors;
    struct arena *arena; /* where what is read lives */
};

/* Adds an error at the node. Returns false. */
bool settings_error(struct settings *settings, const struct yaml_node *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds an error found inside a scalar's text: err->col - 1 is the byte. Returns false. */
bool settings_error_inside(
    struct settings *settings, const struct yaml_node *scalar, const struct err *err);

/* The value of a key that must be there; NULL after an error, which stands at the mapping. */
const struct yaml_node *settings_need(struct settings *settings, const struct yaml_node *mapping,
    const char *key, const char *example);

/* A mapping that has no keys but these; the closest one is proposed for a mistyped one. False only
 * when it is no mapping. */
bool settings_mapping(struct settings *settings, const struct yaml_node *node, const char *what,
    const char *const *known, size_t n_known);
/* A mapping whose keys are names of the user's. */
bool settings_names(struct settings *settings, const struct yaml_node *node, const char *what);
bool settings_sequence(struct settings *settings, const struct yaml_node *node, const char *what);

/* A scalar with a value, not empty. */
bool settings_text(
    struct settings *settings, const struct yaml_node *node, const char *what, struct slice *out);
bool settings_bool(
    struct settings *settings, const struct yaml_node *node, const char *what, bool *out);
bool settings_int(struct settings *settings, const struct yaml_node *node, const char *what,
    int64_t min, int64_t max, int64_t *out);
/* One of the choices; its index. */
bool settings_choice(struct settings *settings, const struct yaml_node *node, const char *what,
    const char *const *choices, size_t n, int *out);
/* "24h", "1h30m", "500ms": the units y w d h m s ms, from large to small; 0s is one too. */
bool settings_duration(
    struct settings *settings, const struct yaml_node *node, const char *what, int64_t *ms);
/* "512MiB", "2GiB"; KiB, MiB, GiB, TiB, or B. */
bool settings_bytes(
    struct settings *settings, const struct yaml_node *node, const char *what, uint64_t *out);

/* False: not a duration, or more than 100 years. */
bool duration_setting_parse(struct slice text, int64_t *ms);

#endif
