/* SPDX-License-Identifier: MIT */
/* What is said when the program ends. */
#ifndef HM_PLUGINS_PRELOAD_REPORT_INTERNAL_H
#define HM_PLUGINS_PRELOAD_REPORT_INTERNAL_H

#include <hostmalloc/host.h>

#include "settings_internal.h"

/* Whose malloc() the program has. */
#define HM__REPORT_LIBCS    0u
#define HM__REPORT_HOSTS    1u
#define HM__REPORT_ANOTHERS 2u /* of a library that was preloaded before us */

/* Make ready, and have the end of the process call hm__preload_report. settings and host are kept. */
void hm__preload_report_start(const hm__settings *settings,
                              hm_host *host,
                              unsigned whose_malloc);

/* Once: later calls do nothing, and neither does a child that is not followed. */
void hm__preload_report(void);

/* The process goes on after all: its end is still to be told. */
void hm__preload_report_again(void);

/* Where a report goes, kept from the start on: the program may close its standard error, or change its root. */
void hm__preload_output_start(const char *file);
int hm__preload_output(void);         /* -1: what it was is gone */
int hm__preload_errors(void);         /* what cannot be said there; -1 likewise */
void hm__preload_output_forget(void); /* in a child that says nothing */

#endif
