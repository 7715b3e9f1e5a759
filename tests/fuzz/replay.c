/*
 * Runs a fuzz target over the files of a folder, in TAP: `make check` replays the corpora with it.
 * libFuzzer brings its own driver for the same target. A target that finds something wrong aborts,
 * so that coming to the end of a file is its success; the file's name is printed first, for then it
 * is the last line.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The size is exact, without a byte behind it, so that AddressSanitizer sees every overrun. */
static bool replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > INPUT_BYTES_MAX)
        return false;
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size ? size : 1);
    bool ok = data && fread(data, 1, size, f) == size;
    fclose(f);
    if (ok) {
        printf("# %s\n", path);
        fflush(stdout);
        LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    DIR *dir = opendir(argv[1]);
    if (!dir) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        return 2;
    }
    int n = 0, failed = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[PATH_MAX];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        bool ok = replay(path);
        failed += !ok;
        printf("%sok %d - %s\n", ok ? "" : "not ", ++n, entry->d_name);
    }
    closedir(dir);
    printf("1..%d\n", n);
    return failed || n == 0;
}
