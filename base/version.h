/*
 * The version of Larder.
 */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define LARDER_VERSION "0.1.0"

/* The build may name the commit that it was made from. */
#ifndef LARDER_REVISION
#define LARDER_REVISION "unknown"
#endif

#endif
