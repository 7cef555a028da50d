/* SPDX-License-Identifier: MIT */
/* The files a host writes its report and its snapshot to. */
#ifndef HM_DEBUG_FILES_INTERNAL_H
#define HM_DEBUG_FILES_INTERNAL_H

#include "debug_internal.h"
#include "text_internal.h"

void hm__debug_files_init(debug_host *host);
/* Opened at once, so that a path that cannot be written is known before the run and not after it. */
hm_status hm__debug_file_open(debug_file *file,
                              const char *option,
                              const hm_option_values *values,
                              hm_error *err);
int hm__debug_file_of(debug_file *file); /* a descriptor; -1: there is none */
void hm__debug_file_send(debug_file *file, debug_text *text); /* and note what is lost */
void hm__debug_file_lost(debug_file *file, int error);        /* 0: nothing was */
/* At the end: a line on standard error for each file that does not hold all it should. */
void hm__debug_files_tell(debug_host *host);
void hm__debug_files_child(debug_host *host);
void hm__debug_files_close(const debug_host *host);

#endif
