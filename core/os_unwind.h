/* SPDX-License-Identifier: MIT */
/* Who called, and where that lies in a file: the system's own unwinding, for code without frame pointers. */
#ifndef HM_CORE_OS_UNWIND_H
#define HM_CORE_OS_UNWIND_H

#include <stddef.h>
#include <stdint.h>

/* Before the first hm__os_unwind; may allocate. 0: there is nothing to unwind with, and it will find no frames. */
int hm__os_unwind_prepare(void);

/* Return addresses of the calling thread, innermost first, without those of this function; how many. May take the
   loader's lock. */
size_t hm__os_unwind(uintptr_t *frames, size_t most);

/* The file that holds code at an address, and the offset there that debuggers know it by. 1 found; 0: no file does, as
   for code that was made at run time. */
int hm__os_code_place(uintptr_t address, char *path, size_t size, uint64_t *offset);

/* What the process exports by that name, wherever it comes from; NULL: nothing. */
void *hm__os_process_symbol(const char *name);

#endif
