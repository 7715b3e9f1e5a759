#include "store/manifest_edit.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

/* edit := op*. An op that is not known stops the start: it says something that must not be
 * overlooked. */
enum op {
    OP_BLOCK_MS = 1,
    OP_ADD = 2,
    OP_DROP = 3,
    OP_SEALED = 4,
    OP_CHECKPOINT = 5,
    OP_ADD_DERIVED = 6,
    OP_QUARANTINE = 7,
    OP_CATALOG = 8,
    OP_LATE = 9,
    OP_NOTHING = 10,
    OP_COMMITTED = 11,
};

/* ---- as bytes ---- */

static void put_add(struct buf *out, const struct manifest_segment *s)
{
    buf_u8(out, s->derived ? OP_ADD_DERIVED : OP_ADD);
    buf_lstr(out, slice_from(s->name));
    buf_varint(out, s->lsn);
    if (s->derived)
        buf_le64(out, s->inputs);
}

static void put_name(struct buf *out, enum op op, const char *name)
{
    buf_u8(out, (uint8_t)op);
    buf_lstr(out, slice_from(name));
}

static void put_sealed(struct buf *out, const struct manifest_sealed *s)
{
    buf_u8(out, OP_SEALED);
    buf_svarint(out, s->block);
    buf_varint(out, s->lsn);
}

static void put_late(struct buf *out, const struct late_mark *l)
{
    buf_u8(out, OP_LATE);
    buf_svarint(out, l->block);
    buf_svarint(out, l->since_ms);
}

static void put_catalog(struct buf *out, const struct manifest_catalog *c)
{
    buf_u8(out, OP_CATALOG);
    buf_varint(out, c->number);
    buf_varint(out, c->bytes);
    buf_varint(out, c->metrics);
    buf_varint(out, c->series);
}

static void put_nothing(struct buf *out, const struct nothing *nothing)
{
    buf_u8(out, OP_NOTHING);
    nothing_put(out, nothing);
}

static void put_lsn(struct buf *out, enum op op, uint64_t lsn)
{
    buf_u8(out, (uint8_t)op);
    buf_varint(out, lsn);
}

void manifest_edit_put(struct buf *out, const struct manifest_edit *edit)
{
    for (size_t i = 0; i < edit->n_drops; i++)
        put_name(out, OP_DROP, edit->drops[i]);
    for (size_t i = 0; i < edit->n_adds; i++)
        put_add(out, &edit->adds[i]);
    for (size_t i = 0; i < edit->n_nothing; i++)
        put_nothing(out, &edit->nothing[i]);
    if (edit->quarantine)
        put_name(out, OP_QUARANTINE, edit->quarantine);
    if (edit->runs)
        manifest_runs_put_edit(edit->runs, out);
    if (edit->seal)
        put_sealed(out, &edit->sealed);
    for (size_t i = 0; i < edit->n_late; i++)
        put_late(out, &edit->late[i]);
    if (edit->catalog)
        put_catalog(out, edit->catalog);
    if (edit->committed_lsn)
        put_lsn(out, OP_COMMITTED, edit->committed_lsn);
    if (edit->checkpoint_lsn)
        put_lsn(out, OP_CHECKPOINT, edit->checkpoint_lsn);
}

void manifest_state_put(struct buf *out, const struct manifest *manifest)
{
    buf_u8(out, OP_BLOCK_MS);
    buf_varint(out, (uint64_t)manifest->block_ms);
    for (size_t i = 0; i < manifest->n_segments; i++)
        put_add(out, &manifest->segments[i]);
    for (size_t i = 0; i < manifest->n_quarantined; i++) {
        put_add(out, &manifest->quarantined[i]);
        put_name(out, OP_QUARANTINE, manifest->quarantined[i].name);
    }
    for (size_t i = 0; i < manifest->nothing.n; i++)
        put_nothing(out, &manifest->nothing.items[i]);
    for (size_t i = 0; i < manifest->n_sealed; i++)
        put_sealed(out, &manifest->sealed[i]);
    for (size_t i = 0; i < manifest->late.n; i++)
        put_late(out, &manifest->late.items[i]);
    manifest_runs_put(&manifest->runs, out);
    if (manifest->catalog.number)
        put_catalog(out, &manifest->catalog);
    if (manifest->committed_lsn)
        put_lsn(out, OP_COMMITTED, manifest->committed_lsn);
    put_lsn(out, OP_CHECKPOINT, manifest->checkpoint_lsn);
}

/* ---- the state in memory ---- */

/* Behind those with the same lsn. */
static void state_add(struct manifest *m, const struct manifest_segment *s)
{
    size_t i = m->n_segments;
    GROW(m->segments, m->segments_cap, m->n_segments + 1);
    for (; i > 0 && m->segments[i - 1].lsn > s->lsn; i--)
        m->segments[i] = m->segments[i - 1];
    m->segments[i] = *s;
    m->n_segments++;
}

static bool take_out(
    struct manifest_segment *all, size_t *n, struct slice name, struct manifest_segment *out)
{
    for (size_t i = 0; i < *n; i++)
        if (slice_is(name, all[i].name)) {
            *out = all[i];
            memmove(&all[i], &all[i + 1], (*n - i - 1) * sizeof *all);
            (*n)--;
            return true;
        }
    return false;
}

static bool state_drop(struct manifest *m, struct slice name)
{
    struct manifest_segment s;
    return take_out(m->segments, &m->n_segments, name, &s) ||
           take_out(m->quarantined, &m->n_quarantined, name, &s);
}

static bool state_quarantine(struct manifest *m, struct slice name)
{
    struct manifest_segment s;
    if (!take_out(m->segments, &m->n_segments, name, &s))
        return false;
    GROW(m->quarantined, m->quarantined_cap, m->n_quarantined + 1);
    m->quarantined[m->n_quarantined++] = s;
    return true;
}

bool manifest_edit_drops(const struct manifest_edit *edit, const char *name)
{
    for (size_t i = 0; i < edit->n_drops; i++)
        if (strcmp(edit->drops[i], name) == 0)
            return true;
    return edit->quarantine && strcmp(edit->quarantine, name) == 0;
}

bool manifest_names(const struct manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->n_segments; i++)
        if (strcmp(manifest->segments[i].name, name) == 0)
            return true;
    for (size_t i = 0; i < manifest->n_quarantined; i++)
        if (strcmp(manifest->quarantined[i].name, name) == 0)
            return true;
    return false;
}

static size_t sealed_place(const struct manifest *m, int64_t block)
{
    size_t lo = 0, hi = m->n_sealed;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (m->sealed[mid].block < block)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void state_seal(struct manifest *m, struct manifest_sealed s)
{
    size_t i = sealed_place(m, s.block);
    late_marks_remove(&m->late, s.block);
    if (i < m->n_sealed && m->sealed[i].block == s.block) {
        if (s.lsn > m->sealed[i].lsn)
            m->sealed[i].lsn = s.lsn;
        return;
    }
    GROW(m->sealed, m->sealed_cap, m->n_sealed + 1);
    memmove(&m->sealed[i + 1], &m->sealed[i], (m->n_sealed - i) * sizeof *m->sealed);
    m->sealed[i] = s;
    m->n_sealed++;
}

uint64_t manifest_sealed_lsn(const struct manifest *manifest, int64_t block)
{
    size_t i = sealed_place(manifest, block);
    return i < manifest->n_sealed && manifest->sealed[i].block == block ? manifest->sealed[i].lsn
                                                                        : 0;
}

void manifest_edit_take(struct manifest *manifest, const struct manifest_edit *edit)
{
    for (size_t i = 0; i < edit->n_drops; i++)
        state_drop(manifest, slice_from(edit->drops[i]));
    for (size_t i = 0; i < edit->n_adds; i++)
        state_add(manifest, &edit->adds[i]);
    for (size_t i = 0; i < edit->n_nothing; i++)
        nothing_set(&manifest->nothing, &edit->nothing[i]);
    if (edit->quarantine)
        state_quarantine(manifest, slice_from(edit->quarantine));
    if (edit->runs)
        manifest_runs_apply(&manifest->runs, edit->runs);
    if (edit->seal)
        state_seal(manifest, edit->sealed);
    for (size_t i = 0; i < edit->n_late; i++)
        late_marks_add(&manifest->late, edit->late[i]);
    if (edit->catalog)
        manifest->catalog = *edit->catalog;
    if (edit->committed_lsn)
        manifest->committed_lsn = edit->committed_lsn;
    if (edit->checkpoint_lsn)
        manifest->checkpoint_lsn = edit->checkpoint_lsn;
}

void manifest_set_aside(struct manifest *manifest, size_t i)
{
    char name[SEGMENT_NAME_MAX];
    memcpy(name, manifest->segments[i].name, sizeof name);
    state_quarantine(manifest, slice_from(name));
}

/* ---- reading ---- */

static bool read_add(struct manifest *m, struct reader *r, bool derived)
{
    struct manifest_segment s = {.derived = derived};
    struct slice name = read_lstr(r);
    s.lsn = read_varint(r);
    if (derived)
        s.inputs = read_le64(r);
    if (r->failed || name.len == 0 || name.len >= sizeof s.name ||
        memchr(name.ptr, '/', name.len) || memchr(name.ptr, 0, name.len))
        return false;
    memcpy(s.name, name.ptr, name.len);
    if (manifest_names(m, s.name)) /* two of one name could not be told apart */
        return false;
    state_add(m, &s);
    return true;
}

static bool read_catalog(struct manifest *m, struct reader *r)
{
    uint64_t number = read_varint(r);
    m->catalog = (struct manifest_catalog){.number = (uint32_t)number};
    m->catalog.bytes = read_varint(r);
    m->catalog.metrics = read_varint(r);
    m->catalog.series = read_varint(r);
    return number > 0 && number <= UINT32_MAX;
}

static bool read_op(struct manifest *m, struct reader *r)
{
    uint8_t op = read_u8(r);
    switch (op) {
    case OP_BLOCK_MS: m->block_ms = (int64_t)read_varint(r); return m->block_ms > 0;
    case OP_ADD: return read_add(m, r, false);
    case OP_ADD_DERIVED: return read_add(m, r, true);
    case OP_DROP: return state_drop(m, read_lstr(r));
    case OP_QUARANTINE: return state_quarantine(m, read_lstr(r));
    case OP_SEALED: {
        struct manifest_sealed s;
        s.block = read_svarint(r);
        s.lsn = read_varint(r);
        state_seal(m, s);
        return true;
    }
    case OP_LATE: {
        struct late_mark late;
        late.block = read_svarint(r);
        late.since_ms = read_svarint(r);
        return late_marks_add(&m->late, late);
    }
    case OP_CATALOG: return read_catalog(m, r);
    case OP_NOTHING: return nothing_read(&m->nothing, r);
    case OP_COMMITTED: m->committed_lsn = read_varint(r); return true;
    case OP_CHECKPOINT: m->checkpoint_lsn = read_varint(r); return true;
    default: return manifest_runs_read(&m->runs, op, r);
    }
}

bool manifest_edit_read(struct manifest *manifest, struct slice bytes, struct err *err)
{
    struct reader r = reader_of(bytes);
    while (reader_left(&r) > 0)
        if (!read_op(manifest, &r) || r.failed)
            return err_set(
                err, ERR_CORRUPT, "bad entry before byte %zu", bytes.len - reader_left(&r));
    return true;
}
