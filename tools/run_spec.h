/* SPDX-License-Identifier: MIT */
/* Adding to a host spec that somebody else wrote. */
#ifndef HM_TOOLS_RUN_SPEC_H
#define HM_TOOLS_RUN_SPEC_H

#include <stddef.h>

/* Give the debug host in a valid spec an option, unless it has that one. 0: there is no debug host in it, or no room. */
int run_spec_add(char *spec, size_t size, const char *key, const char *value);

/* 1: the value can stand in a spec: its parentheses match. */
int run_spec_holds(const char *value);

#endif
