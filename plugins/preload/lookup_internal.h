/* SPDX-License-Identifier: MIT */
/* See lookup.c. */
#ifndef HM_PLUGINS_PRELOAD_LOOKUP_INTERNAL_H
#define HM_PLUGINS_PRELOAD_LOOKUP_INTERNAL_H

#include <stdint.h>

uintptr_t hm__preload_before_dlsym(void); /* the address of the real dlsym */

#endif
