/*
 * What a child of the proof looks at after its crash: whether a folder opens, holds what the script
 * had written, and is good for more. Whatever is not so ends the child, with a message.
 */
#ifndef TESTS_STORE_SUPPORT_CRASH_CHECK_H
#define TESTS_STORE_SUPPORT_CRASH_CHECK_H

#include "tests/store/support/crash_script.h"

#define CHECK_MESSAGE 1000

/* For all that follows. Shared with the children: message, of CHECK_MESSAGE bytes, and *early,
 * which counts windows that were read while the log was replayed. */
void check_begin(const struct script_plan *plan, uint32_t steps, char *message, uint64_t *early);
/* After every step: what retention by bytes has taken by now may not be seen any more. False: the
 * store cannot be read, with a message. */
bool check_taken(struct store *store, const struct script *script);

__attribute__((format(printf, 1, 2), noreturn)) void check_fails(const char *fmt, ...);

/* Whether the content is that after `done` steps. */
bool check_same(struct store *store, const char *path, uint32_t done, char *why, size_t size);
/* As check_same; a start on a disk that takes nothing may hold back what was committed last. */
bool check_same_but_held(
    struct store *store, const char *path, uint32_t done, char *why, size_t size);
/* After how many steps the store would be without its last commit; UINT32_MAX: there was none. */
uint32_t check_before_last(uint32_t done);
/* How many steps the store holds: `done`, or one more, which was in flight. */
uint32_t check_held(struct store *store, const char *path, uint32_t done, const char *when);
void check_opens(const char *path, struct store **store, const char *when);
/* Every other folder is opened early, and read while its log is replayed, window by window. At
 * least `shown` steps are there, and the store goes on from them; retention comes to its end. */
void check_folder(const char *folder, uint32_t done, uint32_t shown, const char *when);

#endif
