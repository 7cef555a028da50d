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

typedef _Unwind_Reason_Code backtrace_function(_Unwind_Trace_Fn step, void *argument);
typedef _Unwind_Ptr address_function(struct _Unwind_Context *context);

/* Atomic: made ready once more while others walk. */
static backtrace_function *backtrace;
static address_function *frame_address; /* stored first */

int hm__os_unwind_prepare(void)
{
    void *const from = dlsym(RTLD_DEFAULT, "_Unwind_Backtrace")
                           ? RTLD_DEFAULT
                           : dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_LOCAL);
    if (from || dlsym(RTLD_DEFAULT, "_Unwind_Backtrace")) {
        void *const address = dlsym(from, "_Unwind_GetIP");
        void *const walker = address ? dlsym(from, "_Unwind_Backtrace") : NULL;
        __atomic_store_n((void **)&frame_address, address, __ATOMIC_RELAXED);
        __atomic_store_n((void **)&backtrace, walker, __ATOMIC_RELEASE);
    }
    return __atomic_load_n(&backtrace, __ATOMIC_RELAXED) != NULL;
}

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *argument)
{
    walk *w = argument;
    const uintptr_t at = __atomic_load_n(&frame_address, __ATOMIC_RELAXED)(context);
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
    backtrace_function *const ready = __atomic_load_n(&backtrace, __ATOMIC_ACQUIRE);
    if (ready) {
        ready(step, &w);
    }
    return w.count;
}

typedef struct place {
    uintptr_t address;
    uintptr_t base;
    char *path;
    size_t size;
    size_t length;
} place;

/* The name is copied while the file cannot go away. */
static int is_here(struct dl_phdr_info *info, size_t size, void *argument)
{
    place *p = argument;
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD &&
            p->address - (info->dlpi_addr + part->p_vaddr) < part->p_memsz) {
            p->base = info->dlpi_addr;
            p->length = info->dlpi_name ? strlen(info->dlpi_name) : 0;
            if (p->length < p->size) {
                memcpy(p->path, info->dlpi_name ? info->dlpi_name : "", p->length + 1);
            }
            return 1;
        }
    }
    return 0;
}

/* The program has no name there, and goes by the same one all its life. 0: it has none, or too long a one. */
static size_t program_path(char *path, size_t size)
{
    static char known[1024];
    static size_t known_length;
    static uint32_t state; /* atomic: 0 not asked for, 1 being asked for, 2 known */
    uint32_t was = 0;
    if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == 2 && known_length < size) {
        memcpy(path, known, known_length + 1);
        return known_length;
    }
    const ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length <= 0) {
        return 0;
    }
    path[length] = '\0';
    if ((size_t)length < size - 1 && (size_t)length < sizeof(known) &&
        __atomic_compare_exchange_n(&state, &was, 1, 0, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
        memcpy(known, path, (size_t)length + 1);
        known_length = (size_t)length;
        __atomic_store_n(&state, 2, __ATOMIC_RELEASE);
    }
    return (size_t)length < size - 1 ? (size_t)length : 0;
}

/* Not dladdr, which also looks for the nearest of all symbols of the file. */
int hm__os_code_place(uintptr_t address, char *path, size_t size, uint64_t *offset)
{
    place p = {address, 0, path, size, 0};
    if (!dl_iterate_phdr(is_here, &p) || p.length >= size ||
        (!p.length && !program_path(path, size))) {
        return 0;
    }
    *offset = address - p.base;
    return 1;
}

void *hm__os_process_symbol(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}
