#include "tests/store/support/broken.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/quarantine.h"

/* From the end: inside the footer, which proves itself by a checksum. */
#define FOOTER_AT 20

struct walk {
    uint32_t n, number;
    char *path; /* NULL: only counted */
};

static void see(void *ctx, const char *path)
{
    struct walk *w = ctx;
    int64_t t0, t1;
    if (!segment_name_times(strrchr(path, '/') + 1, &t0, &t1))
        return;
    if (w->path && w->n == w->number)
        ensure(snprintf(w->path, FOLDER_MAX, "%s", path) < FOLDER_MAX);
    w->n++;
}

static void put(const struct broken *b)
{
    FILE *file = fopen(b->path, "wb");
    ensure(file && fwrite(b->bytes, 1, b->n, file) == b->n && fclose(file) == 0);
}

void broken_make(struct broken *b, const char *store, uint32_t number)
{
    struct walk all = {0}, one = {.path = b->path};
    char folder[FOLDER_MAX];
    *b = (struct broken){0};
    ensure(snprintf(folder, sizeof folder, "%s/seg", store) < (int)sizeof folder);
    folder_each(folder, see, &all);
    if (all.n == 0)
        return;
    one.number = number % all.n;
    folder_each(folder, see, &one);
    ensure(segment_name_times(strrchr(b->path, '/') + 1, &b->t0, &b->t1));
    FILE *file = fopen(b->path, "rb");
    ensure(file && fseek(file, 0, SEEK_END) == 0);
    b->n = (size_t)ftell(file);
    b->bytes = xcalloc(b->n, 1);
    rewind(file);
    ensure(b->n > FOOTER_AT && fread(b->bytes, 1, b->n, file) == b->n && fclose(file) == 0);
    b->bytes[b->n - FOOTER_AT] ^= 1;
    put(b);
    b->bytes[b->n - FOOTER_AT] ^= 1;
}

void broken_mend(struct broken *b)
{
    if (b->path[0] && access(b->path, F_OK) == 0)
        put(b);
    free(b->bytes);
    *b = (struct broken){0};
}
