#include "store/mark.h"

#include <stdio.h>
#include <string.h>

#include "store/resolution.h"

/* Where others have their digest. */
#define LOST "lost-"
#define GONE "gone-"
/* Of the digest of the file that is gone, so that marks of one block differ. */
#define DIGEST_KEPT 16

static const char *const tags[RESOLUTIONS] = {"1m-", "1h-", "1d-"};

/* Behind the times; "" when there is nothing. */
static const char *tail_of(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot ? dot + 1 : "";
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool mark_is_lost(const char *name)
{
    return begins(tail_of(name), LOST);
}

bool mark_is(const char *name)
{
    return mark_is_lost(name) || begins(tail_of(name), GONE);
}

int64_t mark_resolution(const char *name)
{
    for (int r = 0; mark_is_lost(name) && r < RESOLUTIONS; r++)
        if (begins(tail_of(name) + strlen(LOST), tags[r]))
            return resolutions[r];
    return MARK_ANY_RESOLUTION;
}

/* The digest in a name, without what it is a mark of. */
static const char *digest_of(const char *name)
{
    const char *digest = tail_of(name);
    if (mark_is(name))
        digest += strlen(LOST);
    for (int r = 0; mark_is(name) && r < RESOLUTIONS; r++)
        if (begins(digest, tags[r]))
            return digest + strlen(tags[r]);
    return digest;
}

static void make(const char *name, const char *what, const char *tag, char out[SEGMENT_NAME_MAX])
{
    size_t times = (size_t)(tail_of(name) - name);
    snprintf(out, SEGMENT_NAME_MAX, "%.*s%s%s%.*s.seg", (int)times, name, what, tag, DIGEST_KEPT,
        digest_of(name));
}

void mark_lost(const char *name, int64_t resolution_ms, char out[SEGMENT_NAME_MAX])
{
    int r = resolution_index(resolution_ms);
    make(name, LOST, r < 0 ? "" : tags[r], out);
}

void mark_gone(const char *name, char out[SEGMENT_NAME_MAX])
{
    make(name, GONE, "", out);
}
