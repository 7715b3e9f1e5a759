/*
 * Numbers of Avro to exact scaled integers.
 */
#ifndef INGEST_AVRO_NUMBER_H
#define INGEST_AVRO_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* The value of a double, which is a whole number times a power of two, times 10^digits (0 to 18),
 * half to even. False: it does not fit 64 bits, or is no number. *exact: nothing was rounded. */
bool avro_scale_double(double v, int digits, int64_t *out, bool *exact);

/* A whole number times 10^digits. */
bool avro_scale_long(int64_t v, int digits, int64_t *out);

/* A decimal, in two's complement with the most significant byte first, with `scale` digits behind
 * its point, to one with `digits`, half to even. */
bool avro_scale_decimal(struct slice bytes, int scale, int digits, int64_t *out, bool *exact);

#endif
