/*
 * Numbers, mostly as text. Floats are printed with the fewest digits that read back to the same
 * bits, in the forms that Go's strconv gives to Prometheus; decimals are exact scaled integers.
 */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define NUMBER_MAX 400 /* bytes that number_format_f may need: 1.8e308 written out, and a sign */

/* 128-bit sums of scaled integers. */
__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

/* Towards the past: the greatest n with n * by <= v; by > 0. */
static inline int64_t floor_div(int64_t v, int64_t by)
{
    return v / by - (v % by < 0);
}

/* Go's FormatFloat(v, 'f', -1, 64): never an exponent. "NaN", "+Inf", "-Inf". Returns the length;
 * out has NUMBER_MAX bytes and gets a NUL. */
size_t number_format_f(double v, char *out);
/* Go's 'g' with -1: exponent when exp < -4 || exp >= 21 (PromQL's printer, count_values). */
size_t number_format_g(double v, char *out);
/* Prometheus' JSON: 'f', but 'e' when |v| < 1e-6 or |v| >= 1e21. */
size_t number_format_json(double v, char *out);

/* strtod on exactly these bytes, without locale; false when they are not one whole number. Takes
 * decimal and hex floats, inf and nan are not numbers here. */
bool number_parse(struct slice text, double *out);

#define DIGITS_MAX 18
/* 10^n for n in 0..18. */
int64_t pow10_int(int n);
/* The double closest to v / 10^digits. */
double scaled_to_double(int128 v, int digits);

#endif
