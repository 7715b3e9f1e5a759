/* Manifests: whatever the bytes of the file that CURRENT names, an error or a state that a fresh
 * manifest holds as well. The first byte says whether the rest is the file (0), or the edit of a
 * file whose checksums are right. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "store/files.h"
#include "store/frame.h"
#include "store/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *folder(void)
{
    static char dir[64];
    if (!dir[0]) {
        snprintf(dir, sizeof dir, "%s/larder-fuzz-manifest-XXXXXX",
            access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        ensure(mkdtemp(dir) != NULL);
        rmdir(dir);
    }
    return dir;
}

static void put(const char *name, const void *ptr, size_t len)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    FILE *out = fopen(path, "wb");
    ensure(out && fwrite(ptr, 1, len, out) == len && fclose(out) == 0);
}

static void discard(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest m, again;
    struct err err;
    log_set_level(LOG_ERROR);
    ensure(dir_make(folder(), &err));
    put("CURRENT", "manifest-000007\n", 16);
    if (size && data[0] && size > 1) {
        struct buf file = {0};
        frame_header(&file, "LMAN", 1, 1);
        frame_encode(&file, 1, FRAME_EDIT, slice_of("", 0), slice_of(data + 1, size - 1));
        put("manifest-000007", file.ptr, file.len);
        buf_fini(&file);
    } else {
        put("manifest-000007", data + (size > 0), size - (size > 0));
    }
    if (manifest_open(folder(), 0, &m, &err)) {
        if (manifest_begin(&m, &err)) {
            ensure(manifest_open(folder(), 0, &again, &err));
            ensure(again.n_segments == m.n_segments && again.n_sealed == m.n_sealed);
            ensure(again.checkpoint_lsn == m.checkpoint_lsn && again.block_ms == m.block_ms);
            ensure(memcmp(&again.catalog, &m.catalog, sizeof m.catalog) == 0);
            manifest_close(&again);
        }
        manifest_close(&m);
    } else {
        ensure(err.code == ERR_CORRUPT || err.code == ERR_INVALID);
    }
    discard("CURRENT");
    discard("manifest-000007");
    discard("manifest-000008");
    rmdir(folder());
    return 0;
}
