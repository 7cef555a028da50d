/* SPDX-License-Identifier: MIT */
/* The libgit2 bridge: three functions, or nine in older releases, over one malloc. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/libgit2.h>

#include <stdint.h>
#include <string.h>

#include "hook_internal.h"

#define SET_ALLOCATOR 23 /* libgit2's number, in every release that has it */

typedef void *malloc_function(size_t size, const char *file, int line);
typedef void *calloc_function(size_t count, size_t size, const char *file, int line);
typedef char *strdup_function(const char *text, const char *file, int line);
typedef char *
substrdup_function(const char *text, size_t size, const char *file, int line);
typedef void *realloc_function(void *block, size_t size, const char *file, int line);
typedef void *
reallocarray_function(void *block, size_t count, size_t size, const char *file, int line);
typedef void free_function(void *block);

typedef struct nine_functions {
    malloc_function *gmalloc;
    calloc_function *gcalloc;
    strdup_function *gstrdup;
    substrdup_function *gstrndup;
    substrdup_function *gsubstrdup;
    realloc_function *grealloc;
    reallocarray_function *greallocarray;
    calloc_function *gmallocarray;
    free_function *gfree;
} nine_functions;

typedef struct three_functions {
    malloc_function *gmalloc;
    realloc_function *grealloc;
    free_function *gfree;
} three_functions;

typedef int opts_function(int option, ...);
typedef int count_function(void); /* init and shutdown */
typedef int version_function(int *major, int *minor, int *revision);

static hm__hook hook = {.name = "libgit2", .where = "bridge:libgit2"};
static hm_site block_site = {"libgit2:block", NULL, 0, 0};

static void *take(size_t size, const char *file, int line)
{
    return hm_alloc_at(hook.m, size, HM_LEVEL_CURRENT,
                       hm__hook_line(&hook, file, line, &block_site, HM__CALLER()));
}

static void *take_zeroed(size_t count, size_t size, const char *file, int line)
{
    return hm_alloc_zeroed_at(
        hook.m, count, size, HM_LEVEL_CURRENT,
        hm__hook_line(&hook, file, line, &block_site, HM__CALLER()));
}

static void *resize(void *block, size_t size, const char *file, int line)
{
    return hm_realloc_at(hook.m, block, HM_SIZE_UNKNOWN, size, HM_LEVEL_CURRENT,
                         hm__hook_line(&hook, file, line, &block_site, HM__CALLER()));
}

static void give_back(void *block)
{
    hm__hook_free(&hook, block, &block_site);
}

/* The rest is made of those, for releases that do not make it themselves. */

static void *
resize_array(void *block, size_t count, size_t size, const char *file, int line)
{
    return size && count > SIZE_MAX / size ? NULL
                                           : resize(block, count * size, file, line);
}

static void *take_array(size_t count, size_t size, const char *file, int line)
{
    return resize_array(NULL, count, size, file, line);
}

static char *copy(const char *text, size_t size, const char *file, int line)
{
    char *const made =
        text && size < SIZE_MAX ? (char *)take(size + 1, file, line) : NULL;
    if (made) {
        memcpy(made, text, size);
        made[size] = '\0';
    }
    return made;
}

static char *copy_text(const char *text, const char *file, int line)
{
    return copy(text, text ? strlen(text) : 0, file, line);
}

static char *copy_start(const char *text, size_t most, const char *file, int line)
{
    const char *const end = text ? (const char *)memchr(text, '\0', most) : NULL;
    return copy(text, end ? (size_t)(end - text) : most, file, line);
}

static const nine_functions nine = {take,   take_zeroed,  copy_text,  copy_start, copy,
                                    resize, resize_array, take_array, give_back};
static const three_functions three = {take, resize, give_back};

/* What this release takes, by its own header's word where there is one. */
static const void *table_for(int major, int minor, size_t members)
{
    if (members == 0 && major <= 1) {
        members = major < 1 || minor <= 5 ? 9 : minor >= 8 ? 3 : 0;
    }
    return members == 9   ? (const void *)&nine
           : members == 3 ? (const void *)&three
                          : NULL;
}

/* Not the first to initialise: libgit2's own allocator is back in place. */
static int is_late(const hm_bridge_opts *opts, opts_function *set)
{
    void *const init = opts->lookup(opts->lookup_context, "git_libgit2_init");
    void *const shutdown = opts->lookup(opts->lookup_context, "git_libgit2_shutdown");
    if (!init || !shutdown) {
        return 0;
    }
    const int count = HM__FUNCTION(count_function *, init)();
    if (count > 1) {
        set(SET_ALLOCATOR, NULL);
    }
    if (count > 0) {
        HM__FUNCTION(count_function *, shutdown)();
    }
    __atomic_store_n(&hook.first, NULL, __ATOMIC_RELEASE); /* it was our own */
    return count > 1;
}

hm_status hm_libgit2_install_as(
    const hm_bridge_opts *opts, int major, int minor, size_t members, hm_error *err)
{
    int runs[3] = {0, 0, 0};
    const void *table;
    void *set, *version;
    const hm_status status = hm__hook_begin(&hook, opts, err);
    if (status != HM_OK) {
        return status;
    }
    if (!(set = hm__hook_need(&hook, opts, "git_libgit2_opts", err)) ||
        !(version = hm__hook_need(&hook, opts, "git_libgit2_version", err))) {
        return HM_E_NOT_FOUND;
    }
    HM__FUNCTION(version_function *, version)(&runs[0], &runs[1], &runs[2]);
    if (members && (runs[0] != major || runs[1] != minor)) {
        return hm__hook_refuse(&hook, HM_E_UNSUPPORTED, err,
                               "the libgit2 that runs is not of the header's release");
    }
    if (!(table = table_for(runs[0], runs[1], members))) {
        return hm__hook_refuse(&hook, HM_E_UNSUPPORTED, err,
                               "a libgit2 whose git_allocator is not known");
    }
    if (HM__FUNCTION(opts_function *, set)(SET_ALLOCATOR, table) != 0) {
        return hm__hook_refuse(&hook, HM_E_UNSUPPORTED, err,
                               "GIT_OPT_SET_ALLOCATOR was refused");
    }
    if (!(opts->flags & HM_BRIDGE_NO_PROBE) &&
        is_late(opts, HM__FUNCTION(opts_function *, set))) {
        return hm__hook_refuse(&hook, HM_E_STARTED, err,
                               "libgit2 is initialised already; install before the first "
                               "git_libgit2_init");
    }
    return HM_OK;
}

static hm_status install(const hm_bridge_opts *opts, hm_error *err)
{
    return hm_libgit2_install_as(opts, 0, 0, 0, err);
}

hm_status hm_libgit2_verify(const hm_site **first, hm_error *err)
{
    return hm__hook_verify(&hook, first, err);
}

const hm_bridge hm_libgit2_bridge = {sizeof(hm_bridge), "libgit2", "git_libgit2_opts",
                                     install, hm_libgit2_verify};
