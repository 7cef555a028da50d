/* SPDX-License-Identifier: MIT */
/**
 * @file cpython.h
 * @brief The bridge to CPython: objects, or the arenas they are cut from, from mallocs of the program's choice.
 *
 *     hm_cpython_install(raw, mem, obj, &err);   before Py_Initialize() and its relatives
 *     Py_Initialize();
 *
 * Scope of the hook: the process, one malloc per domain: "raw" (used without the GIL), "mem" (buffers), "obj"
 * (objects). One malloc may serve all three.
 * Window: before Py_InitializeFromConfig(), and after Py_PreInitialize() if the program calls that. Python's
 * own PYTHONMALLOC and -X dev replace what was installed before Py_PreInitialize().
 * What CPython does not tell: sizes at the free, the line of Python or C that asks, and in arenas mode anything
 * about objects.
 *
 * Two modes. Objects: every block of all domains comes through, pymalloc is out of use. Arenas: the raw
 * domain, what is larger than 512 bytes, and pymalloc's arenas (1 MiB each since 3.10) come through; objects are cut
 * from the arenas at pymalloc's speed.
 * A refused allocation is a MemoryError. Py_FinalizeEx() leaves blocks live (630 of 67 KB in 3.11): strings, types and
 * what extension modules hold on to. tracemalloc and PyMem_SetupDebugHooks() wrap the bridge, which hm_cpython_verify()
 * reports as somebody else's hook. Free-threaded builds (3.13t) keep objects in a heap of their own.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_CPYTHON_H
#define HM_BRIDGES_CPYTHON_H

#include <hostmalloc/bridges/bridge.h>

/** The index into the mallocs, and PyMemAllocatorDomain's value. */
#define HM_CPYTHON_RAW     0u
#define HM_CPYTHON_MEM     1u
#define HM_CPYTHON_OBJ     2u
#define HM_CPYTHON_DOMAINS 3u

HM_BEGIN_DECLS

/**
 * Objects mode. Wants PyMem_SetAllocator(), PyMem_GetAllocator() and Py_IsInitialized(); with
 * "_PyMem_GetCurrentAllocatorName" it knows Python's own allocators, debug hooks included, by name.
 * hm_bridge_opts.m serves all domains; .host makes "python:raw", "python:mem" and "python:obj". HM_BRIDGE_NO_PROBE has
 * no effect.
 */
extern const hm_bridge hm_cpython_bridge;

/** Arenas mode: "python:raw" and "python:arena". Wants PyObject_SetArenaAllocator() and PyObject_GetArenaAllocator()
    as well. One of the two modes is installed, not both. */
extern const hm_bridge hm_cpython_arenas_bridge;

/** As hm_cpython_bridge.install, with a malloc per domain; @p opts must have neither m nor host. */
hm_status hm_cpython_install_domains(const hm_bridge_opts *opts,
                                     hm_malloc *const mallocs[HM_CPYTHON_DOMAINS],
                                     hm_error *err);

/** hm_bridge.verify of either mode; @p first is the first of any domain. @threads startup, or with the GIL */
hm_status hm_cpython_verify(const hm_site **first, hm_error *err);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <Python.h>

/** Objects mode with the Python this program is linked with; the mallocs may be one and the same.
    @threads startup */
static inline hm_status
hm_cpython_install(hm_malloc *raw, hm_malloc *mem, hm_malloc *obj, hm_error *err)
{
    hm_bridge_symbol symbols[] = {{"PyMem_SetAllocator", (uintptr_t)&PyMem_SetAllocator},
                                  {"PyMem_GetAllocator", (uintptr_t)&PyMem_GetAllocator},
                                  {"Py_IsInitialized", (uintptr_t)&Py_IsInitialized},
                                  {(const char *)0, 0}};
    hm_malloc *const mallocs[HM_CPYTHON_DOMAINS] = {raw, mem, obj};
    const hm_bridge_opts opts = {sizeof(hm_bridge_opts),
                                 (hm_malloc *)0,
                                 (hm_host *)0,
                                 hm_bridge_linked,
                                 symbols,
                                 (hm_bridge_caller *)0,
                                 (void *)0,
                                 0,
                                 0};
    return hm_cpython_install_domains(&opts, mallocs, err);
}

/** Arenas mode with the Python this program is linked with. @threads startup */
static inline hm_status hm_cpython_install_arenas(hm_malloc *m, hm_error *err)
{
    hm_bridge_symbol symbols[] = {
        {"PyMem_SetAllocator", (uintptr_t)&PyMem_SetAllocator},
        {"PyMem_GetAllocator", (uintptr_t)&PyMem_GetAllocator},
        {"PyObject_SetArenaAllocator", (uintptr_t)&PyObject_SetArenaAllocator},
        {"PyObject_GetArenaAllocator", (uintptr_t)&PyObject_GetArenaAllocator},
        {"Py_IsInitialized", (uintptr_t)&Py_IsInitialized},
        {(const char *)0, 0}};
    return hm_bridge_install_linked(&hm_cpython_arenas_bridge, m, symbols, err);
}

#endif

#endif
