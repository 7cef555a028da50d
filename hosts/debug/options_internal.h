/* SPDX-License-Identifier: MIT */
/* The options of the debug host. */
#ifndef HM_DEBUG_OPTIONS_INTERNAL_H
#define HM_DEBUG_OPTIONS_INTERNAL_H

#include "debug_internal.h"

#define DEBUG_OPTIONS 21

extern const hm_option *const hm__debug_options[DEBUG_OPTIONS];

/* On an error what was opened is the caller's to close. */
hm_status
hm__debug_options_read(debug_host *host, const hm_option_values *values, hm_error *err);

#endif
