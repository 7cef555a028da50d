/* SPDX-License-Identifier: MIT */
/* Programs that take no library. */
#ifndef HM_TOOLS_RUN_NOTICE_H
#define HM_TOOLS_RUN_NOTICE_H

/* Why a program, found as execvp() finds it, will not load what is preloaded; NULL: it will, or that cannot be told. */
const char *run_takes_none(const char *program);

#endif
