/* SPDX-License-Identifier: MIT */
/* The program and the shared objects in this process, as the loader knows them. */
#ifndef HM_PLUGINS_PRELOAD_OBJECTS_INTERNAL_H
#define HM_PLUGINS_PRELOAD_OBJECTS_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

typedef struct hm__object {
    const char *path; /* the loader's; the program's own is found by hm__objects_start */
    uintptr_t base;   /* what is added to addresses in the file */
    const void *tables; /* its dynamic section */
    size_t header_count;
    const void *headers;
} hm__object;

/* Remember the program's path: the loader knows none, and it may move later. */
void hm__objects_start(void);

/* How often objects were added and removed so far. */
void hm__objects_changes(uint64_t *added, uint64_t *removed);

/* Every object, in the loader's order; visit answers other than 0 to end. */
void hm__objects_visit(int (*visit)(void *context, const hm__object *object),
                       void *context);

/* A function or variable that this very object defines; NULL: none. Neither loads nor allocates, and leaves dlerror()
   as it is. */
void *hm__object_symbol(const hm__object *object, const char *name);

/* The object an address lies in; 1 found. Takes no lock where the loader offers that. */
int hm__object_of(uintptr_t address, const char **path, uintptr_t *base);

#endif
