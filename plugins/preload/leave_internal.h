/* SPDX-License-Identifier: MIT */
/* Names of libc that leave.c answers. */
#ifndef HM_PLUGINS_PRELOAD_LEAVE_INTERNAL_H
#define HM_PLUGINS_PRELOAD_LEAVE_INTERNAL_H

#include <unistd.h>

_Noreturn void _exit(int code);
_Noreturn void _Exit(int code);

#endif
