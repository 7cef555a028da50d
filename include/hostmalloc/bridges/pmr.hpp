/* SPDX-License-Identifier: MIT */
/**
 * @file pmr.hpp
 * @brief The bridge to C++ containers: std::pmr::memory_resource over a malloc. C++17, header only.
 *
 *     hm_memory_resource memory(m);
 *     std::pmr::vector<std::pmr::string> words(&memory);
 *
 * Scope of the hook: each container, and whatever resource stands on top (a pool, a monotonic buffer).
 * Window: the container's construction; it keeps its resource for life.
 * What C++ does not tell: who asks. A resource has one site, named where it is made. Sizes and alignments are
 * exact in both directions, so blocks are freed by size, and a debug host verifies each one.
 *
 * A refused allocation throws std::bad_alloc. The resource holds a reference to its malloc.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_PMR_HPP
#define HM_BRIDGES_PMR_HPP

#include <cstddef>
#include <memory_resource>
#include <new>

#include <hostmalloc/malloc.h>

/** Threads: as the malloc's. Two resources are equal when their malloc is one and the same. */
class hm_memory_resource : public std::pmr::memory_resource
{
  public:
    /** @param name the site of all that is allocated here, copied */
    explicit hm_memory_resource(hm_malloc *m, const char *name = "pmr:block")
        : malloc_(m), site_(hm_site_intern(name, nullptr, 0))
    {
        hm_malloc_retain(m);
    }
    hm_memory_resource(const hm_memory_resource &) = delete;
    hm_memory_resource &operator=(const hm_memory_resource &) = delete;
    ~hm_memory_resource() override
    {
        hm_malloc_release(malloc_);
    }

    /** Without a reference. */
    hm_malloc *get() const noexcept
    {
        return malloc_;
    }

  private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        void *const block =
            alignment <= alignof(std::max_align_t)
                ? hm_alloc_at(malloc_, bytes, HM_LEVEL_CURRENT, site_)
                : hm_alloc_aligned_at(malloc_, bytes, alignment, HM_LEVEL_CURRENT, site_);
        if (!block) {
            throw std::bad_alloc();
        }
        return block;
    }

    void do_deallocate(void *block, std::size_t bytes, std::size_t alignment) override
    {
        if (alignment <= alignof(std::max_align_t)) {
            hm_free_sized_at(malloc_, block, bytes, site_);
        } else {
            hm_free_at(malloc_, block, bytes, alignment, site_);
        }
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        const auto *const same = dynamic_cast<const hm_memory_resource *>(&other);
        return same && same->malloc_ == malloc_;
    }

    hm_malloc *malloc_;
    hm_site *site_;
};

#endif
