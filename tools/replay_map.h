/* SPDX-License-Identifier: MIT */
/* A map from 64-bit keys to indices, for the numbers and addresses in a recording. Keys are never 0. */
#ifndef HM_TOOLS_REPLAY_MAP_H
#define HM_TOOLS_REPLAY_MAP_H

#include <stdint.h>
#include <stdlib.h>

typedef struct replay_map {
    uint64_t *
        keys; /* 0: free; open addressing, a power of two of places, never more than half full */
    uint32_t *values;
    size_t places;
    size_t count;
} replay_map;

static inline size_t replay_map_place(const replay_map *map, uint64_t key)
{
    size_t place = (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20);
    for (;; place++) {
        place &= map->places - 1;
        if (map->keys[place] == 0 || map->keys[place] == key) {
            return place;
        }
    }
}

/* Where the value of key stands, or NULL. */
static inline uint32_t *replay_map_find(const replay_map *map, uint64_t key)
{
    if (!map->places) {
        return NULL;
    }
    const size_t place = replay_map_place(map, key);
    return map->keys[place] ? &map->values[place] : NULL;
}

static inline int replay_map_grow(replay_map *map)
{
    replay_map wide = {NULL, NULL, map->places ? 2 * map->places : 64, map->count};
    wide.keys = calloc(wide.places, sizeof *wide.keys);
    wide.values = calloc(wide.places, sizeof *wide.values);
    if (!wide.keys || !wide.values) {
        free(wide.keys);
        free(wide.values);
        return 0;
    }
    for (size_t i = 0; i < map->places; i++) {
        if (map->keys[i]) {
            const size_t place = replay_map_place(&wide, map->keys[i]);
            wide.keys[place] = map->keys[i];
            wide.values[place] = map->values[i];
        }
    }
    free(map->keys);
    free(map->values);
    *map = wide;
    return 1;
}

/* Set or replace; 0: out of memory. */
static inline int replay_map_set(replay_map *map, uint64_t key, uint32_t value)
{
    if (2 * (map->count + 1) > map->places && !replay_map_grow(map)) {
        return 0;
    }
    const size_t place = replay_map_place(map, key);
    map->count += map->keys[place] == 0;
    map->keys[place] = key;
    map->values[place] = value;
    return 1;
}

static inline void replay_map_drop(replay_map *map)
{
    free(map->keys);
    free(map->values);
}

#endif
