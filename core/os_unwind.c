/* SPDX-License-Identifier: MIT */
/* os_unwind.h through the compiler's unwinder, which reads what exceptions are unwound by. */
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

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *argument)
{
    walk *w = argument;
    const uintptr_t at = _Unwind_GetIP(context);
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
    _Unwind_Backtrace(step, &w);
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
