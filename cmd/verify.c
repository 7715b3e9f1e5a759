/*
 * larder verify FOLDER: reads everything in a data folder and checks it; with --repair what is
 * damaged is set right as far as that goes (store/verify_store.h). The server must not be running
 * on it; a backup can be verified at any time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "cmd/cell_text.h"
#include "cmd/commands.h"
#include "store/verify_store.h"

static const char usage[] =
    "usage: larder verify FOLDER [--repair [--discard] [--give-up-absent]]\n"
    "\n"
    "Reads every file of a data folder and checks it: checksums, order, indexes, sums. The\n"
    "server must not be running on the folder.\n"
    "\n"
    "  --repair          puts what can be read of a damaged file in its place and says what is\n"
    "                    lost; the damaged file is kept in FOLDER/damaged, until something of it\n"
    "                    is deleted or has its age; a segment that is not there may lie\n"
    "                    elsewhere, and is left as it is\n"
    "  --discard         keeps no damaged file, and removes those of earlier repairs\n"
    "  --give-up-absent  takes segments that are not there for lost: nothing asks for them again\n"
    "\n"
    "Exit codes: 0 all is whole, 1 something was damaged or not there, 2 usage or environment.\n";

static void print_error(const struct err *err)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    fprintf(stderr, "larder verify: %s\n", err_format(err, text, sizeof text));
}

static void print_damage(void *ctx, const struct err *why)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    (void)ctx;
    printf("damaged: %s\n", err_format(why, text, sizeof text));
}

static void print_absent(void *ctx, const struct err *why)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    (void)ctx;
    printf("not here: %s\n", err_format(why, text, sizeof text));
}

static void print_lost_cells(
    void *ctx, const struct segment *segment, const struct segment_loss *loss)
{
    struct buf line;
    (void)ctx;
    buf_init(&line, 0);
    cell_text_loss(&line, segment, loss);
    fwrite(line.ptr, 1, line.len, stdout);
    buf_fini(&line);
}

static void print_lost_keys(void *ctx, const char *name, uint64_t lost, uint64_t of)
{
    (void)ctx;
    if (of)
        printf("lost: %" PRIu64 " of %" PRIu64 " keys of a state table, in %s\n", lost, of, name);
    else
        printf("lost: all keys of a state table that were in %s\n", name);
}

static void print_left(void *ctx, const char *name, const char *absent)
{
    (void)ctx;
    printf("left: %s, since %s is not in the folder, from which it would be made again\n", name,
        absent);
}

static void print_repaired(void *ctx, const char *name, const char *by, bool anew)
{
    (void)ctx;
    if (by)
        printf("repaired: %s is now %s\n", name, by);
    else
        printf("repaired: %s is gone%s\n", name,
            anew ? "; the server makes it again from raw cells" : ", nothing of it can be read");
}

static void print_progress(void *ctx, uint64_t done, uint64_t of)
{
    (void)ctx;
    fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " files\033[K", done, of);
}

static int print_result(const char *folder, const struct verify_result *r)
{
    printf("%s: %" PRIu64 " segments with %" PRIu64 " cells, %" PRIu64 " runs with %" PRIu64
           " keys are whole",
        folder, r->segments, r->cells, r->runs, r->keys);
    if (r->starts)
        printf("; a start finds everything up to transaction %" PRIu64 "\n", r->lsn);
    else
        printf("; a start fails\n");
    if (r->put_away)
        printf("%s/damaged holds %" PRIu64
               " files that a repair has put away; they may hold personal "
               "data\n",
            folder, r->put_away);
    if (r->damaged)
        printf("%" PRIu64 " damaged, %" PRIu64 " of them repaired\n", r->damaged, r->repaired);
    if (r->absent)
        printf("%" PRIu64
               " segments are not in the folder; they may lie elsewhere, and stay named\n",
            r->absent);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "larder verify: cannot write: %s\n", strerror(errno));
        return EXIT_USAGE;
    }
    return r->damaged || r->absent ? EXIT_FOUND : EXIT_FINE;
}

static int misused(const char *what)
{
    fprintf(stderr, "larder verify: %s\n\n%s", what, usage);
    return EXIT_USAGE;
}

int cmd_verify(int argc, char **argv)
{
    const char *folder = NULL;
    enum verify_mode mode = VERIFY_ONLY;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return fflush(stdout) == 0 ? EXIT_FINE : EXIT_USAGE;
        }
        if (strcmp(argv[i], "--repair") == 0)
            mode |= VERIFY_REPAIR;
        else if (strcmp(argv[i], "--discard") == 0)
            mode |= VERIFY_DISCARD;
        else if (strcmp(argv[i], "--give-up-absent") == 0)
            mode |= VERIFY_GIVE_UP;
        else if (argv[i][0] == '-')
            return misused("it knows --repair, --discard, --give-up-absent and --help");
        else if (folder)
            return misused("one folder at a time");
        else
            folder = argv[i];
    }
    if (!folder)
        return misused("it needs the data folder");
    if (mode != VERIFY_ONLY && !(mode & VERIFY_REPAIR))
        return misused("--discard and --give-up-absent need --repair");
    bool terminal = isatty(STDERR_FILENO) == 1;
    const struct verify_watch watch = {.damaged = print_damage,
        .absent = print_absent,
        .lost_cells = print_lost_cells,
        .lost_keys = print_lost_keys,
        .left = print_left,
        .repaired = print_repaired,
        .progress = terminal ? print_progress : NULL};
    struct verify_result result;
    struct err err = {0};
    log_set_level(LOG_ERROR);
    bool ok = store_verify(folder, mode, &watch, &result, &err);
    if (terminal)
        fputs("\r\033[K", stderr);
    if (ok)
        return print_result(folder, &result);
    print_error(&err);
    return err.code == ERR_CORRUPT ? EXIT_FOUND : EXIT_USAGE;
}
