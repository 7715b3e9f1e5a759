#include "store/heirs.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/quarantine.h"
#include "store/resolution.h"

struct times {
    int64_t t0, t1;
};

static bool times_of(const struct manifest_segment *s, struct times *out)
{
    return segment_name_times(s->name, &out->t0, &out->t1);
}

bool heirs_is_input(const struct manifest_segment *s, const struct manifest_segment *derived)
{
    struct times raw, window;
    return !s->derived && s->lsn <= derived->lsn && times_of(s, &raw) &&
           times_of(derived, &window) && window.t0 <= raw.t0 && raw.t0 < window.t1;
}

static bool made_from(
    const struct manifest *m, const struct manifest_segment *derived, bool set_aside_too)
{
    const char **names = xcalloc(m->n_segments + m->n_quarantined, sizeof *names);
    size_t n = 0;
    for (size_t i = 0; i < m->n_segments; i++)
        if (heirs_is_input(&m->segments[i], derived))
            names[n++] = m->segments[i].name;
    for (size_t i = 0; set_aside_too && i < m->n_quarantined; i++)
        if (heirs_is_input(&m->quarantined[i], derived))
            names[n++] = m->quarantined[i].name;
    bool is = resolution_digest(names, n) == derived->inputs;
    free(names);
    return is;
}

/* ---- an edit ---- */

static bool touches(const struct manifest *m, const struct manifest_edit *edit,
    const struct manifest_segment *derived)
{
    for (size_t i = 0; i < m->n_segments + m->n_quarantined; i++) {
        const struct manifest_segment *s =
            i < m->n_segments ? &m->segments[i] : &m->quarantined[i - m->n_segments];
        if (heirs_is_input(s, derived) && manifest_edit_drops(edit, s->name))
            return true;
    }
    return false;
}

/* The digest of its inputs as they are after the edit. *alone: all of them can be read then, so it
 * can be made anew. */
static uint64_t inputs_after(const struct manifest *m, const struct manifest_edit *edit,
    const struct manifest_segment *derived, bool *alone)
{
    size_t n_all = m->n_segments + m->n_quarantined, n = 0;
    const char **names = xcalloc(n_all + edit->n_adds, sizeof *names);
    *alone = true;
    for (size_t i = 0; i < n_all; i++) {
        const struct manifest_segment *s =
            i < m->n_segments ? &m->segments[i] : &m->quarantined[i - m->n_segments];
        if (!heirs_is_input(s, derived) || manifest_edit_drops(edit, s->name))
            continue;
        names[n++] = s->name;
        *alone = *alone && i < m->n_segments && !s->unread;
    }
    for (size_t i = 0; i < edit->n_adds; i++) {
        if (!heirs_is_input(&edit->adds[i], derived))
            continue;
        names[n++] = edit->adds[i].name;
        *alone = *alone && !(edit->quarantine && strcmp(edit->quarantine, names[n - 1]) == 0);
    }
    uint64_t inputs = resolution_digest(names, n);
    free(names);
    return inputs;
}

void heirs_init(
    struct heirs *heirs, const struct manifest *manifest, const struct manifest_edit *edit)
{
    size_t room = manifest->n_segments + manifest->n_quarantined;
    *heirs = (struct heirs){.edit = *edit,
        .drops = xcalloc(edit->n_drops + room, sizeof *heirs->drops),
        .adds = xcalloc(edit->n_adds + room, sizeof *heirs->adds)};
    for (size_t i = 0; i < edit->n_drops; i++)
        heirs->drops[i] = edit->drops[i];
    for (size_t i = 0; i < edit->n_adds; i++)
        heirs->adds[i] = edit->adds[i];
    for (size_t i = 0; i < manifest->n_segments; i++) {
        const struct manifest_segment *s = &manifest->segments[i];
        bool alone;
        if (!s->derived || s->inputs == 0 || manifest_edit_drops(edit, s->name) ||
            !touches(manifest, edit, s) || !made_from(manifest, s, true))
            continue;
        uint64_t inputs = inputs_after(manifest, edit, s, &alone);
        if (alone)
            continue;
        struct manifest_segment *told = &heirs->adds[heirs->edit.n_adds++];
        *told = *s;
        told->inputs = inputs;
        heirs->drops[heirs->edit.n_drops++] = told->name;
    }
    heirs->edit.drops = heirs->drops;
    heirs->edit.adds = heirs->adds;
}

void heirs_fini(struct heirs *heirs)
{
    free(heirs->drops);
    free(heirs->adds);
}

/* ---- one that leaves nothing ---- */

bool heirs_can_be_made(const struct manifest *manifest, const struct manifest_segment *derived)
{
    const struct manifest_segment *d = derived;
    return d->derived && d->inputs != 0 &&
           (made_from(manifest, d, false) || !made_from(manifest, d, true));
}

/* Raw cells, or kept ones, of the same time. */
static bool stands_beside(const struct manifest_segment *s, const struct manifest_segment *gone)
{
    struct times a, b;
    if (strcmp(s->name, gone->name) == 0 || (s->derived && s->inputs != 0))
        return false;
    return times_of(s, &a) && times_of(gone, &b) && a.t0 < b.t1 && b.t0 < a.t1;
}

static bool is_alone(const struct manifest *m, const struct manifest_segment *gone)
{
    for (size_t i = 0; i < m->n_segments; i++)
        if (stands_beside(&m->segments[i], gone))
            return false;
    for (size_t i = 0; i < m->n_quarantined; i++)
        if (stands_beside(&m->quarantined[i], gone))
            return false;
    return true;
}

size_t heirs_of(const struct manifest *manifest, const struct manifest_segment *gone,
    struct manifest_segment *out)
{
    size_t n = 0;
    if (gone->derived || !is_alone(manifest, gone))
        return 0;
    for (size_t i = 0; i < manifest->n_segments; i++) {
        const struct manifest_segment *d = &manifest->segments[i];
        if (!d->derived || d->inputs == 0 || !heirs_is_input(gone, d) ||
            !made_from(manifest, d, true))
            continue;
        out[n] = *d;
        out[n++].inputs = 0;
    }
    return n;
}
