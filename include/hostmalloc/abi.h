/* SPDX-License-Identifier: MIT */
/**
 * @file abi.h
 * @brief Version numbers, export marks and the few compiler differences the other headers need.
 *
 * Nobody starts here: include <hostmalloc/hostmalloc.h>. Implementers use HM_HAS() to ask whether a
 * table or options struct, compiled by somebody else, is large enough to hold a member.
 * Stable since 1.0.
 */
#ifndef HM_ABI_H
#define HM_ABI_H

#include <stddef.h>
#include <stdint.h>

#define HM_VERSION_MAJOR 1
#define HM_VERSION_MINOR 0
#define HM_VERSION_PATCH 0
#define HM_VERSION       "1.0.0"

/**
 * The binary interface between core and modules: major << 16 | minor. It is compared once, when a
 * module is loaded: majors must be equal, minors may differ either way, because every table and
 * options struct carries its own size and members are only ever added at the end.
 */
#define HM_ABI_MAJOR 1u
#define HM_ABI_MINOR 0u
#define HM_ABI       (HM_ABI_MAJOR << 16 | HM_ABI_MINOR)

/** True when the struct that @p pointer points to, of type @p type, was compiled with @p member. */
#define HM_HAS(pointer, type, member) \
    ((pointer)->size >= offsetof(type, member) + sizeof(((type *)0)->member))

#if defined(_WIN32) && defined(HOSTMALLOC_SHARED)
#ifdef HOSTMALLOC_BUILDING
#define HM_API __declspec(dllexport)
#else
#define HM_API __declspec(dllimport)
#endif
#elif defined(__GNUC__) && !defined(_WIN32) && defined(HOSTMALLOC_BUILDING)
#define HM_API __attribute__((visibility("default")))
#else
#define HM_API
#endif

#ifdef _WIN32
#define HM_MODULE_VISIBLE __declspec(dllexport)
#elif defined(__GNUC__)
#define HM_MODULE_VISIBLE __attribute__((visibility("default")))
#else
#define HM_MODULE_VISIBLE
#endif

#ifdef __cplusplus
#define HM_BEGIN_DECLS                       extern "C" {
#define HM_END_DECLS                         }
#define HM_STATIC_ASSERT(condition, message) static_assert(condition, message)
#define HM_MODULE_EXPORT                     extern "C" HM_MODULE_VISIBLE
#else
#define HM_BEGIN_DECLS
#define HM_END_DECLS
#define HM_STATIC_ASSERT(condition, message) _Static_assert(condition, message)
#define HM_MODULE_EXPORT                     HM_MODULE_VISIBLE
#endif

#ifdef __GNUC__
#if defined(__MINGW32__) && !defined(__clang__)
/* Formats are C's, whatever the printf of the system's own library makes of them. */
#define HM_PRINTF(format_at, first_at) \
    __attribute__((format(gnu_printf, format_at, first_at)))
#else
#define HM_PRINTF(format_at, first_at) \
    __attribute__((format(printf, format_at, first_at)))
#endif
/* A closed object swaps its table while other threads may be calling; a relaxed load is what a
   plain load compiles to, and says so to the compiler and to race detectors. */
#define HM_LOAD(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#else
#define HM_PRINTF(format_at, first_at)
#define HM_LOAD(place) (place)
#endif

HM_BEGIN_DECLS

/** The version of the library in the process, as HM_VERSION of its build; static. @threads any */
HM_API const char *hm_version(void);

/** The HM_ABI of the library in the process. @threads any */
HM_API uint32_t hm_abi(void);

HM_END_DECLS

#endif
