#include "base/sigv4.h"

#include <stdio.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/ensure.h"

#define SHA256_BYTES 32

struct digest {
    unsigned char bytes[SHA256_BYTES];
};

static void digest_hex(const struct digest *digest, char out[SHA256_HEX_MAX])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        out[2 * i] = hex[digest->bytes[i] >> 4];
        out[2 * i + 1] = hex[digest->bytes[i] & 15];
    }
    out[2 * SHA256_BYTES] = 0;
}

void sha256_hex(struct slice bytes, char out[SHA256_HEX_MAX])
{
    struct digest digest;
    unsigned n = 0;
    ensure(EVP_Digest(bytes.ptr, bytes.len, digest.bytes, &n, EVP_sha256(), NULL) == 1);
    ensure(n == SHA256_BYTES);
    digest_hex(&digest, out);
}

static struct digest hmac(struct slice key, struct slice text)
{
    struct digest out;
    unsigned n = 0;
    ensure(HMAC(EVP_sha256(), key.ptr, (int)key.len, (const unsigned char *)text.ptr, text.len,
        out.bytes, &n));
    ensure(n == SHA256_BYTES);
    return out;
}

static struct slice digest_view(const struct digest *digest)
{
    return slice_of(digest->bytes, sizeof digest->bytes);
}

void sigv4_date(int64_t now_ms, char out[SIGV4_DATE_MAX])
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    ensure(gmtime_r(&seconds, &tm));
    ensure(strftime(out, SIGV4_DATE_MAX, "%Y%m%dT%H%M%SZ", &tm) == 16);
}

static void add_names(const struct sigv4_request *r, struct buf *out)
{
    for (size_t i = 0; i < r->n_headers; i++) {
        if (i)
            buf_char(out, ';');
        buf_slice(out, r->headers[i].name);
    }
}

static void hash_request(const struct sigv4_request *r, char out[SHA256_HEX_MAX])
{
    struct buf text;
    buf_init(&text, 0);
    buf_printf(
        &text, "%.*s\n%.*s\n%.*s\n", SLICE_FMT(r->method), SLICE_FMT(r->path), SLICE_FMT(r->query));
    for (size_t i = 0; i < r->n_headers; i++)
        buf_printf(
            &text, "%.*s:%.*s\n", SLICE_FMT(r->headers[i].name), SLICE_FMT(r->headers[i].value));
    buf_char(&text, '\n');
    add_names(r, &text);
    buf_char(&text, '\n');
    buf_slice(&text, r->payload_sha256);
    sha256_hex(buf_view(&text), out);
    buf_fini(&text);
}

/* The key of a day, region and service. */
static struct digest signing_key(const struct sigv4_key *key, struct slice day)
{
    struct buf secret;
    buf_init(&secret, 0);
    buf_str(&secret, "AWS4");
    buf_slice(&secret, key->secret_key);
    struct digest d = hmac(buf_view(&secret), day);
    d = hmac(digest_view(&d), key->region);
    d = hmac(digest_view(&d), key->service);
    d = hmac(digest_view(&d), SLICE("aws4_request"));
    OPENSSL_cleanse(secret.ptr, secret.len);
    buf_fini(&secret);
    return d;
}

void sigv4_sign(const struct sigv4_key *key, const struct sigv4_request *request, struct buf *out)
{
    char date[SIGV4_DATE_MAX], hash[SHA256_HEX_MAX], signature[SHA256_HEX_MAX];
    struct buf scope, text;
    sigv4_date(request->now_ms, date);
    hash_request(request, hash);
    buf_init(&scope, 0);
    buf_init(&text, 0);
    buf_printf(&scope, "%.8s/%.*s/%.*s/aws4_request", date, SLICE_FMT(key->region),
        SLICE_FMT(key->service));
    buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%.*s\n%s", date, SLICE_FMT(buf_view(&scope)), hash);
    struct digest by = signing_key(key, slice_of(date, 8));
    struct digest signed_text = hmac(digest_view(&by), buf_view(&text));
    digest_hex(&signed_text, signature);
    buf_printf(out,
        "AWS4-HMAC-SHA256 Credential=%.*s/%.*s, SignedHeaders=", SLICE_FMT(key->access_key),
        SLICE_FMT(buf_view(&scope)));
    add_names(request, out);
    buf_printf(out, ", Signature=%s", signature);
    buf_fini(&scope);
    buf_fini(&text);
}
