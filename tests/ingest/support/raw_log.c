#include "tests/ingest/support/raw_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/checksum.h"

#define ZSTD 4

static void be(struct buf *out, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        buf_u8(out, (uint8_t)(v >> 8 * i));
}

static void be32_put(struct buf *out, size_t at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out->ptr[at + i] = (char)(v >> (24 - 8 * i));
}

static void record(struct buf *out, size_t delta, struct slice value)
{
    struct buf body;
    buf_init(&body, 0);
    buf_u8(&body, 0);
    buf_svarint(&body, 0);
    buf_svarint(&body, (int64_t)delta);
    buf_svarint(&body, -1); /* no key */
    buf_svarint(&body, (int64_t)value.len);
    buf_slice(&body, value);
    buf_svarint(&body, 0); /* no headers */
    buf_svarint(out, (int64_t)body.len);
    buf_slice(out, buf_view(&body));
    buf_fini(&body);
}

void raw_batch(struct buf *out, int64_t base, const struct slice *values, size_t n, int32_t said,
    int64_t timestamp_ms, enum raw_state state)
{
    size_t from = out->len;
    be(out, (uint64_t)base, 8);
    be(out, 0, 4);  /* length */
    be(out, 0, 4);  /* leader's epoch */
    buf_u8(out, 2); /* format */
    be(out, 0, 4);  /* checksum */
    size_t summed = out->len;
    be(out, state == RAW_BAD_ZSTD ? ZSTD : 0, 2);
    be(out, n - 1, 4);
    be(out, (uint64_t)timestamp_ms, 8);
    be(out, (uint64_t)timestamp_ms, 8);
    be(out, UINT64_MAX, 8); /* no producer id */
    be(out, UINT16_MAX, 2);
    be(out, UINT32_MAX, 4);
    be(out, (uint32_t)said, 4);
    for (size_t i = 0; i < n; i++)
        record(out, i, values[i]);
    be32_put(out, from + 8, (uint32_t)(out->len - from - 12));
    be32_put(
        out, summed - 4, crc32c(0, out->ptr + summed, out->len - summed) ^ (state == RAW_BAD_CRC));
}

void raw_message(
    struct buf *out, int64_t offset, struct slice value, int64_t timestamp_ms, enum raw_state state)
{
    size_t from = out->len;
    be(out, (uint64_t)offset, 8);
    be(out, 0, 4); /* length */
    be(out, 0, 4); /* checksum */
    size_t summed = out->len;
    buf_u8(out, 1); /* format */
    buf_u8(out, 0);
    be(out, (uint64_t)timestamp_ms, 8);
    be(out, UINT32_MAX, 4); /* no key */
    be(out, value.len, 4);
    buf_slice(out, value);
    be32_put(out, from + 8, (uint32_t)(out->len - from - 12));
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)out->ptr + summed, (uInt)(out->len - summed));
    be32_put(out, summed - 4, crc ^ (state == RAW_BAD_CRC));
}

/* ---- the way there ---- */

static int connect_to(const char *brokers)
{
    const char *colon = strrchr(brokers, ':');
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void text(struct buf *out, const char *s)
{
    be(out, strlen(s), 2);
    buf_str(out, s);
}

/* A Produce request of version 3. */
static void request(struct buf *out, const char *topic, int32_t partition, struct slice records)
{
    be(out, 0, 4); /* length */
    be(out, 0, 2);
    be(out, 3, 2);
    be(out, 1, 4);
    text(out, "test");
    be(out, UINT16_MAX, 2); /* no transaction */
    be(out, UINT16_MAX, 2); /* all replicas */
    be(out, 10000, 4);
    be(out, 1, 4);
    text(out, topic);
    be(out, 1, 4);
    be(out, (uint32_t)partition, 4);
    be(out, records.len, 4);
    buf_slice(out, records);
    be32_put(out, 0, (uint32_t)(out->len - 4));
}

static void receive(int fd, void *to, size_t n)
{
    ssize_t got;
    for (size_t at = 0; at < n; at += (size_t)got) {
        got = read(fd, (char *)to + at, n - at);
        assert_true(got > 0);
    }
}

void raw_append(const char *brokers, const char *topic, int32_t partition, struct slice records)
{
    struct buf out;
    uint8_t head[8], body[512];
    int fd = connect_to(brokers);
    buf_init(&out, 0);
    request(&out, topic, partition, records);
    assert_int_equal(write(fd, out.ptr, out.len), out.len);
    receive(fd, head, sizeof head);
    size_t size = ((size_t)head[2] << 8 | head[3]) - 4;
    assert_true(size <= sizeof body);
    receive(fd, body, size);
    size_t error = 4 + 2 + strlen(topic) + 4 + 4; /* topics, name, partitions, number */
    assert_int_equal(body[error] << 8 | body[error + 1], 0);
    close(fd);
    buf_fini(&out);
}
