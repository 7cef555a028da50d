/* SPDX-License-Identifier: MIT */
/* Numbered cases of the systems we model, as plain programs: test_contracts_GROUP runs all of a group, or those whose
 * numbers it is given. Plain C and threads only, so that the same cases run where no test library is. */
#ifndef HM_TESTS_CONTRACTS_H
#define HM_TESTS_CONTRACTS_H

#include <stddef.h>
#include <stdint.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct contract contract;
struct contract {
    int number;
    const char *
        evidence; /* who says so: D documentation, W and C observed, R our own word, x others fail it */
    const char *title;
    void (*run)(const contract *self);
    long value; /* for a function that serves several cases */
};

/* A group runs each case in every world that is there (a host, a platform), or once where it names none. */
typedef struct contracts_group {
    const char *name;
    const contract *const *tables;
    const size_t *counts;
    size_t table_count;
    const char *const *worlds;
    size_t world_count;
    /* Before a case: 1 ready, 0 this world does not exist here, and *why says so. NULL: nothing to do. */
    int (*enter)(const char *world, const char **why);
    /* After it, however it ended: check that nothing is left, and leave nothing. NULL: nothing to do. */
    void (*leave)(void);
} contracts_group;

int contracts_main(int argc, char **argv, const contracts_group *group);

/* In a case. Failing says where and goes on; a require that fails leaves the case, so only on its own thread. */
#define CHECK(condition) \
    ((void)contracts_check((condition) ? 1 : 0, __FILE__, __LINE__, #condition))
#define REQUIRE(condition)                                                           \
    do {                                                                             \
        if (!contracts_check((condition) ? 1 : 0, __FILE__, __LINE__, #condition)) { \
            contracts_give_up();                                                     \
        }                                                                            \
    } while (0)
/* Integers of any width, and pointers; the first is what there is, the second what there should be. */
#define CHECK_EQ(is, should)                                                           \
    ((void)contracts_check_equal((uint64_t)(int64_t)(is), (uint64_t)(int64_t)(should), \
                                 __FILE__, __LINE__, #is, #should))
#define CHECK_PTR(is, should)                                                            \
    ((void)contracts_check_equal((uint64_t)(uintptr_t)(is),                              \
                                 (uint64_t)(uintptr_t)(should), __FILE__, __LINE__, #is, \
                                 #should))

int contracts_check(int holds, const char *file, int line, const char *text);
int contracts_check_equal(uint64_t is,
                          uint64_t should,
                          const char *file,
                          int line,
                          const char *is_text,
                          const char *should_text);
void contracts_give_up(void);

/* Run on count threads at once, and wait for them all. */
void contracts_threads(int count, void (*run)(void *context, int index), void *context);

/* A pseudo-random number from a state of the caller's, the same on every system. */
uint32_t contracts_random(uint32_t *state);

#endif
