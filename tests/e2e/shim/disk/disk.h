/*
 * A disk that can be cut off at any system call, for LD_PRELOAD. The preloaded library watches one
 * folder: it sees every call that changes something in it (a *point*), and keeps beside the real
 * folder a model of what is durable: what an fsync of the file, or of the folder for its names,
 * has promised. A test program that runs with the library asks it for
 *
 *   - a hook before every point, in which it may fork: the child is the process as it stands there;
 *   - an image of the folder: as a killed process leaves it, or as a power loss does. Then writes,
 *     truncations, new names, renames and removals that were not synced are dropped, kept or, for
 *     writes, torn at 512-byte sectors, by a seeded choice for each;
 *   - a fault in place of the call;
 *   - a sync that does nothing, by the place in the program that calls it.
 *
 * The model is strict, as POSIX is: an fsync of a file says nothing about its name, renames of two
 * folders or of one folder may last in any order, and data may be lost that a rename survives.
 *
 * The program finds the library with dlsym(RTLD_DEFAULT, "disk_control"). One thread.
 */
#ifndef TESTS_E2E_SHIM_DISK_DISK_H
#define TESTS_E2E_SHIM_DISK_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_fault {
    DISK_NONE,
    DISK_SHORT,     /* a write takes half of its bytes */
    DISK_EIO,       /* the call fails and has done nothing */
    DISK_EIO_HALF,  /* a write fails and has written half of its bytes */
    DISK_ENOSPC,    /* the call fails and has done nothing */
    DISK_LOST_SYNC, /* a sync fails, and what it was to write is lost: later syncs do not bring it
                     */
};

struct disk_point {
    uint64_t number;  /* from 1 */
    const char *call; /* "pwrite", ... */
    const char *path; /* relative to the folder */
    bool is_write, is_sync;
};

/* What is to become of the call. Calls that are made by the hook are no points. */
typedef enum disk_fault disk_hook_f(void *ctx, const struct disk_point *point);

/* A place that syncs: the path of calls that leads there, the innermost caller first. `kind` is
 * that of all places that make the same call on the same kind of file. */
#define DISK_CALLERS 5
struct disk_site {
    uint64_t id, kind;
    void *callers[DISK_CALLERS]; /* where they return to; NULL behind the last */
    char what[96];               /* the call and the kind of file */
    uint64_t calls;
    bool ignored;
};

#define DISK_KILLED  UINT64_MAX /* seed of an image: nothing is lost */
#define DISK_DROPPED 0          /* seed of an image: everything that is not durable is lost */

struct disk_control {
    /* Watches the folder, an absolute path; what is in it counts as durable. */
    void (*begin)(const char *folder);
    void (*end)(void);
    void (*hook)(disk_hook_f *hook, void *ctx);
    uint64_t (*points)(void);
    /* Writes the folder's image to another folder, which is made. */
    void (*image)(const char *to, uint64_t seed);
    /* From now on all that the program does in the watched folder happens in `to`, an image of a
     * killed process: open files included. For children, which leave the parent's folder alone. */
    void (*redirect)(const char *to);
    const struct disk_site *(*sites)(size_t *n);
    /* The sync at this site, or at all sites of this kind, does nothing from now on, and says that
     * it worked. 0: all work. */
    void (*ignore)(uint64_t site_or_kind);
    /* False when the real folder is not what the library has seen: a call that it does not know. */
    bool (*verify)(char *why, size_t size);
};

const struct disk_control *disk_control(void);

#endif
