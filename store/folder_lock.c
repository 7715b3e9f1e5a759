#include "store/folder_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "store/files.h"

bool folder_lock(const char *folder, int *fd, struct err *err)
{
    char path[PATH_BYTES], owner[32] = "";
    *fd = -1;
    if (!path_join(path, folder, FOLDER_LOCK_NAME, err))
        return false;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        return err_sys(err, "cannot open %s", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return err_sys(err, "cannot lock %s", path);
        ssize_t n = pread(*fd, owner, sizeof owner - 1, 0);
        owner[n > 0 ? n : 0] = 0;
        owner[strcspn(owner, "\n")] = 0;
        return err_set(err, ERR_BUSY, "the data folder %s is in use by another larder%s%s", folder,
            owner[0] ? ", process " : "", owner);
    }
    /* Who has it is a help for people; a full disk is no reason not to start. */
    int n = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    if (ftruncate(*fd, 0) != 0 || pwrite(*fd, owner, (size_t)n, 0) != n)
        log_debug("cannot write %s", path);
    return true;
}
