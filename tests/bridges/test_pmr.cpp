/* SPDX-License-Identifier: MIT */
/* C++ over a malloc: containers by std::pmr::memory_resource, everything else by operator new. */
#include <hostmalloc/bridges/new.hpp>
#include <hostmalloc/bridges/pmr.hpp>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <hostmalloc/hostmalloc.h>

static int failed;

static void check(bool holds, const char *what)
{
    if (!holds) {
        std::fprintf(stderr, "not so: %s\n", what);
        failed = 1;
    }
}

#define CHECK(condition) check((condition), #condition)

/* Made before main(). */
static std::string *const early = new std::string(100, 'e');

struct alignas(128) wide {
    char bytes[200];
};

static std::uint64_t live(hm_malloc *m)
{
    hm_stats stats;
    return hm_malloc_stats(m, &stats) == HM_OK ? stats.live_blocks : 0;
}

static void resource_serves_containers(hm_malloc *m)
{
    const std::uint64_t before = live(m);
    {
        hm_memory_resource memory(m, "test:words");
        hm_memory_resource same(m);
        CHECK(memory == same);
        CHECK(memory != *std::pmr::new_delete_resource());
        CHECK(memory.get() == m);
        std::pmr::map<std::pmr::string, std::pmr::vector<int>> words(&memory);
        for (int i = 0; i < 500; i++) {
            words[std::pmr::string(std::to_string(i) + " is the number of this word",
                                   &memory)]
                .assign(static_cast<std::size_t>(i % 50), i);
        }
        CHECK(words.size() == 500);
        std::pmr::unsynchronized_pool_resource pool(&memory);
        std::pmr::vector<std::pmr::string> pooled(&pool);
        for (int i = 0; i < 500; i++) {
            pooled.emplace_back("a text that is too long for a string's own place");
        }
        void *const block = memory.allocate(100, 64);
        CHECK(reinterpret_cast<std::uintptr_t>(block) % 64 == 0);
        memory.deallocate(block, 100, 64);
        bool thrown = false;
        try {
            (void)memory.allocate(SIZE_MAX / 2, 8);
        } catch (const std::bad_alloc &) {
            thrown = true;
        }
        CHECK(thrown);
    }
    CHECK(live(m) == before);
}

static void delete_wide(wide *made)
{
    delete made;
}

static int handler_calls;

static void give_up()
{
    handler_calls++;
    std::set_new_handler(nullptr);
}

static void new_in_every_form()
{
    hm_malloc *const m = hm_new_malloc();
    const std::uint64_t before = live(m);
    volatile std::size_t too_much = SIZE_MAX / 2;
    CHECK(hm_owns(m, early) != 0);
    {
        auto *const one = new int(7);
        auto *const many = new char[1000];
        auto *const aligned = new wide;
        auto *const row = new (std::nothrow) wide[3];
        CHECK(hm_owns(m, one) != 0 && hm_owns(m, many) != 0);
        CHECK(reinterpret_cast<std::uintptr_t>(aligned) % 128 == 0);
        CHECK(reinterpret_cast<std::uintptr_t>(row) % 128 == 0);
        delete one;
        delete[] many;
        delete_wide(aligned);
        delete[] row;
        delete_wide(nullptr);
        ::operator delete(::operator new(0));
        std::thread([] { delete new std::vector<int>(1000); }).join();
    }
    CHECK(live(m) == before);
    /* Called by name: a new-expression nobody uses may be left out, and then it succeeds. */
    CHECK(::operator new[](too_much, std::nothrow) == nullptr);
    std::set_new_handler(give_up);
    bool thrown = false;
    try {
        ::operator delete(::operator new(too_much));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    CHECK(thrown && handler_calls == 1);
    CHECK(live(m) == before);
}

int main(int argc, char **argv)
{
    hm_host *host;
    hm_malloc *m;
    hm_error err;
    const hm_malloc_opts opts = {sizeof opts, "containers", 0, 0, std::size_t{1} << 30};
    if (argc != 2 || hm_host_open(argv[1], &host, &err) != HM_OK ||
        hm_host_create_malloc_opts(host, &opts, &m, &err) != HM_OK) {
        std::fprintf(stderr, "usage: test_pmr SPEC\n");
        return 2;
    }
    resource_serves_containers(m);
    new_in_every_form();
    CHECK(*early == std::string(100, 'e'));
    delete early;
    hm_malloc_release(m);
    hm_host_release(host);
    return failed;
}
