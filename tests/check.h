/* SPDX-License-Identifier: MIT */
/* What every cmocka file needs, in the order cmocka wants it. */
#ifndef HM_TESTS_CHECK_H
#define HM_TESTS_CHECK_H

/* cmocka.h expects these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A row of a table failed: say which, then fail. */
#define CHECK_ROW(label, condition)                          \
    do {                                                     \
        if (!(condition)) {                                  \
            fail_msg("%s: not so: %s", (label), #condition); \
        }                                                    \
    } while (0)

#endif
