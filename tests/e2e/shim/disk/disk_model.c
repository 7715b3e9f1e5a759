#include "tests/e2e/shim/disk/disk_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grow(void *ptr, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return ptr;
    *cap = need < 8 ? 8 : need * 2;
    ptr = realloc(ptr, *cap * size);
    if (!ptr)
        disk_die("out of memory", "");
    return ptr;
}

struct disk_node *disk_node_new(bool is_dir)
{
    struct disk_node *node = calloc(1, sizeof *node);
    if (!node)
        disk_die("out of memory", "");
    node->is_dir = is_dir;
    return node;
}

/* ---- bytes ---- */

void disk_bytes_write(struct disk_bytes *to, size_t at, const void *bytes, size_t len)
{
    to->ptr = grow(to->ptr, &to->cap, at + len, 1);
    if (at > to->n)
        memset(to->ptr + to->n, 0, at - to->n);
    if (len)
        memcpy(to->ptr + at, bytes, len);
    if (at + len > to->n)
        to->n = at + len;
    if (to->n > to->size)
        to->size = to->n;
}

static void bytes_resize(struct disk_bytes *to, size_t size)
{
    if (to->n > size)
        to->n = size;
    to->size = size;
}

void disk_bytes_apply(struct disk_bytes *to, const struct disk_change *change)
{
    if (change->kind == CHANGE_WRITE)
        disk_bytes_write(to, change->at, change->bytes, change->len);
    else if (change->kind == CHANGE_SIZE)
        bytes_resize(to, change->at);
}

void disk_bytes_copy(struct disk_bytes *to, const struct disk_bytes *from)
{
    to->n = to->size = 0;
    disk_bytes_write(to, 0, from->ptr, from->n);
    to->size = from->size;
}

/* ---- names ---- */

static size_t names_place(const struct disk_names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->items[i].name, name) == 0)
            return i;
    return names->n;
}

struct disk_node *disk_names_find(const struct disk_names *names, const char *name)
{
    size_t i = names_place(names, name);
    return i < names->n ? names->items[i].node : NULL;
}

static void copy_name(char out[DISK_NAME], const char *name)
{
    if (strlen(name) >= DISK_NAME)
        disk_die("name too long", name);
    snprintf(out, DISK_NAME, "%s", name);
}

static void names_put(struct disk_names *names, const char *name, struct disk_node *node)
{
    size_t i = names_place(names, name);
    if (i == names->n) {
        names->items = grow(names->items, &names->cap, names->n + 1, sizeof *names->items);
        names->n++;
    }
    copy_name(names->items[i].name, name);
    names->items[i].node = node;
}

static void names_drop(struct disk_names *names, const char *name, const struct disk_node *node)
{
    size_t i = names_place(names, name);
    if (i == names->n || names->items[i].node != node)
        return; /* another change has given the name away already */
    names->items[i] = names->items[--names->n];
}

void disk_names_apply(struct disk_names *to, const struct disk_change *change)
{
    switch (change->kind) {
    case CHANGE_LINK: names_put(to, change->name, change->node); break;
    case CHANGE_UNLINK: names_drop(to, change->name, change->node); break;
    case CHANGE_RENAME:
        names_drop(to, change->name, change->node);
        names_put(to, change->to, change->node);
        break;
    default: break;
    }
}

void disk_names_copy(struct disk_names *to, const struct disk_names *from)
{
    to->n = 0;
    to->items = grow(to->items, &to->cap, from->n, sizeof *to->items);
    if (from->n)
        memcpy(to->items, from->items, from->n * sizeof *to->items);
    to->n = from->n;
}

/* ---- paths ---- */

struct disk_node *disk_walk(struct disk_node *root, const char *path)
{
    struct disk_node *node = root;
    while (node && *path) {
        char name[DISK_NAME];
        size_t len = strcspn(path, "/");
        if (len >= DISK_NAME)
            disk_die("name too long", path);
        memcpy(name, path, len);
        name[len] = 0;
        path += len + (path[len] == '/');
        if (len)
            node = disk_names_find(&node->live_names, name);
    }
    return node;
}

struct disk_node *disk_parent(struct disk_node *root, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    char dir[4096];
    *name = slash ? slash + 1 : path;
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 0, path);
    return disk_walk(root, dir);
}

/* ---- changes ---- */

static struct disk_change *change_add(struct disk_node *node, enum disk_change_kind kind)
{
    node->changes =
        grow(node->changes, &node->changes_cap, node->n_changes + 1, sizeof *node->changes);
    struct disk_change *c = &node->changes[node->n_changes++];
    memset(c, 0, sizeof *c);
    c->kind = kind;
    return c;
}

static void changes_clear(struct disk_node *node)
{
    for (size_t i = 0; i < node->n_changes; i++)
        free(node->changes[i].bytes);
    node->n_changes = 0;
}

void disk_write(struct disk_node *file, size_t at, const void *bytes, size_t len)
{
    struct disk_change *c = change_add(file, CHANGE_WRITE);
    c->at = at;
    c->len = len;
    c->bytes = malloc(len + 1);
    if (!c->bytes)
        disk_die("out of memory", "");
    memcpy(c->bytes, bytes, len);
    disk_bytes_apply(&file->live, c);
}

void disk_resize(struct disk_node *file, size_t size)
{
    struct disk_change *c = change_add(file, CHANGE_SIZE);
    c->at = size;
    disk_bytes_apply(&file->live, c);
}

void disk_link(struct disk_node *dir, const char *name, struct disk_node *node)
{
    struct disk_change *c = change_add(dir, CHANGE_LINK);
    copy_name(c->name, name);
    c->node = node;
    disk_names_apply(&dir->live_names, c);
}

void disk_unlink(struct disk_node *dir, const char *name)
{
    struct disk_change *c = change_add(dir, CHANGE_UNLINK);
    copy_name(c->name, name);
    c->node = disk_names_find(&dir->live_names, name);
    disk_names_apply(&dir->live_names, c);
}

void disk_rename(
    struct disk_node *from_dir, const char *from, struct disk_node *to_dir, const char *to)
{
    struct disk_node *node = disk_names_find(&from_dir->live_names, from);
    if (from_dir != to_dir) {
        disk_link(to_dir, to, node);
        disk_unlink(from_dir, from);
        return;
    }
    struct disk_change *c = change_add(from_dir, CHANGE_RENAME);
    copy_name(c->name, from);
    copy_name(c->to, to);
    c->node = node;
    disk_names_apply(&from_dir->live_names, c);
}

/* Not simply the live state: what was lost by a failed sync stays lost. */
void disk_sync(struct disk_node *node)
{
    for (size_t i = 0; i < node->n_changes; i++) {
        if (node->is_dir)
            disk_names_apply(&node->durable_names, &node->changes[i]);
        else
            disk_bytes_apply(&node->durable, &node->changes[i]);
    }
    changes_clear(node);
}

void disk_lose(struct disk_node *node)
{
    if (!node->is_dir)
        changes_clear(node);
}
