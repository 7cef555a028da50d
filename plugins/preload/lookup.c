/* SPDX-License-Identifier: MIT */
/* dlsym(), looked at in passing: a program that has opened a library now asks for a function of it, and the library's hook
 * must be set before that runs. The call goes on to the real one with its return address as it was, from which
 * dlsym tells who asks (RTLD_NEXT), so this is a jump and not a call. dlopen() itself finds libraries by who calls,
 * too, and is left alone: that something was opened is told by the memory it takes. */
#include "lookup_internal.h"

#include "inject_internal.h"
#include "objects_internal.h"
#include "serve_internal.h"

static uintptr_t real_dlsym; /* atomic */

static int find(void *context, const hm__object *object)
{
    const uintptr_t found = (uintptr_t)hm__object_symbol(object, "dlsym");
    const char *path;
    uintptr_t base;
    if (!found ||
        (hm__object_of((uintptr_t)&real_dlsym, &path, &base) && base == object->base)) {
        return 0;
    }
    *(uintptr_t *)context = found;
    return 1;
}

/* Called from the code below with the program's arguments saved. */
uintptr_t hm__preload_before_dlsym(void)
{
    uintptr_t found = __atomic_load_n(&real_dlsym, __ATOMIC_RELAXED);
    if (!found) {
        hm__objects_visit(find, &found);
        __atomic_store_n(&real_dlsym, found, __ATOMIC_RELAXED);
    }
    if (hm__preload_loaded) {
        hm__preload_inject_loaded();
    }
    return found;
}

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl dlsym\n"
        ".type dlsym, @function\n"
        "dlsym:\n"
        ".cfi_startproc\n"
        "endbr64\n"
        "push %rdi\n"
        ".cfi_adjust_cfa_offset 8\n"
        "push %rsi\n"
        ".cfi_adjust_cfa_offset 8\n"
        "sub $8, %rsp\n"
        ".cfi_adjust_cfa_offset 8\n"
        "call hm__preload_before_dlsym\n"
        "add $8, %rsp\n"
        ".cfi_adjust_cfa_offset -8\n"
        "pop %rsi\n"
        ".cfi_adjust_cfa_offset -8\n"
        "pop %rdi\n"
        ".cfi_adjust_cfa_offset -8\n"
        "jmp *%rax\n"
        ".cfi_endproc\n"
        ".size dlsym, . - dlsym\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl dlsym\n"
        ".type dlsym, %function\n"
        "dlsym:\n"
        ".cfi_startproc\n"
        "stp x29, x30, [sp, #-32]!\n"
        ".cfi_adjust_cfa_offset 32\n"
        "stp x0, x1, [sp, #16]\n"
        "bl hm__preload_before_dlsym\n"
        "mov x16, x0\n"
        "ldp x0, x1, [sp, #16]\n"
        "ldp x29, x30, [sp], #32\n"
        ".cfi_adjust_cfa_offset -32\n"
        "br x16\n"
        ".cfi_endproc\n"
        ".size dlsym, . - dlsym\n");
#endif
