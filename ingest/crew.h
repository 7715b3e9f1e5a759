/*
 * A crew: threads that share one job at a time with the thread that gives it. A job is a number of
 * items, which are taken in parts, whoever is free the next one; so who does what differs from run
 * to run, and the work must not depend on it.
 *
 *     crew_run(crew, 2000, 64, work, ctx):   work(ctx, 0, 0, 64)   work(ctx, 1, 64, 128)   ...
 *
 * One thread gives jobs. It works too, and is member 0; a crew of one has no thread at all.
 */
#ifndef INGEST_CREW_H
#define INGEST_CREW_H

#include <stddef.h>

#define CREW_MAX 64 /* INGEST_WORKERS_MAX */

struct crew;

/* members: 1 to CREW_MAX. */
struct crew *crew_new(size_t members);
void crew_free(struct crew **crew);
size_t crew_members(const struct crew *crew);

/* Does items from..to as this member; no member does two things at once. */
typedef void crew_work_f(void *ctx, size_t member, size_t from, size_t to);

/* Returns when all n items are done; what was written is seen by everybody then. */
void crew_run(struct crew *crew, size_t n, size_t part, crew_work_f *work, void *ctx);

/* Something beside the jobs, which nobody waits for: a member that is free does it, while the
 * others share the jobs; a crew of one does it at once. Asked again before it was begun, it is done
 * once; not at all when the crew is freed before. */
typedef void crew_aside_f(void *ctx);
void crew_aside(struct crew *crew, crew_aside_f *aside, void *ctx);

#endif
