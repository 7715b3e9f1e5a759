#include "store/state/state_manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum run_op { OP_RUN_ADD = 16, OP_RUN_DROP = 17, OP_GENERATION_DROP = 18 };

void manifest_runs_fini(struct manifest_runs *runs)
{
    free(runs->items);
    *runs = (struct manifest_runs){0};
}

static void put_add(struct buf *out, const struct manifest_run *run)
{
    buf_u8(out, OP_RUN_ADD);
    buf_lstr(out, slice_from(run->name));
    buf_varint(out, run->table);
    buf_svarint(out, run->generation);
    buf_varint(out, run->lsn);
}

void manifest_runs_put(const struct manifest_runs *runs, struct buf *out)
{
    for (size_t i = 0; i < runs->n; i++)
        put_add(out, &runs->items[i]);
}

void manifest_runs_put_edit(const struct manifest_run_edit *edit, struct buf *out)
{
    if (edit->drop_generation) {
        buf_u8(out, OP_GENERATION_DROP);
        buf_varint(out, edit->table);
        buf_svarint(out, edit->generation);
    }
    for (size_t i = 0; i < edit->n_drops; i++) {
        buf_u8(out, OP_RUN_DROP);
        buf_lstr(out, slice_from(edit->drops[i]));
    }
    if (edit->add)
        put_add(out, edit->add);
}

static void add(struct manifest_runs *runs, const struct manifest_run *run)
{
    GROW(runs->items, runs->cap, runs->n + 1);
    runs->items[runs->n++] = *run;
}

static void drop_generation(struct manifest_runs *runs, uint32_t table, int64_t generation)
{
    size_t kept = 0;
    for (size_t i = 0; i < runs->n; i++)
        if (runs->items[i].table != table || runs->items[i].generation != generation)
            runs->items[kept++] = runs->items[i];
    runs->n = kept;
}

static bool drop(struct manifest_runs *runs, struct slice name)
{
    for (size_t i = 0; i < runs->n; i++)
        if (slice_is(name, runs->items[i].name)) {
            memmove(&runs->items[i], &runs->items[i + 1], (runs->n - i - 1) * sizeof *runs->items);
            runs->n--;
            return true;
        }
    return false;
}

bool manifest_runs_name(const struct manifest_runs *runs, const char *name)
{
    for (size_t i = 0; i < runs->n; i++)
        if (strcmp(runs->items[i].name, name) == 0)
            return true;
    return false;
}

static bool read_add(struct manifest_runs *runs, struct reader *r)
{
    struct manifest_run run = {0};
    struct slice name = read_lstr(r);
    uint64_t table = read_varint(r);
    run.generation = read_svarint(r);
    run.lsn = read_varint(r);
    if (r->failed || name.len != RUN_NAME_MAX - 1 || memchr(name.ptr, '/', name.len) ||
        memchr(name.ptr, 0, name.len) || table > UINT32_MAX || run.lsn == 0)
        return false;
    memcpy(run.name, name.ptr, name.len);
    if (manifest_runs_name(runs, run.name))
        return false;
    run.table = (uint32_t)table;
    add(runs, &run);
    return true;
}

bool manifest_runs_read(struct manifest_runs *runs, uint8_t op, struct reader *r)
{
    switch (op) {
    case OP_RUN_ADD: return read_add(runs, r);
    case OP_RUN_DROP: return drop(runs, read_lstr(r));
    case OP_GENERATION_DROP: {
        uint64_t table = read_varint(r);
        int64_t generation = read_svarint(r);
        if (r->failed || table > UINT32_MAX)
            return false;
        drop_generation(runs, (uint32_t)table, generation);
        return true;
    }
    default: return false;
    }
}

void manifest_runs_apply(struct manifest_runs *runs, const struct manifest_run_edit *edit)
{
    if (edit->drop_generation)
        drop_generation(runs, edit->table, edit->generation);
    for (size_t i = 0; i < edit->n_drops; i++)
        drop(runs, slice_from(edit->drops[i]));
    if (edit->add)
        add(runs, edit->add);
}
