/*
 * What the static analyzer, which looks at one file at a time, cannot know: these always return
 * false. Included before the analysed file, after base/err.h.
 */
#ifndef TESTS_LINT_ANALYZER_H
#define TESTS_LINT_ANALYZER_H

#define err_set(...)  ((void)err_set(__VA_ARGS__), false)
#define err_sys(...)  ((void)err_sys(__VA_ARGS__), false)
#define err_at(...)   ((void)err_at(__VA_ARGS__), false)
#define err_wrap(...) ((void)err_wrap(__VA_ARGS__), false)

#endif
