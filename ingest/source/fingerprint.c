#include "ingest/source/fingerprint.h"

#include "base/bytes.h"
#include "base/checksum.h"

struct fingerprint fingerprint_of(
    int64_t offset, struct slice key, struct slice value, int64_t timestamp_ms)
{
    uint8_t all[24];
    uint64_t none = UINT64_MAX; /* no hash of bytes, but for one in 2^64 */
    le64_put(all, key.ptr ? hash64(key.ptr, key.len) : none);
    le64_put(all + 8, value.ptr ? hash64(value.ptr, value.len) : none);
    le64_put(all + 16, (uint64_t)timestamp_ms);
    return (struct fingerprint){offset, hash64(all, sizeof all)};
}
