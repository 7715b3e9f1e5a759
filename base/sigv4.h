/*
 * AWS Signature Version 4: the Authorization header of a request to S3, Glue and what speaks their
 * protocol. libcurl's own signer is wrong in ordinary cases in the version that Debian 12 has.
 * Source: "Create a signed AWS API request", AWS General Reference.
 */
#ifndef BASE_SIGV4_H
#define BASE_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct sigv4_key {
    struct slice access_key, secret_key, region, service;
};

/* name in lower case; value without spaces around it. */
struct sigv4_header {
    struct slice name, value;
};

struct sigv4_request {
    struct slice method;
    struct slice path;  /* as it is sent, encoded; "/" for none */
    struct slice query; /* as it is sent: encoded, sorted, each with "="; "" for none */
    const struct sigv4_header *headers; /* those that are signed, sorted by name; "host" and
                                           "x-amz-date" among them */
    size_t n_headers;
    struct slice payload_sha256; /* 64 hex digits, or what S3 allows in their place */
    int64_t now_ms;
};

#define SIGV4_DATE_MAX 20
/* "20150830T123600Z": the header x-amz-date. now_ms is in the years 1970 to 9999. */
void sigv4_date(int64_t now_ms, char out[SIGV4_DATE_MAX]);

#define SHA256_HEX_MAX 65
void sha256_hex(struct slice bytes, char out[SHA256_HEX_MAX]);

/* Appends the value of the header Authorization. */
void sigv4_sign(const struct sigv4_key *key, const struct sigv4_request *request, struct buf *out);

#endif
