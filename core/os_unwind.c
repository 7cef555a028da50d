/* SPDX-License-Identifier: MIT */
/* os_unwind.h through the compiler's unwinder, which reads what exceptions are unwound by. It is looked up only when somebody asks
 * for stacks: the library itself needs nothing but libc. */
#include "os_unwind.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

typedef struct walk {
    uintptr_t *frames;
    size_t most;
    size_t count;
    size_t skip; /* our own */
} walk;

static _Unwind_Reason_Code (*backtrace)(_Unwind_Trace_Fn step, void *argument);
static _Unwind_Ptr (*frame_address)(struct _Unwind_Context *context);

int hm__os_unwind_prepare(void)
{
    void *const from = dlsym(RTLD_DEFAULT, "_Unwind_Backtrace")
                           ? RTLD_DEFAULT
                           : dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_LOCAL);
    if (from || dlsym(RTLD_DEFAULT, "_Unwind_Backtrace")) {
        *(void **)&frame_address = dlsym(from, "_Unwind_GetIP");
        *(void **)&backtrace = frame_address ? dlsym(from, "_Unwind_Backtrace") : NULL;
    }
    return backtrace != NULL;
}

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *argument)
{
    walk *w = argument;
    const uintptr_t at = frame_address(context);
    if (w->skip) {
        w->skip--;
        return _URC_NO_REASON;
    }
    if (!at || w->count == w->most) {
        return _URC_END_OF_STACK;
    }
    w->frames[w->count++] = at;
    return _URC_NO_REASON;
}

size_t hm__os_unwind(uintptr_t *frames, size_t most)
{
    walk w = {frames, most, 0, 1};
    if (backtrace) {
        backtrace(step, &w);
    }
    return w.count;
}

int hm__os_code_place(uintptr_t address, char *path, size_t size, uint64_t *offset)
{
    Dl_info info;
    struct link_map *map = NULL;
    if (!dladdr1((void *)address, &info, (void **)&map, RTLD_DL_LINKMAP) || !map) {
        return 0;
    }
    *offset = address - (uintptr_t)map->l_addr;
    if (map->l_name && map->l_name[0]) {
        const size_t length = strlen(map->l_name);
        if (length >= size) {
            return 0;
        }
        memcpy(path, map->l_name, length + 1);
        return 1;
    }
    const ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length <= 0) {
        return 0;
    }
    path[length] = '\0';
    return 1;
}

void *hm__os_process_symbol(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}
