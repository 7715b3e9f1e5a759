/*
 * The series that the metadata endpoints talk about: those that match one of the request's match[]
 * selectors (all, when there is none) and that a selector could show at some time between start and
 * end. That is a series with a cell in the range, or one of events whose last cell still counts in
 * it: a counter, histogram or gauge for its stale_after, a level for ever.
 *
 *     search_new -> search_params -> search_run -> search_free
 */
#ifndef API_SERIES_SEARCH_H
#define API_SERIES_SEARCH_H

#include <stdbool.h>

#include "api/request.h"
#include "api/route.h"
#include "query/value.h"
#include "store/metadata.h"

struct series_search;

/* Asks the store for what is wanted of the series of one selector. False with *err set ends the
 * search. */
typedef bool search_ask_f(void *ctx, const struct listing *listing, struct err *err);

struct series_search *search_new(const struct api *api, struct request *request);
void search_free(struct series_search **search);
/* Reads start, end and match[]; sets the number of selectors. ERR_INVALID as Prometheus words it.
 */
bool search_params(struct series_search *search, size_t *n_selectors, struct err *err);
/* The same, with every selector of the expression `query` in the place of match[]. */
bool search_expression(struct series_search *search, size_t *n_selectors, struct err *err);
/* What search_params has read; without the parameters the ends of time. */
void search_range(const struct series_search *search, int64_t *start_ms, int64_t *end_ms);
/* Looks for cells up to so much behind the end. */
void search_reach(struct series_search *search, int64_t ms);
/* False: the request has no more time (ERR_TIMEOUT), or nobody waits for it (ERR_CANCELED). */
bool search_goes_on(const struct series_search *search, struct err *err);
/* Calls ask once for every selector. ERR_CANCELED, ERR_TIMEOUT (after the time that a query may
 * take), and what ask says. */
bool search_run(struct series_search *search, search_ask_f *ask, void *ctx, struct err *err);
/* What the answer lacks, each once: series may have cells in segments that are damaged or cannot be
 * read now. Valid after search_run, and as long as the request. */
struct notes search_notes(struct series_search *search);
/* The arena is full: ERR_LIMIT. Returns false. */
bool search_full(struct err *err);

#endif
