/* SPDX-License-Identifier: MIT */
/**
 * @file os.h
 * @brief Everything the core needs from the system; os_posix.c, os_linux*.c and os_windows*.c implement it.
 *
 * Preconditions, stated once so that implementations do not re-check: pointers are not NULL unless a
 * comment says so, sizes are not 0 and, with addresses, multiples of the page size. Nothing here uses
 * stdio or the process's malloc (the module calls do, inside the loader). A difference between systems
 * that the core must know is a field of hm__os_info.
 */
#ifndef HM_CORE_OS_H
#define HM_CORE_OS_H

#include <stddef.h>
#include <stdint.h>

typedef struct hm__os_info {
    size_t page_size;
    size_t granularity;      /* addresses of fresh mappings are multiples of this */
    uintptr_t address_limit; /* user space ends here */
    int has_overcommit;      /* reserved pages cost nothing */
    int has_aligned_blocks;  /* hm__os_block_aligned gives any; else it gives none */
    const char *host_file;   /* "hm_host_%s.so" */
    const char *layer_file;
    char path_list_separator;
} hm__os_info;

const hm__os_info *hm__os(void);

/* Pages. Protections are the HM_PAGE_ values of host.h; NULL or 0 on refusal, with hm__os_error() set. */
void *hm__os_pages_map(size_t bytes); /* committed, read and write, zero */
void hm__os_pages_unmap(void *pages, size_t bytes);
void *
hm__os_pages_reserve(void *address,
                     size_t bytes); /* address NULL: anywhere; else there or not at all */
int hm__os_pages_commit(void *pages,
                        size_t bytes,
                        uint32_t protection); /* 1 done; fresh pages are zero */
int hm__os_pages_decommit(void *pages,
                          size_t bytes); /* contents are gone; storage goes back */
int hm__os_pages_protect(void *pages, size_t bytes, uint32_t protection);
int hm__os_pages_reset(void *pages, size_t bytes); /* contents may go */
int hm__os_is_mapped(
    const void *address); /* 1 when its page is part of some mapping; never faults */

/* Time, entropy, output. */
uint64_t hm__os_now_ns(void);
size_t hm__os_random(void *bytes, size_t count);
/* Retries short writes and interruptions; keeps errno. A limit of sizes and a pipe that nobody reads end the write, not the process.
   0, or the number of the error that kept the rest from being written. */
int hm__os_write(int fd, const char *text, size_t bytes);
int hm__os_error(void); /* errno or GetLastError() of this thread */
_Noreturn void hm__os_abort(void);

/* 1: every other running thread of the process has passed a full memory barrier meanwhile, so that they can do without
   one of their own. 0: the system has no such call. */
int hm__os_barrier_others(void);

/* Waiting on a word: sleeps while *word == value (or wakes early for no reason). */
void hm__os_wait(uint32_t *word, uint32_t value);
void hm__os_wait_for(uint32_t *word,
                     uint32_t value,
                     uint64_t ns); /* not longer than ns */
void hm__os_wake(uint32_t *word);  /* one sleeper */
void hm__os_sleep_ns(uint64_t ns);

/* Threads. */
int hm__os_key_create(uint32_t *key, void (*at_exit)(void *));
void *hm__os_key_get(uint32_t key);
int hm__os_key_set(uint32_t key, void *value);
int hm__os_thread_start(void (*run)(void *),
                        void *context,
                        uintptr_t *handle); /* all signals blocked */
void hm__os_thread_join(uintptr_t handle);
int hm__os_stack_bounds(uintptr_t *low,
                        uintptr_t *high); /* of the calling thread; 0 when not known */

/* Code that may raise, on a thread of its own. All zero before the first use; run and context are the owner's to fill. */
#define HM__OS_RETURNED 0u
#define HM__OS_RAISED   1u
#define HM__OS_ENDED    2u /* its thread ended in the middle */
typedef struct hm__os_guard {
    void (*run)(void *context);
    void *context;
    uint32_t ending; /* HM__OS_* */
    uint32_t code;   /* of HM__OS_RAISED: the signal's or the exception's number */
    /* The rest is the system's. */
    uintptr_t thread;
    uint32_t started; /* thread is known; so is over, under a lock of the system's part */
    uint32_t over;    /* thread is nobody's any more */
    uint32_t open;    /* atomic: it may be left at once */
    uint32_t killed;  /* atomic */
    uint32_t held;    /* atomic: written by its own thread */
    void *back;       /* where to */
    void *stack;      /* for handlers, so that a full stack can be told */
} hm__os_guard;
/* Run it and wait until it is over. 1 done, 0 there was no thread or no memory for it. */
int hm__os_guard_run(hm__os_guard *guard);
/* From another thread, while it is in hm__os_guard_run: end it. 0: there is no way here. */
int hm__os_guard_kill(hm__os_guard *guard);
/* Around what must not be left in the middle, on any thread; they nest. A fault in there is nobody's to catch, a kill
   waits for the drop. */
void hm__os_guard_hold(void);
void hm__os_guard_drop(void);
int hm__os_guard_mine(const hm__os_guard *guard); /* this thread runs under it */

/* A copy of the process that runs on from here while the original waits for it. 1: this is the copy; 0: this is the
   original and *outcome is the copy's exit code, or 256 + the signal that ended it; -1: no copy could be made. */
int hm__os_fork_run(int *outcome);

/* Fork. Called once, by the core. No-op where there is no fork. */
void hm__os_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/* Environment and files. getenv answers NULL in privileged programs. */
const char *hm__os_getenv(const char *name);
long hm__os_read_file(const char *path,
                      char *text,
                      size_t size); /* bytes, terminated; -1 when it cannot be read */
/* Calls visit with each file name in folder; nothing when the folder cannot be read. */
void hm__os_list_folder(const char *folder,
                        int (*visit)(void *context, const char *name),
                        void *context);
int hm__os_object_path(const void *inside,
                       char *path,
                       size_t size); /* of the module or program; 1 found */
int hm__os_file_exists(const char *path);
int hm__os_file_create(const char *path,
                       int append); /* a descriptor for hm__os_write, or -1 */
void hm__os_file_close(int fd);
/* bytes of a file, read and write, shared with whoever maps it too; it outlives the process. The file is made, or
   cut and grown to bytes of zero. NULL when refused; unmapped with hm__os_pages_unmap. */
void *hm__os_file_map(const char *path, size_t bytes);
uint32_t hm__os_process_id(void);
const char *hm__os_program(void); /* its name without folders; never NULL */

/* From now on each arrival of a signal ("USR2", "SIGUSR2" or a number) adds one to *counter, which stays for good;
   then the handler that was there before runs. 1, or 0: no such signal, or no more room. */
int hm__os_signal_count(const char *name, uint32_t *counter);

/* Modules: symbols stay out of the global scope, and the module is never unmapped. */
void *hm__os_module_open(const char *path, char *why, size_t why_size);
void *hm__os_module_symbol(void *module, const char *name);

/* Memory of the machine, or of the container this process lives in. */
typedef struct hm__os_memory {
    uint64_t limit;     /* bytes this process may come to use */
    uint64_t available; /* bytes still to be had */
    uint32_t
        stalled; /* share of the last 10 s spent waiting for memory, in 1/100 %; 0 where not known */
} hm__os_memory;
int hm__os_memory_status(hm__os_memory *out); /* 1 known */
void hm__os_memory_root(
    const char *folder); /* tests: read /proc and /sys below here; NULL: the real ones */

/* Usable bytes of a block of the process's malloc; 0 for NULL. */
size_t hm__os_block_size(const void *block);
/* A block for the process's free; alignment is a power of two and the sum of both fits. NULL: none, or hm__os_info. */
void *hm__os_block_aligned(size_t alignment, size_t bytes);
void hm__os_blocks_trim(
    void); /* what it holds unused goes back to the system, where it can */

#endif
