/*
 * The expressions of Prometheus' own test scripts, read from $LARDER_SHARED/promqltest (../shared
 * by default). They are input only; where they are not present a test is skipped.
 */
#ifndef TESTS_QUERY_SUITE_H
#define TESTS_QUERY_SUITE_H

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void suite_expr_f(void *ctx, const char *file, int line, const char *expr);

/* The text behind the times of an eval line, or NULL. */
static inline const char *suite_expr(const char *line)
{
    while (*line == ' ' || *line == '\t')
        line++;
    if (strncmp(line, "eval", 4) != 0)
        return NULL;
    const char *at = strstr(line, " instant at "), *step = strstr(line, " step ");
    const char *from = at ? at + 12 : strstr(line, " range from ") && step ? step + 6 : NULL;
    const char *blank = from ? strchr(from, ' ') : NULL;
    return blank ? blank + 1 : NULL;
}

/* Calls each for every expression; false: there are none. */
static inline bool suite_each(suite_expr_f *each, void *ctx)
{
    const char *shared = getenv("LARDER_SHARED");
    char pattern[4096], line[8192];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/promqltest/*.test", shared ? shared : "../shared");
    if (glob(pattern, 0, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *f = fopen(found.gl_pathv[i], "r");
        for (int n = 1; f && fgets(line, sizeof line, f); n++) {
            line[strcspn(line, "\r\n")] = 0;
            if (suite_expr(line))
                each(ctx, found.gl_pathv[i], n, suite_expr(line));
        }
        if (f)
            fclose(f);
    }
    globfree(&found);
    return true;
}

#endif
