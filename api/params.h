/*
 * The parameters of a request: application/x-www-form-urlencoded pairs, from the query string and
 * from the body of a POST. As in Go's net/http, which Prometheus' clients are used to: the body's
 * pairs come before those of the URL, the first of a name wins, an empty value counts as absent.
 *
 * Names and values are decoded bytes, which may hold anything, NUL and invalid UTF-8 too. All of it
 * lives in the request's arena or in the text that was parsed.
 */
#ifndef API_PARAMS_H
#define API_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define PARAMS_MAX 10000 /* pairs of one request */

/* Times that the API takes: far enough from the ends of 64 bits that adding and subtracting a few
 * of them and any duration of PromQL cannot overflow. About 285,000 years each way. */
#define TIME_MAX_MS INT64_C(9007199254740992)

struct param {
    struct slice name, value;
};

struct params {
    struct arena *arena;
    struct param *items;
    size_t n, cap;
};

void params_init(struct params *params, struct arena *arena);
/* Adds the pairs of "a=b&c=%20+d". ERR_INVALID: a broken %-escape or a semicolon as separator;
 * ERR_LIMIT: more than PARAMS_MAX pairs, or the arena is full. */
bool params_parse(struct params *params, struct slice text, struct err *err);

/* The first value with this name; {NULL, 0} when there is none or it is empty. */
struct slice params_get(const struct params *params, const char *name);
/* Every value with this name: start with *i = 0; false after the last. */
bool params_each(const struct params *params, const char *name, size_t *i, struct slice *value);

/*
 * Typed parameters; an absent one leaves *out as the caller set it. Errors are ERR_INVALID with
 * Prometheus' texts: invalid parameter "time": cannot parse "x" to a valid timestamp.
 *
 * params_time: seconds as a float, rounded to milliseconds, or RFC 3339. Prometheus' names for the
 * ends of time are taken too, and stand for -+TIME_MAX_MS.
 * params_duration: seconds as a float, or "1h30m", in milliseconds; may be negative or 0.
 * params_limit: an integer >= 0; 0 means no limit, as does absence, and gives SIZE_MAX.
 */
bool params_time(const struct params *params, const char *name, int64_t *out, struct err *err);
bool params_duration(const struct params *params, const char *name, int64_t *out, struct err *err);
bool params_limit(const struct params *params, const char *name, size_t *out, struct err *err);

/* The same for a text that is no parameter: "cannot parse ...". */
bool params_parse_time(struct slice text, int64_t *out, struct err *err);
bool params_parse_duration(struct slice text, int64_t *out, struct err *err);

/* Turns *err into: invalid parameter "name": LINE:COL: TEXT. Returns false. */
bool params_wrap(const char *name, struct err *err);

/* %XX to bytes; with plus, '+' to a space. Borrowed from text when nothing is encoded. */
bool percent_decode(
    struct arena *arena, struct slice text, bool plus, struct slice *out, struct err *err);

#endif
