/* SPDX-License-Identifier: MIT */
/* Modes: how much a host looks for, and what each part of that costs a block. */
#ifndef HM_DEBUG_MODE_INTERNAL_H
#define HM_DEBUG_MODE_INTERNAL_H

#include "debug_internal.h"

extern const hm_option hm__debug_option_mode;
extern const hm_option hm__debug_option_edges;
extern const hm_option hm__debug_option_fill;
extern const hm_option hm__debug_option_quarantine;
extern const hm_option hm__debug_option_quarantine_bytes;

hm_status
hm__debug_mode_read(debug_host *host, const hm_option_values *values, hm_error *err);

#endif
