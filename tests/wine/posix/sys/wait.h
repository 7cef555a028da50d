/* SPDX-License-Identifier: MIT */
/* There is no fork: a case that wants one is left, and counted as skipped. */
#ifndef HM_TESTS_WINE_WAIT_H
#define HM_TESTS_WINE_WAIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WIFEXITED(status)   ((status) >= 0)
#define WEXITSTATUS(status) (status)
#define WIFSIGNALED(status) ((status) < 0)
#define WTERMSIG(status)    (-(status))

static inline int fork(void)
{
    cmocka_no("fork");
    return -1;
}

static inline int waitpid(int child, int *status, int options)
{
    (void)child, (void)status, (void)options;
    return -1;
}

static inline unsigned alarm(unsigned seconds)
{
    (void)seconds;
    return 0;
}

#endif
