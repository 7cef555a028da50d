/* SPDX-License-Identifier: MIT */
/* A program that knows nothing of us and asks a lot of malloc: program MODE. Says "MODE done" and ends with 0 when all was as
 * glibc has it; run alone and under `hostmalloc run` by check. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUIRE(x)                                                                \
    do {                                                                          \
        if (!(x)) {                                                               \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #x); \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

/* Compilers know too much of malloc. */
static void *(*volatile take)(size_t) = malloc;
static void *(*volatile take_zeroed)(size_t, size_t) = calloc;
static void *(*volatile resize)(void *, size_t) = realloc;
static void *(*volatile resize_array)(void *, size_t, size_t) = reallocarray;
static void (*volatile give)(void *) = free;
static int (*volatile take_aligned)(void **, size_t, size_t) = posix_memalign;

static int is_filled(const unsigned char *block, unsigned char with, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (block[i] != with) {
            return 0;
        }
    }
    return 1;
}

static void blocks(void)
{
    static const size_t sizes[] = {0, 1, 8, 15, 16, 17, 100, 4096, 100000, 5000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *a = take(sizes[i]), *b = take_zeroed(1, sizes[i]);
        REQUIRE(a && b && a != b && (uintptr_t)a % 16 == 0 && (uintptr_t)b % 16 == 0);
        REQUIRE(malloc_usable_size(a) >= sizes[i] && is_filled(b, 0, sizes[i]));
        memset(a, 7, malloc_usable_size(a));
        memset(a, 5, sizes[i]);
        a = resize(a, sizes[i] * 3 + 1);
        REQUIRE(a && is_filled(a, 5, sizes[i]));
        a = resize(a, 1);
        REQUIRE(a && (sizes[i] == 0 || a[0] == 5));
        give(a);
        give(b);
    }
    give(NULL);
    REQUIRE(malloc_usable_size(NULL) == 0);
}

static void edges(void)
{
    void *block = NULL;
    errno = 0;
    REQUIRE(!take(SIZE_MAX) && errno == ENOMEM);
    errno = 0;
    REQUIRE(!take(PTRDIFF_MAX) && errno == ENOMEM);
    errno = 0;
    REQUIRE(!take_zeroed(SIZE_MAX / 2, 3) && errno == ENOMEM);
    errno = 0;
    REQUIRE(!resize_array(NULL, SIZE_MAX / 2, 3) && errno == ENOMEM);
    block = take(10);
    memset(block, 9, 10);
    REQUIRE(!resize(block, SIZE_MAX - 100) && is_filled(block, 9, 10));
    errno = 77;
    give(block);
    REQUIRE(errno == 77);
    give(take(3000000));
    REQUIRE(errno == 77);
    REQUIRE(resize(take(10), 0) == NULL); /* freed */
    block = resize(NULL, 10);
    REQUIRE(block != NULL);
    give(block);
    block = resize_array(NULL, 10, 10);
    REQUIRE(block && malloc_usable_size(block) >= 100);
    give(block);
}

static void alignments(void)
{
    void *block = NULL;
    for (size_t alignment = 8; alignment <= 1 << 20; alignment *= 2) {
        REQUIRE(take_aligned(&block, alignment, 100) == 0);
        REQUIRE((uintptr_t)block % alignment == 0);
        block = resize(block, 300);
        REQUIRE(block != NULL);
        give(block);
        block = aligned_alloc(alignment, alignment * 2);
        REQUIRE((uintptr_t)block % alignment == 0);
        give(block);
    }
    REQUIRE(take_aligned(&block, 3, 100) == EINVAL);
    REQUIRE(take_aligned(&block, 4, 100) == EINVAL);
    REQUIRE(take_aligned(&block, 0, 100) == EINVAL);
    REQUIRE(take_aligned(&block, 64, SIZE_MAX - 10) == ENOMEM);
    volatile size_t odd = 48; /* glibc: as 64 */
    block = memalign(odd, 10);
    REQUIRE(block && (uintptr_t)block % 64 == 0);
    give(block);
    block = valloc(10);
    REQUIRE((uintptr_t)block % 4096 == 0);
    give(block);
    block = pvalloc(10);
    REQUIRE((uintptr_t)block % 4096 == 0 && malloc_usable_size(block) >= 4096);
    give(block);
}

static void calls(void)
{
    blocks();
    edges();
    alignments();
}

#define KEYS 60 /* the second half of them is kept in memory of its own */
static pthread_key_t keys[KEYS];

static void key_gone(void *value)
{
    give(value);
    give(take(40));
}

static void *short_life(void *from_elsewhere)
{
    errno = 77;
    void *first = take(20);
    REQUIRE(first && errno == 77);
    give(first);
    for (size_t i = 0; i < KEYS; i++) {
        pthread_setspecific(keys[i], take(i + 1));
    }
    give(from_elsewhere);
    REQUIRE(strerror(12345678) && !dlsym(RTLD_DEFAULT, "no_such_name") && dlerror());
    return take(100);
}

static void *many(void *context)
{
    unsigned char *held[64] = {0};
    unsigned seed = (unsigned)(uintptr_t)context;
    for (int i = 0; i < 30000; i++) {
        seed = seed * 1103515245 + 12345;
        const size_t slot = seed >> 16 & 63, size = seed >> 22;
        if (held[slot]) {
            REQUIRE(held[slot][0] == (unsigned char)slot);
        }
        give(held[slot]);
        held[slot] = take(size + 1);
        held[slot][0] = (unsigned char)slot;
    }
    for (size_t i = 0; i < 64; i++) {
        give(held[i]);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t some[8];
    for (size_t i = 0; i < KEYS; i++) {
        REQUIRE(pthread_key_create(&keys[i], key_gone) == 0);
    }
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < 8; i++) {
            REQUIRE(pthread_create(&some[i], NULL, short_life, take(30)) == 0);
        }
        for (size_t i = 0; i < 8; i++) {
            void *result;
            REQUIRE(pthread_join(some[i], &result) == 0);
            give(result);
        }
    }
    for (size_t i = 0; i < 8; i++) {
        REQUIRE(pthread_create(&some[i], NULL, many, (void *)(i + 1)) == 0);
    }
    for (size_t i = 0; i < 8; i++) {
        REQUIRE(pthread_join(some[i], NULL) == 0);
    }
}

static void *opener(void *context)
{
    static const char *const names[] = {"libxml2.so.2", "libsqlite3.so.0",
                                        "libcurl.so.4", "libcrypto.so.3",
                                        "libuv.so.1",   "libz.so.1"};
    unsigned seed = (unsigned)(uintptr_t)context;
    for (int i = 0; i < 100; i++) {
        seed = seed * 1103515245 + 12345;
        void *library = dlopen(names[(seed >> 16) % 6], RTLD_NOW | RTLD_LOCAL);
        give(take(seed >> 20 & 255));
        if (library) {
            dlsym(library, "no_such_name");
            if (seed >> 10 & 1) {
                dlclose(library);
            }
        }
    }
    return NULL;
}

/* Libraries with hooks come and go while others look for them. */
static void opens(void)
{
    pthread_t some[6];
    for (size_t i = 0; i < 6; i++) {
        REQUIRE(pthread_create(&some[i], NULL, opener, (void *)(i + 1)) == 0);
    }
    for (size_t i = 0; i < 6; i++) {
        REQUIRE(pthread_join(some[i], NULL) == 0);
    }
    opener((void *)7);
}

static long resident_kib(void)
{
    long whole = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    REQUIRE(file && fscanf(file, "%ld %ld", &whole, &resident) == 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* A thread's destructors, and libc behind them, free when nobody looks after the thread any more. */
static void churn(void)
{
    long before = 0;
    for (size_t i = 0; i < KEYS; i++) {
        REQUIRE(pthread_key_create(&keys[i], key_gone) == 0);
    }
    for (int i = 0; i < 1700; i++) {
        pthread_t one;
        void *result;
        before = i == 200 ? resident_kib() : before;
        REQUIRE(pthread_create(&one, NULL, short_life, take(30)) == 0);
        REQUIRE(pthread_join(one, &result) == 0);
        give(result);
    }
    REQUIRE(resident_kib() - before < 2500);
}

static int ended_well(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static void forks(void)
{
    pthread_t busy;
    REQUIRE(pthread_create(&busy, NULL, many, (void *)9) == 0);
    for (int i = 0; i < 40; i++) {
        void *before = take(100);
        const pid_t child = fork();
        if (child == 0) {
            give(before);
            many((void *)3);
            _exit(0);
        }
        REQUIRE(child > 0 && ended_well(child));
        give(before);
    }
    REQUIRE(pthread_join(busy, NULL) == 0);
    const pid_t child = vfork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    REQUIRE(ended_well(child));
}

static void *grow(void *context)
{
    static void *held[8][20000];
    void **mine = held[(size_t)context];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 20000; i++) {
            mine[i] = take(40);
        }
        for (size_t i = 0; i < 20000; i++) {
            give(mine[i]);
        }
    }
    return NULL;
}

/* What is known of blocks grows while others fork. */
static void grows(void)
{
    pthread_t some[7];
    for (size_t i = 0; i < 7; i++) {
        REQUIRE(pthread_create(&some[i], NULL, grow, (void *)i) == 0);
    }
    for (int i = 0; i < 40; i++) {
        const pid_t child = fork();
        if (child == 0) {
            void *held[500];
            for (size_t k = 0; k < 500; k++) {
                held[k] = take(k);
            }
            for (size_t k = 0; k < 500; k++) {
                give(held[k]);
            }
            _exit(0);
        }
        REQUIRE(child > 0 && ended_well(child));
    }
    for (size_t i = 0; i < 7; i++) {
        REQUIRE(pthread_join(some[i], NULL) == 0);
    }
}

/* Before us dlsym() was libc's, and it still looks from where it is called. */
static void names(void)
{
    int (*next)(const char *) =
        (int (*)(const char *))(uintptr_t)dlsym(RTLD_NEXT, "puts");
    REQUIRE(next && next("found next") >= 0);
    REQUIRE(dlsym(RTLD_DEFAULT, "malloc") == (void *)(uintptr_t)take);
    dlerror();
    REQUIRE(!dlsym(RTLD_DEFAULT, "no_such_name") && strstr(dlerror(), "no_such_name"));
}

/* Allocated through libxml2's hook and freed with free(), and the other way round: libc never minded. */
static void crossing(void)
{
    void *library = dlopen("libxml2.so.2", RTLD_NOW);
    REQUIRE(library != NULL);
    void *(**xml_take)(size_t) = (void *(**)(size_t))dlsym(library, "xmlMalloc");
    void *(**xml_resize)(void *, size_t) =
        (void *(**)(void *, size_t))dlsym(library, "xmlRealloc");
    void (**xml_give)(void *) = (void (**)(void *))dlsym(library, "xmlFree");
    REQUIRE(xml_take && xml_resize && xml_give);
    unsigned char *text = (*xml_take)(100);
    memset(text, 3, 100);
    text = resize(text, 500);
    REQUIRE(text && is_filled(text, 3, 100));
    text = (*xml_resize)(text, 50);
    REQUIRE(text && is_filled(text, 3, 50));
    give(text);
    (*xml_give)(take(60));
    give((*xml_take)(70));
}

static void closed(void)
{
    for (int fd = 2; fd < 1024; fd++) {
        close(fd);
    }
    /* What is opened now may have the number of what the report was to go to. */
    for (int i = 0; i < 600; i++) {
        REQUIRE(open("other", O_RDWR | O_CREAT, 0600) >= 0);
    }
    give(take(100));
}

/* As daemons do before they open anything. */
static void empties(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        close(fd);
    }
    give(take(100));
    exit(0);
}

static void hurries(void)
{
    give(take(100));
    quick_exit(4);
}

static void becomes(void)
{
    give(take(100));
    fflush(stdout);
    execlp("echo", "echo", "became echo", (char *)NULL);
}

static void stays(void)
{
    give(take(100));
    REQUIRE(execl("/no/such/program", "x", (char *)NULL) == -1 && errno == ENOENT);
    REQUIRE(execlp("no-such-program", "x", (char *)NULL) == -1 && errno == ENOENT);
}

static void leaves(void)
{
    give(take(100));
    puts("leaves done");
    fflush(stdout);
    _exit(7);
}

static void killed(void)
{
    give(take(100));
    raise(SIGTERM);
}

/* Sees what its parent sees. */
static void children(void)
{
    give(take(100));
    fflush(stdout);
    REQUIRE(system("env | grep -c -e HOSTMALLOC_RUN -e hostmalloc_preload; true") == 0);
}

static void leaks(void)
{
    take(1000);
}

static void wrong(void)
{
    char *block = take(10);
    give(block);
    give(block);
}

static const struct mode {
    const char *name;
    void (*run)(void);
} modes[] = {{"calls", calls},       {"threads", threads}, {"churn", churn},
             {"opens", opens},       {"forks", forks},     {"names", names},
             {"crossing", crossing}, {"closed", closed},   {"becomes", becomes},
             {"stays", stays},       {"leaves", leaves},   {"killed", killed},
             {"grows", grows},       {"empties", empties}, {"hurries", hurries},
             {"children", children}, {"leaks", leaks},     {"wrong", wrong}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(modes[i].name, argv[1]) == 0) {
            modes[i].run();
            printf("%s done\n", argv[1]);
            return 0;
        }
    }
    return 2;
}
