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

/* Raw, in the window of the derived one, and not later than it. */
static bool is_input(const struct manifest_segment *s, const struct manifest_segment *derived)
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
        if (is_input(&m->segments[i], derived))
            names[n++] = m->segments[i].name;
    for (size_t i = 0; set_aside_too && i < m->n_quarantined; i++)
        if (is_input(&m->quarantined[i], derived))
            names[n++] = m->quarantined[i].name;
    bool is = resolution_digest(names, n) == derived->inputs;
    free(names);
    return is;
}

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
        if (!d->derived || d->inputs == 0 || !is_input(gone, d) || !made_from(manifest, d, true))
            continue;
        out[n] = *d;
        out[n++].inputs = 0;
    }
    return n;
}
