/* SPDX-License-Identifier: MIT */
/**
 * @file new.hpp
 * @brief The bridge to C++ operator new: every form of it over a malloc. C++17, included by exactly one source.
 *
 *     #include <hostmalloc/bridges/new.hpp>       in one .cpp of the program, and nothing else
 *
 * Scope of the hook: the process, shared libraries that leave operator new to the program included.
 * Window: none to miss. Constructors of static objects allocate before main(), so the first allocation opens the host
 * that $HOSTMALLOC names, else "default"; where that cannot be opened it says why and ends the program.
 * What C++ does not tell: who asks; a delete tells the size where the compiler knows it.
 *
 * A refused allocation runs the new-handler until there is none, then throws std::bad_alloc, or answers NULL from the
 * nothrow forms. The malloc is kept for good: objects are deleted after main().
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_NEW_HPP
#define HM_BRIDGES_NEW_HPP

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include <hostmalloc/registry.h>

/** The malloc behind operator new. Never NULL. @threads any */
hm_malloc *hm_new_malloc() noexcept;

static std::atomic<hm_malloc *> hm__new_malloc{nullptr};
static hm_site hm__new_site = {"operator new", nullptr, 0, 0};
static hm_site hm__new_array_site = {"operator new[]", nullptr, 0, 0};

static hm_malloc *hm__new_open() noexcept
{
    hm_host *host = nullptr;
    hm_malloc *made = nullptr;
    hm_malloc *expected = nullptr;
    hm_error err;
    if (hm_host_open(nullptr, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "operator new", HM_MALLOC_THREADSAFE, &made, &err) !=
            HM_OK) {
        hm_error_print(&err);
        std::abort();
    }
    hm_host_release(host);
    /* Of two threads that come first one keeps its malloc. */
    if (!hm__new_malloc.compare_exchange_strong(expected, made,
                                                std::memory_order_acq_rel)) {
        hm_malloc_release(made);
        return expected;
    }
    return made;
}

hm_malloc *hm_new_malloc() noexcept
{
    hm_malloc *const m = hm__new_malloc.load(std::memory_order_acquire);
    return m ? m : hm__new_open();
}

static void *hm__new_try(std::size_t bytes, std::size_t alignment, hm_site *site) noexcept
{
    hm_malloc *const m = hm_new_malloc();
    return alignment <= alignof(std::max_align_t)
               ? hm_alloc_at(m, bytes, HM_LEVEL_CURRENT, site)
               : hm_alloc_aligned_at(m, bytes, alignment, HM_LEVEL_CURRENT, site);
}

static void *hm__new(std::size_t bytes, std::size_t alignment, hm_site *site)
{
    for (;;) {
        void *const block = hm__new_try(bytes, alignment, site);
        if (block) {
            return block;
        }
        const std::new_handler handler = std::get_new_handler();
        if (!handler) {
            throw std::bad_alloc();
        }
        handler();
    }
}

static void *
hm__new_nothrow(std::size_t bytes, std::size_t alignment, hm_site *site) noexcept
{
    try {
        return hm__new(bytes, alignment, site);
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

static void hm__delete(void *block, std::size_t bytes, std::size_t alignment) noexcept
{
    if (!block) {
        return;
    }
    if (bytes != HM_SIZE_UNKNOWN && alignment <= alignof(std::max_align_t)) {
        hm_free_sized_at(hm_new_malloc(), block, bytes, nullptr);
    } else {
        hm_free_at(hm_new_malloc(), block, bytes, alignment, nullptr);
    }
}

void *operator new(std::size_t bytes)
{
    return hm__new(bytes, 0, &hm__new_site);
}
void *operator new[](std::size_t bytes)
{
    return hm__new(bytes, 0, &hm__new_array_site);
}
void *operator new(std::size_t bytes, const std::nothrow_t &) noexcept
{
    return hm__new_nothrow(bytes, 0, &hm__new_site);
}
void *operator new[](std::size_t bytes, const std::nothrow_t &) noexcept
{
    return hm__new_nothrow(bytes, 0, &hm__new_array_site);
}
void *operator new(std::size_t bytes, std::align_val_t alignment)
{
    return hm__new(bytes, static_cast<std::size_t>(alignment), &hm__new_site);
}
void *operator new[](std::size_t bytes, std::align_val_t alignment)
{
    return hm__new(bytes, static_cast<std::size_t>(alignment), &hm__new_array_site);
}
void *operator new(std::size_t bytes,
                   std::align_val_t alignment,
                   const std::nothrow_t &) noexcept
{
    return hm__new_nothrow(bytes, static_cast<std::size_t>(alignment), &hm__new_site);
}
void *operator new[](std::size_t bytes,
                     std::align_val_t alignment,
                     const std::nothrow_t &) noexcept
{
    return hm__new_nothrow(bytes, static_cast<std::size_t>(alignment),
                           &hm__new_array_site);
}

void operator delete(void *block) noexcept
{
    hm__delete(block, HM_SIZE_UNKNOWN, 0);
}
void operator delete[](void *block) noexcept
{
    hm__delete(block, HM_SIZE_UNKNOWN, 0);
}
void operator delete(void *block, const std::nothrow_t &) noexcept
{
    hm__delete(block, HM_SIZE_UNKNOWN, 0);
}
void operator delete[](void *block, const std::nothrow_t &) noexcept
{
    hm__delete(block, HM_SIZE_UNKNOWN, 0);
}
void operator delete(void *block, std::size_t bytes) noexcept
{
    hm__delete(block, bytes, 0);
}
void operator delete[](void *block, std::size_t bytes) noexcept
{
    hm__delete(block, bytes, 0);
}
void operator delete(void *block, std::align_val_t alignment) noexcept
{
    hm__delete(block, HM_SIZE_UNKNOWN, static_cast<std::size_t>(alignment));
}
void operator delete[](void *block, std::align_val_t alignment) noexcept
{
    hm__delete(block, HM_SIZE_UNKNOWN, static_cast<std::size_t>(alignment));
}
void operator delete(void *block,
                     std::align_val_t alignment,
                     const std::nothrow_t &) noexcept
{
    hm__delete(block, HM_SIZE_UNKNOWN, static_cast<std::size_t>(alignment));
}
void operator delete[](void *block,
                       std::align_val_t alignment,
                       const std::nothrow_t &) noexcept
{
    hm__delete(block, HM_SIZE_UNKNOWN, static_cast<std::size_t>(alignment));
}
void operator delete(void *block, std::size_t bytes, std::align_val_t alignment) noexcept
{
    hm__delete(block, bytes, static_cast<std::size_t>(alignment));
}
void operator delete[](void *block,
                       std::size_t bytes,
                       std::align_val_t alignment) noexcept
{
    hm__delete(block, bytes, static_cast<std::size_t>(alignment));
}

#endif
