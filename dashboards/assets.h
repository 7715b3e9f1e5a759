/*
 * The built-in web pages: files of dashboards/ that the build turns into arrays inside the program,
 * so that it serves them without looking at a disk. The shipped larder.yml is among them, under a
 * path that no URL has, for `larder demo`. embed.sh makes the table.
 */
#ifndef DASHBOARDS_ASSETS_H
#define DASHBOARDS_ASSETS_H

#include <stddef.h>

struct asset {
    const char *path; /* of the URL: "/", "/app.js"; or "larder.yml" */
    const char *type; /* Content-Type: "text/html; charset=utf-8" */
    const unsigned char *data;
    size_t len;
};

/* Generated. */
extern const struct asset assets[];
extern const size_t assets_n;

#endif
