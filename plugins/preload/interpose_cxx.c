/* SPDX-License-Identifier: MIT */
/* operator new and delete in all their forms, by their C++ ABI names, so that this library needs no C++ runtime. Without
 * them libstdc++'s own would be every C++ program's only caller of malloc.
 *
 * Compiled with -fexceptions: std::bad_alloc passes through. */
#include "interpose_internal.h"

#include <hostmalloc/malloc.h>

#include <stdlib.h>

#include "objects_internal.h"

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))

typedef void new_handler(void);

/* Wherever the C++ runtime is, also one that was opened late. */
static int find(void *context, const hm__object *object)
{
    void **name_and_address = context;
    name_and_address[1] = hm__object_symbol(object, name_and_address[0]);
    return name_and_address[1] != NULL;
}

static void *find_in_runtime(const char *name)
{
    void *name_and_address[2] = {(void *)(uintptr_t)name, NULL};
    hm__objects_visit(find, name_and_address);
    return name_and_address[1];
}

/* The program's handler may give memory back, throw or end the process; 0: there is none. */
static int call_new_handler(void)
{
    new_handler *(*get)(void) =
        (new_handler * (*)(void))(uintptr_t)find_in_runtime("_ZSt15get_new_handlerv");
    new_handler *const handler = get ? get() : NULL;
    if (handler) {
        handler();
    }
    return handler != NULL;
}

static void throw_bad_alloc(void)
{
    void *thrower = find_in_runtime("_ZSt17__throw_bad_allocv");
    if (!thrower) {
        thrower = find_in_runtime("_ZNSt3__117__throw_bad_allocB8ne190000Ev");
    }
    if (thrower) {
        ((void (*)(void))(uintptr_t)thrower)();
    }
    abort();
}

static void *try_once(size_t size, size_t alignment, const void *caller)
{
    return alignment ? hm__interposed_aligned(size, alignment, caller)
                     : hm__interposed_alloc(size, caller);
}

static void *take(size_t size, size_t alignment, const void *caller)
{
    void *block;
    while (!(block = try_once(size, alignment, caller))) {
        if (!call_new_handler()) {
            throw_bad_alloc();
        }
    }
    return block;
}

/* A handler that throws ends a nothrow form as the standard's own would: with the program. Without one: NULL. */
static void *take_or_null(size_t size, size_t alignment, const void *caller)
{
    void *block;
    while (!(block = try_once(size, alignment, caller)) && call_new_handler()) {
    }
    return block;
}

/* NAME is what the ABI makes of the form; S, A and N its parameters for size, alignment and std::nothrow. */
#define NEW(name, take_it, alignment, ...)       \
    void *name(__VA_ARGS__);                     \
    EXPORT void *name(__VA_ARGS__)               \
    {                                            \
        return take_it(size, alignment, CALLER); \
    }
#define N const void *nothrow __attribute__((unused))

NEW(_Znwm, take, 0, size_t size)
NEW(_Znam, take, 0, size_t size)
NEW(_ZnwmRKSt9nothrow_t, take_or_null, 0, size_t size, N)
NEW(_ZnamRKSt9nothrow_t, take_or_null, 0, size_t size, N)
NEW(_ZnwmSt11align_val_t, take, alignment, size_t size, size_t alignment)
NEW(_ZnamSt11align_val_t, take, alignment, size_t size, size_t alignment)
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t,
    take_or_null,
    alignment,
    size_t size,
    size_t alignment,
    N)
NEW(_ZnamSt11align_val_tRKSt9nothrow_t,
    take_or_null,
    alignment,
    size_t size,
    size_t alignment,
    N)

#define DELETE(name, size, alignment, ...)                   \
    void name(__VA_ARGS__);                                  \
    EXPORT void name(__VA_ARGS__)                            \
    {                                                        \
        hm__interposed_free(block, size, alignment, CALLER); \
    }

DELETE(_ZdlPv, HM_SIZE_UNKNOWN, 0, void *block)
DELETE(_ZdaPv, HM_SIZE_UNKNOWN, 0, void *block)
DELETE(_ZdlPvRKSt9nothrow_t, HM_SIZE_UNKNOWN, 0, void *block, N)
DELETE(_ZdaPvRKSt9nothrow_t, HM_SIZE_UNKNOWN, 0, void *block, N)
DELETE(_ZdlPvm, size, 0, void *block, size_t size)
DELETE(_ZdaPvm, size, 0, void *block, size_t size)
DELETE(_ZdlPvSt11align_val_t, HM_SIZE_UNKNOWN, alignment, void *block, size_t alignment)
DELETE(_ZdaPvSt11align_val_t, HM_SIZE_UNKNOWN, alignment, void *block, size_t alignment)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t,
       HM_SIZE_UNKNOWN,
       alignment,
       void *block,
       size_t alignment,
       N)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t,
       HM_SIZE_UNKNOWN,
       alignment,
       void *block,
       size_t alignment,
       N)
DELETE(
    _ZdlPvmSt11align_val_t, size, alignment, void *block, size_t size, size_t alignment)
DELETE(
    _ZdaPvmSt11align_val_t, size, alignment, void *block, size_t size, size_t alignment)
