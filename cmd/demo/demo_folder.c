#include "cmd/demo/demo_folder.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool check_empty(const char *path, struct err *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return err_sys(err, "cannot look into %s", path);
    bool empty = true;
    for (struct dirent *e = readdir(dir); e && empty; e = readdir(dir))
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(dir);
    return empty || err_set(err, ERR_USAGE,
                        "%s is not empty: --dir takes a folder that is absent or empty", path);
}

static bool make_named(const char *named, struct demo_folder *out, struct err *err)
{
    if (mkdir(named, 0777) != 0 && errno != EEXIST)
        return err_sys(err, "cannot make the folder %s", named);
    if (!check_empty(named, err))
        return false;
    char *path = realpath(named, NULL);
    if (!path)
        return err_sys(err, "cannot find the folder %s", named);
    int len = snprintf(out->path, sizeof out->path, "%s", path);
    free(path);
    if (len >= DEMO_PATH_MAX)
        return err_set(err, ERR_LIMIT, "the path of %s is too long", named);
    return true;
}

bool demo_folder_make(const char *named, struct demo_folder *out, struct err *err)
{
    *out = (struct demo_folder){.temporary = !named};
    if (named)
        return make_named(named, out, err);
    const char *tmp = getenv("TMPDIR");
    int len = snprintf(
        out->path, sizeof out->path, "%s/larder-demo-XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp");
    if (len >= DEMO_PATH_MAX)
        return err_set(err, ERR_LIMIT, "$TMPDIR is too long");
    if (mkdtemp(out->path))
        return true;
    err_sys(err, "cannot make a temporary folder %s", out->path);
    out->path[0] = 0;
    return false;
}

bool demo_folder_write(
    const struct demo_folder *folder, const char *name, struct slice text, struct err *err)
{
    char path[DEMO_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    FILE *file = fopen(path, "we");
    if (!file)
        return err_sys(err, "cannot write %s", path);
    bool ok = fwrite(text.ptr, 1, text.len, file) == text.len;
    if (fclose(file) == 0 && ok)
        return true;
    return err_sys(err, "cannot write %s", path);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void demo_folder_end(struct demo_folder *folder)
{
    if (folder->temporary && folder->path[0])
        (void)nftw(folder->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    folder->path[0] = 0;
}
