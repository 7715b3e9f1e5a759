#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/e2e/shim/disk/disk.h"
#include "tests/e2e/shim/disk/disk_model.h"

#define SECTOR 512

/* How likely, in quarters, a change of names and one of bytes is kept, and that a write that is not
 * kept whole is torn. Drawn anew for every image, so that the extremes are tried too: all names and
 * no bytes, all bytes and no names. */
struct chance {
    uint64_t rng;
    unsigned names, bytes, torn;
};

static unsigned draw(struct chance *c, unsigned n)
{
    c->rng = c->rng * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(c->rng >> 40) % n;
}

static void write_bytes(const struct disk_bytes *bytes, const char *path)
{
    int fd = disk_real_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        disk_die("cannot make", path);
    disk_real_resize(fd, bytes->size);
    disk_real_write(fd, bytes->ptr, bytes->n, 0);
    close(fd);
}

static void tear(struct disk_bytes *to, const struct disk_change *change, struct chance *chance)
{
    for (size_t at = change->at; at < change->at + change->len;) {
        size_t end = (at / SECTOR + 1) * SECTOR;
        if (end > change->at + change->len)
            end = change->at + change->len;
        if (draw(chance, 2))
            disk_bytes_write(to, at, change->bytes + (at - change->at), end - at);
        at = end;
    }
}

static void write_file(const struct disk_node *file, const char *path, struct chance *chance)
{
    if (!chance) {
        write_bytes(&file->live, path);
        return;
    }
    struct disk_bytes bytes = {0};
    disk_bytes_copy(&bytes, &file->durable);
    for (size_t i = 0; i < file->n_changes; i++) {
        const struct disk_change *c = &file->changes[i];
        if (draw(chance, 4) < chance->bytes)
            disk_bytes_apply(&bytes, c);
        else if (c->kind == CHANGE_WRITE && draw(chance, 4) < chance->torn)
            tear(&bytes, c, chance);
    }
    write_bytes(&bytes, path);
    free(bytes.ptr);
}

static void write_node(const struct disk_node *node, const char *path, struct chance *chance);

static void write_dir(const struct disk_node *dir, const char *path, struct chance *chance)
{
    struct disk_names names = {0};
    disk_real_mkdir(path);
    disk_names_copy(&names, chance ? &dir->durable_names : &dir->live_names);
    for (size_t i = 0; chance && i < dir->n_changes; i++)
        if (draw(chance, 4) < chance->names)
            disk_names_apply(&names, &dir->changes[i]);
    for (size_t i = 0; i < names.n; i++) {
        char child[4096];
        snprintf(child, sizeof child, "%s/%s", path, names.items[i].name);
        write_node(names.items[i].node, child, chance);
    }
    free(names.items);
}

/* As deep as the folders of a store: three levels. */
static void write_node(const struct disk_node *node, const char *path, struct chance *chance)
{
    if (node->is_dir)
        write_dir(node, path, chance);
    else
        write_file(node, path, chance);
}

void disk_image_write(const struct disk_node *root, const char *to, uint64_t seed)
{
    struct chance chance = {.rng = seed};
    if (seed != DISK_DROPPED) {
        draw(&chance, 2);
        chance.names = draw(&chance, 5);
        chance.bytes = draw(&chance, 5);
        chance.torn = draw(&chance, 5);
    }
    write_node(root, to, seed == DISK_KILLED ? NULL : &chance);
}
