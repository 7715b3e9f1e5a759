/*
 * The watched folder as a tree of nodes. Each has two states: live, as the process sees it, and
 * durable, as the disk promises it; between them a list of changes that were not synced.
 */
#ifndef TESTS_E2E_SHIM_DISK_DISK_MODEL_H
#define TESTS_E2E_SHIM_DISK_DISK_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_NAME 128

/* Bytes of a file; what lies behind `n` up to `size` is zero and not kept. */
struct disk_bytes {
    uint8_t *ptr;
    size_t n, cap, size;
};

struct disk_entry {
    char name[DISK_NAME];
    struct disk_node *node;
};

struct disk_names {
    struct disk_entry *items;
    size_t n, cap;
};

enum disk_change_kind { CHANGE_WRITE, CHANGE_SIZE, CHANGE_LINK, CHANGE_UNLINK, CHANGE_RENAME };

struct disk_change {
    enum disk_change_kind kind;
    size_t at, len; /* CHANGE_SIZE: the size is `at` */
    uint8_t *bytes;
    char name[DISK_NAME], to[DISK_NAME];
    struct disk_node *node;
};

struct disk_node {
    bool is_dir;
    struct disk_bytes live, durable;
    struct disk_names live_names, durable_names;
    struct disk_change *changes;
    size_t n_changes, changes_cap;
};

struct disk_node *disk_node_new(bool is_dir);
/* The node that a path relative to the root leads to; NULL: none. */
struct disk_node *disk_walk(struct disk_node *root, const char *path);
/* The folder of the path's last name, and that name. */
struct disk_node *disk_parent(struct disk_node *root, const char *path, const char **name);
struct disk_node *disk_names_find(const struct disk_names *names, const char *name);

/* Changes of the live state; each is remembered until a sync. */
void disk_write(struct disk_node *file, size_t at, const void *bytes, size_t len);
void disk_resize(struct disk_node *file, size_t size);
void disk_link(struct disk_node *dir, const char *name, struct disk_node *node);
void disk_unlink(struct disk_node *dir, const char *name);
void disk_rename(
    struct disk_node *from_dir, const char *from, struct disk_node *to_dir, const char *to);
void disk_sync(struct disk_node *node);
/* What was not synced will not be; the live state keeps it. Names are only late. */
void disk_lose(struct disk_node *node);

/* One change on the way to an image or to the durable state. */
void disk_bytes_apply(struct disk_bytes *to, const struct disk_change *change);
void disk_bytes_write(struct disk_bytes *to, size_t at, const void *bytes, size_t len);
void disk_names_apply(struct disk_names *to, const struct disk_change *change);
void disk_bytes_copy(struct disk_bytes *to, const struct disk_bytes *from);
void disk_names_copy(struct disk_names *to, const struct disk_names *from);

/* Writes the image of a tree to a folder; see disk.h. */
void disk_image_write(const struct disk_node *root, const char *to, uint64_t seed);

/* The program's own calls, past the watching. Failing ends the program. */
void disk_die(const char *what, const char *path) __attribute__((noreturn));
int disk_real_open(const char *path, int flags, int mode);
void disk_real_write(int fd, const void *bytes, size_t len, size_t at);
void disk_real_resize(int fd, size_t size);
void disk_real_mkdir(const char *path);

#endif
