// SPDX-License-Identifier: MIT
// Every form of operator new and delete, and what happens when there is no memory.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <string>
#include <thread>
#include <vector>

#define REQUIRE(x)                                                                     \
    do {                                                                               \
        if (!(x)) {                                                                    \
            std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #x); \
            std::exit(1);                                                              \
        }                                                                              \
    } while (0)

struct alignas(256) wide {
    char bytes[256];
};

static volatile std::size_t vast = SIZE_MAX / 2 - 100;
static int handled;

static void handler()
{
    if (++handled == 3) {
        std::set_new_handler(nullptr);
    }
}

static bool throws(std::size_t size)
{
    try {
        ::operator delete(::operator new(size));
        return false;
    } catch (const std::bad_alloc &) {
        return true;
    }
}

int main()
{
    int *one = new int(5);
    int *list = new int[100]();
    wide *aligned = new wide, *several = new wide[3];
    REQUIRE(*one == 5 && list[99] == 0);
    REQUIRE(reinterpret_cast<std::uintptr_t>(aligned) % 256 == 0);
    REQUIRE(reinterpret_cast<std::uintptr_t>(several) % 256 == 0);
    delete one;
    delete[] list;
    delete aligned;
    delete[] several;
    ::operator delete(::operator new(10, std::nothrow), std::nothrow);
    ::operator delete[](::operator new[](10, std::nothrow), std::nothrow);
    ::operator delete(::operator new(10), std::size_t(10));
    ::operator delete[](::operator new[](10), std::size_t(10));
    const std::align_val_t sixty_four{64};
    ::operator delete(::operator new(10, sixty_four), sixty_four);
    ::operator delete[](::operator new[](10, sixty_four), 10, sixty_four);
    ::operator delete(::operator new(10, sixty_four, std::nothrow), sixty_four,
                      std::nothrow);
    delete static_cast<int *>(nullptr);

    REQUIRE(throws(vast));
    REQUIRE(::operator new(vast, std::nothrow) == nullptr);
    std::set_new_handler(handler);
    REQUIRE(throws(vast) && handled == 3);

    std::map<int, std::string> names;
    for (int i = 0; i < 20000; i++) {
        names[i * 7919 % 20000] = std::string(static_cast<std::size_t>(i % 60), 'x');
    }
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) {
        threads.emplace_back([] {
            thread_local std::string own(100, 'y');
            std::vector<std::string> mine(2000, own);
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    std::printf("cxx done %zu\n", names.size());
    return 0;
}
