/*
 * The same transactions in the same order, with the same maintenance between them, make the same
 * segments, byte for byte and under the same names, in another folder.
 *
 * LARDER_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "base/ensure.h"
#include "base/log.h"
#include "store/files.h"
#include "tests/store/support/crash_script.h"
#include "tests/store/support/folder.h"

#define STEPS 400

struct summary {
    char text[60000]; /* name and checksum of every segment */
    size_t n;
};

static void add_segment(void *ctx, const char *path)
{
    struct summary *s = ctx;
    struct buf content;
    struct err err;
    if (!strstr(path, ".seg"))
        return;
    buf_init(&content, 0);
    ensure(file_read(path, SIZE_MAX / 2, &content, &err));
    size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof s->text - used, "%s %08x\n", strrchr(path, '/') + 1,
        crc32c(0, content.ptr, content.len));
    s->n++;
    buf_fini(&content);
}

static void run(uint64_t seed, struct summary *out)
{
    char base[FOLDER_MAX], path[FOLDER_MAX];
    struct store *store = NULL;
    struct script s;
    struct err err;
    folder_make("same", base);
    snprintf(path, sizeof path, "%.400s/0", base);
    script_at(&s, seed, path, 0);
    while (s.done < STEPS) {
        if (!script_step(&s, &store, &err))
            fail_msg("%s", err.text);
    }
    store_close(&store);
    folder_each(s.path, add_segment, out);
    script_fini(&s);
    folder_remove(base);
}

static void test_same_segments(void **state)
{
    (void)state;
    static struct summary whole, again;
    const char *text = getenv("LARDER_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    printf("# LARDER_SEED=%llu\n", (unsigned long long)seed);
    run(seed, &whole);
    run(seed, &again);
    assert_string_equal(whole.text, again.text);
    printf("# %zu segments\n", whole.n);
    assert_true(whole.n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_segments)};
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
