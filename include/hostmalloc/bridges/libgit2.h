/* SPDX-License-Identifier: MIT */
/**
 * @file libgit2.h
 * @brief The bridge to libgit2: its memory from a malloc, every block with libgit2's own file and line.
 *
 *     hm_libgit2_install(m, &err);         first thing in main(), m made with HM_MALLOC_THREADSAFE
 *     ... git_libgit2_init() as ever ...
 *
 * Scope of the hook: the process. What libgit2's own libraries (zlib, TLS, SSH) allocate is not in it.
 * Window: before the first git_libgit2_init(), or after the last git_libgit2_shutdown(). libgit2 accepts it at any time
 * and then frees through it what it took elsewhere; the bridge finds out by one init and shutdown.
 * What libgit2 does not tell: sizes, and who frees.
 *
 * Its table of functions has changed: nine up to 1.5, three from 1.8 on. A program that is compiled with libgit2's header
 * says which, and may only run on that release. Without a header 1.6 and 1.7 are refused.
 * A refused allocation makes the call fail. Up to 1.5 the message of that is the allocator's to set, which takes memory
 * and crashes without; so there git_error_last() may be NULL, or still tell an earlier failure.
 * git_libgit2_shutdown() leaves nothing live, but a thread's own state goes at the thread's end; the bridge stays
 * installed for the next git_libgit2_init().
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_LIBGIT2_H
#define HM_BRIDGES_LIBGIT2_H

#include <hostmalloc/bridges/bridge.h>

HM_BEGIN_DECLS

/** Wants git_libgit2_opts() and git_libgit2_version(), and to find out whether it came too late, git_libgit2_init() and
    git_libgit2_shutdown(); with HM_BRIDGE_NO_PROBE it takes libgit2's word. libgit2 cannot tell one owner from another,
    so HM_BRIDGE_REPLACE has no effect. HM_E_UNSUPPORTED for releases whose table is not known.
    hm_bridge_opts.caller is asked only for blocks without a file. */
extern const hm_bridge hm_libgit2_bridge;

/** hm_bridge.install for a program whose header is of release @p major.@p minor and has @p members functions in its
    git_allocator. HM_E_UNSUPPORTED when another release runs. @threads startup */
hm_status hm_libgit2_install_as(
    const hm_bridge_opts *opts, int major, int minor, size_t members, hm_error *err);

/** hm_bridge.verify. libgit2 cannot be asked whether somebody has set another allocator since. @threads any */
hm_status hm_libgit2_verify(const hm_site **first, hm_error *err);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <git2.h>
#include <git2/sys/alloc.h>

/** hm_bridge.install with the libgit2 this program is linked with. @threads startup */
static inline hm_status hm_libgit2_install(hm_malloc *m, hm_error *err)
{
    hm_bridge_symbol symbols[] = {
        {"git_libgit2_opts", (uintptr_t)&git_libgit2_opts},
        {"git_libgit2_version", (uintptr_t)&git_libgit2_version},
        {"git_libgit2_init", (uintptr_t)&git_libgit2_init},
        {"git_libgit2_shutdown", (uintptr_t)&git_libgit2_shutdown},
        {(const char *)0, 0}};
    const hm_bridge_opts opts = {sizeof(hm_bridge_opts),
                                 m,
                                 (hm_host *)0,
                                 hm_bridge_linked,
                                 symbols,
                                 (hm_bridge_caller *)0,
                                 (void *)0,
                                 0,
                                 0};
    return hm_libgit2_install_as(&opts, LIBGIT2_VER_MAJOR, LIBGIT2_VER_MINOR,
                                 sizeof(git_allocator) / sizeof(void *), err);
}

#endif

#endif
